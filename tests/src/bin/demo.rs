//! `./x demo`.

use std::process::ExitCode;

use larder_tests::demo::options::{HELP, Options};
use larder_tests::demo::screen::Screen;
use larder_tests::demo::walk;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(unknown) => {
            eprint!("demo: what is {unknown}?\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        eprint!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if walk::run(&Screen::new(options.json), options) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
