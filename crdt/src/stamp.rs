//! Hybrid logical time, for the values of which the latest shows.
//!
//! Follows Kulkarni et al., "Logical Physical Clocks" (2014): 48 bits of unix milliseconds and 16
//! bits that count events within one. A stamp never decides what is removed; causality does.

use std::fmt;

/// Hybrid logical time. Greater is later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Earlier than any stamp that a clock gives.
    pub const ZERO: Self = Self(0);

    /// The first stamp of a millisecond.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.min((1 << 48) - 1) << 16)
    }

    /// Unix time in milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The next stamp; the last one follows itself.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms(), self.0 & 0xffff)
    }
}

/// A node's source of stamps: never goes back, and follows the stamps it sees unless they are too
/// far ahead.
#[derive(Debug, Clone, Default)]
pub struct HybridClock {
    last: Stamp,
    drifted: u64,
}

impl HybridClock {
    /// A clock that has given no stamp yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stamp later than all before it; `now_ms` is the machine's time.
    pub fn tick(&mut self, now_ms: u64) -> Stamp {
        self.last = Stamp::from_ms(now_ms).max(self.last.next());
        self.last
    }

    /// Follows a stamp that came from elsewhere, unless it is more than `max_drift_ms` ahead of
    /// `now_ms`: that one is counted and otherwise ignored. Says whether it was followed.
    pub fn observe(&mut self, seen: Stamp, now_ms: u64, max_drift_ms: u64) -> bool {
        if seen.ms() > now_ms.saturating_add(max_drift_ms) {
            self.drifted += 1;
            return false;
        }
        self.last = self.last.max(seen);
        true
    }

    /// How many stamps were too far ahead to be followed.
    #[must_use]
    pub fn drifted(&self) -> u64 {
        self.drifted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_a_year_gives_later_stamps_all_the_same() {
        let mut clock = HybridClock::new();
        let year_ms = 365 * 24 * 3_600_000;
        let before = clock.tick(2 * year_ms);
        assert!(clock.tick(year_ms) > before);
    }

    #[test]
    fn a_stamp_from_far_ahead_does_not_drag_the_clock_along() {
        let mut clock = HybridClock::new();
        assert!(!clock.observe(Stamp::from_ms(10_000), 1_000, 500));
        assert!(clock.tick(1_000) < Stamp::from_ms(10_000));
        assert!(clock.observe(Stamp::from_ms(1_400), 1_000, 500));
        assert!(clock.tick(1_000) > Stamp::from_ms(1_400));
        assert_eq!(clock.drifted(), 1);
    }
}
