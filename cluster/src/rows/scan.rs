//! Ranges of a collection: from memory as far as the gaps between its elements are known, else from
//! the disk, which is read in pages and remembered.

use std::ops::Bound;

use larder_crdt::Row;

use super::collection::{Collection, Elements, Name, decoded};
use crate::element;
use crate::row_key::RowKey;
use crate::store::{Slot, Store, StoreError};

/// Rows that are read from the disk at a time when a gap is met.
const GAP_ROWS: usize = 256;

/// A part of a collection, by the names of its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub from: Bound<Vec<u8>>,
    /// Where it ends.
    pub to: Bound<Vec<u8>>,
    /// Whether it is read from its end.
    pub backwards: bool,
}

impl Span {
    /// All elements whose names begin with `prefix`.
    #[must_use]
    pub fn of_prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        let to = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        Self {
            from: Bound::Included(prefix.to_vec()),
            to,
            backwards: false,
        }
    }

    /// The same part, read from the other end.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.backwards = !self.backwards;
        self
    }

    /// The part behind `name`, as far as the span is read in its direction.
    #[must_use]
    pub fn behind(mut self, name: &[u8]) -> Self {
        let end = Bound::Excluded(name.to_vec());
        if self.backwards {
            self.to = end;
        } else {
            self.from = end;
        }
        self
    }

    fn is_empty(&self) -> bool {
        is_inverted(as_ref(&self.from), as_ref(&self.to))
    }
}

/// How far the disk was read in one scan.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Nothing,
    Until(Name),
    ToTheEnd,
}

impl Collection {
    /// The elements of a span that exist, masked ones left out, `max` at most.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn range(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        span: &Span,
        max: usize,
    ) -> Result<Elements, StoreError> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        if span.backwards {
            self.range_backwards(store, slot, span, max)
        } else {
            self.range_forwards(store, slot, span, max)
        }
    }

    fn range_forwards(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        span: &Span,
        max: usize,
    ) -> Result<Elements, StoreError> {
        let mut found = Vec::new();
        let mut from = span.from.clone();
        let to = as_ref(&span.to);
        let mut seen = Seen::Nothing;
        'reading: while found.len() < max && !is_inverted(as_ref(&from), to) {
            let mut last = None;
            let mut is_known = true;
            for (name, element) in self.elements.range_mut::<[u8], _>((as_ref(&from), to)) {
                is_known = match &seen {
                    Seen::ToTheEnd => true,
                    Seen::Until(until) if *name <= *until => true,
                    _ => element.joined,
                };
                if !is_known {
                    break;
                }
                if found.len() == max {
                    break 'reading;
                }
                element.packed.set_used();
                let mut row = element.packed.row()?;
                self.masks.apply(name, &mut row);
                if !row.is_empty() || element::is_local(name) {
                    found.push((name.clone(), row));
                }
                last = Some(name);
            }
            if let Some(last) = last {
                from = Bound::Excluded(last.to_vec());
            }
            // Behind the last element of the span there may be others on the disk.
            is_known = is_known
                && match &seen {
                    Seen::ToTheEnd => true,
                    Seen::Until(until) if ends_by(to, until) => true,
                    _ => self.is_gap_known(as_ref(&from)),
                };
            if is_known {
                break;
            }
            seen = self.load_after(store, slot, as_ref(&from), &seen)?;
        }
        Ok(found)
    }

    fn range_backwards(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        span: &Span,
        max: usize,
    ) -> Result<Elements, StoreError> {
        let mut found = Vec::new();
        let mut to = span.to.clone();
        let from = as_ref(&span.from);
        let mut seen = Seen::Nothing;
        while found.len() < max && !is_inverted(from, as_ref(&to)) {
            let within = (from, as_ref(&to));
            let next = self.elements.range::<[u8], _>(within).next_back();
            let next = next.map(|(name, _)| name.clone());
            let known = match (&next, &seen) {
                (_, Seen::ToTheEnd) => true,
                (Some(name), Seen::Until(until)) if name >= until => true,
                (None, Seen::Until(until)) if begins_by(from, until) => true,
                _ => self.is_gap_known(flipped(as_ref(&to))),
            };
            if !known {
                seen = self.load_before(store, slot, as_ref(&to), &seen)?;
                continue;
            }
            let Some(name) = next else { break };
            to = Bound::Excluded(name.to_vec());
            let element = self.elements.get_mut(&name).expect("it was found");
            element.packed.set_used();
            let row = element.packed.row()?;
            self.show(name, row, &mut found);
        }
        Ok(found)
    }

    fn show(&self, name: Name, mut row: Row, found: &mut Elements) {
        self.masks.apply(&name, &mut row);
        if !row.is_empty() || element::is_local(&name) {
            found.push((name, row));
        }
    }

    /// Reads some rows of the disk from `from` on, or from where that was `seen` already.
    fn load_after(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        from: Bound<&[u8]>,
        seen: &Seen,
    ) -> Result<Seen, StoreError> {
        let from = match from {
            Bound::Included(name) | Bound::Excluded(name) if name <= element::SUMMARY => {
                Bound::Unbounded
            }
            from => from,
        };
        // The disk is asked for what lies behind a name, so the name itself is looked up first.
        if let Bound::Included(name) = from {
            self.raw(store, slot, name)?;
        }
        let begin = match from {
            Bound::Unbounded => element::SUMMARY,
            Bound::Included(name) | Bound::Excluded(name) => name,
        };
        let after = match seen {
            Seen::Until(until) if **until > *begin => self.row_key(until),
            _ => self.row_key(begin),
        };
        let rows = store.rows(slot, Some(&after), GAP_ROWS)?;
        let is_end = rows.last().is_none_or(|(key, _)| !self.is_of(key));
        let is_anchored = match from {
            Bound::Unbounded => true,
            Bound::Included(name) | Bound::Excluded(name) => self.elements.contains_key(name),
        };
        let last = self.take_rows(store, slot, rows)?;
        let until = match (is_end, &last) {
            (false, Some(last)) => Bound::Included(&last[..]),
            _ => Bound::Unbounded,
        };
        let lower = match from {
            Bound::Included(name) | Bound::Excluded(name) => Bound::Excluded(name),
            Bound::Unbounded => Bound::Unbounded,
        };
        let between = self.elements.range_mut::<[u8], _>((lower, until));
        for (_, element) in between.skip(usize::from(!is_anchored)) {
            element.joined = true;
        }
        match last {
            Some(last) if !is_end => Ok(Seen::Until(last)),
            _ => {
                let mut behind = self.elements.range::<[u8], _>((lower, Bound::Unbounded));
                self.closed |= is_anchored || behind.next().is_some();
                Ok(Seen::ToTheEnd)
            }
        }
    }

    /// Reads some rows of the disk from `to` on backwards, or from where that was `seen` already.
    fn load_before(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        to: Bound<&[u8]>,
        seen: &Seen,
    ) -> Result<Seen, StoreError> {
        if let Bound::Included(name) = to {
            self.raw(store, slot, name)?;
        }
        let end = match to {
            Bound::Unbounded => &[0xff; 3],
            Bound::Included(name) | Bound::Excluded(name) => name,
        };
        let before = match seen {
            Seen::Until(until) if **until < *end => self.row_key(until),
            _ => self.row_key(end),
        };
        let rows = store.rows_before(slot, &before, GAP_ROWS)?;
        let is_end = rows
            .last()
            .is_none_or(|(key, _)| !self.is_of(key) || key.element() <= element::SUMMARY);
        let last = self.take_rows(store, slot, rows)?;
        let from = match (is_end, &last) {
            (false, Some(last)) => Bound::Excluded(&last[..]),
            _ => Bound::Unbounded,
        };
        // The element at the upper end is joined only if the scan began right before it.
        let upper = match to {
            Bound::Unbounded => {
                self.closed = true;
                Bound::Unbounded
            }
            Bound::Included(name) | Bound::Excluded(name) => Bound::Included(name),
        };
        // What lies before the last row that was read is not known, nor what is joined to it.
        let is_last_here = match from {
            Bound::Excluded(last) => self.elements.contains_key(last),
            _ => true,
        };
        let between = self.elements.range_mut::<[u8], _>((from, upper));
        for (_, element) in between.skip(usize::from(!is_last_here)) {
            element.joined = true;
        }
        Ok(match last {
            Some(last) if !is_end => Seen::Until(last),
            _ => Seen::ToTheEnd,
        })
    }

    /// Takes rows of the disk into memory as far as they are of this key and not known better;
    /// gives the name of the last that is.
    fn take_rows(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        rows: Vec<(RowKey, Vec<u8>)>,
    ) -> Result<Option<Name>, StoreError> {
        let mut last = None;
        for (key, bytes) in rows {
            let name = key.element();
            if !self.is_of(&key) || name.is_empty() || name == element::SUMMARY {
                continue;
            }
            last = Some(Name::from(name));
            if self.elements.contains_key(name) || self.removed.contains_key(name) {
                continue;
            }
            let row = decoded(name, &bytes)?;
            let is_there = if element::is_local(name) {
                self.masks.is_empty() || self.is_derived(store, slot, name)?
            } else {
                !self.is_hidden(name, &row)
            };
            if is_there {
                self.cache(name.into(), &row);
            }
        }
        Ok(last)
    }

    /// Whether a derived element of the disk still follows from the row that it was made from: what
    /// a mask hides may not have been purged yet.
    pub(super) fn is_derived(
        &mut self,
        store: &dyn Store,
        slot: Slot,
        name: &[u8],
    ) -> Result<bool, StoreError> {
        let Some(source) = element::derived_from(name) else {
            return Ok(false);
        };
        let (mut row, _) = self.raw(store, slot, &source)?;
        self.masks.apply(&source, &mut row);
        let derived = element::derived(&source, &row);
        Ok(derived.iter().any(|derived| &derived[..] == name))
    }
}

fn as_ref(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(name) => Bound::Included(name),
        Bound::Excluded(name) => Bound::Excluded(name),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// The bound of all that lies beyond an upper one.
fn flipped(to: Bound<&[u8]>) -> Bound<&[u8]> {
    match to {
        Bound::Included(name) => Bound::Excluded(name),
        Bound::Excluded(name) => Bound::Included(name),
        Bound::Unbounded => Bound::Excluded(&[0xff; 3]),
    }
}

/// Whether nothing can lie between the bounds.
fn is_inverted(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
    }
}

fn ends_by(to: Bound<&[u8]>, until: &[u8]) -> bool {
    matches!(to, Bound::Included(to) | Bound::Excluded(to) if to <= until)
}

fn begins_by(from: Bound<&[u8]>, until: &[u8]) -> bool {
    matches!(from, Bound::Included(from) | Bound::Excluded(from) if from >= until)
}
