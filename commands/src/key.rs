//! What a key's row shows, and the ways in which commands replace it.
//!
//! A row may hold siblings of several types: registers and counters, which make one string
//! together, and documents. Where strings and documents meet by concurrency, the type with the
//! latest stamp shows and the other waits behind it; DEL removes both.
//!
//! ```text
//! register "5" @17   counter +2 @18   document {…} @16        GET shows "7", LGET says WRONGTYPE
//! ```

use std::borrow::Cow;
use std::num::NonZeroU64;

use larder_cluster::copy::Edit;
use larder_cluster::element::Family;
use larder_crdt::types::counter_dotted::Counter;
use larder_crdt::types::document_causal::Document;
use larder_crdt::types::register_lww::{
    has_string, is_whole_string, joined_counter, visible_hyperloglog, visible_register,
    visible_string,
};
use larder_crdt::{Row, Sibling, Stamp, Value};

use crate::error::CommandError;

/// What a key is to readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It does not exist.
    Missing,
    /// A string.
    String,
    /// A document.
    Document,
    /// A collection.
    Collection(Family),
}

impl Kind {
    /// What TYPE answers.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Missing => "none",
            Self::String => "string",
            Self::Document => "document",
            Self::Collection(family) => match family {
                Family::HASH => "hash",
                Family::SET => "set",
                Family::SORTED_SET => "zset",
                Family::LIST => "list",
                Family::STREAM => "stream",
                _ => "string",
            },
        }
    }
}

fn is_live(sibling: &Sibling, now_ms: u64) -> bool {
    !sibling.is_expired(now_ms) && !sibling.value.is_reset()
}

/// What the key is at `now_ms`.
pub(crate) fn kind(row: &Row, now_ms: u64) -> Kind {
    match row.siblings() {
        [] => Kind::Missing,
        [only] if !is_live(only, now_ms) => Kind::Missing,
        [only] => match only.value {
            Value::Register(_) | Value::Counter(_) | Value::HyperLogLog(_) => Kind::String,
            Value::Document(_) => Kind::Document,
            // Scores are of elements, whose rows are not asked for a kind.
            Value::Score(_) => Kind::Missing,
            Value::Mask(_) => Kind::Missing,
        },
        _ => kind_of_several(row, now_ms),
    }
}

fn kind_of_several(row: &Row, now_ms: u64) -> Kind {
    let latest = |is_document: bool| -> Option<Stamp> {
        let siblings = row
            .siblings()
            .iter()
            .filter(|sibling| is_live(sibling, now_ms));
        siblings
            .filter(|sibling| matches!(sibling.value, Value::Document(_)) == is_document)
            .map(|sibling| sibling.stamp)
            .max()
    };
    let string = latest(false).filter(|_| has_string(row, now_ms));
    let document = latest(true)
        .filter(|_| joined_document(row, now_ms).is_some_and(|document| !document.is_removed()));
    match (string, document) {
        (None, None) => Kind::Missing,
        (string, document) if string >= document => Kind::String,
        _ => Kind::Document,
    }
}

/// Whether the key exists at `now_ms`.
pub(crate) fn exists(row: &Row, now_ms: u64) -> bool {
    kind(row, now_ms) != Kind::Missing
}

/// The string that shows; `None` if the key does not exist.
#[inline]
pub(crate) fn string(row: &Row, now_ms: u64) -> Result<Option<Cow<'_, [u8]>>, CommandError> {
    match row.siblings() {
        [] => Ok(None),
        [
            Sibling {
                value: Value::Register(_),
                ..
            },
        ] => Ok(visible_string(row, now_ms)),
        _ => match kind(row, now_ms) {
            Kind::Missing => Ok(None),
            Kind::String => Ok(visible_string(row, now_ms)),
            Kind::Document | Kind::Collection(_) => Err(CommandError::WrongType),
        },
    }
}

/// The join of all documents in the row, removed ones included; `None` if there is none.
pub(crate) fn joined_document(row: &Row, now_ms: u64) -> Option<Cow<'_, Document>> {
    let mut joined: Option<Cow<'_, Document>> = None;
    for sibling in row.siblings() {
        if let Value::Document(document) = &sibling.value
            && !sibling.is_expired(now_ms)
        {
            match &mut joined {
                Some(other) => other.to_mut().join(document),
                None => joined = Some(Cow::Borrowed(document)),
            }
        }
    }
    joined
}

/// The state of the document: the join of all, an empty one if there is none.
pub(crate) fn document(row: &Row, now_ms: u64) -> Result<Cow<'_, Document>, CommandError> {
    if kind(row, now_ms) == Kind::String {
        return Err(CommandError::WrongType);
    }
    Ok(joined_document(row, now_ms).unwrap_or_default())
}

/// When the key ends: the latest deadline among the siblings that show, none if one has none.
pub(crate) fn deadline(row: &Row, now_ms: u64) -> Option<NonZeroU64> {
    let shown = kind(row, now_ms);
    let register = visible_register(row, now_ms).map(|(sibling, _)| sibling);
    let others = row.siblings().iter().filter(|sibling| {
        is_live(sibling, now_ms)
            && match sibling.value {
                Value::Register(_) | Value::Score(_) | Value::Mask(_) => false,
                Value::Counter(_) | Value::HyperLogLog(_) => shown == Kind::String,
                Value::Document(_) => shown == Kind::Document,
            }
    });
    let register = register.filter(|_| shown == Kind::String);
    others
        .chain(register)
        .map(life)
        .max()
        .and_then(|life| NonZeroU64::new(life & !FOREVER))
}

const FOREVER: u64 = 1 << 63;

/// A number that orders deadlines; the deadline itself if there is one.
fn life(sibling: &Sibling) -> u64 {
    sibling
        .deadline
        .map_or(FOREVER, |deadline| deadline.get().min(FOREVER - 1))
}

fn is_counter(sibling: &Sibling) -> bool {
    matches!(sibling.value, Value::Counter(_))
}

fn is_document(sibling: &Sibling) -> bool {
    matches!(sibling.value, Value::Document(_))
}

/// Removes what the edit observes, of every type. What must be remembered of counters and documents
/// stays as resets. Says whether the key existed.
pub(crate) fn remove(edit: &mut Edit<'_>, now_ms: u64) -> bool {
    let existed = exists(edit.row(), now_ms);
    clear(edit, now_ms);
    existed
}

/// Removes what the edit observes but for documents.
pub(crate) fn remove_string(edit: &mut Edit<'_>, now_ms: u64) {
    edit.remove(is_whole_string);
    reset_counters(edit, now_ms);
}

fn clear(edit: &mut Edit<'_>, now_ms: u64) {
    // The usual row needs no look at other types.
    let is_plain = edit.row().siblings().iter().all(is_whole_string);
    edit.remove(is_whole_string);
    if is_plain {
        return;
    }
    reset_counters(edit, now_ms);
    reset_documents(edit, now_ms);
}

/// Takes back the increments that the edit observes; what must be remembered of them stays.
pub(crate) fn reset_counters(edit: &mut Edit<'_>, now_ms: u64) {
    let counters = || {
        edit.row()
            .siblings()
            .iter()
            .filter(|sibling| is_counter(sibling))
    };
    if counters().all(|sibling| sibling.value.is_reset()) {
        return;
    }
    let mut counter = joined_counter(edit.row(), now_ms).unwrap_or_default();
    counter.reset();
    edit.remove(is_counter);
    // A reset has no deadline: the amounts that it takes back may arrive at any time.
    edit.insert(edit.stamp(), None, |_| Value::Counter(Box::new(counter)));
}

fn reset_documents(edit: &mut Edit<'_>, now_ms: u64) {
    let documents = || {
        edit.row()
            .siblings()
            .iter()
            .filter(|sibling| is_document(sibling))
    };
    if documents().all(|sibling| sibling.value.is_reset()) {
        return;
    }
    let stamp = edit.stamp();
    let mut document = joined_document(edit.row(), now_ms)
        .unwrap_or_default()
        .into_owned();
    document.remove_all(stamp);
    edit.remove(is_document);
    edit.insert(stamp, None, |_| Value::Document(Box::new(document)));
}

/// Puts a string in place of everything observed. A deadline that has passed puts nothing there.
#[inline]
pub(crate) fn replace(
    edit: &mut Edit<'_>,
    now_ms: u64,
    value: &[u8],
    deadline: Option<NonZeroU64>,
) {
    clear(edit, now_ms);
    if deadline.is_none_or(|deadline| deadline.get() > now_ms) {
        edit.insert(edit.stamp(), deadline, |_| Value::Register(value.into()));
    }
}

/// Dots that one write to a document may take, as a power of two, with room to spare.
const DOTS_PER_WRITE_BITS: u32 = 20;

/// Makes sure that the actor of this edit signs no dot of the document twice. It may have signed
/// some before the document was forgotten or expired with its context; readers may still hold
/// contexts with those, and one of them may have brought some back into the context by LDEL or
/// LMERGE, here or on another node. The counter of the edit grows with every change, so all dots
/// that it could have taken until now count as spent.
pub(crate) fn begin_signing(document: &mut Document, edit: &Edit<'_>) {
    document.spend(edit.actor(), edit.next_counter() << DOTS_PER_WRITE_BITS);
}

/// Puts a document's new state in place of the states observed.
pub(crate) fn replace_document(
    edit: &mut Edit<'_>,
    document: Document,
    deadline: Option<NonZeroU64>,
) {
    // Of a removed document the context must stay, whenever the key would have ended.
    let deadline = deadline.filter(|_| !document.is_removed());
    edit.remove(is_document);
    edit.insert(edit.stamp(), deadline, |_| {
        Value::Document(Box::new(document))
    });
}

/// Puts a counter in place of the counters observed; registers stay.
pub(crate) fn replace_counter(
    edit: &mut Edit<'_>,
    deadline: Option<NonZeroU64>,
    counter: impl FnOnce(larder_crdt::Dot) -> Counter,
) {
    edit.remove(is_counter);
    edit.insert(edit.stamp(), deadline, |dot| {
        Value::Counter(Box::new(counter(dot)))
    });
}

/// Lets a missing key show 0. The stamp is the lowest, so that any other write shows over it.
pub(crate) fn ensure_zero(edit: &mut Edit<'_>, now_ms: u64) {
    if !exists(edit.row(), now_ms) {
        edit.insert(Stamp::ZERO, None, |_| {
            Value::Register(b"0".as_slice().into())
        });
    }
}

/// Writes everything that shows anew, under fresh dots and the old stamps, with another deadline:
/// a deadline never changes under its dot. What is hidden behind it goes.
pub(crate) fn change_deadline(edit: &mut Edit<'_>, now_ms: u64, deadline: Option<NonZeroU64>) {
    match kind(edit.row(), now_ms) {
        Kind::Missing | Kind::Collection(_) => {}
        Kind::String => {
            if let Some((stamp, value)) = whole_string(edit.row(), now_ms) {
                edit.remove(is_whole_string);
                edit.insert(stamp, deadline, |_| value);
            }
            let counter = joined_counter(edit.row(), now_ms).filter(|joined| !joined.is_reset());
            if let Some(counter) = counter {
                let stamp = latest_stamp(edit.row(), is_counter);
                edit.remove(is_counter);
                edit.insert(stamp, deadline, |_| Value::Counter(Box::new(counter)));
            }
        }
        Kind::Document => {
            let document = joined_document(edit.row(), now_ms)
                .unwrap_or_default()
                .into_owned();
            let stamp = latest_stamp(edit.row(), is_document);
            edit.remove(is_document);
            edit.insert(stamp, deadline, |_| Value::Document(Box::new(document)));
        }
    }
}

/// What shows of the row but for counters, and when it was written.
fn whole_string(row: &Row, now_ms: u64) -> Option<(Stamp, Value)> {
    let is_log = |sibling: &Sibling| matches!(sibling.value, Value::HyperLogLog(_));
    if row.siblings().iter().any(is_log)
        && let Ok(Some(log)) = visible_hyperloglog(row, now_ms)
    {
        let stamp = latest_stamp(row, is_whole_string);
        return Some((stamp, Value::HyperLogLog(Box::new(log))));
    }
    let (sibling, bytes) = visible_register(row, now_ms)?;
    Some((sibling.stamp, Value::Register(bytes.into())))
}

fn latest_stamp(row: &Row, which: impl Fn(&Sibling) -> bool) -> Stamp {
    let siblings = row.siblings().iter().filter(|sibling| which(sibling));
    siblings
        .map(|sibling| sibling.stamp)
        .max()
        .unwrap_or_default()
}
