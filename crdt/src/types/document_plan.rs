//! A write to a document while it is being put together: its dots, its checks, its effect.

use std::collections::{BTreeMap, BTreeSet};

use crate::actor::Actor;
use crate::context::Seen;
use crate::limits::{
    DOCUMENT_BYTES_MAX, DOCUMENT_COUNTER_MAX, DOCUMENT_GAP_MAX, DOCUMENT_INTERVALS_MAX,
    DOCUMENT_LEAVES_MAX, DOCUMENT_MASKS_MAX, DOCUMENT_SIBLINGS_MAX,
};
use crate::stamp::Stamp;
use crate::types::document_causal::{Document, DocumentError, Leaf, LeafValue, is_masked};
use crate::types::document_context::{DocContext, DocDot};
use crate::types::document_pointer::Pointer;
use crate::types::document_write::{Signer, Written};

/// A write that is being put together; nothing is touched before [`Plan::commit`].
pub(super) struct Plan {
    copy: Actor,
    /// The counter of the copy's next dot.
    next: u64,
    named: Option<DocDot>,
    /// How many dots the client's name spans.
    leaves: u64,
    /// Which of the client's dots were applied before.
    spent: DocContext,
    stamp: Stamp,
    writes: BTreeMap<DocDot, Leaf>,
    removals: BTreeSet<DocDot>,
    context: DocContext,
    masks: BTreeMap<Pointer, DocContext>,
}

impl Plan {
    /// Begins a write of `leaves` leaves by a writer who had seen `seen`.
    pub(super) fn new(
        document: &Document,
        signer: &Signer,
        seen: Option<&Seen>,
        leaves: usize,
        stamp: Stamp,
    ) -> Result<Self, DocumentError> {
        let empty = DocContext::new();
        let seen = seen.map_or(&empty, Seen::dots);
        let masked = document
            .masks
            .values()
            .map(|dots| dots.highest(signer.copy))
            .max();
        let highest = document
            .context
            .highest(signer.copy)
            .max(seen.highest(signer.copy));
        let mut plan = Self {
            copy: signer.copy,
            next: highest.max(masked.unwrap_or(0)) + 1,
            named: signer.named,
            leaves: leaves as u64,
            spent: DocContext::new(),
            stamp,
            writes: BTreeMap::new(),
            removals: BTreeSet::new(),
            context: DocContext::new(),
            masks: BTreeMap::new(),
        };
        if let Some(first) = signer.named {
            if first.actor == signer.copy {
                return Err(DocumentError::ForeignActor);
            }
            let last = first.counter.checked_add(plan.leaves);
            if first.counter == 0 || last.is_none_or(|last| last > DOCUMENT_COUNTER_MAX) {
                return Err(DocumentError::CounterOutOfRange);
            }
            document.check_named(first.actor, &plan.claims(), seen)?;
            plan.spent = document.context.of_actor(first.actor);
        }
        Ok(plan)
    }

    /// The actor of the copy that writes.
    pub(super) fn actor(&self) -> Actor {
        self.copy
    }

    /// Whether all dots that the client names were applied before: then so was the whole write,
    /// because a document travels as a whole.
    pub(super) fn is_retry(&self) -> bool {
        self.named.is_some() && self.leaves > 0 && self.spent.covers(&self.claims())
    }

    /// All dots that the client names.
    pub(super) fn claims(&self) -> DocContext {
        let mut claims = DocContext::new();
        if let (Some(first), true) = (self.named, self.leaves > 0) {
            claims.insert_range(first.actor, first.counter, first.counter + self.leaves - 1);
            claims.mark_named(first.actor);
        }
        claims
    }

    /// Writes the `at`-th leaf of the request.
    pub(super) fn write(&mut self, at: usize, path: &Pointer, value: LeafValue, stamp: Stamp) {
        let Some(first) = self.named else {
            return self.write_unnamed(path, value, stamp);
        };
        let dot = DocDot::new(first.actor, first.counter + at as u64);
        if !self.spent.contains(dot) {
            self.writes.insert(
                dot,
                Leaf {
                    stamp,
                    path: path.clone(),
                    value,
                },
            );
        }
    }

    /// Writes a leaf under a dot of the copy, whoever signs the request.
    pub(super) fn write_unnamed(&mut self, path: &Pointer, value: LeafValue, stamp: Stamp) {
        let dot = DocDot::new(self.copy, self.next);
        self.next += 1;
        self.writes.insert(
            dot,
            Leaf {
                stamp,
                path: path.clone(),
                value,
            },
        );
    }

    /// Removes a leaf that is here.
    pub(super) fn remove(&mut self, dot: DocDot) {
        self.removals.insert(dot);
    }

    /// Lets dots count as seen that may not have arrived.
    pub(super) fn join_context(&mut self, dots: &DocContext) {
        self.context.join(dots);
    }

    /// Lets what was seen at and below a path be removed when it arrives.
    pub(super) fn mask(&mut self, path: &Pointer, dots: &DocContext) {
        self.masks.entry(path.clone()).or_default().join(dots);
    }

    /// Applies the write; `after` is what its writer has seen, but for its own dots.
    pub(super) fn finish(
        mut self,
        document: &mut Document,
        mut after: Seen,
    ) -> Result<Written, DocumentError> {
        after.add_dots(&self.claims());
        after.add_dots(&self.writes.keys().copied().collect());
        self.drop_masked(document);
        let written: Vec<DocDot> = self.writes.keys().copied().collect();
        let removed: Vec<DocDot> = self.removals.iter().copied().collect();
        let changed = self.commit(document)?;
        Ok(Written {
            changed,
            written,
            removed,
            seen: after,
        })
    }

    /// Applies the write, or refuses it as a whole. Says whether anything changed.
    pub(super) fn commit(mut self, document: &mut Document) -> Result<bool, DocumentError> {
        self.drop_masked(document);
        self.check_limits(document)?;
        self.context.join(&self.claims());
        self.context.join(&self.writes.keys().copied().collect());
        for dots in self.masks.values_mut() {
            *dots = dots.minus(&document.context).minus(&self.context);
        }
        self.masks.retain(|_, dots| !dots.is_empty());
        if document.masks.len() + self.masks.len() > DOCUMENT_MASKS_MAX {
            return Err(DocumentError::TooFarBehind);
        }
        let is_new = |(path, dots): (&Pointer, &DocContext)| {
            !document
                .masks
                .get(path)
                .is_some_and(|known| known.covers(dots))
        };
        let changed = !self.removals.is_empty()
            || !document.context.covers(&self.context)
            || self.masks.iter().any(is_new);
        if !changed {
            return Ok(false);
        }
        document
            .leaves
            .retain(|dot, _| !self.removals.contains(dot));
        document.leaves.extend(self.writes);
        document.context.join(&self.context);
        if let Some(first) = self.named {
            document.context.mark_named(first.actor);
        }
        document.last_ms = document.last_ms.max(self.stamp.ms());
        for (path, dots) in self.masks {
            document.masks.entry(path).or_default().join(&dots);
        }
        document.trim_masks();
        Ok(true)
    }

    /// A late retry may bring what somebody who had seen its first copy has removed meanwhile.
    fn drop_masked(&mut self, document: &Document) {
        self.writes
            .retain(|dot, leaf| !is_masked(&document.masks, *dot, leaf));
    }

    /// A write may shrink a document that joins have made larger than the limits, not grow it.
    fn check_limits(&self, document: &Document) -> Result<(), DocumentError> {
        let removed: Vec<&Leaf> = self
            .removals
            .iter()
            .filter_map(|dot| document.leaves.get(dot))
            .collect();
        let written = self.writes.len();
        if written > removed.len()
            && document.leaves.len() + written - removed.len() > DOCUMENT_LEAVES_MAX
        {
            return Err(DocumentError::TooManyLeaves);
        }
        let added: usize = self.writes.values().map(Leaf::size).sum();
        let freed: usize = removed.iter().map(|leaf| leaf.size()).sum();
        if added > freed && document.size() + added - freed > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLarge);
        }
        let mut values_at: BTreeMap<&Pointer, usize> = BTreeMap::new();
        for leaf in self.writes.values().filter(|leaf| leaf.is_value()) {
            values_at.insert(&leaf.path, 1);
        }
        for (dot, leaf) in document.leaves.iter().filter(|(_, leaf)| leaf.is_value()) {
            if let (Some(count), false) =
                (values_at.get_mut(&leaf.path), self.removals.contains(dot))
            {
                *count += 1;
            }
        }
        if values_at
            .values()
            .any(|count| *count > DOCUMENT_SIBLINGS_MAX)
        {
            return Err(DocumentError::TooManySiblings);
        }
        Ok(())
    }
}

impl Document {
    /// Whether a client may sign `claims` here as `actor`, having seen `seen` as well.
    pub(super) fn check_named(
        &self,
        actor: Actor,
        claims: &DocContext,
        seen: &DocContext,
    ) -> Result<(), DocumentError> {
        let is_node = |context: &DocContext| context.knows(actor) && !context.is_named(actor);
        if is_node(&self.context) || is_node(seen) {
            return Err(DocumentError::ForeignActor);
        }
        let mut counters = self.context.of_actor(actor);
        counters.join(&seen.of_actor(actor));
        counters.join(&claims.of_actor(actor));
        if counters.missing(actor) > DOCUMENT_GAP_MAX {
            return Err(DocumentError::Gap);
        }
        let (all, before) = (
            self.context.intervals(),
            self.context.of_actor(actor).intervals(),
        );
        let added = counters.intervals().saturating_sub(before);
        if added > 0 && all + added > DOCUMENT_INTERVALS_MAX {
            return Err(DocumentError::TooManyActors);
        }
        Ok(())
    }
}
