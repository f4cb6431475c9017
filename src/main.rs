//! The `hoist` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    hoist::cli::main()
}
