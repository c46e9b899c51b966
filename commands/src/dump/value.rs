//! Values on their way between Redis's format and rows: what shows, without encodings or history.

use std::num::NonZeroU64;
use std::sync::Arc;

/// An element, a field, a name.
pub type Text = Box<[u8]>;

/// The value of a key. Collections have something in them; streams may be empty.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    String(Vec<u8>),
    /// The elements of a list from its head.
    List(Vec<Text>),
    /// The members of a set, each once.
    Set(Vec<Text>),
    /// The members of a sorted set, each once, with scores that are numbers.
    SortedSet(Vec<(Text, f64)>),
    /// The fields of a hash, each once.
    Hash(Vec<Field>),
    /// A stream.
    Stream(Stream),
}

/// A field of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Text,
    /// Its value.
    pub value: Text,
    /// When it ends, in unix milliseconds.
    pub deadline: Option<NonZeroU64>,
}

/// A stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// What is in it, ascending.
    pub entries: Vec<Entry>,
    /// The highest id that was ever given out; no entry has a higher one.
    pub last_id: EntryId,
    /// The highest id that was ever deleted.
    pub max_deleted_id: EntryId,
    /// How many entries were ever added.
    pub entries_added: u64,
    /// The consumer groups, each name once.
    pub groups: Vec<Group>,
}

/// The id of an entry of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// Unix milliseconds.
    pub ms: u64,
    /// The number among those of one millisecond.
    pub sequence: u64,
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// The names of its fields; entries after one another with the same names share them.
    pub names: Arc<[Text]>,
    /// As many values.
    pub values: Vec<Text>,
}

/// A consumer group of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: Text,
    /// The last id that was delivered.
    pub last_id: EntryId,
    /// How many entries of the stream it has read, if that is known.
    pub entries_read: Option<u64>,
    /// The consumers, each name once.
    pub consumers: Vec<Consumer>,
    /// What was delivered and not acknowledged, ascending.
    pub pending: Vec<Pending>,
}

/// A consumer of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name.
    pub name: Text,
    /// When it last asked, in unix milliseconds.
    pub seen_ms: u64,
    /// When it last got something, if it ever did.
    pub active_ms: Option<u64>,
}

/// An entry that a consumer was given and has not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The id of the entry, which may have been deleted.
    pub id: EntryId,
    /// The consumer's place in [`Group::consumers`].
    pub consumer: usize,
    /// When it was last delivered, in unix milliseconds.
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}
