//! `hoist graph`: the steps and what they need, drawn.

use std::process::ExitCode;

use crate::cli::arguments::{Graph, GraphFormat};
use crate::cli::session::Session;
use crate::cli::words::Words;
use crate::diagnostic::Problems;
use crate::plan::{Goals, dot, json, mermaid, svg};

pub(crate) fn graph(session: &mut Session, options: &Graph) -> Result<ExitCode, Problems> {
    let words = Words::read(&options.words, &mut session.sources)?;
    let goals = if words.names.is_empty() { Goals::All } else { Goals::Named(words.names) };
    let loaded = session.load()?;
    let plan = session.outline(&loaded, &goals, &words.values)?;
    let text = match options.format {
        _ if session.global.json => format!("{}\n", json(&plan, &session.sources)),
        GraphFormat::Dot => dot(&plan),
        GraphFormat::Mermaid => mermaid(&plan),
        GraphFormat::Svg => svg(&plan),
    };
    session.output(&text)?;
    Ok(ExitCode::SUCCESS)
}
