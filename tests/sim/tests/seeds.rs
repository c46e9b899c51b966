//! A thousand runs without a violation: 500 that are always the same, and 500 that never are.
//!
//! `LARDER_SIM_SEED` replays the fresh ones of an earlier day.

#![expect(
    clippy::print_stdout,
    reason = "the fresh seeds must be known to be replayed"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use larder_sim::{Options, run};

const SEEDS_PER_TEST: u64 = 50;

fn hold(first: u64) {
    for seed in first..first + SEEDS_PER_TEST {
        if let Some(violation) = run(seed, Options::default()).violation {
            panic!(
                "seed {seed}: {}: {}\nreplay: cargo run --release -p larder-sim -- --seed {seed} \
                 --trace",
                violation.checker, violation.what
            );
        }
    }
}

fn hold_fixed(part: u64) {
    hold(part * SEEDS_PER_TEST);
}

fn hold_fresh(part: u64) {
    let base = match std::env::var("LARDER_SIM_SEED") {
        Ok(text) => text.parse().expect("LARDER_SIM_SEED is a number"),
        Err(_) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.expect("the clock is past 1970").as_secs() * 1_000_000
        }
    };
    println!("LARDER_SIM_SEED={base}");
    hold(base + part * SEEDS_PER_TEST);
}

macro_rules! parts {
    ($($part:literal $fixed:ident $fresh:ident,)+) => {
        $(
            #[test]
            fn $fixed() {
                hold_fixed($part);
            }

            #[test]
            fn $fresh() {
                hold_fresh($part);
            }
        )+
    };
}

parts! {
    0 fixed_seeds_0 fresh_seeds_0,
    1 fixed_seeds_1 fresh_seeds_1,
    2 fixed_seeds_2 fresh_seeds_2,
    3 fixed_seeds_3 fresh_seeds_3,
    4 fixed_seeds_4 fresh_seeds_4,
    5 fixed_seeds_5 fresh_seeds_5,
    6 fixed_seeds_6 fresh_seeds_6,
    7 fixed_seeds_7 fresh_seeds_7,
    8 fixed_seeds_8 fresh_seeds_8,
    9 fixed_seeds_9 fresh_seeds_9,
}
