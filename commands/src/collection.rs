//! Keys that are collections: what a key shows when its own row and its collections are looked at
//! together, and how all of it is removed.
//!
//! A key shows one type. Where writes that had not seen each other left several, the one with the
//! latest stamp shows, and the next write that sees them removes the others. (Of a collection the
//! first [`STAMPED_MAX`] elements are asked for their stamps: on every replica the same ones.)

use std::num::NonZeroU64;

use larder_cluster::element::{self, Ending, Family, Role};
use larder_cluster::rows::Span;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::types::register_lww::joined_counter;
use larder_crdt::{Clock, Row, Stamp, Value};

use crate::call::Call;
use crate::error::CommandError;
use crate::key::{self, Kind};

/// Elements of a collection that are asked for their stamps where types meet.
const STAMPED_MAX: usize = 1024;
/// Elements with increments that are reset at a time.
const COUNTING_AT_ONCE: usize = 512;
/// In the place of a deadline: there is none, and PERSIST has said so.
const FOREVER: u64 = 0;

/// The families of a key that have not expired, each with its deadline.
type Alive = Vec<(Family, Option<NonZeroU64>)>;

fn alive(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    now_ms: u64,
) -> Result<Alive, CommandError> {
    let mut alive = Vec::new();
    for family in transaction.families(key)? {
        let deadline = deadline_of(transaction, key, family)?;
        if deadline.is_none_or(|deadline| deadline.get() > now_ms) {
            alive.push((family, deadline));
        }
    }
    Ok(alive)
}

/// The deadline of a collection: the latest of concurrent ones, none if one of them is none.
fn deadline_of(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
) -> Result<Option<NonZeroU64>, CommandError> {
    let place = transaction.element(key, &family.element(Role::DEADLINE, b""));
    let row = transaction.try_row(&place)?;
    Ok(match element::ending(row) {
        Ending::Never => None,
        Ending::At(deadline) => Some(deadline),
        Ending::Closed => Some(NonZeroU64::MIN),
    })
}

/// What a key is to readers.
#[inline]
pub(crate) fn kind(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    now_ms: u64,
) -> Result<Kind, CommandError> {
    Ok(shown(transaction, key, now_ms)?.0)
}

/// What a key is to readers, and when it ends.
pub(crate) fn shown(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    now_ms: u64,
) -> Result<(Kind, Option<NonZeroU64>), CommandError> {
    let families = alive(transaction, key, now_ms)?;
    let row = transaction.try_row(key)?;
    let own = (key::kind(row, now_ms), key::deadline(row, now_ms));
    match (&families[..], own.0) {
        ([], _) => Ok(own),
        ([(family, deadline)], Kind::Missing) => Ok((Kind::Collection(*family), *deadline)),
        _ => {
            let mut latest = (row.latest_stamp(), own);
            if own.0 == Kind::Missing {
                latest.0 = Stamp::ZERO;
            }
            for (family, deadline) in families {
                let stamp = latest_stamp(transaction, key, family)?;
                if stamp >= latest.0 {
                    latest = (stamp, (Kind::Collection(family), deadline));
                }
            }
            Ok(latest.1)
        }
    }
}

fn latest_stamp(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
) -> Result<Stamp, CommandError> {
    let span = Span::of_prefix(&family.element(Role::MEMBER, b""));
    let some = transaction.range(key, &span, STAMPED_MAX)?;
    let stamps = some.iter().map(|(_, row)| row.latest_stamp());
    Ok(stamps.max().unwrap_or_default())
}

/// Whether the key exists, whatever it is.
pub(crate) fn exists(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    now_ms: u64,
) -> Result<bool, CommandError> {
    Ok(kind(transaction, key, now_ms)? != Kind::Missing)
}

/// Removes all that this node has seen under a key, of every type. Says whether the key existed.
pub(crate) fn remove(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    now_ms: u64,
) -> Result<bool, CommandError> {
    let existed = exists(transaction, key, now_ms)?;
    remove_collections(transaction, key, |_| true)?;
    // A key that is not there takes no dot and no room.
    if key::exists(transaction.try_row(key)?, now_ms) {
        transaction.edit(key, |edit| key::remove(edit, now_ms))?;
    }
    Ok(existed)
}

/// Removes the collections of a key that `which` names, as far as this node has seen them.
pub(crate) fn remove_collections(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    which: impl Fn(Family) -> bool,
) -> Result<(), CommandError> {
    for family in transaction.families(key)? {
        if which(family) {
            let seen = transaction.seen(key);
            remove_seen(transaction, key, family, seen)?;
        }
    }
    Ok(())
}

/// Removes what `seen` covers of one collection. Its increments are reset one by one (SEMANTICS.md
/// section 3), those of members that changed since left alone; all else goes in one step.
pub(crate) fn remove_seen(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
    seen: Clock,
) -> Result<(), CommandError> {
    transaction.group();
    let mut span = Span::of_prefix(&family.element(Role::COUNTING, b""));
    loop {
        let counting = transaction.range(key, &span, COUNTING_AT_ONCE)?;
        let Some((last, _)) = counting.last() else {
            break;
        };
        span = span.behind(last);
        for (name, _) in counting {
            let name = name.get(2..).unwrap_or_default();
            let member = transaction.element(key, &family.element(Role::MEMBER, name));
            let row = transaction.try_row(&member)?;
            if row.siblings().iter().all(|s| seen.contains(s.dot)) {
                reset_counters(transaction, &member)?;
            }
        }
    }
    transaction.clear(key, family, seen)?;
    Ok(())
}

fn reset_counters(
    transaction: &mut Transaction<'_, '_>,
    member: &Place,
) -> Result<(), CommandError> {
    let now_ms = transaction.now_ms();
    transaction.edit(member, |edit| {
        let mut counter = joined_counter(edit.row(), now_ms).unwrap_or_default();
        counter.reset();
        edit.remove(|_| true);
        edit.insert(edit.stamp(), None, |_| Value::Counter(Box::new(counter)));
    })?;
    Ok(())
}

/// To be called when members were removed: a collection that has none any more ends with its
/// deadline, so that the next one under the key begins without.
pub(crate) fn end_if_empty(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
) -> Result<(), CommandError> {
    if transaction.members(key, family)? == 0 && !transaction.families(key)?.contains(&family) {
        remove_deadline(transaction, key, family)?;
    }
    Ok(())
}

fn remove_deadline(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
) -> Result<(), CommandError> {
    let place = transaction.element(key, &family.element(Role::DEADLINE, b""));
    if !transaction.try_row(&place)?.is_empty() {
        transaction.edit(&place, |edit| edit.remove(|_| true))?;
    }
    Ok(())
}

/// Sets or takes away the deadline of what shows under a key; false if the key does not exist.
pub(crate) fn change_deadline(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    now_ms: u64,
    deadline: Option<NonZeroU64>,
) -> Result<bool, CommandError> {
    match kind(transaction, key, now_ms)? {
        Kind::Missing => Ok(false),
        Kind::String | Kind::Document => {
            transaction.edit(key, |edit| key::change_deadline(edit, now_ms, deadline))?;
            Ok(true)
        }
        Kind::Collection(family) => {
            let place = transaction.element(key, &family.element(Role::DEADLINE, b""));
            let unix_ms = deadline.map_or(FOREVER, NonZeroU64::get);
            transaction.edit(&place, |edit| {
                edit.remove(|_| true);
                edit.insert(edit.stamp(), None, |_| {
                    Value::Register(unix_ms.to_be_bytes().as_slice().into())
                });
            })?;
            Ok(true)
        }
    }
}

impl Call<'_, '_, '_> {
    /// What the key at `index` is to readers, and where it stands.
    pub(crate) fn shown(&mut self, index: usize) -> Result<(Place, Kind), CommandError> {
        let place = self.place(index);
        let kind = kind(self.transaction, &place, self.now_ms)?;
        Ok((place, kind))
    }

    /// The key at `index` for a reader of collections of this family; `None` if there is none.
    ///
    /// # Errors
    /// [`CommandError::WrongType`], or what the disk says.
    pub(crate) fn collection(
        &mut self,
        index: usize,
        family: Family,
    ) -> Result<Option<Place>, CommandError> {
        match self.shown(index)? {
            (place, Kind::Collection(shown)) if shown == family => Ok(Some(place)),
            (_, Kind::Missing) => Ok(None),
            _ => Err(CommandError::WrongType),
        }
    }

    /// The key at `index` for a writer of collections of this family: what has expired there, and
    /// what hid behind the collection, is removed. Everything that can be refused must have been
    /// refused before.
    ///
    /// # Errors
    /// [`CommandError::WrongType`], or what the disk says; nothing has changed then.
    pub(crate) fn collection_to_write(
        &mut self,
        index: usize,
        family: Family,
    ) -> Result<Place, CommandError> {
        let (place, kind) = self.shown(index)?;
        match kind {
            Kind::Missing => {
                self.forget_hidden(&place, None)?;
                // Of members that were removed on several sides a deadline may be left.
                remove_deadline(self.transaction, &place, family)?;
                Ok(place)
            }
            Kind::Collection(shown) if shown == family => {
                self.forget_behind(&place, family)?;
                Ok(place)
            }
            _ => Err(CommandError::WrongType),
        }
    }

    /// As [`Call::collection_to_write`] for a writer that makes no collection; `None` if there is
    /// none, and nothing has changed.
    ///
    /// # Errors
    /// [`CommandError::WrongType`], or what the disk says; nothing has changed then.
    pub(crate) fn collection_to_change(
        &mut self,
        index: usize,
        family: Family,
    ) -> Result<Option<Place>, CommandError> {
        let place = self.collection(index, family)?;
        if let Some(place) = &place {
            self.forget_behind(place, family)?;
        }
        Ok(place)
    }

    /// Removes all of a key but the collection that shows.
    fn forget_behind(&mut self, place: &Place, shown: Family) -> Result<(), CommandError> {
        let now_ms = self.now_ms;
        if key::exists(self.row(place)?, now_ms) {
            self.transaction
                .edit(place, |edit| key::remove(edit, now_ms))?;
        }
        self.forget_hidden(place, Some(shown))
    }

    /// Removes the collections of a key but the one that shows.
    pub(crate) fn forget_hidden(
        &mut self,
        place: &Place,
        shown: Option<Family>,
    ) -> Result<(), CommandError> {
        remove_collections(self.transaction, place, |family| Some(family) != shown)
    }

    /// Refuses a key that shows a collection to a command on strings or documents; what hides
    /// behind a string is removed if the command writes.
    pub(crate) fn refuse_collection(
        &mut self,
        index: usize,
        writes: bool,
    ) -> Result<(), CommandError> {
        let place = self.place(index);
        if self.transaction.families(&place)?.is_empty() {
            return Ok(());
        }
        match kind(self.transaction, &place, self.now_ms)? {
            Kind::Collection(_) => Err(CommandError::WrongType),
            _ if writes => self.forget_hidden(&place, None),
            _ => Ok(()),
        }
    }

    /// Removes the collections under a key that a command is about to overwrite.
    #[inline]
    pub(crate) fn overwrite_collections(&mut self, place: &Place) -> Result<(), CommandError> {
        if self.transaction.families(place)?.is_empty() {
            return Ok(());
        }
        self.forget_hidden(place, None)
    }
}

/// The value of a row that is a plain register or counter: a field's, an element's.
pub(crate) fn value(row: &Row, now_ms: u64) -> Option<Vec<u8>> {
    key::string(row, now_ms)
        .ok()?
        .map(|value| value.into_owned())
}
