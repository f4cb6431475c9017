//! Bare `hoist`: what the release file declares.

use std::process::ExitCode;

use crate::cli::arguments::Arguments;
use crate::cli::session::Session;
use crate::diagnostic::Problems;
use crate::report::{list as show, list_json};

pub(crate) fn list(session: &mut Session) -> Result<ExitCode, Problems> {
    let release = session.load()?.release;
    if session.global.json {
        session.output(&format!("{}\n", list_json(&release)))?;
    } else {
        session.output(&show(&release, &Arguments::commands(), session.output_look()))?;
    }
    Ok(ExitCode::SUCCESS)
}
