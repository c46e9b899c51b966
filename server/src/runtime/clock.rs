//! The machine's two clocks, as the core wants them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use larder_cluster::env::Now;

/// Reads the time of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    began: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// The time. The monotonic part begins at 1, so that 0 can stand for never.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            monotonic_ms: 1 + self.began.elapsed().as_millis() as u64,
            unix_ms: unix_ms(),
        }
    }

    /// Whole seconds since the start.
    #[must_use]
    pub fn uptime_s(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

/// Unix time in milliseconds; 0 if the clock stands before 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
