//! A row with its name in one piece of memory.
//!
//! ```text
//! flags (1)  hash of the key (8)  length of the rest of the name  rest of the name  row
//! ```
//!
//! The row is encoded as on the disk; nothing stands for a row that was removed.

use std::cmp::Ordering;

use larder_crdt::{Reader, Row, Writer};

use crate::row_key::RowKey;
use crate::store::StoreError;

/// Whether the disk has the row as it is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has.
    Clean,
    /// It has not.
    Dirty,
    /// The row is on its way.
    Written,
}

const STATE: u8 = 0b011;
const USED: u8 = 0b100;
const HASH_AT: usize = 1;
const NAME_AT: usize = 9;

/// What the allocator and the table take for one beside its bytes.
const OVERHEAD: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    pub(super) fn new(key: &RowKey, row: &Row, state: State) -> Self {
        let rest = key.rest();
        let mut bytes = Vec::with_capacity(NAME_AT + 2 + rest.len() + 24 + row.heap_bytes());
        bytes.push(USED);
        bytes.extend_from_slice(&key.hash().to_be_bytes());
        let mut writer = Writer::from_vec(bytes);
        writer.bytes(rest);
        if !row.is_empty() {
            row.encode(&mut writer);
        }
        let mut packed = Self(writer.into_vec().into_boxed_slice());
        packed.set_state(state);
        packed
    }

    fn flags(&self) -> u8 {
        self.0.first().copied().unwrap_or(0)
    }

    fn set_flags(&mut self, flags: u8) {
        if let Some(first) = self.0.first_mut() {
            *first = flags;
        }
    }

    pub(super) fn state(&self) -> State {
        match self.flags() & STATE {
            0 => State::Clean,
            1 => State::Dirty,
            _ => State::Written,
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        let number = match state {
            State::Clean => 0,
            State::Dirty => 1,
            State::Written => 2,
        };
        self.set_flags((self.flags() & !STATE) | number);
    }

    pub(super) fn set_used(&mut self) {
        self.set_flags(self.flags() | USED);
    }

    /// Whether it was used since the last call.
    pub(super) fn take_used(&mut self) -> bool {
        let used = self.flags() & USED != 0;
        self.set_flags(self.flags() & !USED);
        used
    }

    fn hash(&self) -> u64 {
        let bytes = self
            .0
            .get(HASH_AT..NAME_AT)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    }

    /// Whether it is a row of a key with this hash.
    #[inline]
    pub(super) fn has_hash(&self, hash: u64) -> bool {
        self.hash() == hash
    }

    /// Its last byte: who asks for it has all of a small row in the cache.
    #[inline]
    pub(super) fn touch(&self) -> u8 {
        self.0.last().copied().unwrap_or(0)
    }

    /// The rest of the name, and the encoded row behind it.
    fn split(&self) -> (&[u8], &[u8]) {
        let mut reader = Reader::new(self.0.get(NAME_AT..).unwrap_or_default());
        let rest = reader.bytes(usize::MAX).unwrap_or_default();
        (rest, reader.rest())
    }

    pub(super) fn is(&self, key: &RowKey) -> bool {
        self.hash() == key.hash() && self.split().0 == key.rest()
    }

    pub(super) fn is_after(&self, key: &RowKey) -> bool {
        let order = self.hash().cmp(&key.hash());
        order.then_with(|| self.split().0.cmp(key.rest())) == Ordering::Greater
    }

    pub(super) fn order(&self, other: &Self) -> Ordering {
        let order = self.hash().cmp(&other.hash());
        order.then_with(|| self.split().0.cmp(other.split().0))
    }

    /// Gives the hash of the key and the element to `hasher`.
    pub(super) fn hashed(&self, hasher: impl FnOnce(u64, &[u8]) -> u64) -> u64 {
        hasher(self.hash(), RowKey::element_in(self.split().0))
    }

    pub(super) fn key(&self) -> RowKey {
        RowKey::from_parts(self.hash(), self.split().0)
    }

    /// The encoded row; `None` if it was removed.
    pub(super) fn row_bytes(&self) -> Option<&[u8]> {
        let row = self.split().1;
        (!row.is_empty()).then_some(row)
    }

    pub(super) fn row(&self) -> Result<Row, StoreError> {
        self.row_bytes()
            .map_or_else(|| Ok(Row::new()), super::decode)
    }

    pub(super) fn weight(&self) -> usize {
        self.0.len() + OVERHEAD
    }
}
