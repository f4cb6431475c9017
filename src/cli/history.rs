//! `hoist history`: what stages ran, and who had it so.

use std::process::ExitCode;

use crate::cli::place::{Places, until_signalled};
use crate::cli::session::Session;
use crate::cli::stage_arguments::History;
use crate::cli::stages::{known_of, told};
use crate::config::Release;
use crate::diagnostic::{Code, Problem, Problems, nearest};
use crate::facts::short;
use crate::release::{Entry, Ledger, State, attached_entries};
use crate::report::{Paint, Table, wrap};

/// Columns below which what is to be said of an entry has lines of its own.
const NARROW: usize = 110;
/// How far these are indented.
const INDENT: usize = 9;

/// Entries, with their ids.
type Entries = Vec<(String, Entry)>;

pub(crate) fn history(session: &mut Session, options: &History) -> Result<ExitCode, Problems> {
    let (entries, unreachable) = match &options.of {
        Some(image) => (of_image(session, image, options)?, None),
        None => of_ledger(session, options)?,
    };
    if session.global.json {
        for (id, entry) in entries {
            session.output(&format!("{}\n", entry.document(&id)))?;
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
            (Some(Paint::Faint), look.tame(short(&id))),
            (None, when),
            (Some(Paint::Name), look.tame(&entry.stage)),
            (None, entry.kind.as_str().to_owned()),
            (None, look.tame(&entry.version)),
            (None, look.tame(entry.short())),
            (None, look.tame(&entry.by)),
            (Some(Paint::Faint), remark),
        ]);
    }
    if !any {
        session.say(match (&options.of, options.most) {
            (_, Some(0)) => "`-n 0` shows nothing\n",
            (Some(_), _) if options.stage.is_some() => "nothing is attached that says that it ran there\n",
            (Some(_), _) => "nothing is attached that says where it ran: a stage with `record` does that\n",
            (None, _) => "nothing was entered yet\n",
        });
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

/// What the ledger says; where it cannot be fetched, what was known of it here, and why.
fn of_ledger(session: &mut Session, options: &History) -> Result<(Entries, Option<Problem>), Problems> {
    let loaded = session.load()?;
    let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
    let (page, unreachable) = known_of(&ledger)?;
    if let Some(stage) = &options.stage {
        check_stage(stage, &page.state, &loaded.release)?;
    }
    let entries = ledger.history(options.stage.as_deref(), options.most.unwrap_or(usize::MAX))?;
    Ok((entries, unreachable))
}

/// What is attached to an image of where it ran.
fn of_image(session: &mut Session, image: &str, options: &History) -> Result<Entries, Problems> {
    let places = Places::read_for(session, &[image])?;
    let end = places.end(session, image)?;
    let publisher = places.publisher(session);
    let look = async {
        let repository = end.open_to_read(&publisher).await?;
        let found = end.find(&repository).await?;
        attached_entries(&repository, &found.digest).await
    };
    let mut entries = until_signalled(look, "the image was not looked at")?;
    entries.retain(|(_, entry)| options.stage.as_ref().is_none_or(|stage| *stage == entry.stage));
    entries.truncate(options.most.unwrap_or(usize::MAX));
    Ok(entries)
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
