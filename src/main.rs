//! The `hoist` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    hoist::engine::runtime_main().or_else(hoist::run::sandbox_main).unwrap_or_else(hoist::cli::main)
}
