//! The `nsgwatch` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    nsgwatch::cli::main()
}
