//! The `hoist` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    hoist::engine::runtime_main().unwrap_or_else(hoist::cli::main)
}
