//! What a copy knows of another owner's copy.

use larder_crdt::Clock;

use super::CopyId;

/// Another owner's copy, as far as its acknowledgements tell. Clocks are in this copy's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// The copy that the clock below belongs to; `None` until it is told on the current link.
    pub copy: Option<CopyId>,
    /// The layout that its node went by when it told.
    pub layout: u64,
    /// Whether it can be read and written.
    pub ready: bool,
    /// What it holds on disk.
    pub durable: Clock,
    /// What was sent on the current link beside that.
    pub sent: Clock,
    /// What was sent since it was asked what it has seen, while its answer is awaited.
    pub sent_since_asked: Option<Clock>,
    /// When it was told last.
    pub told_ms: u64,
    /// Since when it lacks something, by the monotonic clock.
    pub behind_since_ms: Option<u64>,
    /// When a whole transfer was last offered to it.
    pub offered_ms: Option<u64>,
}

impl Peer {
    /// Notes what is on its way.
    pub fn note_sent(&mut self, dots: &Clock) {
        self.sent.join(dots);
        if let Some(later) = &mut self.sent_since_asked {
            later.join(dots);
        }
    }

    /// It told what it has seen: that has arrived, and what was sent after the question may.
    pub fn note_seen(&mut self, seen: Clock) {
        self.sent = seen;
        if let Some(later) = self.sent_since_asked.take() {
            self.sent.join(&later);
        }
    }

    /// Whether it holds all of `clock` on disk as a copy that belongs to `layout`. What a node said
    /// under another one may have been said of a copy that has ended since, because by that layout
    /// it owned nothing.
    #[must_use]
    pub fn holds(&self, clock: &Clock, layout: u64) -> bool {
        self.copy.is_some() && self.layout == layout && self.durable.covers(clock)
    }

    /// What it has or is about to have.
    #[must_use]
    pub fn known(&self) -> Clock {
        let mut known = self.durable.clone();
        known.join(&self.sent);
        known
    }
}
