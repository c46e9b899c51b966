//! What writers do to a document: put, patch, remove.
//!
//! A writer says what it had seen ([`Seen`]) and what it wants. A put compares each leaf of its
//! JSON with what it was shown: the same means "left as it was", and such a leaf stays as others
//! have made it meanwhile; another value is written under a fresh dot and replaces what the writer
//! had seen at that path; what it had seen and now lacks is removed. So what a write changes is a
//! function of context and JSON alone, and repeating it anywhere has the same effect.
//!
//! With `AS` the i-th leaf of the JSON in path order owns dot (actor, counter + i). The whole range
//! counts as seen afterwards, leaves left as they were included: so the client's counters stay
//! contiguous, and a retry finds all its dots spent and does nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::actor::Actor;
use crate::context::Seen;
use crate::limits::DOCUMENT_LEAVES_MAX;
use crate::stamp::Stamp;
use crate::types::document_causal::{Document, DocumentError, Leaf, LeafValue};
use crate::types::document_context::DocDot;
use crate::types::document_json::{edits_of, leaves_of};
use crate::types::document_plan::Plan;
use crate::types::document_pointer::Pointer;

/// Who signs a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signer {
    /// The actor of the copy that takes the write. Its counter continues from the document's
    /// context, so it must never sign again in a document whose context was forgotten.
    pub copy: Actor,
    /// The dot of the first leaf, if the client names the dots of its write (`AS`).
    pub named: Option<DocDot>,
}

impl Signer {
    /// The node signs.
    #[must_use]
    pub fn of_copy(copy: Actor) -> Self {
        Self { copy, named: None }
    }

    /// The client signs, from `first` on.
    #[must_use]
    pub fn of_client(copy: Actor, first: DocDot) -> Self {
        Self {
            copy,
            named: Some(first),
        }
    }
}

/// What a write did.
#[derive(Debug, Clone)]
pub struct Written {
    /// Whether the state is another than before; if not, there is nothing to store.
    pub changed: bool,
    /// The dots of the new leaves.
    pub written: Vec<DocDot>,
    /// The dots of the leaves that are gone.
    pub removed: Vec<DocDot>,
    /// What the writer has seen now: what it had seen before, and its own write; not what others
    /// have written meanwhile.
    pub seen: Seen,
}

impl Document {
    /// Counts all dots of `actor` up to `counter` as spent, whatever has become of their leaves;
    /// those that are here stay. For a signer that may have signed some that this state has not
    /// got, because it expired with its context.
    pub fn spend(&mut self, actor: Actor, counter: u64) {
        if self.context.highest(actor) < counter {
            self.context.insert_range(actor, 1, counter);
            self.trim_masks();
        }
    }

    /// Whether `seen` covers dots that have not arrived here. Fetch them first, if anybody in reach
    /// has them; the writes below take care of what is missing still.
    #[must_use]
    pub fn is_ahead(&self, seen: &Seen) -> bool {
        !self.context.covers(seen.dots())
    }

    /// LPUT: the object becomes `json` as far as the writer had seen it.
    ///
    /// If the context is ahead of this replica, what the writer left as it was may be missing here.
    /// It is written again under dots of this copy with the lowest stamp, so that any concurrent
    /// edit beats it; then all that the writer saw counts as seen here, and what it dropped stays
    /// removed when it arrives.
    ///
    /// # Errors
    /// What is no document, what [`Signer`] may not sign, and what is beyond a limit. Nothing has
    /// changed then.
    pub fn put(
        &mut self,
        seen: &Seen,
        json: &Value,
        stamp: Stamp,
        signer: &Signer,
    ) -> Result<Written, DocumentError> {
        let leaves = leaves_of(json, DOCUMENT_LEAVES_MAX)?;
        let mut plan = Plan::new(self, signer, Some(seen), leaves.len(), stamp)?;
        let (unchanged, mut after) = seen.compare(&leaves);
        if plan.is_retry() {
            after.add_dots(&plan.claims());
            return Ok(Written::nothing(after));
        }
        let is_ahead = self.is_ahead(seen);
        let mut left_alone = BTreeSet::new();
        for (at, ((path, value), unchanged)) in leaves.iter().zip(unchanged).enumerate() {
            match (unchanged, is_ahead) {
                (true, false) => {
                    left_alone.insert(path);
                }
                (true, true) => plan.write_unnamed(path, value.clone(), Stamp::ZERO),
                (false, _) => plan.write(at, path, value.clone(), stamp),
            }
        }
        for (dot, leaf) in &self.leaves {
            if seen.dots().contains(*dot) && !left_alone.contains(&leaf.path) {
                plan.remove(*dot);
            }
        }
        if is_ahead {
            plan.join_context(seen.dots());
        }
        plan.finish(self, after)
    }

    /// LPATCH: as [`Document::put`], but touches only the paths that the RFC 7396 merge patch
    /// names. An object that loses its last member is gone with it, unless `{}` was written.
    ///
    /// If the context is ahead of this replica, it cannot count as seen here, because paths that
    /// the patch does not name may be missing. What was seen at the named ones is removed when it
    /// arrives.
    ///
    /// # Errors
    /// As [`Document::put`], and [`DocumentError::TooFarBehind`].
    pub fn patch(
        &mut self,
        seen: &Seen,
        patch: &Value,
        stamp: Stamp,
        signer: &Signer,
    ) -> Result<Written, DocumentError> {
        let edits = edits_of(patch, DOCUMENT_LEAVES_MAX)?;
        let leaves = edits.iter().filter(|(_, value)| value.is_some()).count();
        let mut plan = Plan::new(self, signer, Some(seen), leaves, stamp)?;
        let mut after = seen.after_patch(&edits);
        if plan.is_retry() {
            after.add_dots(&plan.claims());
            return Ok(Written::nothing(after));
        }
        let mut touched = Touched::default();
        let mut at = 0;
        for (path, value) in &edits {
            if let Some(value) = value {
                if !seen.was_shown(path, value) {
                    plan.write(at, path, value.clone(), stamp);
                    touched.add(path, Some(value));
                }
                at += 1;
            } else {
                touched.add(path, None);
            }
        }
        for (dot, leaf) in &self.leaves {
            if seen.dots().contains(*dot) && touched.replaces(leaf) {
                plan.remove(*dot);
            }
        }
        if self.is_ahead(seen) {
            touched
                .below
                .values()
                .for_each(|path| plan.mask(path, seen.dots()));
        }
        plan.finish(self, after)
    }

    /// LDEL: removes what was seen, also what has not arrived here yet. Concurrent additions stay.
    pub fn remove(&mut self, seen: &Seen, stamp: Stamp) -> Written {
        let is_ahead = self.is_ahead(seen);
        let mut removed = Vec::new();
        self.leaves.retain(|dot, _| {
            let stays = !seen.dots().contains(*dot);
            if !stays {
                removed.push(*dot);
            }
            stays
        });
        self.context.join(seen.dots());
        self.trim_masks();
        let changed = is_ahead || !removed.is_empty();
        if changed {
            self.last_ms = self.last_ms.max(stamp.ms());
        }
        Written {
            changed,
            written: Vec::new(),
            removed,
            seen: seen.after_remove(),
        }
    }

    /// DEL: removes everything that is here and leaves the context. Says whether there was any.
    pub fn remove_all(&mut self, stamp: Stamp) -> bool {
        let existed = !self.leaves.is_empty();
        self.leaves.clear();
        if existed {
            self.last_ms = self.last_ms.max(stamp.ms());
        }
        existed
    }
}

impl Written {
    fn nothing(seen: Seen) -> Self {
        Self {
            changed: false,
            written: Vec::new(),
            removed: Vec::new(),
            seen,
        }
    }
}

/// The paths that a merge patch touches.
#[derive(Default)]
struct Touched<'a> {
    /// Everything at and below these is replaced or removed.
    below: BTreeMap<&'a str, &'a Pointer>,
    /// An object is wanted here: what is at the path itself is replaced.
    objects: BTreeSet<&'a str>,
    /// Paths above written ones: values there give way to the objects that are needed.
    above: BTreeSet<&'a str>,
}

impl<'a> Touched<'a> {
    fn add(&mut self, path: &'a Pointer, value: Option<&LeafValue>) {
        if value.is_some() {
            self.above.extend(path.above());
        }
        if value == Some(&LeafValue::EmptyObject) {
            self.objects.insert(path.as_str());
        } else {
            self.below.insert(path.as_str(), path);
        }
    }

    fn replaces(&self, leaf: &Leaf) -> bool {
        let path = leaf.path.as_str();
        (self.above.contains(path) && leaf.value != LeafValue::EmptyObject)
            || self.objects.contains(path)
            || self.below.contains_key(path)
            || leaf
                .path
                .above()
                .any(|above| self.below.contains_key(above))
    }
}
