//! What the node counts of its commands: per row of the table, per kind of error, per second.
//!
//! Totals for Prometheus are in [`crate::metrics`]; here is what only INFO shows, and the state
//! that CONFIG RESETSTAT counts from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_commands::table::ROWS;
use parking_lot::Mutex;

use crate::limits::ERROR_KINDS_MAX;
use crate::metrics::Metrics;
use crate::server::Server;

/// What is counted of one command.
#[derive(Debug, Default)]
pub struct RowStats {
    /// How often it ran.
    pub calls: AtomicU64,
    /// How long it took, all calls together.
    pub nanoseconds: AtomicU64,
    /// How often it was answered by an error.
    pub failed: AtomicU64,
    /// How often it was refused before it ran.
    pub rejected: AtomicU64,
    /// How many calls took how long, see [`bucket`].
    pub buckets: [AtomicU64; BUCKETS],
}

/// Kinds of durations that are told apart: each is twice as long as the one before.
pub const BUCKETS: usize = 21;
/// Nanoseconds that the first kind ends before.
const FIRST_BUCKET: u64 = 1024;
/// Calls that a [`Tally`] adds up at most, as its counts have 16 bits.
const TALLY_MAX: u64 = u16::MAX as u64;

/// Which kind a duration is: the last one has no end.
fn bucket(nanoseconds: u64) -> usize {
    let doublings = u64::BITS - (nanoseconds / FIRST_BUCKET).leading_zeros();
    (doublings as usize).min(BUCKETS - 1)
}

impl RowStats {
    fn all(&self) -> impl Iterator<Item = &AtomicU64> {
        let totals = [&self.calls, &self.nanoseconds, &self.failed, &self.rejected];
        totals.into_iter().chain(&self.buckets)
    }

    /// Within how many microseconds how many of all calls were done; empty if there were none.
    #[must_use]
    pub fn histogram(&self) -> Vec<(u64, u64)> {
        let mut done = 0;
        let mut histogram = Vec::new();
        for (at, bucket) in self.buckets.iter().enumerate() {
            let calls = bucket.load(Ordering::Relaxed);
            if calls > 0 {
                done += calls;
                histogram.push(((FIRST_BUCKET << at) / 1000, done));
            }
        }
        histogram
    }
}

/// Figures that only INFO shows.
#[derive(Debug)]
pub struct Stats {
    /// By the row's number.
    pub rows: Box<[RowStats]>,
    errors: Mutex<BTreeMap<String, u64>>,
    baseline: Mutex<Totals>,
    rates: Mutex<Rates>,
}

/// Totals at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that were refused.
    pub connections_refused: u64,
    /// Commands.
    pub commands: u64,
    /// Commands answered by an error.
    pub errors: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Commands that other nodes ran.
    pub forwarded: u64,
    /// Bytes from clients.
    pub received_bytes: u64,
    /// Bytes to clients.
    pub sent_bytes: u64,
}

impl Totals {
    fn of(metrics: &Metrics) -> Self {
        Self {
            connections: metrics.connections.get(),
            connections_refused: metrics.connections_refused.get(),
            commands: metrics.commands.get(),
            errors: metrics.errors.get(),
            hits: metrics.hits.get(),
            misses: metrics.misses.get(),
            forwarded: metrics.forwarded.get(),
            received_bytes: metrics.received_bytes.get(),
            sent_bytes: metrics.sent_bytes.get(),
        }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            connections: self.connections.saturating_sub(earlier.connections),
            connections_refused: self
                .connections_refused
                .saturating_sub(earlier.connections_refused),
            commands: self.commands.saturating_sub(earlier.commands),
            errors: self.errors.saturating_sub(earlier.errors),
            hits: self.hits.saturating_sub(earlier.hits),
            misses: self.misses.saturating_sub(earlier.misses),
            forwarded: self.forwarded.saturating_sub(earlier.forwarded),
            received_bytes: self.received_bytes.saturating_sub(earlier.received_bytes),
            sent_bytes: self.sent_bytes.saturating_sub(earlier.sent_bytes),
        }
    }
}

/// How often totals are looked at for [`Rates`].
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// Over how many looks a rate is taken, as in Redis.
const SAMPLES: usize = 16;

/// The totals of the last second and a half.
#[derive(Debug, Default)]
struct Rates {
    samples: [Totals; SAMPLES],
    taken: usize,
}

impl Rates {
    fn take(&mut self, totals: Totals) {
        let slot = self.taken % SAMPLES;
        if let Some(sample) = self.samples.get_mut(slot) {
            *sample = totals;
        }
        self.taken += 1;
    }

    /// What was counted between the oldest and the newest look, and how many looks lie between.
    fn change(&self) -> (Totals, u64) {
        let kept = self.taken.min(SAMPLES);
        if kept < 2 {
            return (Totals::default(), 1);
        }
        let at = |taken: usize| {
            self.samples
                .get(taken % SAMPLES)
                .copied()
                .unwrap_or_default()
        };
        let (newest, oldest) = (at(self.taken - 1), at(self.taken - kept));
        (newest.since(oldest), kept as u64 - 1)
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            rows: (0..ROWS).map(|_| RowStats::default()).collect(),
            errors: Mutex::default(),
            baseline: Mutex::default(),
            rates: Mutex::default(),
        }
    }
}

impl Stats {
    /// Counts an error by its first word.
    pub fn count_error(&self, prefix: &str) {
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(prefix) {
            *count += 1;
        } else if errors.len() < ERROR_KINDS_MAX {
            errors.insert(prefix.to_owned(), 1);
        }
    }

    /// The kinds of errors and how many of each there were.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().clone()
    }

    /// The totals since the last CONFIG RESETSTAT.
    #[must_use]
    pub fn totals(&self, metrics: &Metrics) -> Totals {
        Totals::of(metrics).since(*self.baseline.lock())
    }

    /// Totals per second of late.
    #[must_use]
    pub fn rates(&self) -> Totals {
        let (change, looks) = self.rates.lock().change();
        let looks_per_second = 1000 / SAMPLE_EVERY.as_millis() as u64;
        let per_second = |total: u64| total * looks_per_second / looks;
        Totals {
            commands: per_second(change.commands),
            received_bytes: per_second(change.received_bytes),
            sent_bytes: per_second(change.sent_bytes),
            ..Totals::default()
        }
    }

    /// Counts from 0 again: CONFIG RESETSTAT.
    pub fn reset(&self, server: &Server) {
        *self.baseline.lock() = Totals::of(&server.metrics);
        self.errors.lock().clear();
        for number in self.rows.iter().flat_map(RowStats::all) {
            number.store(0, Ordering::Relaxed);
        }
        server.slow_log.clear();
    }
}

/// Looks at the totals again and again, until the process ends.
pub async fn sample(server: std::sync::Weak<Server>) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Some(server) = server.upgrade() else {
            return;
        };
        server.stats.rates.lock().take(Totals::of(&server.metrics));
    }
}

/// Counts of commands that follow each other on one connection and are of one row: they are added
/// up first, so that a burst costs one visit of the shared numbers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    number: usize,
    calls: u64,
    nanoseconds: u64,
    failed: u64,
    /// The kinds of durations that are there, a bit for each.
    lasted: u32,
    buckets: [u16; BUCKETS],
}

impl Tally {
    /// Notes a command.
    #[inline]
    pub(crate) fn note(&mut self, stats: &Stats, number: usize, nanoseconds: u64, is_error: bool) {
        if number != self.number || self.calls == TALLY_MAX {
            self.flush(stats);
            self.number = number;
        }
        self.calls += 1;
        self.nanoseconds += nanoseconds;
        self.failed += u64::from(is_error);
        let bucket = bucket(nanoseconds);
        self.lasted |= 1 << bucket;
        if let Some(calls) = self.buckets.get_mut(bucket) {
            *calls += 1;
        }
    }

    /// Adds what was noted to the shared numbers.
    pub(crate) fn flush(&mut self, stats: &Stats) {
        let noted = std::mem::take(self);
        if noted.calls == 0 {
            return;
        }
        if let Some(row) = stats.rows.get(noted.number) {
            row.calls.fetch_add(noted.calls, Ordering::Relaxed);
            row.nanoseconds
                .fetch_add(noted.nanoseconds, Ordering::Relaxed);
            if noted.failed > 0 {
                row.failed.fetch_add(noted.failed, Ordering::Relaxed);
            }
            let mut lasted = noted.lasted;
            while lasted != 0 {
                let at = lasted.trailing_zeros() as usize;
                lasted &= lasted - 1;
                if let (Some(total), Some(calls)) = (row.buckets.get(at), noted.buckets.get(at)) {
                    total.fetch_add((*calls).into(), Ordering::Relaxed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_came_between_the_looks() {
        let mut rates = Rates::default();
        assert_eq!(rates.change().0, Totals::default());
        for commands in 0..100 {
            rates.take(Totals {
                commands: commands * 7,
                ..Totals::default()
            });
        }
        let (change, looks) = rates.change();
        assert_eq!((change.commands, looks), (7 * 15, 15));
    }

    #[test]
    fn kinds_of_errors_are_limited() {
        let stats = Stats::default();
        for kind in 0..2 * ERROR_KINDS_MAX {
            stats.count_error(&format!("E{kind}"));
            stats.count_error("E0");
        }
        let errors = stats.errors();
        assert_eq!(errors.len(), ERROR_KINDS_MAX);
        assert_eq!(errors.get("E0"), Some(&(2 * ERROR_KINDS_MAX as u64 + 1)));
    }

    #[test]
    fn a_tally_reaches_the_rows_of_its_commands() {
        let (stats, mut tally) = (Stats::default(), Tally::default());
        tally.note(&stats, 2, 10, false);
        tally.note(&stats, 2, 10, true);
        tally.note(&stats, 3, 5, false);
        tally.flush(&stats);
        tally.flush(&stats);
        let seen = |row: usize| {
            let row = stats.rows.get(row).expect("a row");
            [&row.calls, &row.nanoseconds, &row.failed].map(|n| n.load(Ordering::Relaxed))
        };
        assert_eq!((seen(2), seen(3)), ([2, 20, 1], [1, 5, 0]));
    }

    #[test]
    fn a_histogram_adds_up_from_the_shortest() {
        let (stats, mut tally) = (Stats::default(), Tally::default());
        for nanoseconds in [0, 1023, 1024, 2047, 2048, 5_000_000, u64::MAX / 4] {
            tally.note(&stats, 1, nanoseconds, false);
        }
        for _ in 0..TALLY_MAX + 10 {
            tally.note(&stats, 2, 1, false);
        }
        tally.flush(&stats);
        let histogram = |row: usize| stats.rows.get(row).expect("a row").histogram();
        let wanted = [(1, 2), (2, 4), (4, 5), (8388, 6), (1_073_741, 7)];
        assert_eq!(histogram(1), wanted);
        assert_eq!(histogram(2), [(1, TALLY_MAX + 10)]);
        assert_eq!(histogram(3), []);
    }
}
