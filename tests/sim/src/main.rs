//! Runs many seeds and prints those that fail.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use larder_sim::world::Tally;
use larder_sim::{Options, Outcome, run};

/// What the command line asks for.
#[derive(Debug, Clone, Copy)]
struct Wish {
    seeds: u64,
    from: u64,
    seed: Option<u64>,
    trace: bool,
    broken_rule: u8,
    jobs: usize,
    json: bool,
    first: bool,
}

const USAGE: &str = "usage: larder-sim [--seeds N] [--from S] [--seed S [--trace]] [--break RULE] \
                     [--jobs N] [--json] [--first]";

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let wish = match parse(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(error) => {
            let _ = writeln!(out, "{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    drop(out);
    std::panic::set_hook(Box::new(|_| {}));
    match wish.seed {
        Some(seed) => one(seed, wish),
        None => many(wish),
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut wish = Wish {
        seeds: 1_000,
        from: 0,
        seed: None,
        trace: false,
        broken_rule: 0,
        jobs: 2,
        json: false,
        first: false,
    };
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().ok_or_else(|| format!("{arg} wants a number"))?;
            text.parse::<u64>()
                .map_err(|_| format!("{text} is no number"))
        };
        match arg.as_str() {
            "--seeds" => wish.seeds = number()?,
            "--from" => wish.from = number()?,
            "--seed" => wish.seed = Some(number()?),
            "--break" => wish.broken_rule = number()? as u8,
            "--jobs" => wish.jobs = (number()? as usize).max(1),
            "--trace" => wish.trace = true,
            "--json" => wish.json = true,
            "--first" => wish.first = true,
            _ => return Err(format!("{arg} is unknown")),
        }
    }
    Ok(wish)
}

fn one(seed: u64, wish: Wish) -> ExitCode {
    let options = Options {
        broken_rule: wish.broken_rule,
        verbose: wish.trace,
    };
    let outcome = run(seed, options);
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{}", outcome.text);
    let _ = writeln!(
        out,
        "seed {seed}: hash {:016x}, {:?}",
        outcome.hash, outcome.tally
    );
    match outcome.violation {
        Some(violation) => {
            let _ = writeln!(out, "VIOLATION {}: {}", violation.checker, violation.what);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// Prints a failing seed and how to replay it.
fn tell(seed: u64, outcome: &Outcome, wish: Wish) {
    let Some(violation) = &outcome.violation else {
        return;
    };
    let mut out = std::io::stdout().lock();
    if wish.json {
        let line = serde_json::json!({
            "seed": seed, "checker": violation.checker, "what": violation.what,
        });
        let _ = writeln!(out, "{line}");
        return;
    }
    let broken = if wish.broken_rule > 0 {
        format!(" --break {}", wish.broken_rule)
    } else {
        String::new()
    };
    let mut what = violation.what.clone();
    if what.len() > 300 {
        let cut = (0..=300)
            .rev()
            .find(|at| what.is_char_boundary(*at))
            .unwrap_or(0);
        what.truncate(cut);
        what.push('…');
    }
    let _ = writeln!(out, "seed {seed}: {}: {what}", violation.checker);
    let _ = writeln!(
        out,
        "  replay: cargo run --release -p larder-sim -- --seed {seed}{broken} --trace"
    );
}

fn many(wish: Wish) -> ExitCode {
    let next = AtomicU64::new(wish.from);
    let end = wish.from + wish.seeds;
    let done = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let tally = Mutex::new(Tally::default());
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..wish.jobs {
            scope.spawn(|| {
                let options = Options {
                    broken_rule: wish.broken_rule,
                    verbose: false,
                };
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let outcome = run(seed, options);
                    tally
                        .lock()
                        .expect("no thread panics here")
                        .add(&outcome.tally);
                    let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if let Some(violation) = &outcome.violation {
                        tell(seed, &outcome, wish);
                        let mut failed = failed.lock().expect("no thread panics here");
                        failed.push((seed, violation.checker));
                        if wish.first {
                            next.store(end, Ordering::Relaxed);
                        }
                    }
                    if count.is_multiple_of(500) && !wish.json {
                        let rate = count as f64 / begin.elapsed().as_secs_f64();
                        let mut out = std::io::stdout().lock();
                        let _ = writeln!(out, "{count} seeds, {rate:.1} a second");
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no thread panics here");
    let count = done.load(Ordering::Relaxed);
    let rate = count as f64 / begin.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    if wish.json {
        let line = serde_json::json!({ "seeds": count, "failed": failed.len(), "rate": rate });
        let _ = writeln!(out, "{line}");
    } else {
        let tally = tally.into_inner().expect("no thread panics here");
        let _ = writeln!(out, "together: {tally:?}");
        let _ = writeln!(
            out,
            "{count} seeds, {} failed, {rate:.1} a second",
            failed.len()
        );
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
