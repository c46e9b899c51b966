//! Moments at which something took longer than the setting `latency-monitor-threshold`, by kind of
//! event and of bounded number: LATENCY.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use crate::limits::LATENCY_SAMPLES_MAX;

/// A moment: the worst of its second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When, in unix seconds.
    pub unix_s: u64,
    /// How long it took.
    pub ms: u64,
}

/// What is known of one kind of event.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// The longest ever.
    pub max_ms: u64,
    /// The latest seconds in which it was long, oldest first.
    pub samples: VecDeque<Sample>,
}

/// The kinds of events of which some took long.
#[derive(Debug, Default)]
pub struct LatencyLog {
    events: Mutex<BTreeMap<&'static str, Event>>,
}

impl LatencyLog {
    /// Notes that an event took long.
    pub fn note(&self, event: &'static str, sample: Sample) {
        let mut events = self.events.lock();
        let event = events.entry(event).or_default();
        event.max_ms = event.max_ms.max(sample.ms);
        match event.samples.back_mut() {
            Some(last) if last.unix_s == sample.unix_s => last.ms = last.ms.max(sample.ms),
            _ => event.samples.push_back(sample),
        }
        if event.samples.len() > LATENCY_SAMPLES_MAX {
            event.samples.pop_front();
        }
    }

    /// All kinds, by name.
    #[must_use]
    pub fn events(&self) -> BTreeMap<&'static str, Event> {
        self.events.lock().clone()
    }

    /// One kind.
    #[must_use]
    pub fn event(&self, name: &[u8]) -> Option<Event> {
        let name = std::str::from_utf8(name).ok()?;
        self.events.lock().get(name).cloned()
    }

    /// Forgets those kinds of which `is_meant` is true; says how many.
    pub fn forget(&self, is_meant: impl Fn(&str) -> bool) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| !is_meant(name));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_worst_and_only_the_latest_seconds_stay() {
        let log = LatencyLog::default();
        for (unix_s, ms) in [(1, 5), (1, 9), (1, 7), (2, 3)] {
            log.note("command", Sample { unix_s, ms });
        }
        let event = log.event(b"command").expect("it was noted");
        let seen: Vec<_> = event.samples.iter().map(|s| (s.unix_s, s.ms)).collect();
        assert_eq!((event.max_ms, seen), (9, vec![(1, 9), (2, 3)]));
        for unix_s in 0..2 * LATENCY_SAMPLES_MAX as u64 {
            log.note("other", Sample { unix_s, ms: 1 });
        }
        let other = log.event(b"other").expect("it was noted");
        assert_eq!(other.samples.len(), LATENCY_SAMPLES_MAX);
        assert_eq!(log.forget(|name| name == "other"), 1);
        assert_eq!(log.events().len(), 1);
    }
}
