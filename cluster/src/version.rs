//! The version of a key: what WATCH remembers and EXEC compares.
//!
//! A dot names one change and is never used again, so the dots of what a key shows tell its state,
//! on every node the same. A key that shows nothing has none, and one that came and went meanwhile
//! would look as before; a collection has as many as members. The changes of such a key are counted
//! in its copy, whichever of its rows they change, from the first time that its version is asked
//! for.
//!
//! ```text
//! a value shows        digest of its dots, expired siblings left out
//! a collection, or     digest of the copy's name, of how often the key has changed since, and of
//! nothing, shows       the kinds of collections that show
//! ```

use std::collections::BTreeMap;

use larder_crdt::Writer;

use crate::element::{Ending, Family, Role, ending};
use crate::limits::COUNTED_KEYS_MAX;
use crate::partition::Target;
use crate::row_key::RowKey;
use crate::store::StoreError;
use crate::token::md5_number;
use crate::transaction::{Place, Transaction};

/// A state of a key: as long as it is the same, nobody has changed the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u128);

/// The changes of some keys of one copy. If there are too many keys, all counts end, and whatever
/// was said of them is void.
#[derive(Debug, Clone, Default)]
pub struct ChangeCounts {
    counts: BTreeMap<(u64, u8), u64>,
    ended: u64,
}

impl ChangeCounts {
    /// A row of a key has changed.
    #[inline]
    pub fn note(&mut self, key: &RowKey) {
        if !self.counts.is_empty()
            && let Some(count) = self.counts.get_mut(&(key.hash(), key.database()))
        {
            *count += 1;
        }
    }

    /// How often counting began anew, and how often the key has changed since it is counted.
    fn of(&mut self, key: &RowKey) -> (u64, u64) {
        let name = (key.hash(), key.database());
        if self.counts.len() >= COUNTED_KEYS_MAX && !self.counts.contains_key(&name) {
            self.counts.clear();
            self.ended += 1;
        }
        (self.ended, *self.counts.entry(name).or_default())
    }
}

/// The version of the key whose own row is at `place`. This is the one place where versions are
/// made.
///
/// # Errors
/// What the disk says.
///
/// # Panics
/// If the transaction does not hold the partition.
pub fn version(
    transaction: &mut Transaction<'_, '_>,
    place: &Place,
) -> Result<Version, StoreError> {
    let (now_ms, run) = (transaction.now_ms(), transaction.env().run);
    let row = transaction.try_row(place)?.clone();
    let families = shown_families(transaction, place, now_ms)?;
    let (partition, target) = transaction.partition(place.partition);
    let copy = match target {
        Target::Main => partition.main.as_mut(),
        Target::Fallback => partition.fallback.as_mut(),
    };
    let mut writer = Writer::new();
    let Some(copy) = copy else {
        writer.u8(0);
        writer.u128_be(run);
        return Ok(Version(md5_number(writer.as_slice())));
    };
    let shown = row.siblings().iter();
    let mut dots: Vec<(u128, u64)> = shown
        .filter(|sibling| !sibling.is_expired(now_ms))
        .map(|sibling| {
            let actor = copy.actors.actor(sibling.dot.actor());
            (actor.0, sibling.dot.counter())
        })
        .collect();
    dots.sort_unstable();
    if dots.is_empty() || !families.is_empty() {
        let (ended, changes) = copy.counted.of(&place.key);
        writer.u8(1);
        writer.u128_be(copy.id.0);
        writer.u64_be(ended);
        writer.u64_be(changes);
        // A collection may go without a change, by its deadline.
        writer.length(families.len());
        families.iter().for_each(|family| writer.u8(family.0));
    } else {
        writer.u8(2);
    }
    for (actor, counter) in dots {
        writer.u128_be(actor);
        writer.u64_be(counter);
    }
    Ok(Version(md5_number(writer.as_slice())))
}

/// The kinds of collections that show under a key and have not ended.
fn shown_families(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    now_ms: u64,
) -> Result<Vec<Family>, StoreError> {
    let mut shown = Vec::new();
    for family in transaction.families(key)? {
        let place = transaction.element(key, &family.element(Role::DEADLINE, b""));
        let has_ended = match ending(transaction.try_row(&place)?) {
            Ending::Never => false,
            Ending::At(deadline) => deadline.get() <= now_ms,
            Ending::Closed => true,
        };
        if !has_ended {
            shown.push(family);
        }
    }
    Ok(shown)
}
