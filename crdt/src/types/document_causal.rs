//! The document: a JSON object whose fields merge, a causal CRDT within one element.
//!
//! Picture a table of leaves. Each row is one scalar or array, under the path where it stands and
//! the dot of the write that put it there; beside the table stands the context, all dots that were
//! ever seen here. "In the context, not in the table" says removed, so a removal needs no
//! tombstone, and two tables join by keeping what both have and what only one has seen:
//!
//! ```text
//! dot    path            value           stamp
//! a:1    /name           "Party"         17.0
//! a:3    /items/m/qty    2               18.0      context  a [1..=3]  b [1..=1]
//! b:1    /items/m/qty    +1 on a:3                 (a:2 was seen and is gone)
//! ```
//!
//! Nested objects are not values: they are there because something is in them, or because the leaf
//! `{}` says so. Increments are leaves too, tied to the leaf that they were made on. The semantics
//! are those of observed-remove maps (Almeida, Shoker, Baquero, "Delta state replicated data
//! types", 2018) over multi-value registers; what a reader is shown of concurrent leaves is in
//! `document_view.rs`, what writers do in `document_write.rs`.
//!
//! A write may be sent to a replica that lacks what its writer had seen. What a merge patch removes
//! there may arrive later, so its paths are kept as *masks* (path, unseen dots) until then.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::actor::Actor;
use crate::limits::{
    DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, DOCUMENT_GAP_MAX, DOCUMENT_INTERVALS_MAX,
    DOCUMENT_LEAVES_MAX, DOCUMENT_PATH_BYTES_MAX, DOCUMENT_SIBLINGS_MAX,
};
use crate::stamp::Stamp;

pub use super::document_context::{DocContext, DocDot};
pub use super::document_increment::Incremented;
pub use super::document_json::{Json, leaves_of, parse_json};
pub use super::document_pointer::Pointer;
pub use super::document_state::{Merged, State};
pub use super::document_view::{ConcurrentLeaf, ConcurrentLeaves};
pub use super::document_write::{Signer, Written};

/// Why a write was refused. The document is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// The bytes are not JSON, or nest too deeply to be read.
    #[error("the value is not valid JSON")]
    NotJson,
    /// Documents, and patches of them, are objects.
    #[error("a document is a JSON object")]
    NotAnObject,
    /// A leaf is a scalar or an array, in canonical form.
    #[error("a leaf of a document is a JSON scalar or array")]
    NotALeaf,
    /// Not RFC 6901.
    #[error("the path is not a JSON Pointer")]
    BadPointer,
    /// More than [`DOCUMENT_PATH_BYTES_MAX`].
    #[error("a path in the document is longer than {DOCUMENT_PATH_BYTES_MAX} bytes")]
    PathTooLong,
    /// More than [`DOCUMENT_DEPTH_MAX`].
    #[error("the document nests deeper than {DOCUMENT_DEPTH_MAX} levels")]
    TooDeep,
    /// More than [`DOCUMENT_LEAVES_MAX`].
    #[error("the document would hold more than {DOCUMENT_LEAVES_MAX} leaves")]
    TooManyLeaves,
    /// More than [`DOCUMENT_BYTES_MAX`].
    #[error("the document would hold more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    /// More than [`DOCUMENT_SIBLINGS_MAX`] at one path: its writers never read.
    #[error(
        "more than {DOCUMENT_SIBLINGS_MAX} concurrent values at one path: read before you write"
    )]
    TooManySiblings,
    /// Too many removals wait for leaves that this replica has not got.
    #[error("too many removals wait here for what the context covers: write to another node")]
    TooFarBehind,
    /// A counter leaves out more than [`DOCUMENT_GAP_MAX`] before it.
    #[error("the counters of the actor leave out more than {DOCUMENT_GAP_MAX} in this document")]
    Gap,
    /// More than [`DOCUMENT_INTERVALS_MAX`]: clients should keep their names.
    #[error(
        "the document remembers {DOCUMENT_INTERVALS_MAX} actors or gaps between their counters"
    )]
    TooManyActors,
    /// A counter is 0 or beyond what an actor may reach.
    #[error("the counter of a dot is out of range")]
    CounterOutOfRange,
    /// A client may not sign as a node does.
    #[error("the actor belongs to a node, not to a client")]
    ForeignActor,
    /// A delta names dots as seen that are neither its own nor covered by the contexts given.
    #[error("the delta claims to have seen what is neither its own nor covered by its contexts")]
    UnseenClaim,
    /// A delta holds leaves from before what a removed document may have been forgotten.
    #[error("the delta is older than removed documents are remembered")]
    TooOld,
    /// The text is not the JSON form of a state or delta.
    #[error("the delta is not the JSON form of a document's state")]
    BadState,
    /// There is something other than a number at the path.
    #[error("the value at the path is not a number")]
    NotANumber,
    /// The sum does not fit 64 bits.
    #[error("increment or decrement would overflow")]
    Overflow,
}

/// What a leaf holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeafValue {
    /// The object without members: without this leaf an empty object would not be there.
    EmptyObject,
    /// A scalar, or an array as a whole.
    Json(Json),
    /// An amount to be added.
    Increment {
        /// The amount.
        by: i64,
        /// The leaves at the path that it was made on, in order; none if there was nothing.
        bases: Vec<DocDot>,
        /// Whether it sums up several increments of one actor on the same bases. It then holds
        /// amounts that others may have seen under other dots and removed, so it counts only with
        /// a base: see `document_increment.rs`.
        folded: bool,
    },
}

/// One value at one path, put there by one write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    /// When it was written: among concurrent leaves the latest shows.
    pub stamp: Stamp,
    /// Where it stands.
    pub path: Pointer,
    /// What it holds.
    pub value: LeafValue,
}

impl Leaf {
    /// Whether it competes with other leaves at its path, as increments do not.
    pub(super) fn is_value(&self) -> bool {
        !matches!(self.value, LeafValue::Increment { .. })
    }

    /// The bytes of path and value.
    pub(super) fn size(&self) -> usize {
        let value = match &self.value {
            LeafValue::EmptyObject => 0,
            LeafValue::Json(json) => json.as_str().len(),
            LeafValue::Increment { bases, .. } => 8 + 32 * bases.len(),
        };
        self.path.as_str().len() + value
    }
}

/// A document's state on one replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    pub(super) leaves: BTreeMap<DocDot, Leaf>,
    /// Covers the dots of all leaves.
    pub(super) context: DocContext,
    /// The latest unix time in milliseconds that a change bore.
    pub(super) last_ms: u64,
    /// What was removed at and below a path before it arrived; disjoint from the context.
    pub(super) masks: BTreeMap<Pointer, DocContext>,
}

impl Document {
    /// A document that nobody has written yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The surviving leaves, in order of their dots.
    #[must_use]
    pub fn leaves(&self) -> &BTreeMap<DocDot, Leaf> {
        &self.leaves
    }

    /// All dots that were seen here.
    #[must_use]
    pub fn context(&self) -> &DocContext {
        &self.context
    }

    /// The actors that clients named (`AS`, LMERGE).
    pub fn named_actors(&self) -> impl Iterator<Item = Actor> + '_ {
        self.context
            .actors()
            .filter(|actor| self.context.is_named(*actor))
    }

    /// Whether no leaf is left; the context may be.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.leaves.is_empty()
    }

    /// For a removed document whose writers named dots themselves, the unix time in milliseconds
    /// until which its context must be kept, so that neither a late retry nor an old outbox brings
    /// it back. `None` for any other: a removed one then goes as soon as that is settled.
    #[must_use]
    pub fn kept_until(&self, forget_after_ms: u64) -> Option<u64> {
        let must_be_kept = self.is_removed() && self.named_actors().next().is_some();
        must_be_kept.then(|| self.last_ms.saturating_add(forget_after_ms))
    }

    /// The latest stamp of any leaf.
    #[must_use]
    pub fn latest_stamp(&self) -> Stamp {
        self.leaves
            .values()
            .map(|leaf| leaf.stamp)
            .max()
            .unwrap_or_default()
    }

    /// About how many bytes the document takes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let masks: usize = self.masks.values().map(|dots| 64 + dots.heap_bytes()).sum();
        let leaves = self.leaves.len() * (size_of::<DocDot>() + size_of::<Leaf>() + 16);
        self.size() + leaves + self.context.heap_bytes() + masks
    }

    /// The bytes of all paths and values.
    pub(super) fn size(&self) -> usize {
        self.leaves.values().map(Leaf::size).sum()
    }

    /// Takes over what `other` knows. Commutative, associative, idempotent.
    ///
    /// A leaf stays if both have it, or if one has it and the other has not seen its dot. Two
    /// leaves under one dot come about only when a retry with `AS` was stamped by another node;
    /// the greater one is taken, by stamp first.
    pub fn join(&mut self, other: &Self) {
        self.leaves.retain(|dot, leaf| match other.leaves.get(dot) {
            Some(theirs) => {
                if theirs > leaf {
                    *leaf = theirs.clone();
                }
                true
            }
            None => !other.context.contains(*dot) && !is_masked(&other.masks, *dot, leaf),
        });
        for (dot, leaf) in &other.leaves {
            if !self.context.contains(*dot) && !is_masked(&self.masks, *dot, leaf) {
                self.leaves.insert(*dot, leaf.clone());
            }
        }
        self.context.join(&other.context);
        self.last_ms = self.last_ms.max(other.last_ms);
        for (path, dots) in &other.masks {
            self.masks.entry(path.clone()).or_default().join(dots);
        }
        self.trim_masks();
    }

    /// Drops from the masks what has arrived.
    pub(super) fn trim_masks(&mut self) {
        self.masks.retain(|_, dots| {
            *dots = dots.minus(&self.context);
            !dots.is_empty()
        });
    }
}

/// Whether a leaf that arrives was removed beforehand.
pub(super) fn is_masked(masks: &BTreeMap<Pointer, DocContext>, dot: DocDot, leaf: &Leaf) -> bool {
    masks
        .iter()
        .any(|(path, dots)| dots.contains(dot) && leaf.path.is_within(path))
}
