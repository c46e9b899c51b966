//! Damaged bytes for every decoder.
//!
//! A target is a decoder with valid encodings to begin from: messages and redo records that nodes
//! have written, tokens, requests, settings. From a seed, each run takes one of them, changes,
//! cuts, joins and repeats parts of it, and gives it to the decoder. What must hold: it answers (no
//! panic, no hang, no memory beyond what came in), and what it takes can be written and read again.
//!
//! `larder-fuzz --target NAME --runs N --seed S` runs more of it; the same seed gives the same runs
//! on the same build.

mod corpus;
mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

pub use corpus::Corpus;
pub use targets::{TARGETS, Target};

use mutate::Mutator;

/// How long one input may take. Generous: machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An input that a target does not stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What happened.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

impl Target {
    /// Runs inputs from `seed`; stops at the first that it does not stand.
    ///
    /// # Errors
    /// The finding.
    pub fn search(&self, corpus: &Corpus, runs: u64, seed: u64) -> Result<(), Finding> {
        let seeds = (self.seeds)(corpus);
        let mut mutator = Mutator::new(seed);
        for seed in &seeds {
            self.try_one(seed)?;
        }
        for _ in 0..runs / self.cost {
            self.try_one(&mutator.next(&seeds))?;
        }
        Ok(())
    }

    /// Gives one input to the decoder.
    ///
    /// # Errors
    /// The finding.
    pub fn try_one(&self, input: &[u8]) -> Result<(), Finding> {
        let finding = |what: String| Finding {
            what,
            input: input.to_vec(),
        };
        let began = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| (self.run)(input))) {
            Ok(Ok(())) if began.elapsed() < PATIENCE => Ok(()),
            Ok(Ok(())) => Err(finding(format!("it took {:?}", began.elapsed()))),
            Ok(Err(what)) => Err(finding(what)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                Err(finding(format!("panic: {}", text.unwrap_or_default())))
            }
        }
    }
}
