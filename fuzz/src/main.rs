//! Searches for bytes that a decoder does not stand.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use larder_fuzz::{Corpus, Finding, TARGETS};

const USAGE: &str = "usage: larder-fuzz [--target NAME] [--runs N] [--seed S]

  --target NAME   only this decoder
  --runs N        inputs per decoder (100000); slow decoders take a share of it
  --seed S        where they come from; another one each time unless given";

struct Wish {
    target: Option<String>,
    runs: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let wish = match parse(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(error) => {
            let _ = writeln!(out, "{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A panic is a finding; where it was is told with it.
    static PLACE: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|panic| {
        if let (Ok(mut place), Some(location)) = (PLACE.lock(), panic.location()) {
            *place = location.to_string();
        }
    }));
    let corpus = Corpus::make();
    let mut found = 0;
    for target in TARGETS {
        if wish.target.as_ref().is_some_and(|name| name != target.name) {
            continue;
        }
        let began = Instant::now();
        let outcome = target.search(&corpus, wish.runs, wish.seed);
        let took = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                let _ = writeln!(out, "{:10} {took:7.1} s  stands", target.name);
            }
            Err(Finding { what, input }) => {
                found += 1;
                let place = PLACE.lock().map(|place| place.clone()).unwrap_or_default();
                let (name, seed) = (target.name, wish.seed);
                let _ = writeln!(out, "{name:10} {took:7.1} s  FOUND with --seed {seed}");
                let _ = writeln!(out, "  {what} {place}\n  {}", input.escape_ascii());
            }
        }
    }
    if found == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Wish, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut wish = Wish {
        target: None,
        runs: 100_000,
        seed: since.map_or(0, |since| since.as_nanos() as u64),
    };
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} wants a value"))?;
        let number = || value.parse().map_err(|_| format!("{value} is no number"));
        match arg.as_str() {
            "--target" if TARGETS.iter().any(|target| target.name == value) => {
                wish.target = Some(value);
            }
            "--target" => {
                let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
                return Err(format!("{value} is none of {}", names.join(", ")));
            }
            "--runs" => wish.runs = number()?,
            "--seed" => wish.seed = number()?,
            _ => return Err(format!("{arg} is unknown")),
        }
    }
    Ok(wish)
}
