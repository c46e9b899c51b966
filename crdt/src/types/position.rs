//! Where an element stands in a list: byte strings whose order is the order of the list.
//!
//! A position is made between two neighbours by one signer, without asking anybody; it is the name
//! of the element's row. Positions form the tree of Fugue (Weidner and Kleppmann, "The Art of the
//! Fugue", 2023), written as paths, as in Weidner's position strings:
//!
//! ```text
//! position   rank  name  start  index  child*        the first run stands in no other element
//! child      00 to 7f: the name so many places before in the path; or ff and a new name
//!            start  index
//! rank, start, index    whole numbers that sort as bytes, 1 to 6 bytes each
//! name       6 bytes of the actor
//! ```
//!
//! A *run* is what one actor inserts in one direction: its element number 0 was made by the change
//! `start`; further ones count up to the right and down to the left, by the distance of their
//! change from `start`. So a run of any length costs a counter per position. The index is written
//! twice as large: 2i + 1 is the element, which as a prefix comes before its right children; 2i
//! leads to its left children. That makes an in-order walk of the tree of the order of bytes.
//!
//! **Unique:** an actor's change makes one position. Two positions are the same only if they were
//! made by actors of one name with the same counters at the same place. Names have 48 bits folded
//! of all 128: actors of one run of a node never share one, and of a thousand others in a list two
//! do with a probability of 2·10⁻⁹.
//!
//! **Runs do not interleave**, whether made forwards or backwards: everything between two elements
//! of a run has its path through one of them, so its author had seen that one.
//!
//! **Short:** at the ends of a list, runs stand in their neighbour while they are short, so that
//! what several writers append to each other's runs stays together, too; beyond
//! [`POSITION_NESTED_AT_ENDS_MAX`] bytes they begin anew with the next rank. A list that is pushed
//! and popped for years by ever new actors does not grow. In the middle each change of direction
//! or of writer adds a child: 3 to 8 bytes, 9 to 14 for a new name. An element that would need
//! more than [`POSITION_BYTES_MAX`] is refused: after 120 to 200 insertions, each between the last
//! two. Copying the list gives it new positions.

use smallvec::SmallVec;
use thiserror::Error;

use crate::actor::Actor;
use crate::limits::{COUNTER_MAX, POSITION_BYTES_MAX, POSITION_NESTED_AT_ENDS_MAX};

/// Why there is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PositionError {
    /// It would be longer than [`POSITION_BYTES_MAX`].
    #[error("too many elements were inserted at one place of the list")]
    TooLong,
    /// A neighbour is none, or they are not in order.
    #[error("the neighbours are no positions in order")]
    Malformed,
}

/// Who makes a position: the change `counter` of `actor`. Each change makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signer {
    /// The actor.
    pub actor: Actor,
    /// From 1 to [`COUNTER_MAX`], ascending; a list may skip some.
    pub counter: u64,
}

const NAME_BYTES: usize = 6;
/// Leads in a new name; smaller bytes lead to one that the path has already.
const NEW_NAME: u8 = 0xff;

type Name = [u8; NAME_BYTES];

/// 48 bits of all 128, mixed by odd factors: actors that differ in one of the three parts alone,
/// as those of one run of a node do in the last, have different names.
fn name_of(actor: Actor) -> Name {
    let parts = [actor.0 >> 80, actor.0 >> 32, actor.0 & 0xffff_ffff];
    let factors = [0x9e37_79b9_7f4b, 0xc2b2_ae3d_27d5, 0x1656_67b1_9e37];
    let mixed = parts.iter().zip(factors).fold(0u64, |sum, (part, factor)| {
        sum.wrapping_add((*part as u64).wrapping_mul(factor))
    });
    let [_, _, name @ ..] = mixed.to_be_bytes();
    name
}

/// Whole numbers that sort as bytes: the first byte says how many follow, as in UTF-8. Negative
/// ones are the complement.
mod ordered {
    /// The largest: 41 bits, a counter and one bit.
    pub(super) const MAX: i64 = (1 << 41) - 1;

    pub(super) fn push(to: &mut Vec<u8>, value: i64) {
        let (flip, size) = if value < 0 {
            (0xff, !value)
        } else {
            (0, value)
        };
        let size = size as u64;
        let more = (0..5).find(|more| size < 1 << (6 + 7 * more)).unwrap_or(5);
        let [_, _, bytes @ ..] = (size | lead(more) << (8 * more)).to_be_bytes();
        let used = bytes.iter().skip(bytes.len() - 1 - more);
        to.extend(used.map(|byte| byte ^ flip));
    }

    /// The bits that mark a first byte with `more` behind it: one more than `more` ones, a zero.
    fn lead(more: usize) -> u64 {
        (0xff << (7 - more)) & 0xff
    }

    /// Takes a number off the front; only the shortest form of it is one.
    pub(super) fn take(from: &mut &[u8]) -> Option<i64> {
        let (first, _) = from.split_first()?;
        let flip = if first & 0x80 == 0 { 0xff } else { 0 };
        let more = (first ^ flip).leading_ones() as usize - 1;
        if more > 5 {
            return None;
        }
        let (bytes, rest) = from.split_at_checked(1 + more)?;
        let mut size = bytes
            .iter()
            .fold(0, |size, byte| size << 8 | u64::from(byte ^ flip));
        size ^= lead(more) << (8 * more);
        if more > 0 && size < 1 << (7 * more - 1) {
            return None;
        }
        *from = rest;
        Some(if flip == 0 {
            size as i64
        } else {
            !(size as i64)
        })
    }
}

/// What a position says: where its first run stands, and where its last one.
struct Path {
    rank: i64,
    /// Every name once, in order.
    names: SmallVec<[Name; 4]>,
    /// The last run's name and start.
    name: Name,
    start: i64,
    /// The element's number in the last run, and where its bytes begin.
    index: i64,
    index_at: usize,
}

fn take_name(from: &mut &[u8]) -> Option<Name> {
    let (name, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*name)
}

impl Path {
    fn parse(position: &[u8]) -> Result<Self, PositionError> {
        Self::read(position).ok_or(PositionError::Malformed)
    }

    fn read(position: &[u8]) -> Option<Self> {
        if position.len() > POSITION_BYTES_MAX {
            return None;
        }
        let mut rest = position;
        let rank = ordered::take(&mut rest)?;
        let mut name = take_name(&mut rest)?;
        let mut names: SmallVec<[Name; 4]> = SmallVec::new();
        names.push(name);
        loop {
            let start = ordered::take(&mut rest)?;
            let index_at = position.len() - rest.len();
            let doubled = ordered::take(&mut rest)?;
            if start < 1 {
                return None;
            }
            let Some((lead, behind)) = rest.split_first() else {
                return (doubled & 1 == 1).then_some(Self {
                    rank,
                    names,
                    name,
                    start,
                    index: doubled >> 1,
                    index_at,
                });
            };
            rest = behind;
            if *lead == NEW_NAME {
                name = take_name(&mut rest)?;
                if names.contains(&name) {
                    return None;
                }
                names.push(name);
            } else {
                name = *names.get(usize::from(*lead))?;
            }
        }
    }

    /// The run of the last element, as far as all its elements agree.
    fn run<'a>(&self, position: &'a [u8]) -> &'a [u8] {
        position.get(..self.index_at).unwrap_or_default()
    }

    /// The next position of the last run to one side, if that is the signer's own.
    fn extended(&self, position: &[u8], signer: Signer, forwards: bool) -> Option<Vec<u8>> {
        let distance = signer.counter as i64 - self.start;
        if self.name != name_of(signer.actor) || distance < 1 {
            return None;
        }
        let index = if forwards { distance } else { -distance };
        // What stands left of the first element is no chain to the right.
        let follows = if forwards {
            self.index >= 0 && index > self.index
        } else {
            index < self.index
        };
        if !follows {
            return None;
        }
        let mut bytes = Vec::with_capacity(position.len() + 2);
        bytes.extend_from_slice(self.run(position));
        ordered::push(&mut bytes, 2 * index + 1);
        Some(bytes)
    }

    /// The first position of a run in the element: right of it, or left.
    fn child(&self, position: &[u8], signer: Signer, right: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(position.len() + 14);
        if right {
            bytes.extend_from_slice(position);
        } else {
            bytes.extend_from_slice(self.run(position));
            ordered::push(&mut bytes, 2 * self.index);
        }
        let name = name_of(signer.actor);
        match self.names.iter().position(|known| *known == name) {
            Some(at) => bytes.push(at as u8),
            None => {
                bytes.push(NEW_NAME);
                bytes.extend_from_slice(&name);
            }
        }
        begin(bytes, signer)
    }

    /// Whether `right` stands in the element, or in one that was appended to it in its run.
    fn leads_to(&self, position: &[u8], right: &[u8]) -> bool {
        if self.index < 0 {
            right.starts_with(position)
        } else {
            right.starts_with(self.run(position))
        }
    }
}

/// A run's first element.
fn begin(mut bytes: Vec<u8>, signer: Signer) -> Vec<u8> {
    ordered::push(&mut bytes, signer.counter as i64);
    ordered::push(&mut bytes, 1);
    bytes
}

/// The first position of a run that stands in no other element.
fn ranked(rank: i64, signer: Signer) -> Result<Vec<u8>, PositionError> {
    if !(-ordered::MAX..=ordered::MAX).contains(&rank) {
        return Err(PositionError::TooLong);
    }
    let mut bytes = Vec::with_capacity(16);
    ordered::push(&mut bytes, rank);
    bytes.extend_from_slice(&name_of(signer.actor));
    Ok(begin(bytes, signer))
}

/// A new position between two neighbours, of which none means an end of the list.
///
/// Positions are for the list in which they were made: the elements of a copied list get new ones.
///
/// # Errors
/// [`PositionError`].
///
/// # Panics
/// If the signer's counter is out of its range.
pub fn between(
    left: Option<&[u8]>,
    right: Option<&[u8]>,
    signer: Signer,
) -> Result<Vec<u8>, PositionError> {
    assert!(
        (1..=COUNTER_MAX).contains(&signer.counter),
        "counters are 1 to 2^40 - 1"
    );
    if left.zip(right).is_some_and(|(left, right)| left >= right) {
        return Err(PositionError::Malformed);
    }
    let made = match (left, right) {
        (None, None) => ranked(0, signer)?,
        (Some(left), None) => after(left, signer)?,
        (None, Some(right)) => before(right, signer)?,
        (Some(left), Some(right)) => inside(left, right, signer)?,
    };
    if made.len() > POSITION_BYTES_MAX {
        return Err(PositionError::TooLong);
    }
    Ok(made)
}

/// At the right end.
fn after(left: &[u8], signer: Signer) -> Result<Vec<u8>, PositionError> {
    let path = Path::parse(left)?;
    if let Some(next) = path.extended(left, signer, true) {
        return Ok(next);
    }
    let child = path.child(left, signer, true);
    if child.len() <= POSITION_NESTED_AT_ENDS_MAX {
        return Ok(child);
    }
    ranked(path.rank + 1, signer)
}

/// At the left end.
fn before(right: &[u8], signer: Signer) -> Result<Vec<u8>, PositionError> {
    let path = Path::parse(right)?;
    if let Some(next) = path.extended(right, signer, false) {
        return Ok(next);
    }
    let child = path.child(right, signer, false);
    if child.len() <= POSITION_NESTED_AT_ENDS_MAX {
        return Ok(child);
    }
    ranked(path.rank - 1, signer)
}

/// Between two elements: on in the run of one of them, else as Fugue has it.
fn inside(left: &[u8], right: &[u8], signer: Signer) -> Result<Vec<u8>, PositionError> {
    let (path, other) = (Path::parse(left)?, Path::parse(right)?);
    let next = path.extended(left, signer, true);
    if let Some(next) = next.filter(|next| next.as_slice() < right) {
        return Ok(next);
    }
    let previous = other.extended(right, signer, false);
    if let Some(previous) = previous.filter(|previous| left < previous.as_slice()) {
        return Ok(previous);
    }
    if path.leads_to(left, right) {
        Ok(other.child(right, signer, false))
    } else {
        Ok(path.child(left, signer, true))
    }
}

/// Whether some bytes are a position: what [`between`] takes as a neighbour.
#[must_use]
pub fn is_position(bytes: &[u8]) -> bool {
    Path::read(bytes).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pushed(value: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        ordered::push(&mut bytes, value);
        bytes
    }

    proptest! {
        #[test]
        fn numbers_sort_as_bytes_and_come_back(
            a in -ordered::MAX..=ordered::MAX, b in -ordered::MAX..=ordered::MAX, shift in 0..40,
        ) {
            let (a, b) = (a >> shift, b >> (40 - shift));
            prop_assert_eq!(pushed(a).cmp(&pushed(b)), a.cmp(&b));
            let mut bytes = pushed(a);
            bytes.push(7);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(ordered::take(&mut rest), Some(a));
            prop_assert_eq!(rest, [7]);
        }

        #[test]
        fn a_number_has_one_form(bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            let mut rest = bytes.as_slice();
            if let Some(value) = ordered::take(&mut rest) {
                prop_assert_eq!(pushed(value), &bytes[..bytes.len() - rest.len()]);
            }
        }
    }

    #[test]
    fn numbers_sort_as_bytes_where_their_length_changes() {
        let mut values: Vec<i64> = (0..=41)
            .flat_map(|bits| {
                let power = 1i64 << bits;
                [power - 1, power, -power, -power - 1]
            })
            .filter(|value| value.abs() <= ordered::MAX)
            .collect();
        values.sort_unstable();
        assert!(values.iter().map(|value| pushed(*value)).is_sorted());
        assert_eq!(pushed(ordered::MAX).len(), 6);
    }

    #[test]
    fn a_neighbour_beyond_the_bound_is_refused() {
        let signer = Signer {
            actor: Actor(1),
            counter: 1,
        };
        let mut long = ranked(0, signer).expect("the first rank");
        while long.len() <= POSITION_BYTES_MAX {
            long.push(0);
            long = begin(long, signer);
        }
        let made = between(Some(&long), None, signer);
        assert_eq!(made, Err(PositionError::Malformed));
    }

    #[test]
    fn actors_of_one_run_have_different_names() {
        let run = u128::MAX / 7;
        let names: std::collections::BTreeSet<Name> = (0..100_000)
            .map(|stint| name_of(Actor::of_run(run, stint)))
            .collect();
        assert_eq!(names.len(), 100_000);
        assert_ne!(
            name_of(Actor::of_run(run, 1)),
            name_of(Actor::of_run(run / 3, 1))
        );
    }
}
