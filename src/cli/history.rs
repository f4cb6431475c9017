//! `hoist history`: what stages ran, and who had it so.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::session::Session;
use crate::cli::stage_arguments::History;
use crate::cli::stages::{known_of, told};
use crate::config::Release;
use crate::diagnostic::{Code, Problem, Problems, nearest};
use crate::facts::short;
use crate::release::{Entry, Ledger, State};
use crate::report::{Paint, Table, wrap};

/// Columns below which what is to be said of an entry has lines of its own.
const NARROW: usize = 110;
/// How far these are indented.
const INDENT: usize = 9;

pub(crate) fn history(session: &mut Session, options: &History) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
    let (page, unreachable) = known_of(&ledger)?;
    if let Some(stage) = &options.stage {
        check_stage(stage, &page.state, &loaded.release)?;
    }
    let entries = ledger.history(options.stage.as_deref(), options.most.unwrap_or(usize::MAX))?;
    if session.global.json {
        for (id, entry) in entries {
            session.output(&format!("{}\n", entry_json(&id, &entry)))?;
        }
        return Ok(told(session, unreachable));
    }
    let mut table = Table::new();
    table.head(["ENTRY", "WHEN", "STAGE", "WHAT", "VERSION", "COMMIT", "BY", ""]);
    let (mut any, look) = (false, session.output_look());
    let is_narrow = look.bounded && look.width < NARROW;
    let mut below = Vec::new();
    for (id, entry) in entries {
        any = true;
        let format = if is_narrow { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%SZ" };
        let when = entry.at.strftime(format).to_string();
        let remark = look.tame(&remark(&entry, session.global.verbose));
        let remark = if is_narrow {
            below.push(remark);
            String::new()
        } else {
            remark
        };
        table.row([
            (Some(Paint::Faint), short(&id).to_owned()),
            (None, when),
            (Some(Paint::Name), look.tame(&entry.stage)),
            (None, entry.kind.as_str().to_owned()),
            (None, look.tame(&entry.version)),
            (None, entry.short().to_owned()),
            (None, look.tame(&entry.by)),
            (Some(Paint::Faint), remark),
        ]);
    }
    if !any {
        let shown = if options.most == Some(0) { "`-n 0` shows nothing" } else { "nothing was entered yet" };
        session.say(&format!("{shown}\n"));
        return Ok(told(session, unreachable));
    }
    let text = table.render_whole(look, 0);
    if !is_narrow {
        session.output(&text)?;
        return Ok(told(session, unreachable));
    }
    let mut rows = text.lines();
    let mut lines: Vec<String> = rows.next().map(str::to_owned).into_iter().collect();
    for (row, remark) in rows.zip(below) {
        lines.push(row.to_owned());
        let words = wrap(&remark, look.width.saturating_sub(INDENT)).into_iter();
        lines.extend(
            words
                .filter(|line| !line.is_empty())
                .map(|line| format!("{}{}", " ".repeat(INDENT), look.paint(Paint::Faint, &line))),
        );
    }
    session.output(&(lines.join("\n") + "\n"))?;
    Ok(told(session, unreachable))
}

/// Refuses the name of a stage that neither the file declares nor the ledger knows.
pub(crate) fn check_stage(name: &str, state: &State, release: &Release) -> Result<(), Problem> {
    if state.stages.contains_key(name) || release.stages.contains_key(name) {
        return Ok(());
    }
    let known = state.stages.keys().chain(release.stages.keys());
    let help = match nearest(name, known.map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`hoist status` lists the stages".to_owned(),
    };
    Err(Problem::new(Code::UnknownTarget, format!("there is no stage `{name}`")).help(help))
}

/// Where it came from, and why; and how its conditions were seen to be met, where that
/// is wanted.
fn remark(entry: &Entry, gates: bool) -> String {
    let from = entry.from.iter().map(|from| format!("from {from}"));
    let gates = entry.gates.iter().filter(|_| gates).map(|gate| format!("{}: {}", gate.gate, gate.evidence));
    from.chain(entry.reason.clone()).chain(gates).collect::<Vec<_>>().join("; ")
}

fn entry_json(id: &str, entry: &Entry) -> Value {
    let mut value = json!({ "entry": id });
    if let (Some(object), Ok(Value::Object(rest))) = (value.as_object_mut(), serde_json::to_value(entry)) {
        object.extend(rest);
    }
    value
}
