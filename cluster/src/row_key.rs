//! Where a row stands inside its partition.
//!
//! ```text
//! 8 bytes of the whole key's MD5 | database, 1 byte | length of the key, 2 bytes | key | element
//! ```
//!
//! The order of rows is the order of these bytes: the rows of a key are adjacent, and a position in
//! a scan is the 8 bytes of hash, on any node.

use std::fmt;

use larder_crdt::{DecodeError, Reader, Writer};

use crate::limits::{ELEMENT_BYTES_MAX, KEY_BYTES_MAX};

/// The name of an element's row. The element of a type that keeps one row per key is empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    hash: u64,
    rest: Box<[u8]>,
}

const PREFIX: usize = 3;

impl RowKey {
    /// The row of an element of `key` in `database`; `hash` is the first 8 bytes of the key's MD5.
    ///
    /// # Panics
    /// If the key is longer than [`KEY_BYTES_MAX`]: commands refuse it before.
    #[must_use]
    pub fn new(hash: u64, database: u8, key: &[u8], element: &[u8]) -> Self {
        assert!(key.len() <= KEY_BYTES_MAX, "commands refuse longer keys");
        let mut rest = Vec::with_capacity(PREFIX + key.len() + element.len());
        rest.push(database);
        rest.extend_from_slice(&(key.len() as u16).to_be_bytes());
        rest.extend_from_slice(key);
        rest.extend_from_slice(element);
        Self {
            hash,
            rest: rest.into_boxed_slice(),
        }
    }

    /// The first position at or after `hash`: before every row of that hash.
    #[must_use]
    pub fn at_hash(hash: u64) -> Self {
        Self {
            hash,
            rest: Box::default(),
        }
    }

    /// The first 8 bytes of the key's MD5.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The number of the database.
    #[must_use]
    pub fn database(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    /// The name of another element of the same key.
    ///
    /// # Panics
    /// Never: the rest of a name begins with its key.
    #[must_use]
    pub fn with_element(&self, element: &[u8]) -> Self {
        let of_key = self.of_key();
        let mut rest = Vec::with_capacity(of_key.len() + element.len());
        rest.extend_from_slice(of_key);
        rest.extend_from_slice(element);
        Self {
            hash: self.hash,
            rest: rest.into_boxed_slice(),
        }
    }

    /// Database and key of the name, as it has them.
    fn of_key(&self) -> &[u8] {
        let length = self.rest.len() - self.element().len();
        self.rest.get(..length).unwrap_or_default()
    }

    /// Whether this names an element of the key whose own row is `own`, or that row itself.
    #[must_use]
    #[inline]
    pub fn is_of(&self, own: &Self) -> bool {
        self.hash == own.hash && self.of_key() == &own.rest[..]
    }

    fn split(&self) -> (&[u8], &[u8]) {
        split(&self.rest)
    }

    /// Everything of the name but the hash.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// A name from its two parts, as another had them.
    pub(crate) fn from_parts(hash: u64, rest: &[u8]) -> Self {
        Self {
            hash,
            rest: rest.into(),
        }
    }

    /// The element in the rest of a name.
    pub(crate) fn element_in(rest: &[u8]) -> &[u8] {
        split(rest).1
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.split().0
    }

    /// The element inside the key.
    #[must_use]
    pub fn element(&self) -> &[u8] {
        self.split().1
    }

    /// About how many bytes the name takes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.rest.len() + 8
    }

    /// Appends the bytes by which rows are ordered.
    pub fn write_ordered(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.hash.to_be_bytes());
        bytes.extend_from_slice(&self.rest);
    }

    /// Reads what [`RowKey::write_ordered`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn from_ordered(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (hash, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or(DecodeError::Truncated)?;
        let row_key = Self {
            hash: u64::from_be_bytes(*hash),
            rest: rest.into(),
        };
        let [_, high, low, names @ ..] = rest else {
            return Err(DecodeError::Truncated);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        match names.len().checked_sub(length) {
            None => Err(DecodeError::Truncated),
            Some(element) if element > ELEMENT_BYTES_MAX => Err(DecodeError::OverLimit),
            Some(_) => Ok(row_key),
        }
    }

    /// Appends the name behind its length.
    pub fn encode(&self, writer: &mut Writer) {
        writer.length(8 + self.rest.len());
        writer.u64_be(self.hash);
        writer.raw(&self.rest);
    }

    /// Reads what [`RowKey::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_ordered(reader.bytes(8 + PREFIX + KEY_BYTES_MAX + ELEMENT_BYTES_MAX)?)
    }
}

/// Key and element of the rest of a name.
fn split(rest: &[u8]) -> (&[u8], &[u8]) {
    let Some(([_, high, low], names)) = rest.split_first_chunk::<PREFIX>() else {
        return (&[], &[]);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    names.split_at_checked(length).unwrap_or((names, &[]))
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, element) = self.split();
        write!(f, "{}:{:?}", self.database(), String::from_utf8_lossy(key))?;
        if element.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", element.escape_ascii())
        }
    }
}
