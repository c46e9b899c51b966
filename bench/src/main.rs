//! Compares Larder with redis-server on this machine, in one run: interleaved rounds, medians, and
//! ratios beside the floors that the project has set itself.
//!
//! ```text
//! larder-bench [--rounds N] [--quick] [--only TEXT] [--json FILE] [--server PATH]
//!              [--suite single|always|cluster|memory|start|all]
//! ```

mod cases;
mod measure;
mod report;
mod servers;
mod suites;

use std::path::PathBuf;
use std::process::ExitCode;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) only: Option<String>,
    pub(crate) json: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) suites: Vec<String>,
}

const USAGE: &str = "usage: larder-bench [--rounds N] [--quick] [--only TEXT] [--json FILE] \
    [--server PATH] [--suite single|always|cluster|memory|start|all]";

const SUITES: &[&str] = &["single", "always", "cluster", "start", "memory"];

fn options() -> Result<Options, String> {
    let beside = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut options = Options {
        rounds: 3,
        quick: false,
        only: None,
        json: PathBuf::from("bench/results/latest.json"),
        server: beside.with_file_name("larder-server"),
        suites: vec!["single".to_owned(), "always".to_owned(), "start".to_owned()],
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("{word} wants a value\n{USAGE}"))
        };
        match word.as_str() {
            "--rounds" => {
                options.rounds = value()?.parse().map_err(|_| USAGE.to_owned())?;
            }
            "--quick" => options.quick = true,
            "--only" => options.only = Some(value()?),
            "--json" => options.json = value()?.into(),
            "--server" => options.server = value()?.into(),
            "--suite" => {
                let suite = value()?;
                options.suites = match suite.as_str() {
                    "all" => SUITES.iter().map(|name| (*name).to_owned()).collect(),
                    name if SUITES.contains(&name) => vec![suite],
                    _ => return Err(USAGE.to_owned()),
                };
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.rounds == 0 {
        return Err("there must be at least one round".to_owned());
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match suites::run(&options) {
        Ok(report) => report.print_and_write(&options.json),
        Err(error) => {
            eprintln!("larder-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
