//! Who signs a dot: one copy of a partition during one run of its node.

use std::collections::BTreeMap;
use std::fmt;

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::ACTORS_MAX;

/// The signer of dots, 128 random bits: 96 of the node's run and 32 of the stint within it, so that
/// lists of actors grow with restarts and not with partitions. Clients may bring actors of their
/// own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(pub u128);

impl Actor {
    /// The actor of the `stint`-th copy that began empty during the run named by the upper 96 bits
    /// of `run`.
    #[must_use]
    pub fn of_run(run: u128, stint: u32) -> Self {
        Self((run >> 32 << 32) | u128::from(stint))
    }

    /// The part that all actors of one run of a node share.
    #[must_use]
    pub fn run(self) -> u128 {
        self.0 >> 32 << 32
    }

    /// Reads the 32 hexadecimal digits that [`fmt::Display`] writes.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if plain {
            u128::from_str_radix(text, 16).ok().map(Self)
        } else {
            None
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{:06x}.{}", self.0 >> 104, self.0 & 0xffff_ffff)
    }
}

/// The number of an actor in one [`ActorTable`]; it means nothing outside that table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorIndex(pub u32);

/// The actors that a partition's copy or one message knows, numbered from 0 in order of arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActorTable {
    actors: Vec<Actor>,
    indices: BTreeMap<Actor, ActorIndex>,
}

impl ActorTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many actors are named.
    #[must_use]
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// Whether no actor is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// The number of `actor`, if it has one.
    #[must_use]
    pub fn find(&self, actor: Actor) -> Option<ActorIndex> {
        self.indices.get(&actor).copied()
    }

    /// The number of `actor`, a new one if need be.
    ///
    /// # Panics
    /// If the table would hold more than [`ACTORS_MAX`] actors: that many restarts of nodes in one
    /// partition cannot come about, and messages are bounded before they reach this.
    pub fn intern(&mut self, actor: Actor) -> ActorIndex {
        if let Some(index) = self.find(actor) {
            return index;
        }
        assert!(
            self.actors.len() < ACTORS_MAX,
            "a partition has at most 2^24 actors"
        );
        let index = ActorIndex(self.actors.len() as u32);
        self.actors.push(actor);
        self.indices.insert(actor, index);
        index
    }

    /// The actor of a number of this table.
    ///
    /// # Panics
    /// If `index` is not of this table.
    #[must_use]
    pub fn actor(&self, index: ActorIndex) -> Actor {
        *self
            .actors
            .get(index.0 as usize)
            .expect("the index was given out by this table")
    }

    /// All actors, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ActorIndex, Actor)> + '_ {
        self.actors
            .iter()
            .enumerate()
            .map(|(at, actor)| (ActorIndex(at as u32), *actor))
    }

    /// Appends the table: a count, then 16 bytes an actor.
    pub fn encode(&self, writer: &mut Writer) {
        writer.length(self.actors.len());
        for actor in &self.actors {
            writer.u128_be(actor.0);
        }
    }

    /// Reads what [`ActorTable::encode`] wrote, at most `max` actors.
    ///
    /// # Errors
    /// Any [`DecodeError`]; a table that names an actor twice is inconsistent.
    pub fn decode(reader: &mut Reader<'_>, max: usize) -> Result<Self, DecodeError> {
        let count = reader.count(max.min(ACTORS_MAX))?;
        let mut table = Self::new();
        for at in 0..count {
            let index = table.intern(Actor(reader.u128_be()?));
            if index.0 as usize != at {
                return Err(DecodeError::Inconsistent);
            }
        }
        Ok(table)
    }
}

/// Numbers of one table in terms of another: how rows and clocks of a message become a copy's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation {
    to: Vec<ActorIndex>,
}

impl Translation {
    /// Names every actor of `from` in `into`.
    #[must_use]
    pub fn new(from: &ActorTable, into: &mut ActorTable) -> Self {
        Self {
            to: from.iter().map(|(_, actor)| into.intern(actor)).collect(),
        }
    }

    /// The number in the target table.
    ///
    /// # Errors
    /// [`DecodeError::Inconsistent`] if the source table has no such number.
    pub fn index(&self, from: ActorIndex) -> Result<ActorIndex, DecodeError> {
        self.to
            .get(from.0 as usize)
            .copied()
            .ok_or(DecodeError::Inconsistent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_names_an_actor_twice_is_refused() {
        let mut writer = Writer::new();
        writer.length(2);
        writer.u128_be(7);
        writer.u128_be(7);
        let bytes = writer.into_vec();
        let decoded = ActorTable::decode(&mut Reader::new(&bytes), 10);
        assert_eq!(decoded, Err(DecodeError::Inconsistent));
    }

    #[test]
    fn actors_of_one_run_differ_by_stint_only() {
        let run = u128::MAX / 3;
        let (first, second) = (Actor::of_run(run, 0), Actor::of_run(run, 1));
        assert_ne!(first, second);
        assert_eq!(first.run(), second.run());
        assert_eq!(Actor::from_hex(&first.to_string()), Some(first));
        assert_eq!(Actor::from_hex("+0000000000000000000000000000001"), None);
    }
}
