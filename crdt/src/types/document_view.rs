//! What a reader is shown of a document's leaves.
//!
//! The rules, each a function of the leaves alone, so that equal states show equal objects:
//!
//! - Objects merge: a member is there if anything in it is.
//! - Among concurrent values at one path the one with the latest (stamp, dot) shows.
//! - Where a value and an object meet at one path (`/a` is 5, `/a/b` is 1), the side that holds
//!   the latest (stamp, dot) shows, and the other is hidden as a whole. `{}` is on the object's
//!   side.
//! - An increment counts if it was made on the value that shows. Without any value at the path all
//!   increments there count, except folded ones none of whose bases is left.
//! - Members come in the order of their names' bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use crate::stamp::Stamp;
use crate::types::document_causal::{Document, Leaf, LeafValue};
use crate::types::document_context::DocDot;
use crate::types::document_json::canonical_number;
use crate::types::document_pointer::Pointer;

/// One of several concurrent leaves at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcurrentLeaf<'a> {
    /// Which write put it there.
    pub dot: DocDot,
    /// When.
    pub stamp: Stamp,
    /// What.
    pub value: &'a LeafValue,
    /// Whether it is what readers see, or counts in it.
    pub shown: bool,
}

/// All leaves of a path that has more than one value, or any that is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConcurrentLeaves<'a> {
    /// The path.
    pub path: &'a Pointer,
    /// The leaves there, in order of their dots.
    pub leaves: Vec<ConcurrentLeaf<'a>>,
}

/// Later wins: stamp, then dot.
type Rank = (Stamp, DocDot);

/// What shows at a path, and why.
struct Shown {
    value: Value,
    rank: Rank,
    dots: Vec<DocDot>,
}

/// A leaf under its dot.
pub type Placed<'a> = (DocDot, &'a Leaf);

/// The leaf among the shown ones that shows in place of what stands at `path`.
fn winner_of<'a>(winners: &BTreeMap<&str, Placed<'a>>, path: &Pointer) -> Option<Placed<'a>> {
    let here = winners.get(path.as_str());
    let begin = format!("{path}/");
    let below = winners.range(begin.as_str()..);
    let below = below.take_while(|(other, _)| other.starts_with(&begin));
    let below = below.map(|(_, placed)| placed);
    let above = path.above().filter_map(|path| winners.get(path));
    here.or_else(|| below.max_by_key(|(dot, leaf)| (leaf.stamp, *dot)))
        .or_else(|| above.last())
        .copied()
}

#[derive(Default)]
struct Node<'a> {
    leaves: Vec<(DocDot, &'a Leaf)>,
    members: BTreeMap<Cow<'a, str>, Self>,
}

impl<'a> Node<'a> {
    fn of(document: &'a Document) -> Self {
        let mut root = Self::default();
        for (dot, leaf) in &document.leaves {
            let mut node = &mut root;
            for name in leaf.path.names() {
                node = node.members.entry(name).or_default();
            }
            node.leaves.push((*dot, leaf));
        }
        root
    }

    /// Recursive, but no path is deeper than `DOCUMENT_DEPTH_MAX`.
    fn resolve(&self) -> Option<Shown> {
        match (resolve_value(&self.leaves), self.resolve_object()) {
            (Some(value), Some(object)) if value.rank > object.rank => Some(value),
            (value, object) => object.or(value),
        }
    }

    fn resolve_object(&self) -> Option<Shown> {
        let mut members = Map::new();
        let mut dots = Vec::new();
        let mut rank = None;
        for (dot, leaf) in &self.leaves {
            if leaf.value == LeafValue::EmptyObject {
                rank = rank.max(Some((leaf.stamp, *dot)));
                dots.push(*dot);
            }
        }
        for (name, member) in &self.members {
            if let Some(shown) = member.resolve() {
                members.insert(name.clone().into_owned(), shown.value);
                rank = rank.max(Some(shown.rank));
                dots.extend(shown.dots);
            }
        }
        rank.map(|rank| Shown {
            value: Value::Object(members),
            rank,
            dots,
        })
    }
}

/// The values and increments at one path, without regard to an object there.
fn resolve_value(leaves: &[(DocDot, &Leaf)]) -> Option<Shown> {
    let values = leaves.iter().filter_map(|(dot, leaf)| match &leaf.value {
        LeafValue::Json(json) => Some(((leaf.stamp, *dot), json)),
        LeafValue::EmptyObject | LeafValue::Increment { .. } => None,
    });
    let latest = values.max_by_key(|(rank, _)| *rank);
    let base = latest.as_ref().map(|(rank, json)| (rank.1, json.number()));
    let mut sum = 0i128;
    let mut dots = Vec::new();
    let mut rank = latest.as_ref().map(|(rank, _)| *rank);
    for (dot, leaf) in leaves {
        let LeafValue::Increment { by, bases, folded } = &leaf.value else {
            continue;
        };
        let counts = match &base {
            Some((base, number)) => number.is_some() && bases.contains(base),
            None => !folded || is_any_left(bases, leaves),
        };
        if counts {
            sum += i128::from(*by);
            dots.push(*dot);
            rank = rank.max(Some((leaf.stamp, *dot)));
        }
    }
    let value = match (latest, base) {
        (Some((_, json)), Some((base, number))) => {
            dots.push(base);
            match number {
                Some(number) if sum != 0 => Value::Number(add(&number, sum)),
                _ => json.value(),
            }
        }
        _ => Value::Number(add(&Number::from(0), sum)),
    };
    rank.map(|rank| Shown { value, rank, dots })
}

/// Whether one of the leaves that an increment was made on is still among those of its path.
pub(super) fn is_any_left(bases: &[DocDot], leaves: &[(DocDot, &Leaf)]) -> bool {
    bases
        .iter()
        .any(|base| leaves.iter().any(|(dot, _)| dot == base))
}

/// Adds increments to a base. A sum beyond 64 bits, which only concurrent increments can reach,
/// stays at the end of the range.
pub(super) fn add(base: &Number, sum: i128) -> Number {
    let integer = base
        .as_i64()
        .map(i128::from)
        .or(base.as_u64().map(i128::from));
    match (integer, base.as_f64()) {
        (Some(integer), _) => {
            let total = (integer + sum).clamp(i128::from(i64::MIN), i128::from(u64::MAX));
            match (i64::try_from(total), u64::try_from(total)) {
                (Ok(total), _) => Number::from(total),
                (_, Ok(total)) => Number::from(total),
                _ => base.clone(),
            }
        }
        (None, Some(float)) => {
            let total = Number::from_f64(float + sum as f64);
            canonical_number(&total.unwrap_or_else(|| base.clone()))
        }
        (None, None) => base.clone(),
    }
}

impl Document {
    /// The merged JSON object, or `None` if nothing is there.
    #[must_use]
    pub fn view(&self) -> Option<Value> {
        Node::of(self).resolve_object().map(|shown| shown.value)
    }

    /// The part of the merged object that `path` names, into arrays as well (RFC 6901).
    #[must_use]
    pub fn view_at(&self, path: &Pointer) -> Option<Value> {
        self.view()?.pointer_mut(path.as_str()).map(Value::take)
    }

    /// The paths where writers disagree: more than one value, or any that is not shown, be it an
    /// increment on a replaced base, or a value hidden by an object above or below it.
    #[must_use]
    pub fn siblings(&self) -> Vec<ConcurrentLeaves<'_>> {
        let shown: BTreeSet<DocDot> = Node::of(self)
            .resolve_object()
            .map(|shown| shown.dots)
            .into_iter()
            .flatten()
            .collect();
        let mut by_path: BTreeMap<&Pointer, Vec<ConcurrentLeaf<'_>>> = BTreeMap::new();
        for (dot, Leaf { stamp, path, value }) in &self.leaves {
            let shown = shown.contains(dot);
            let leaf = ConcurrentLeaf {
                dot: *dot,
                stamp: *stamp,
                value,
                shown,
            };
            by_path.entry(path).or_default().push(leaf);
        }
        by_path.retain(|_, leaves| {
            let is_value = |leaf: &&ConcurrentLeaf<'_>| matches!(leaf.value, LeafValue::Json(_));
            leaves.iter().filter(is_value).count() > 1 || leaves.iter().any(|leaf| !leaf.shown)
        });
        by_path
            .into_iter()
            .map(|(path, leaves)| ConcurrentLeaves { path, leaves })
            .collect()
    }

    /// The leaves that are not shown, in order of their dots, each with the one that shows in its
    /// place: the latest at its path, or below it, or at the nearest one above that has any. A leaf
    /// that holds what shows in its place has lost nothing.
    #[must_use]
    pub fn lost_leaves(&self) -> Vec<(Placed<'_>, Placed<'_>)> {
        if !self.may_disagree() {
            return Vec::new();
        }
        let shown = Node::of(self).resolve_object();
        let shown: BTreeSet<DocDot> = shown.into_iter().flat_map(|shown| shown.dots).collect();
        let mut winners: BTreeMap<&str, Placed<'_>> = BTreeMap::new();
        for (dot, leaf) in &self.leaves {
            // Increments stand for what they were made on.
            let rank = |dot: DocDot, leaf: &Leaf| (leaf.is_value(), leaf.stamp, dot);
            let is_later = |(other, known): &Placed<'_>| rank(*dot, leaf) > rank(*other, known);
            let path = leaf.path.as_str();
            if shown.contains(dot) && winners.get(path).is_none_or(is_later) {
                winners.insert(path, (*dot, leaf));
            }
        }
        let mut lost = Vec::new();
        for (dot, leaf) in self.leaves.iter().filter(|(dot, _)| !shown.contains(dot)) {
            let winner = winner_of(&winners, &leaf.path);
            if let Some(winner) = winner
                && !(leaf.is_value() && winner.1.path == leaf.path && winner.1.value == leaf.value)
            {
                lost.push(((*dot, leaf), winner));
            }
        }
        lost
    }

    /// Whether two leaves stand at one path, or one below the value at another's. Where not, all
    /// are shown.
    fn may_disagree(&self) -> bool {
        let mut leaves: Vec<&Leaf> = self.leaves.values().collect();
        // Leaves of one write stand in this order already.
        leaves.sort_by(|a, b| a.path.cmp_nested(&b.path));
        let (mut before, mut value): (Option<&Pointer>, Option<&Pointer>) = (None, None);
        for leaf in leaves {
            if before == Some(&leaf.path) || value.is_some_and(|value| leaf.path.is_within(value)) {
                return true;
            }
            before = Some(&leaf.path);
            if leaf.value != LeafValue::EmptyObject {
                value = before;
            }
        }
        false
    }

    /// The leaves at `path` itself, in order of their dots.
    pub(super) fn leaves_at(&self, path: &Pointer) -> Vec<(DocDot, &Leaf)> {
        let here = self.leaves.iter().filter(|(_, leaf)| leaf.path == *path);
        here.map(|(dot, leaf)| (*dot, leaf)).collect()
    }
}
