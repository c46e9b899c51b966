//! A row with its name in one piece of memory.
//!
//! ```text
//! flags (1)  hash of the key (8)  length of the rest of the name  rest of the name  row
//! ```
//!
//! The row is encoded as on the disk; nothing stands for a row that was removed. A squeezed row is
//! its length in four bytes and an LZ4 block: it costs less memory, and more time to read.

use std::borrow::Cow;
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

const STATE: u8 = 0b11;
const SQUEEZED: u8 = 0b100;
/// How often it was used since the last look, up to the most that fits.
const USES: u8 = 0b1111_1000;
const USE: u8 = 0b1000;
const HASH_AT: usize = 1;
const NAME_AT: usize = 9;

/// What the allocator and the table take for one beside its bytes.
const OVERHEAD: usize = 32;
/// Shorter rows are not squeezed, nor such as would keep more than three quarters of their length.
const SQUEEZE_BYTES_MIN: usize = 256;
/// Longer rows are neither: the partition is locked meanwhile.
const SQUEEZE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    pub(super) fn new(key: &RowKey, row: &Row, state: State) -> Self {
        let rest = key.rest();
        let mut bytes = Vec::with_capacity(NAME_AT + 2 + rest.len() + 24 + row.heap_bytes());
        bytes.push(USE);
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

    /// A row whose name is kept elsewhere.
    pub(super) fn nameless(row: &Row, state: State) -> Self {
        Self::new(&RowKey::at_hash(0), row, state)
    }

    /// Becomes `other`, in the same place if that is as long: the place is in the processor's
    /// cache, another one would not be.
    pub(super) fn replace(&mut self, other: Self) {
        if self.0.len() == other.0.len() {
            self.0.copy_from_slice(&other.0);
        } else {
            *self = other;
        }
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
        if self.flags() & USES != USES {
            self.set_flags(self.flags() + USE);
        }
    }

    /// Whether it was used since the last call.
    pub(super) fn take_used(&mut self) -> bool {
        let used = self.flags() & USES != 0;
        self.set_flags(self.flags() & !USES);
        used
    }

    /// Whether it is squeezed, and used so much that it should not be.
    pub(super) fn is_squeezed_and_hot(&self) -> bool {
        self.flags() & (SQUEEZED | USES) == SQUEEZED | USES
    }

    /// Whether it is not squeezed, and of a length for it.
    pub(super) fn may_be_squeezed(&self) -> bool {
        let length = self.split().1.len();
        self.flags() & SQUEEZED == 0 && (SQUEEZE_BYTES_MIN..=SQUEEZE_BYTES_MAX).contains(&length)
    }

    /// Takes less memory from here on; false if there is nothing to win.
    pub(super) fn squeeze(&mut self) -> bool {
        let row = self.split().1;
        let name = self.0.len() - row.len();
        let block = lz4_flex::block::compress(row);
        if name + 4 + block.len() > self.0.len() / 4 * 3 {
            return false;
        }
        let mut bytes = Vec::with_capacity(name + 4 + block.len());
        bytes.extend_from_slice(self.0.get(..name).unwrap_or_default());
        bytes.extend_from_slice(&(row.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&block);
        self.0 = bytes.into_boxed_slice();
        self.set_flags(self.flags() | SQUEEZED);
        true
    }

    /// Is read faster from here on.
    pub(super) fn unsqueeze(&mut self) -> Result<(), StoreError> {
        if self.flags() & SQUEEZED == 0 {
            return Ok(());
        }
        let name = self.0.len() - self.split().1.len();
        let mut bytes = self.0.get(..name).unwrap_or_default().to_vec();
        if let Some(row) = self.row_bytes()? {
            bytes.extend_from_slice(&row);
        }
        self.0 = bytes.into_boxed_slice();
        self.set_flags(self.flags() & !SQUEEZED);
        Ok(())
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

    /// Whether the row was removed.
    pub(super) fn is_removed(&self) -> bool {
        self.split().1.is_empty()
    }

    /// The encoded row, unless it was removed.
    ///
    /// # Panics
    /// If it is squeezed: only rows that the disk has are.
    pub(super) fn unsqueezed(&self) -> Option<&[u8]> {
        assert!(self.flags() & SQUEEZED == 0, "only clean rows are squeezed");
        Some(self.split().1).filter(|row| !row.is_empty())
    }

    /// The encoded row; `None` if it was removed.
    pub(super) fn row_bytes(&self) -> Result<Option<Cow<'_, [u8]>>, StoreError> {
        let row = self.split().1;
        if row.is_empty() {
            return Ok(None);
        }
        if self.flags() & SQUEEZED == 0 {
            return Ok(Some(Cow::Borrowed(row)));
        }
        let damaged = || StoreError::Damaged("a squeezed row in memory".to_owned());
        let (length, block) = row.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_be_bytes(*length) as usize;
        let row = lz4_flex::block::decompress(block, length).map_err(|_| damaged())?;
        Ok(Some(Cow::Owned(row)))
    }

    pub(super) fn row(&self) -> Result<Row, StoreError> {
        self.row_bytes()?
            .map_or_else(|| Ok(Row::new()), |bytes| super::decode(&bytes))
    }

    pub(super) fn weight(&self) -> usize {
        self.0.len() + OVERHEAD
    }
}
