//! Compares Larder with redis-server on this machine, in one run: interleaved rounds, medians, and
//! ratios beside the floors that the project has set itself.
//!
//! ```text
//! larder-bench [--rounds N] [--quick] [--only TEXT] [--json FILE] [--server PATH]
//!              [--suite NAME|all]
//! ```

mod big;
mod cases;
mod elements;
mod measure;
mod memory;
mod report;
mod servers;
mod suites;
mod wire;

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

impl Options {
    /// Whether what has this label is asked for.
    pub(crate) fn wants(&self, label: &str) -> bool {
        self.only.as_deref().is_none_or(|only| label.contains(only))
    }
}

fn usage() -> String {
    let names: Vec<&str> = suites::NAMES.iter().map(|(name, _)| *name).collect();
    format!(
        "usage: larder-bench [--rounds N] [--quick] [--only TEXT] [--json FILE] [--server PATH] \
         [--suite {}|all]",
        names.join("|")
    )
}

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
                .ok_or_else(|| format!("{word} wants a value\n{}", usage()))
        };
        match word.as_str() {
            "--rounds" => {
                options.rounds = value()?.parse().map_err(|_| usage())?;
            }
            "--quick" => options.quick = true,
            "--only" => options.only = Some(value()?),
            "--json" => options.json = value()?.into(),
            "--server" => options.server = value()?.into(),
            "--suite" => {
                let suite = value()?;
                let is_asked = |name: &str| suite == "all" || suite == name;
                let names = suites::NAMES.iter().map(|(name, _)| (*name).to_owned());
                options.suites = names.filter(|name| is_asked(name)).collect();
                if options.suites.is_empty() {
                    return Err(usage());
                }
            }
            _ => return Err(usage()),
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
