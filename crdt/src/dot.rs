//! The name of one change to one element.

use std::fmt;

use crate::actor::{ActorIndex, Translation};
use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::{ACTORS_MAX, COUNTER_MAX};

/// (actor, counter) in eight bytes: 24 bits of the actor's number in the copy's table and 40 bits
/// of counter, which begins at 1. Dots of one actor sort by counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot(u64);

impl Dot {
    /// The `counter`-th change of `actor`.
    ///
    /// # Panics
    /// If either does not fit; callers mint a new actor before a counter ends.
    #[must_use]
    pub fn new(actor: ActorIndex, counter: u64) -> Self {
        assert!(
            (actor.0 as usize) < ACTORS_MAX,
            "actor indices have 24 bits"
        );
        assert!(
            counter > 0 && counter <= COUNTER_MAX,
            "counters are 1 to 2^40 - 1"
        );
        Self((u64::from(actor.0) << 40) | counter)
    }

    /// Who signed it.
    #[must_use]
    pub fn actor(self) -> ActorIndex {
        ActorIndex((self.0 >> 40) as u32)
    }

    /// The how-manieth change of its actor.
    #[must_use]
    pub fn counter(self) -> u64 {
        self.0 & COUNTER_MAX
    }

    /// The same dot in another table's numbers.
    ///
    /// # Errors
    /// [`DecodeError::Inconsistent`] if the source table has no such actor.
    pub fn translate(self, translation: &Translation) -> Result<Self, DecodeError> {
        Ok(Self::new(translation.index(self.actor())?, self.counter()))
    }

    /// Appends actor number and counter.
    #[inline]
    pub fn encode(self, writer: &mut Writer) {
        writer.varint(u64::from(self.actor().0));
        writer.varint(self.counter());
    }

    /// Reads what [`Dot::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`]; a counter of 0 is inconsistent.
    #[inline]
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let actor = reader.length(ACTORS_MAX - 1)?;
        let counter = reader.varint()?;
        if counter > COUNTER_MAX {
            return Err(DecodeError::OverLimit);
        }
        if counter == 0 {
            return Err(DecodeError::Inconsistent);
        }
        Ok(Self::new(ActorIndex(actor as u32), counter))
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.actor().0, self.counter())
    }
}
