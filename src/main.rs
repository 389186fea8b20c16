use std::process::ExitCode;

use tidegate::cli;

fn main() -> ExitCode {
    let arguments = match cli::typed() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => cli::report(&failure),
    }
}
