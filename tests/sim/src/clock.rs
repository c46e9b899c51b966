//! The two clocks of a simulated machine.

use larder_cluster::env::Now;

/// Unix time at the beginning of every run.
pub const EPOCH_MS: u64 = 1_750_000_000_000;

/// How far a wall clock jumps at most: a year.
pub const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// Clocks of one machine. The monotonic one never goes back while the machine runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// What the monotonic clock showed when the process started.
    pub monotonic_base_ms: u64,
    /// How far the wall clock is off.
    pub skew_ms: i64,
}

impl Clock {
    /// What a process reads at a virtual time.
    #[must_use]
    pub fn read(&self, virtual_ms: u64) -> Now {
        Now {
            monotonic_ms: self.monotonic_base_ms + virtual_ms,
            unix_ms: (EPOCH_MS + virtual_ms).saturating_add_signed(self.skew_ms),
        }
    }
}
