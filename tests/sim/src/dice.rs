//! The only source of chance in a run.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Draws, all of them from one seed.
#[derive(Debug)]
pub struct Dice {
    rng: StdRng,
}

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random::<f64>() < probability
    }

    /// A number from 0 to 1.
    pub fn unit(&mut self) -> f64 {
        self.rng.random::<f64>()
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.rng.random_range(low..=high)
    }

    /// One of `choices`; none if there are none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        if choices.is_empty() {
            None
        } else {
            Some(choices[self.below(choices.len())])
        }
    }

    /// 128 random bits.
    pub fn id(&mut self) -> u128 {
        self.rng.random::<u128>()
    }
}
