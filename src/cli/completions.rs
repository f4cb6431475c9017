//! `hoist completions`: completions for a shell.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::arguments::{Arguments, Completions};
use crate::cli::session::unwritable;
use crate::diagnostic::Problems;
use crate::report::output;

pub(crate) fn completions(options: &Completions) -> Result<ExitCode, Problems> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "hoist", &mut script);
    output(&String::from_utf8_lossy(&script)).map_err(|error| unwritable(&error))?;
    Ok(ExitCode::SUCCESS)
}
