//! An element's surviving dots with their values, and how two replicas' rows join.
//!
//! ```text
//! row      count  sibling*
//! sibling  dot (actor number, counter)  stamp (8 bytes)  deadline (0: none)  value (tag, content)
//! ```

use std::num::NonZeroU64;

use smallvec::SmallVec;

use crate::actor::Translation;
use crate::clock::Clock;
use crate::codec::{DecodeError, Reader, Writer};
use crate::dot::Dot;
use crate::limits::SIBLINGS_MAX;
use crate::stamp::Stamp;
use crate::value::Value;

/// One surviving change: never altered under its dot.
#[derive(Debug, Clone, PartialEq)]
pub struct Sibling {
    /// The change that wrote it.
    pub dot: Dot,
    /// When it was written; EXPIRE and PERSIST keep the stamp of the value they copy.
    pub stamp: Stamp,
    /// Unix milliseconds after which it is gone everywhere, without a message.
    pub deadline: Option<NonZeroU64>,
    /// What was written.
    pub value: Value,
}

impl Sibling {
    /// Whether its time is over.
    #[must_use]
    #[inline]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline.get() <= now_ms)
    }
}

/// The siblings of one element. An element without siblings has no row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    siblings: SmallVec<[Sibling; 1]>,
}

impl Row {
    /// A row without siblings: what a reader of a missing element sees.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A row of one sibling.
    #[must_use]
    pub fn of(sibling: Sibling) -> Self {
        let mut row = Self::new();
        row.siblings.push(sibling);
        row
    }

    /// The siblings, in order of their dots.
    #[must_use]
    #[inline]
    pub fn siblings(&self) -> &[Sibling] {
        &self.siblings
    }

    /// Whether the element has no row.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.siblings.is_empty()
    }

    /// Whether `dot` survives here.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        self.siblings.iter().any(|sibling| sibling.dot == dot)
    }

    /// The latest stamp of any sibling.
    #[must_use]
    #[inline]
    pub fn latest_stamp(&self) -> Stamp {
        self.siblings
            .iter()
            .map(|sibling| sibling.stamp)
            .max()
            .unwrap_or_default()
    }

    /// Adds a sibling under a fresh dot.
    ///
    /// # Panics
    /// If the dot is there already: a dot names one change.
    pub fn insert(&mut self, sibling: Sibling) {
        let at = self
            .siblings
            .partition_point(|other| other.dot < sibling.dot);
        let taken = self
            .siblings
            .get(at)
            .is_some_and(|other| other.dot == sibling.dot);
        assert!(!taken, "a dot names one change to one element");
        self.siblings.insert(at, sibling);
    }

    /// Keeps the siblings that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&Sibling) -> bool) {
        self.siblings.retain(|sibling| keep(sibling));
    }

    /// Drops the siblings whose deadline has passed; says whether there were any.
    pub fn drop_expired(&mut self, now_ms: u64) -> bool {
        let before = self.siblings.len();
        self.siblings.retain(|sibling| !sibling.is_expired(now_ms));
        self.siblings.len() != before
    }

    /// The one join of the system (DESIGN.md section 4): a dot stays if both have it, or if one has
    /// it and the other's clock has not seen it. Commutative, associative, idempotent.
    #[must_use]
    pub fn join(mine: &Self, my_clock: &Clock, theirs: &Self, their_clock: &Clock) -> Self {
        let mut kept = Self::new();
        for sibling in &mine.siblings {
            if theirs.contains(sibling.dot) || !their_clock.contains(sibling.dot) {
                kept.siblings.push(sibling.clone());
            }
        }
        for sibling in &theirs.siblings {
            if !mine.contains(sibling.dot) && !my_clock.contains(sibling.dot) {
                kept.insert(sibling.clone());
            }
        }
        kept
    }

    /// The same row in another table's numbers.
    ///
    /// # Errors
    /// [`DecodeError::Inconsistent`] if the source table lacks an actor of this row.
    pub fn translate(self, translation: &Translation) -> Result<Self, DecodeError> {
        let mut translated = Self::new();
        for mut sibling in self.siblings {
            sibling.dot = sibling.dot.translate(translation)?;
            sibling.value = sibling.value.translate(translation)?;
            if translated.contains(sibling.dot) {
                return Err(DecodeError::Inconsistent);
            }
            translated.insert(sibling);
        }
        Ok(translated)
    }

    /// Appends the row.
    pub fn encode(&self, writer: &mut Writer) {
        writer.length(self.siblings.len());
        for sibling in &self.siblings {
            sibling.dot.encode(writer);
            writer.u64_be(sibling.stamp.0);
            writer.varint(sibling.deadline.map_or(0, NonZeroU64::get));
            sibling.value.encode(writer);
        }
    }

    /// Reads what [`Row::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`]; dots out of order are inconsistent.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut row = Self::new();
        for _ in 0..reader.count(SIBLINGS_MAX)? {
            let dot = Dot::decode(reader)?;
            if row.siblings.last().is_some_and(|last| last.dot >= dot) {
                return Err(DecodeError::Inconsistent);
            }
            let stamp = Stamp(reader.u64_be()?);
            let deadline = NonZeroU64::new(reader.varint()?);
            let value = Value::decode(reader)?;
            row.siblings.push(Sibling {
                dot,
                stamp,
                deadline,
                value,
            });
        }
        Ok(row)
    }

    /// Reads a row that fills `bytes` exactly.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let row = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(row)
    }

    /// About how many bytes the row takes in memory beyond its own size.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let spilled = if self.siblings.spilled() {
            self.siblings.capacity() * size_of::<Sibling>()
        } else {
            0
        };
        spilled
            + self
                .siblings
                .iter()
                .map(|s| s.value.heap_bytes())
                .sum::<usize>()
    }
}
