//! `mutate`: one element changes under fresh dots.

use std::num::NonZeroU64;

use larder_crdt::conflict;
use larder_crdt::{Actor, Clock, Dot, HybridClock, Row, Sibling, Stamp, Value, Writer};
use smallvec::SmallVec;

use super::Copy;
use crate::element::{Family, Role};
use crate::env::Env;
use crate::record;
use crate::row_key::RowKey;
use crate::store::StoreError;

/// An element while a command changes it: the row as it is, without what has expired, and the means
/// to replace what was observed.
#[derive(Debug)]
pub struct Edit<'a> {
    row: &'a mut Row,
    dots: SmallVec<[(Dot, Option<Dot>); DOTS_PER_EDIT]>,
    fresh: SmallVec<[Dot; DOTS_PER_EDIT]>,
    actor: Actor,
    stamp: Stamp,
    changed: bool,
}

impl Edit<'_> {
    /// The row as it is now.
    #[must_use]
    pub fn row(&self) -> &Row {
        self.row
    }

    /// The actor that signs inside documents here. It is another than the copy's own, and a new one
    /// once the copy has forgotten a document's context: in a document that begins anew, counters
    /// begin anew, too.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// The stamp of this edit: later than any that the row holds.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The counter of the next dot: it grows with every change of the actor, whatever the element.
    ///
    /// # Panics
    /// If all dots of the edit are taken.
    #[must_use]
    pub fn next_counter(&self) -> u64 {
        self.fresh
            .last()
            .expect("an edit takes at most the dots it asked for")
            .counter()
    }

    /// Removes the observed siblings that `which` names. Alone, this is a removal.
    pub fn remove(&mut self, mut which: impl FnMut(&Sibling) -> bool) {
        let before = self.row.siblings().len();
        self.row.retain(|sibling| !which(sibling));
        self.changed |= self.row.siblings().len() != before;
    }

    /// Adds a sibling under a fresh dot, which `value` is told.
    pub fn insert(
        &mut self,
        stamp: Stamp,
        deadline: Option<NonZeroU64>,
        value: impl FnOnce(Dot) -> Value,
    ) {
        let dot = self.take_dot();
        self.row.insert(Sibling {
            dot,
            stamp,
            deadline,
            value: value(dot),
        });
        self.changed = true;
    }

    fn take_dot(&mut self) -> Dot {
        let dot = self
            .fresh
            .pop()
            .expect("an edit takes at most the dots it asked for");
        self.dots.push((dot, None));
        dot
    }
}

/// How an edit is to be signed and stamped.
pub struct EditContext<'a, 'b> {
    /// The surroundings.
    pub env: &'a Env<'b>,
    /// The partition's source of stamps.
    pub hybrid: &'a mut HybridClock,
    /// How many actors of this partition were minted in this run.
    pub stint: &'a mut u32,
    /// Where the change is recorded.
    pub redo: &'a mut Writer,
    /// Whether other owners must be told.
    pub keeps_log: bool,
    /// The first dot of the group of changes, if this change belongs to one; set by its first.
    pub group: Option<&'a mut Option<Dot>>,
}

impl Copy {
    /// Removes all that this copy has seen of a collection: a reset header says which dots. What
    /// must be known of increments (SEMANTICS.md section 3) is the caller's to write before.
    ///
    /// # Errors
    /// What the disk says; nothing has changed then.
    pub fn clear(
        &mut self,
        context: EditContext<'_, '_>,
        key: &RowKey,
        family: Family,
        seen: Clock,
    ) -> Result<(), StoreError> {
        let header = key.with_element(&family.element(Role::MASK, b""));
        let mut mask = seen;
        if let Some(before) = self.rows.mask(context.env.store, key, family)? {
            mask.join(&before);
        }
        self.edit(context, &header, |edit| {
            let stamp = edit.stamp();
            edit.remove(|_| true);
            edit.insert(stamp, None, |_| Value::Mask(Box::new(mask)));
        })
    }

    /// Lets up to about `rows_max` rows that reset headers hide go from memory and disk; says how
    /// many were looked at.
    ///
    /// # Errors
    /// What the disk says.
    pub fn purge(&mut self, env: &Env<'_>, rows_max: usize) -> Result<usize, StoreError> {
        let purged = self.rows.purge(env.store, rows_max)?;
        self.changed |= purged > 0;
        Ok(purged)
    }
}

/// Dots that one edit may take: a register, a counter and a document at once.
const DOTS_PER_EDIT: usize = 3;

impl Copy {
    /// Changes one element: `change` sees the row and says what becomes of it. If it changes
    /// nothing, no dot is taken; if it only removes, one is, and leaves no row.
    ///
    /// # Errors
    /// What the disk says when the row is looked up; nothing has changed then.
    pub fn edit<T>(
        &mut self,
        context: EditContext<'_, '_>,
        key: &RowKey,
        change: impl FnOnce(&mut Edit<'_>) -> T,
    ) -> Result<T, StoreError> {
        let EditContext {
            env,
            hybrid,
            stint,
            redo,
            keeps_log,
            mut group,
        } = context;
        if !self.signs_already() {
            // A disk that fails must be found to do so before a name is used up.
            self.rows.load(env.store, key)?;
        }
        let signer = self.ensure_signer(env, stint, redo);
        let actor = self.document_actor(env, stint);
        let shared = group
            .as_ref()
            .and_then(|group| **group)
            .filter(|_| !env.keeps(1));
        let mut fresh: SmallVec<[Dot; DOTS_PER_EDIT]> = SmallVec::new();
        for at in (0..DOTS_PER_EDIT as u64).rev() {
            match shared {
                Some(dot) => fresh.push(dot),
                None => fresh.push(Dot::new(signer.index, signer.next + at)),
            }
        }
        let slot = self.rows.slot();
        let now_ms = env.now.unix_ms;
        let mut outcome = None;
        let mut dots = SmallVec::new();
        let (mut lost, mut had_expired) = (Vec::new(), false);
        let resets = &mut self.resets;
        let group = &mut group;
        self.rows.update(env.store, key, |row| {
            let expired = row.drop_expired(now_ms);
            had_expired = expired;
            // Who writes to a document may have seen less of it than is here.
            let is_document = |sibling: &Sibling| matches!(sibling.value, Value::Document(_));
            let has_document = row.siblings().iter().any(is_document);
            let known = has_document.then(|| conflict::losers(row, now_ms));
            let stamp = hybrid.tick(now_ms).max(row.latest_stamp().next());
            let mut edit = Edit {
                row,
                dots: SmallVec::new(),
                fresh,
                actor,
                stamp,
                changed: false,
            };
            outcome = Some(change(&mut edit));
            if edit.changed && edit.dots.is_empty() {
                edit.take_dot();
            }
            let changed = edit.changed || expired;
            dots = edit.dots;
            if let Some(known) = known.filter(|_| changed) {
                lost = conflict::lost(|| known, row, now_ms);
            }
            if let (Some(group), Some((first, _))) = (group.as_deref_mut(), dots.first()) {
                let first = *group.get_or_insert(*first);
                dots.iter_mut().for_each(|(_, group)| *group = Some(first));
            }
            if changed {
                Self::note_resets(resets, key, row);
                record::change(redo, slot, key, &dots, row);
            }
            changed
        })?;
        if shared.is_none() {
            self.signer = Some(super::Signer {
                next: signer.next + dots.len() as u64,
                ..signer
            });
        }
        self.note_change(key, &dots, keeps_log);
        self.expired += u64::from(had_expired);
        self.note_conflicts(env, key, lost);
        Ok(outcome.expect("update calls its closure once"))
    }
}
