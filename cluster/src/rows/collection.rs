//! The elements of one key in memory: those that wait for a checkpoint and those that were used
//! lately, in the order of their names, with what is known of the gaps between them.
//!
//! ```text
//! elements   a ── b ── c    k ── l    z
//!                 joined ┘  └ not: the disk may have some between c and k
//! ```
//!
//! An element is *joined* if nothing that exists lies between it and the one before it, and the
//! collection is *closed* if nothing lies behind its last one. So a range is read from the disk
//! once, a new element knows whether the disk must be asked for its name, and the head of a queue
//! is found without a look at what was taken from it before.

use std::collections::BTreeMap;
use std::ops::Bound;

use larder_crdt::Row;

use super::masks::Masks;
use super::packed::{Packed, State};
use super::summary::Summary;
use super::{Effort, Squeezes};
use crate::element;
use crate::row_key::RowKey;
use crate::store::{Slot, Store, StoreError};

/// What the allocator and the tree take for an element beside its bytes.
const OVERHEAD: usize = 48;
/// Elements that one look for what may be evicted passes.
const EVICT_ELEMENTS_MAX: usize = 4096;

/// Names of changed elements that may be gone again before they are counted.
const DIRTY_SPARE: usize = 1024;

/// The name of an element.
pub(super) type Name = Box<[u8]>;
/// Names of elements with their rows.
pub type Elements = Vec<(Name, Row)>;

/// One element in memory.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) packed: Packed,
    /// Whether nothing lies between this and the element before it.
    pub(super) joined: bool,
    /// Whether the disk has a row of this name.
    stored: bool,
}

impl Element {
    fn weight(&self, name: &[u8]) -> usize {
        self.packed.weight() + name.len() + OVERHEAD
    }
}

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Here,
    Absent,
    Unknown,
}

/// The elements of one key.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    /// The key, as the name of its own row.
    pub(super) key: RowKey,
    /// What is known of all its elements.
    pub(super) summary: Summary,
    /// The dots that it was cleared of.
    pub(super) masks: Masks,
    pub(super) elements: BTreeMap<Name, Element>,
    pub(super) closed: bool,
    /// Elements of the disk that are gone, and whether a checkpoint is on its way that says so.
    pub(super) removed: BTreeMap<Name, bool>,
    dirty: Vec<Name>,
    written: Vec<Name>,
    evict_after: Option<Name>,
    bytes: usize,
    dirty_bytes: usize,
}

impl Collection {
    /// A collection of which memory holds nothing; `closed` if there is nothing on the disk either.
    pub(super) fn new(key: RowKey, summary: Summary, closed: bool) -> Self {
        Self {
            bytes: OVERHEAD * 4 + key.heap_bytes(),
            key,
            summary,
            masks: Masks::default(),
            elements: BTreeMap::new(),
            closed,
            removed: BTreeMap::new(),
            dirty: Vec::new(),
            written: Vec::new(),
            evict_after: None,
            dirty_bytes: 0,
        }
    }

    /// About how many bytes it takes, and how many of them wait for a checkpoint.
    pub(super) fn bytes(&self) -> (usize, usize) {
        (self.bytes, self.dirty_bytes)
    }

    pub(super) fn row_key(&self, name: &[u8]) -> RowKey {
        self.key.with_element(name)
    }

    fn known(&self, name: &[u8]) -> Known {
        if self.elements.contains_key(name) {
            return Known::Here;
        }
        if self.removed.contains_key(name) || self.is_gap_known(Bound::Excluded(name)) {
            return Known::Absent;
        }
        Known::Unknown
    }

    /// Whether nothing is unknown between the element before the first one at or behind `from` and
    /// that one.
    pub(super) fn is_gap_known(&self, from: Bound<&[u8]>) -> bool {
        let next = self
            .elements
            .range::<[u8], _>((from, Bound::Unbounded))
            .next();
        next.map_or(self.closed, |(_, element)| element.joined)
    }

    /// The row of an element as memory or disk has it, not masked, and whether the disk has one.
    pub(super) fn raw(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        name: &[u8],
    ) -> Result<(Row, bool), StoreError> {
        match self.known(name) {
            Known::Absent => Ok((Row::new(), self.removed.contains_key(name))),
            Known::Here => {
                let element = self.elements.get_mut(name).expect("it is here");
                element.packed.set_used();
                if element.packed.is_squeezed_and_hot() {
                    self.bytes -= element.packed.weight();
                    let read = element.packed.unsqueeze();
                    self.bytes += element.packed.weight();
                    read?;
                }
                Ok((element.packed.row()?, element.stored))
            }
            Known::Unknown => match store.row(slot, &self.row_key(name))? {
                None => Ok((Row::new(), false)),
                Some(bytes) => {
                    let row = decoded(name, &bytes)?;
                    if !self.is_hidden(name, &row) {
                        self.cache(name.into(), &row);
                    }
                    Ok((row, true))
                }
            },
        }
    }

    /// Whether masks hide all of a row of the disk: it waits there to be purged.
    pub(super) fn is_hidden(&self, name: &[u8], row: &Row) -> bool {
        let mut shown = row.clone();
        self.masks.apply(name, &mut shown) && shown.is_empty()
    }

    /// Keeps a row of the disk in memory.
    pub(super) fn cache(&mut self, name: Name, row: &Row) {
        let packed = Packed::nameless(row, State::Clean);
        self.insert(name, packed, true);
    }

    fn insert(&mut self, name: Name, packed: Packed, stored: bool) {
        let joined = self.is_gap_known(Bound::Excluded(&name));
        let element = Element {
            packed,
            joined,
            stored,
        };
        self.bytes += element.weight(&name);
        self.elements.insert(name, element);
    }

    /// Replaces the row of an element; `stored` says whether the disk has one of that name.
    pub(super) fn put(&mut self, name: &[u8], row: &Row, stored: bool) {
        let packed = Packed::nameless(row, State::Dirty);
        if let Some(element) = self.elements.get_mut(name) {
            let before = element.weight(name);
            let was_dirty = element.packed.state() == State::Dirty;
            element.packed.replace(packed);
            let after = element.weight(name);
            self.bytes = self.bytes + after - before;
            self.dirty_bytes = self.dirty_bytes + after - if was_dirty { before } else { 0 };
            if !was_dirty {
                self.dirty.push(name.into());
            }
            return;
        }
        if self.dirty.len() > 2 * self.elements.len() + DIRTY_SPARE {
            let elements = &self.elements;
            self.dirty.retain(|name| elements.contains_key(name));
        }
        let was_removed = self.forget_removed(name);
        self.dirty_bytes += packed.weight() + name.len() + OVERHEAD;
        self.insert(name.into(), packed, stored || was_removed);
        self.dirty.push(name.into());
    }

    fn forget_removed(&mut self, name: &[u8]) -> bool {
        let removed = self.removed.remove(name).is_some();
        if removed {
            self.bytes -= name.len() + OVERHEAD;
            self.dirty_bytes = self.dirty_bytes.saturating_sub(name.len() + OVERHEAD);
        }
        removed
    }

    /// Removes an element; `stored` says whether the disk has one of that name.
    pub(super) fn remove(&mut self, name: &[u8], stored: bool) {
        let mut stored = stored;
        if let Some(element) = self.elements.remove(name) {
            let weight = element.weight(name);
            self.bytes -= weight;
            if element.packed.state() == State::Dirty {
                self.dirty_bytes = self.dirty_bytes.saturating_sub(weight);
            }
            stored |= element.stored;
            self.join_behind(name, element.joined);
        }
        if stored {
            self.note_removed(name);
        }
    }

    /// Notes that the disk's row of this name is no more.
    pub(super) fn note_removed(&mut self, name: &[u8]) {
        if self.removed.insert(name.into(), false).is_none() {
            self.bytes += name.len() + OVERHEAD;
            self.dirty_bytes += name.len() + OVERHEAD;
        }
    }

    /// What lies behind an element that goes is joined to what lies before it, if both were.
    fn join_behind(&mut self, name: &[u8], joined: bool) {
        let behind = (Bound::Excluded(name), Bound::Unbounded);
        match self.elements.range_mut::<[u8], _>(behind).next() {
            Some((_, next)) => next.joined &= joined,
            None => self.closed &= joined,
        }
    }

    /// Whether this is the collection of the key of `key`.
    #[inline]
    pub(super) fn is_of(&self, key: &RowKey) -> bool {
        key.is_of(&self.key)
    }

    /// The row of an element, if memory has it.
    pub(super) fn in_memory(&self, name: &[u8]) -> Option<Result<Row, StoreError>> {
        self.elements.get(name).map(|element| element.packed.row())
    }

    /// Removes a derived element, which the disk may have.
    pub(super) fn remove_derived(&mut self, name: &[u8]) {
        let stored = self.known(name) == Known::Unknown;
        self.remove(name, stored);
    }

    /// Adds a derived element, which the disk may have.
    pub(super) fn put_derived(&mut self, name: &[u8]) {
        let stored = self.known(name) == Known::Unknown;
        self.put(name, &Row::new(), stored);
    }

    /// Rows in memory behind `after` for a walk over the whole copy, `max` at most, derived ones
    /// left out.
    pub(super) fn walk(
        &self,
        after: Option<&[u8]>,
        max: usize,
    ) -> impl Iterator<Item = Result<(Name, Row), StoreError>> + '_ {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.elements
            .range::<[u8], _>((from, Bound::Unbounded))
            .filter(|(name, _)| !element::is_local(name))
            .take(max)
            .map(|(name, element)| {
                let mut row = element.packed.row()?;
                self.masks.apply(name, &mut row);
                Ok((name.clone(), row))
            })
    }

    /// Whether an element of the disk is gone.
    pub(super) fn is_removed(&self, name: &[u8]) -> bool {
        self.removed.contains_key(name)
    }

    /// Whether memory has the element; then the disk has an older row of it.
    pub(super) fn note_stored(&mut self, name: &[u8]) -> bool {
        let element = self.elements.get_mut(name);
        element.map(|element| element.stored = true).is_some()
    }

    /// Empties a family all of whose dots its mask covers; gives what was in memory, to be dropped
    /// in steps. The reset header itself stays.
    pub(super) fn clear(&mut self, family: element::Family) -> Cleared {
        let end = [family.0 + 1];
        let mut cleared = self.elements.split_off(&[family.0][..]);
        let mut rest = cleared.split_off(&end[..]);
        let mask = cleared.remove(&family.element(element::Role::MASK, b"")[..]);
        let only = rest.is_empty() && self.elements.is_empty() && self.summary.is_only(family);
        if let Some((_, next)) = rest.iter_mut().next() {
            next.joined = false;
        }
        self.elements.append(&mut rest);
        if let Some(mut mask) = mask {
            mask.joined = only;
            let name = family.element(element::Role::MASK, b"");
            self.elements.insert(name.into(), mask);
        }
        self.closed = only;
        Cleared(cleared)
    }

    /// Drops up to `max` of what was cleared; the disk's rows among them are to go, unless they
    /// were written anew.
    /// Says how many it dropped, and whether the disk has any of them.
    pub(super) fn sweep(&mut self, cleared: &mut Cleared, max: usize) -> (usize, bool) {
        let mut stored = false;
        for count in 0..max {
            let Some((name, element)) = cleared.0.pop_first() else {
                return (count, stored);
            };
            let weight = element.weight(&name);
            self.bytes -= weight;
            if element.packed.state() == State::Dirty {
                self.dirty_bytes = self.dirty_bytes.saturating_sub(weight);
            }
            if !element.stored {
                continue;
            }
            stored = true;
            match self.elements.get_mut(&name) {
                Some(anew) => anew.stored = true,
                None => self.note_removed(&name),
            }
        }
        (max, stored)
    }

    /// What waits for a checkpoint.
    pub(super) fn take_dirty(&mut self, taken: &mut Vec<(RowKey, Option<Vec<u8>>)>) {
        for name in std::mem::take(&mut self.dirty) {
            let Some(element) = self.elements.get_mut(&name) else {
                continue;
            };
            if element.packed.state() != State::Dirty {
                continue;
            }
            element.packed.set_state(State::Written);
            element.stored = true;
            let bytes = element.packed.unsqueezed().unwrap_or_default().to_vec();
            taken.push((self.key.with_element(&name), Some(bytes)));
            self.written.push(name);
        }
        for (name, on_its_way) in &mut self.removed {
            *on_its_way = true;
            taken.push((self.key.with_element(name), None));
        }
        self.dirty_bytes = 0;
        if let Some(image) = self.summary.take() {
            taken.push((self.key.with_element(element::SUMMARY), image));
        }
    }

    /// After what [`Collection::take_dirty`] gave has reached the disk, or has not.
    pub(super) fn settle_written(&mut self, reached: bool) {
        for name in std::mem::take(&mut self.written) {
            let Some(element) = self.elements.get_mut(&name) else {
                continue;
            };
            if element.packed.state() != State::Written {
                continue;
            }
            if reached {
                element.packed.set_state(State::Clean);
            } else {
                element.packed.set_state(State::Dirty);
                self.dirty_bytes += element.weight(&name);
                self.dirty.push(name);
            }
        }
        let (mut bytes, mut dirty_bytes) = (0, 0);
        self.removed.retain(|name, on_its_way| {
            if !std::mem::take(on_its_way) {
                return true;
            }
            if reached {
                bytes += name.len() + OVERHEAD;
            } else {
                dirty_bytes += name.len() + OVERHEAD;
            }
            !reached
        });
        self.bytes -= bytes;
        self.dirty_bytes += dirty_bytes;
        self.summary.settle(reached);
    }

    /// Whether nothing of it is in memory that is not on the disk, or that must stay there.
    pub(super) fn is_spent(&self) -> bool {
        self.elements.is_empty()
            && self.removed.is_empty()
            && self.masks.is_empty()
            && self.summary.is_clean()
    }

    /// Makes room among the clean elements, see [`super::Rows::evict`]; how many bytes that freed,
    /// and whether elements went.
    pub(super) fn evict(
        &mut self,
        bytes: usize,
        effort: Effort,
        squeezes: &mut Squeezes,
    ) -> (usize, bool) {
        let (mut freed, mut going) = (0, Vec::new());
        let from = self.evict_after.take();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let elements = self.elements.range_mut::<[u8], _>((from, Bound::Unbounded));
        for (looked_at, (name, element)) in elements.enumerate() {
            if freed >= bytes || looked_at == EVICT_ELEMENTS_MAX {
                self.evict_after = Some(name.clone());
                break;
            }
            let packed = &mut element.packed;
            if packed.state() != State::Clean || element::is_mask(name) {
                continue;
            }
            if effort != Effort::SqueezeAll && packed.take_used() {
                continue;
            }
            let before = packed.weight();
            if squeezes.squeeze(packed) {
                freed += before - packed.weight();
            } else if effort == Effort::Evict {
                freed += element.weight(name);
                going.push(name.clone());
            }
        }
        for name in &going {
            self.elements.remove(name);
            self.join_behind(name, false);
        }
        self.bytes -= freed;
        (freed, !going.is_empty())
    }
}

/// Elements that a mask has hidden, on their way out of memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Cleared(BTreeMap<Name, Element>);

impl Cleared {
    /// Whether all are gone.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over those of another.
    pub(super) fn append(&mut self, mut other: Self) {
        if self.0.is_empty() {
            *self = other;
        } else {
            self.0.append(&mut other.0);
        }
    }
}

/// The row in bytes of the disk; derived ones have none.
pub(super) fn decoded(name: &[u8], bytes: &[u8]) -> Result<Row, StoreError> {
    if element::is_local(name) {
        return Ok(Row::new());
    }
    super::decode(bytes)
}
