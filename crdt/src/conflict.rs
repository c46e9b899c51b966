//! Values that lost: what the readers of a row with concurrent siblings are not shown.
//!
//! ```text
//! value   SET x a ∥ SET x b      two registers: the later stamp shows
//! leaf    LPUT ∥ LPUT            two leaves of one path, or a value and an object there
//! type    SET x a ∥ LPUT x {…}   a string and a document, or a text and increments
//! ```
//!
//! What two replicas hold of a row before and after they meet says which values lost just now, so
//! that nobody has to remember which are known. Equal values do not lose against each other.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::dot::Dot;
use crate::limits::CONFLICT_VALUE_BYTES_MAX;
use crate::row::{Row, Sibling};
use crate::stamp::Stamp;
use crate::types::counter_dotted::Counter;
use crate::types::document_causal::{DocDot, Document, Leaf, LeafValue, Pointer};
use crate::types::hyperloglog::HyperLogLog;
use crate::types::register_lww::{
    float_text, has_string, joined_counter, parse_float, parse_integer, sum_text,
    visible_hyperloglog, visible_register, visible_string,
};
use crate::value::Value;

/// What kind of value lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictKind {
    /// A string, against another.
    Value,
    /// A leaf of a document, against another.
    Leaf,
    /// A value of one type, against one of another.
    Type,
}

impl ConflictKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Value, Self::Leaf, Self::Type];

    /// As operators read it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Leaf => "leaf",
            Self::Type => "type",
        }
    }
}

/// The change that wrote a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictDot {
    /// One of the partition's.
    Row(Dot),
    /// One inside the document.
    Leaf(DocDot),
}

/// One of the two values of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Which change wrote it.
    pub dot: ConflictDot,
    /// When.
    pub stamp: Stamp,
    /// Its first [`CONFLICT_VALUE_BYTES_MAX`] bytes.
    pub value: Box<[u8]>,
    /// How long it is as a whole.
    pub bytes: usize,
}

impl Side {
    fn new(dot: ConflictDot, stamp: Stamp, value: &[u8]) -> Self {
        let cut = value.get(..CONFLICT_VALUE_BYTES_MAX).unwrap_or(value);
        Self {
            dot,
            stamp,
            value: cut.into(),
            bytes: value.len(),
        }
    }

    fn of_sibling(sibling: &Sibling, value: &[u8]) -> Self {
        Self::new(ConflictDot::Row(sibling.dot), sibling.stamp, value)
    }

    fn of_leaf(dot: DocDot, leaf: &Leaf) -> Self {
        let dot = ConflictDot::Leaf(dot);
        match &leaf.value {
            LeafValue::EmptyObject => Self::new(dot, leaf.stamp, b"{}"),
            LeafValue::Json(json) => Self::new(dot, leaf.stamp, json.as_str().as_bytes()),
            LeafValue::Increment { by, .. } => {
                Self::new(dot, leaf.stamp, format!("{by:+}").as_bytes())
            }
        }
    }
}

/// A value that is not shown, because another is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Of what kind.
    pub kind: ConflictKind,
    /// Where in the document, for a leaf.
    pub path: Option<Pointer>,
    /// What is not shown.
    pub loser: Side,
    /// What is.
    pub winner: Side,
}

/// The values that lost at `now_ms` when a row became `after`; `known` tells the [`losers`] of the
/// row as it was, if that matters.
#[must_use]
pub fn lost(
    known: impl FnOnce() -> BTreeSet<ConflictDot>,
    after: &Row,
    now_ms: u64,
) -> Vec<Conflict> {
    let mut found = conflicts(after, now_ms);
    if !found.is_empty() {
        let known = known();
        found.retain(|conflict| !known.contains(&conflict.loser.dot));
    }
    found
}

/// The changes whose values are not shown at `now_ms`.
#[must_use]
pub fn losers(row: &Row, now_ms: u64) -> BTreeSet<ConflictDot> {
    let found = conflicts(row, now_ms);
    found.iter().map(|conflict| conflict.loser.dot).collect()
}

/// All values that are not shown at `now_ms`, in order of their dots, leaves by their paths.
#[must_use]
pub fn conflicts(row: &Row, now_ms: u64) -> Vec<Conflict> {
    match row.siblings() {
        [] => Vec::new(),
        [only] => match &only.value {
            Value::Document(document) if !only.is_expired(now_ms) => of_leaves(document),
            _ => Vec::new(),
        },
        _ => of_siblings(row, now_ms),
    }
}

fn of_siblings(row: &Row, now_ms: u64) -> Vec<Conflict> {
    let is_live = |sibling: &&Sibling| !sibling.is_expired(now_ms) && !sibling.value.is_reset();
    let live: Vec<&Sibling> = row.siblings().iter().filter(is_live).collect();
    let is_document = |sibling: &Sibling| matches!(sibling.value, Value::Document(_));
    let latest = |documents: bool| {
        let of_type = live.iter().filter(|live| is_document(live) == documents);
        of_type.copied().max_by_key(|sibling| sibling.stamp)
    };
    let document = joined_document(&live).filter(|document| !document.is_removed());
    let string = latest(false).filter(|_| has_string(row, now_ms));
    let (shown, hides_documents) = match (string, latest(true), &document) {
        (Some(string), Some(sibling), Some(document)) if sibling.stamp > string.stamp => {
            (Side::of_sibling(sibling, &text_of(document)), false)
        }
        (Some(string), ..) => {
            let value = visible_string(row, now_ms).unwrap_or_default();
            (Side::of_sibling(string, &value), true)
        }
        (None, _, Some(document)) => return of_leaves(document),
        (None, ..) => return Vec::new(),
    };
    let mut found: Vec<Conflict> = Vec::new();
    for sibling in live
        .iter()
        .filter(|live| is_document(live) == hides_documents)
    {
        found.push(Conflict {
            kind: ConflictKind::Type,
            path: None,
            loser: Side::of_sibling(sibling, &value_text(&sibling.value)),
            winner: shown.clone(),
        });
    }
    if hides_documents {
        of_strings(row, &live, now_ms, &mut found);
    } else if let Some(document) = &document {
        found.append(&mut of_leaves(document));
    }
    found
}

/// The strings and increments that are not in the string which shows.
fn of_strings(row: &Row, live: &[&Sibling], now_ms: u64, found: &mut Vec<Conflict>) {
    let Some((sibling, shown)) = visible_register(row, now_ms) else {
        return;
    };
    let is_log = |live: &&&Sibling| matches!(live.value, Value::HyperLogLog(_));
    let logs = live.iter().filter(is_log);
    let log = logs
        .max_by_key(|sibling| sibling.stamp)
        .filter(|_| visible_hyperloglog(row, now_ms).is_ok());
    let joins = log.is_none() || HyperLogLog::from_bytes(shown).is_ok();
    let winner = match log {
        Some(log) => Side::of_sibling(log, &visible_string(row, now_ms).unwrap_or_default()),
        None => Side::of_sibling(sibling, shown),
    };
    let counts = parse_integer(shown).is_some()
        || parse_float(shown).is_some()
        || joined_counter(row, now_ms).is_none_or(|counter| counter.is_reset());
    for sibling in live {
        let kind = match &sibling.value {
            Value::Register(bytes) if **bytes != *shown || !joins => ConflictKind::Value,
            Value::HyperLogLog(_) if log.is_none() => ConflictKind::Value,
            Value::Counter(_) if !counts => ConflictKind::Type,
            _ => continue,
        };
        found.push(Conflict {
            kind,
            path: None,
            loser: Side::of_sibling(sibling, &value_text(&sibling.value)),
            winner: winner.clone(),
        });
    }
}

fn of_leaves(document: &Document) -> Vec<Conflict> {
    let lost = document.lost_leaves().into_iter();
    lost.map(|((dot, leaf), (winning, winner))| Conflict {
        kind: ConflictKind::Leaf,
        path: Some(leaf.path.clone()),
        loser: Side::of_leaf(dot, leaf),
        winner: Side::of_leaf(winning, winner),
    })
    .collect()
}

fn joined_document<'a>(live: &[&'a Sibling]) -> Option<Cow<'a, Document>> {
    let mut joined: Option<Cow<'a, Document>> = None;
    for sibling in live {
        if let Value::Document(document) = &sibling.value {
            match &mut joined {
                Some(other) => other.to_mut().join(document),
                None => joined = Some(Cow::Borrowed(document)),
            }
        }
    }
    joined
}

fn text_of(document: &Document) -> Vec<u8> {
    let view = document.view();
    view.map_or_else(Vec::new, |view| view.to_string().into_bytes())
}

fn value_text(value: &Value) -> Cow<'_, [u8]> {
    let sum = |counter: &Counter| sum_text(0, counter.sum());
    match value {
        Value::Register(bytes) => Cow::Borrowed(bytes),
        Value::Counter(counter) => Cow::Owned(sum(counter)),
        Value::Document(document) => Cow::Owned(text_of(document)),
        Value::Score(score) => Cow::Owned(float_text(score.value())),
        Value::HyperLogLog(log) => Cow::Owned(log.to_bytes()),
        Value::Mask(_) => Cow::Borrowed(b""),
    }
}
