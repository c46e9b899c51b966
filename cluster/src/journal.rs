//! The journal of values that lost a conflict on this node: bounded, the latest kept.
//!
//! It is told by the copies, under their partitions' locks, whenever a join or a write leaves
//! something hidden that was not hidden before. It lives in memory alone. A copy that hears of a
//! change again finds its row as it was, so nothing is told twice.

use std::collections::VecDeque;

use larder_crdt::conflict::Side;
use larder_crdt::limits::CONFLICT_VALUE_BYTES_MAX;
use larder_crdt::types::document_causal::DocDot;
use larder_crdt::{Actor, Conflict, ConflictDot, ConflictKind, DecodeError, Reader, Writer};
use parking_lot::Mutex;

use crate::limits::{CONFLICT_JOURNAL_BYTES_MAX, CONFLICT_PATH_BYTES_MAX};
use crate::row_key::RowKey;

/// One of the two values, its dot with its actor in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSide {
    /// The change that wrote it.
    pub dot: DocDot,
    /// When, in unix milliseconds.
    pub stamp_ms: u64,
    /// How it begins.
    pub value: Box<[u8]>,
    /// How long it is as a whole.
    pub bytes: u64,
}

/// A value that lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// When that was noticed, in unix milliseconds.
    pub noted_ms: u64,
    /// Of which row.
    pub key: RowKey,
    /// Of what kind.
    pub kind: ConflictKind,
    /// Where in the document, for a leaf.
    pub path: Option<Box<str>>,
    /// What is not shown.
    pub loser: JournalSide,
    /// What is.
    pub winner: JournalSide,
}

impl JournalSide {
    fn new(side: Side, actor_of: &dyn Fn(larder_crdt::Dot) -> Actor) -> Self {
        Self {
            dot: match side.dot {
                ConflictDot::Row(dot) => DocDot::new(actor_of(dot), dot.counter()),
                ConflictDot::Leaf(dot) => dot,
            },
            stamp_ms: side.stamp.ms(),
            value: side.value,
            bytes: side.bytes as u64,
        }
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u128_be(self.dot.actor.0);
        writer.varint(self.dot.counter);
        writer.varint(self.stamp_ms);
        writer.bytes(&self.value);
        writer.varint(self.bytes);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            dot: DocDot::new(Actor(reader.u128_be()?), reader.varint()?),
            stamp_ms: reader.varint()?,
            value: reader.bytes(CONFLICT_VALUE_BYTES_MAX)?.into(),
            bytes: reader.varint()?,
        })
    }
}

impl JournalEntry {
    /// What a copy tells; `actor_of` gives the actors of its dots.
    #[must_use]
    pub fn new(
        noted_ms: u64,
        key: RowKey,
        conflict: Conflict,
        actor_of: &dyn Fn(larder_crdt::Dot) -> Actor,
    ) -> Self {
        Self {
            noted_ms,
            key,
            kind: conflict.kind,
            path: conflict.path.map(|path| path.as_str().into()),
            loser: JournalSide::new(conflict.loser, actor_of),
            winner: JournalSide::new(conflict.winner, actor_of),
        }
    }

    /// About how many bytes it takes.
    fn weight(&self) -> usize {
        let path = self.path.as_ref().map_or(0, |path| path.len());
        let values = self.loser.value.len() + self.winner.value.len();
        size_of::<Self>() + self.key.heap_bytes() + path + values
    }

    /// Appends the entry, for another node.
    pub fn encode(&self, writer: &mut Writer) {
        writer.varint(self.noted_ms);
        self.key.encode(writer);
        writer.u8(number(self.kind));
        writer.u8(u8::from(self.path.is_some()));
        if let Some(path) = &self.path {
            writer.bytes(path.as_bytes());
        }
        self.loser.encode(writer);
        self.winner.encode(writer);
    }

    /// Reads what [`JournalEntry::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let noted_ms = reader.varint()?;
        let key = RowKey::decode(reader)?;
        let tag = reader.u8()?;
        let kind = ConflictKind::ALL
            .into_iter()
            .find(|kind| number(*kind) == tag)
            .ok_or(DecodeError::UnknownTag)?;
        let path = match reader.u8()? {
            0 => None,
            1 => {
                let bytes = reader.bytes(CONFLICT_PATH_BYTES_MAX)?;
                let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Inconsistent)?;
                Some(text.into())
            }
            _ => return Err(DecodeError::UnknownTag),
        };
        Ok(Self {
            noted_ms,
            key,
            kind,
            path,
            loser: JournalSide::decode(reader)?,
            winner: JournalSide::decode(reader)?,
        })
    }
}

/// The number of a kind between nodes; never reused.
fn number(kind: ConflictKind) -> u8 {
    match kind {
        ConflictKind::Value => 1,
        ConflictKind::Leaf => 2,
        ConflictKind::Type => 3,
    }
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<JournalEntry>,
    bytes: usize,
    noted: [u64; ConflictKind::ALL.len()],
}

/// The journal.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Kept>);

impl Journal {
    /// Notes an entry; the oldest go if there are more than `entries_max`.
    pub fn note(&self, entry: JournalEntry, entries_max: usize) {
        let mut kept = self.0.lock();
        let at = ConflictKind::ALL
            .iter()
            .position(|kind| *kind == entry.kind);
        if let Some(noted) = at.and_then(|at| kept.noted.get_mut(at)) {
            *noted += 1;
        }
        kept.bytes += entry.weight();
        kept.entries.push_back(entry);
        kept.trim(entries_max);
    }

    /// Drops the oldest entries beyond `entries_max`.
    pub fn resize(&self, entries_max: usize) {
        self.0.lock().trim(entries_max);
    }

    /// The latest entries, the last one first: of one key in one database, or all.
    #[must_use]
    pub fn latest(&self, key: Option<(u8, &[u8])>, count: usize) -> Vec<JournalEntry> {
        let is_asked = |entry: &&JournalEntry| {
            key.is_none_or(|key| key == (entry.key.database(), entry.key.key()))
        };
        let kept = self.0.lock();
        let found = kept.entries.iter().rev().filter(is_asked);
        found.take(count).cloned().collect()
    }

    /// How many entries there are, and about how many bytes they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let kept = self.0.lock();
        (kept.entries.len(), kept.bytes)
    }

    /// How many conflicts of a kind were noted since the node began.
    #[must_use]
    pub fn noted(&self, kind: ConflictKind) -> u64 {
        let at = ConflictKind::ALL.iter().position(|other| *other == kind);
        at.and_then(|at| self.0.lock().noted.get(at).copied())
            .unwrap_or(0)
    }
}

impl Kept {
    fn trim(&mut self, entries_max: usize) {
        while self.entries.len() > entries_max || self.bytes > CONFLICT_JOURNAL_BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= oldest.weight();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn side(counter: u64, value: &[u8]) -> JournalSide {
        JournalSide {
            dot: DocDot::new(Actor(u128::from(counter) << 40), counter),
            stamp_ms: 1_000 + counter,
            value: value.into(),
            bytes: 2 * value.len() as u64,
        }
    }

    fn entry(key: &[u8], counter: u64, value: &[u8]) -> JournalEntry {
        JournalEntry {
            noted_ms: counter,
            key: RowKey::new(7, 0, key, b""),
            kind: ConflictKind::Leaf,
            path: Some("/a".into()),
            loser: side(counter, value),
            winner: side(counter + 1, b"winner"),
        }
    }

    #[test]
    fn the_latest_entries_are_kept_as_many_as_were_asked_for() {
        let journal = Journal::default();
        for counter in 1..=5 {
            journal.note(entry(b"k", counter, b"v"), 3);
        }
        let counters = |found: Vec<JournalEntry>| -> Vec<u64> {
            found.iter().map(|entry| entry.loser.dot.counter).collect()
        };
        assert_eq!(counters(journal.latest(None, 10)), [5, 4, 3]);
        assert_eq!(counters(journal.latest(None, 2)), [5, 4]);
        assert_eq!(counters(journal.latest(Some((0, b"other")), 9)), [0; 0]);
        assert_eq!(counters(journal.latest(Some((1, b"k")), 9)), [0; 0]);
        journal.resize(1);
        assert_eq!(counters(journal.latest(Some((0, b"k")), 9)), [5]);
        journal.note(entry(b"k", 6, b"v"), 0);
        assert_eq!(journal.size(), (0, 0));
        assert_eq!(journal.noted(ConflictKind::Leaf), 6);
        assert_eq!(journal.noted(ConflictKind::Value), 0);
    }

    #[test]
    fn the_journal_takes_no_more_than_its_bytes() {
        let journal = Journal::default();
        let long = vec![b'x'; CONFLICT_VALUE_BYTES_MAX];
        let key = vec![b'k'; crate::limits::KEY_BYTES_MAX];
        for counter in 1..=1_200 {
            journal.note(entry(&key, counter, &long), usize::MAX);
        }
        let (entries, bytes) = journal.size();
        assert!(entries > 0 && entries < 1_200, "{entries}");
        assert!(bytes <= CONFLICT_JOURNAL_BYTES_MAX, "{bytes}");
        assert_eq!(journal.latest(None, 1).first().unwrap().noted_ms, 1_200);
    }

    #[test]
    fn entries_survive_the_wire_and_garbage_does_not() {
        let sent = entry(b"k", 9, b"value");
        let mut writer = Writer::new();
        sent.encode(&mut writer);
        let bytes = writer.into_vec();
        assert_eq!(
            JournalEntry::decode(&mut Reader::new(&bytes)).unwrap(),
            sent
        );
        for length in 0..bytes.len() {
            let cut = bytes.get(..length).unwrap();
            assert!(JournalEntry::decode(&mut Reader::new(cut)).is_err());
        }
    }
}
