//! What a copy knows of a key's collections without reading them: how many rows, members and other
//! rows that count each family has, and how far the dots of its rows reach.
//!
//! It is a function of the rows, kept up to date with each of them and written in the same
//! checkpoint, under a name that never travels.
//!
//! ```text
//! summary   count  family*
//! family    number (1)  rows  members  keepers  count  (actor number  highest counter)*
//! ```

use larder_crdt::{ActorIndex, Clock, DecodeError, Reader, Row, Writer};
use smallvec::SmallVec;

use super::packed::State;
use crate::element::{self, Family, Role};
use crate::limits::ACTORS_PER_PARTITION_MAX;
use crate::store::StoreError;

/// What is known of one family of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    family: Family,
    /// All rows but derived ones, masked rows left out.
    rows: u64,
    /// Rows that HLEN and its kin count.
    pub(super) members: u64,
    /// Other rows that make the key exist.
    keepers: u64,
    /// For each actor the highest counter that any of the rows had, the reset header aside. Never
    /// too low; it stays when a row goes.
    reach: SmallVec<[(u32, u64); 2]>,
}

/// What a row adds to its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weight {
    row: bool,
    member: bool,
    keeper: bool,
}

impl Weight {
    /// What the row of an element adds; `row` without what is masked.
    pub(super) fn of(element: &[u8], row: &Row) -> Self {
        let is_live = || row.siblings().iter().any(|s| !s.value.is_reset());
        let role = Role::of(element).filter(|role| !role.is_derived());
        let keepers = Role::KEEPER..=Role::KEEPER_LAST;
        Self {
            row: role.is_some() && !row.is_empty(),
            member: role == Some(Role::MEMBER) && is_live(),
            keeper: role.is_some_and(|role| keepers.contains(&role)) && is_live(),
        }
    }
}

/// What is known of a key.
#[derive(Debug, Clone)]
pub(super) struct Summary {
    tallies: SmallVec<[Tally; 1]>,
    state: State,
}

impl Summary {
    /// That nothing is there, on the disk either.
    pub(super) fn empty() -> Self {
        Self {
            tallies: SmallVec::new(),
            state: State::Clean,
        }
    }

    /// Families of which something is to be seen.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> + '_ {
        let there = self.tallies.iter().filter(|t| t.members + t.keepers > 0);
        there.map(|tally| tally.family)
    }

    /// How many members a family has.
    pub(super) fn members(&self, family: Family) -> u64 {
        self.tally(family).map_or(0, |tally| tally.members)
    }

    /// How many rows a family has, derived ones aside.
    pub(super) fn rows(&self, family: Family) -> u64 {
        self.tally(family).map_or(0, |tally| tally.rows)
    }

    /// Whether no family has any row.
    pub(super) fn is_empty(&self) -> bool {
        self.tallies.is_empty()
    }

    /// Whether the key exists by one of its collections.
    pub(super) fn exists(&self) -> bool {
        self.families().next().is_some()
    }

    /// Whether no other family has rows.
    pub(super) fn is_only(&self, family: Family) -> bool {
        self.tallies.iter().all(|tally| tally.family == family)
    }

    fn tally(&self, family: Family) -> Option<&Tally> {
        self.tallies.iter().find(|tally| tally.family == family)
    }

    fn tally_mut(&mut self, family: Family) -> &mut Tally {
        let at = self.tallies.partition_point(|tally| tally.family < family);
        if self.tallies.get(at).is_none_or(|t| t.family != family) {
            let tally = Tally {
                family,
                rows: 0,
                members: 0,
                keepers: 0,
                reach: SmallVec::new(),
            };
            self.tallies.insert(at, tally);
        }
        self.tallies.get_mut(at).expect("it was inserted")
    }

    /// A row of the family changed.
    pub(super) fn note(&mut self, element: &[u8], before: Weight, after: Weight, row: &Row) {
        let Some(family) = Family::of(element) else {
            return;
        };
        let tally = self.tally_mut(family);
        let mut changed = before != after;
        let adjust = |count: &mut u64, before: bool, after: bool| {
            *count = (*count + u64::from(after)).saturating_sub(u64::from(before));
        };
        adjust(&mut tally.rows, before.row, after.row);
        adjust(&mut tally.members, before.member, after.member);
        adjust(&mut tally.keepers, before.keeper, after.keeper);
        if !element::is_mask(element) {
            for sibling in row.siblings() {
                changed |= tally.reaches(sibling.dot.actor(), sibling.dot.counter());
            }
        }
        if tally.rows == 0 {
            self.tallies.retain(|tally| tally.family != family);
        }
        if changed {
            self.state = State::Dirty;
        }
    }

    /// Whether `mask` covers every dot of every row of the family.
    pub(super) fn is_covered(&self, family: Family, mask: &Clock) -> bool {
        self.tally(family).is_none_or(|tally| {
            let mut reach = tally.reach.iter();
            reach.all(|(actor, counter)| mask.contiguous(ActorIndex(*actor)) >= *counter)
        })
    }

    /// All rows of a family but its reset header are masked from now on.
    pub(super) fn clear(&mut self, family: Family) {
        let tally = self.tally_mut(family);
        tally.rows = 1;
        tally.members = 0;
        tally.keepers = 0;
        tally.reach.clear();
        self.state = State::Dirty;
    }

    /// The bytes for a checkpoint, if there is something to write; `None` in it removes them.
    pub(super) fn take(&mut self) -> Option<Option<Vec<u8>>> {
        if self.state != State::Dirty {
            return None;
        }
        self.state = State::Written;
        if self.tallies.is_empty() {
            return Some(None);
        }
        let mut writer = Writer::new();
        writer.length(self.tallies.len());
        for tally in &self.tallies {
            writer.u8(tally.family.0);
            writer.varint(tally.rows);
            writer.varint(tally.members);
            writer.varint(tally.keepers);
            writer.length(tally.reach.len());
            for (actor, counter) in &tally.reach {
                writer.varint(u64::from(*actor));
                writer.varint(*counter);
            }
        }
        Some(Some(writer.into_vec()))
    }

    /// After the bytes of [`Summary::take`] reached the disk, or did not.
    pub(super) fn settle(&mut self, reached: bool) {
        if self.state == State::Written {
            self.state = if reached { State::Clean } else { State::Dirty };
        }
    }

    /// Whether the disk has it as it is.
    pub(super) fn is_clean(&self) -> bool {
        self.state == State::Clean
    }

    /// Reads the bytes of [`Summary::take`].
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes);
        let tallies = read(&mut reader).and_then(|tallies| reader.finish().map(|()| tallies));
        let tallies = tallies
            .map_err(|error| StoreError::Damaged(format!("the summary of a key: {error}")))?;
        Ok(Self {
            tallies,
            state: State::Clean,
        })
    }
}

fn read(reader: &mut Reader<'_>) -> Result<SmallVec<[Tally; 1]>, DecodeError> {
    let mut tallies = SmallVec::new();
    for _ in 0..reader.count(usize::from(u8::MAX))? {
        let family = Family(reader.u8()?);
        let (rows, members, keepers) = (reader.varint()?, reader.varint()?, reader.varint()?);
        let mut reach = SmallVec::new();
        for _ in 0..reader.count(ACTORS_PER_PARTITION_MAX)? {
            let actor = reader.length(ACTORS_PER_PARTITION_MAX)? as u32;
            reach.push((actor, reader.varint()?));
        }
        tallies.push(Tally {
            family,
            rows,
            members,
            keepers,
            reach,
        });
    }
    Ok(tallies)
}

impl Tally {
    /// Notes a dot; says whether it was beyond all of its actor before.
    fn reaches(&mut self, actor: ActorIndex, counter: u64) -> bool {
        match self.reach.iter_mut().find(|(known, _)| *known == actor.0) {
            Some((_, highest)) if *highest >= counter => false,
            Some((_, highest)) => {
                *highest = counter;
                true
            }
            None => {
                self.reach.push((actor.0, counter));
                true
            }
        }
    }
}
