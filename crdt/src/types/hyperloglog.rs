//! HyperLogLog, as Redis has it: how many distinct elements were added, within 0.81 %.
//!
//! 16,384 registers of six bits; an element's hash names a register and how far to raise it. They
//! join by maximum, so siblings add up to what all of them have counted. A DEL takes the siblings
//! that it had seen; what a concurrent PFADD left is a whole one, with all that its writer knew.
//!
//! Hash, registers, estimate and bytes are those of Redis 7: PFCOUNT answers the same number, and
//! what GET gives can be set there. On disk and wire the registers are written as Redis does:
//!
//! ```text
//! header   "HYLL"  encoding (0 dense, 1 sparse)  000000  cached count (8, last byte 80: none)
//! dense    12,288 bytes, register i at bit 6i, low bits first
//! sparse   00llllll            l + 1 registers of 0
//!          01llllll llllllll   l + 1 registers of 0
//!          1vvvvvll            l + 1 registers of v + 1
//! ```

use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};

/// How many registers there are: 14 bits of the hash choose one.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// Bits of the hash that raise a register.
const RANK_BITS: u32 = 64 - INDEX_BITS;
const RANK_MAX: usize = RANK_BITS as usize + 1;
const REGISTER_MAX: u8 = 63;
const DENSE_BYTES: usize = REGISTERS * 6 / 8;
const HEADER_BYTES: usize = 16;
const MAGIC: &[u8] = b"HYLL";
/// Sparse registers of more bytes are written densely, as Redis does unless told otherwise.
const SPARSE_BYTES_MAX: usize = 3000;
/// The highest value that the sparse form has.
const SPARSE_VALUE_MAX: u8 = 32;
/// Registers above 0 that are kept in a list; more take the room of all.
const FEW_MAX: usize = 1024;

/// Bytes of a string that are no HyperLogLog; the texts are Redis's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HyperLogLogError {
    /// Another string.
    #[error("WRONGTYPE Key is not a valid HyperLogLog string value.")]
    Foreign,
    /// A header, and registers that do not add up.
    #[error("INVALIDOBJ Corrupted HLL object detected")]
    Corrupted,
}

#[derive(Debug, Clone, PartialEq)]
enum Registers {
    /// At most [`FEW_MAX`] above 0, ascending by number.
    Few(Vec<(u16, u8)>),
    /// All, as the dense form has them.
    Many(Box<[u8; DENSE_BYTES]>),
}

/// A set's registers: what is left of it to tell how many members it has.
#[derive(Debug, Clone, PartialEq)]
pub struct HyperLogLog {
    registers: Registers,
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self {
            registers: Registers::Few(Vec::new()),
        }
    }
}

/// MurmurHash64A, with the seed that Redis gives it.
fn hash(element: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = SEED ^ (element.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = element.as_chunks::<8>();
    for word in words {
        let mut mixed = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        mixed ^= mixed >> SHIFT;
        hash = (hash ^ mixed.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev();
        hash ^= tail.fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        hash = hash.wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}

/// Which register an element raises, and to what.
fn place(element: &[u8]) -> (u16, u8) {
    let hash = hash(element);
    let rank = (hash >> INDEX_BITS | 1 << RANK_BITS).trailing_zeros() + 1;
    ((hash & (REGISTERS as u64 - 1)) as u16, rank as u8)
}

/// The two bytes that hold a register, and how far it is from the low end.
fn packed(dense: &[u8; DENSE_BYTES], index: u16) -> (usize, u32, u16) {
    let bit = usize::from(index) * 6;
    let at = bit / 8;
    let byte = |at: usize| u16::from(dense.get(at).copied().unwrap_or(0));
    (at, (bit % 8) as u32, byte(at) | byte(at + 1) << 8)
}

fn dense_get(dense: &[u8; DENSE_BYTES], index: u16) -> u8 {
    let (_, shift, pair) = packed(dense, index);
    (pair >> shift) as u8 & REGISTER_MAX
}

fn dense_set(dense: &mut [u8; DENSE_BYTES], index: u16, value: u8) {
    let (at, shift, pair) = packed(dense, index);
    let pair = pair & !(u16::from(REGISTER_MAX) << shift) | u16::from(value) << shift;
    for (byte, new) in dense.iter_mut().skip(at).zip(pair.to_le_bytes()) {
        *byte = new;
    }
}

impl HyperLogLog {
    /// One to which nothing was added.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an element; says whether that changed anything.
    pub fn add(&mut self, element: &[u8]) -> bool {
        let (index, rank) = place(element);
        self.raise(index, rank)
    }

    /// Adds all that `other` has counted; says whether that changed anything.
    pub fn join(&mut self, other: &Self) -> bool {
        let mut changed = false;
        other.for_each(|index, value| changed |= self.raise(index, value));
        changed
    }

    fn raise(&mut self, index: u16, value: u8) -> bool {
        match &mut self.registers {
            Registers::Few(few) => match few.binary_search_by_key(&index, |(index, _)| *index) {
                Ok(at) => {
                    let own = few.get_mut(at).expect("it was just found");
                    let raised = value > own.1;
                    own.1 = own.1.max(value);
                    return raised;
                }
                Err(_) if value == 0 => return false,
                Err(at) => few.insert(at, (index, value)),
            },
            Registers::Many(dense) => {
                let raised = value > dense_get(dense, index);
                if raised {
                    dense_set(dense, index, value);
                }
                return raised;
            }
        }
        self.make_room();
        true
    }

    fn make_room(&mut self) {
        if let Registers::Few(few) = &self.registers
            && few.len() > FEW_MAX
        {
            let mut dense = Box::new([0; DENSE_BYTES]);
            for (index, value) in few {
                dense_set(&mut dense, *index, *value);
            }
            self.registers = Registers::Many(dense);
        }
    }

    /// Calls `found` with each register above 0, in order.
    fn for_each(&self, mut found: impl FnMut(u16, u8)) {
        match &self.registers {
            Registers::Few(few) => few.iter().for_each(|(index, value)| found(*index, *value)),
            Registers::Many(dense) => {
                let values = (0..REGISTERS as u16).map(|index| (index, dense_get(dense, index)));
                values
                    .filter(|(_, value)| *value > 0)
                    .for_each(|(index, value)| found(index, value));
            }
        }
    }

    /// About how many distinct elements were added: the estimate of Redis since 5.0 (Ertl, "New
    /// cardinality estimation algorithms for HyperLogLog sketches", 2017).
    #[must_use]
    pub fn count(&self) -> u64 {
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let mut histogram = [0u32; REGISTER_MAX as usize + 1];
        let mut zeros = REGISTERS as u32;
        self.for_each(|_, value| {
            zeros -= 1;
            if let Some(bucket) = histogram.get_mut(usize::from(value)) {
                *bucket += 1;
            }
        });
        let registers = REGISTERS as f64;
        let of_rank = |rank: usize| f64::from(histogram.get(rank).copied().unwrap_or(0));
        let mut sum = registers * tau((registers - of_rank(RANK_MAX)) / registers);
        for rank in (1..RANK_MAX).rev() {
            sum = (sum + of_rank(rank)) * 0.5;
        }
        sum += registers * sigma(f64::from(zeros) / registers);
        (ALPHA * registers * registers / sum).round() as u64
    }

    /// The string that GET shows: one that Redis takes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (encoding, registers) = self.to_registers();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + registers.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[encoding, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x80]);
        bytes.extend_from_slice(&registers);
        bytes
    }

    /// Reads a string that Redis or [`HyperLogLog::to_bytes`] has made.
    ///
    /// # Errors
    /// [`HyperLogLogError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HyperLogLogError> {
        let (header, registers) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or(HyperLogLogError::Foreign)?;
        if !header.starts_with(MAGIC) {
            return Err(HyperLogLogError::Foreign);
        }
        match header.get(MAGIC.len()) {
            Some(0) if registers.len() == DENSE_BYTES => {
                Self::of_registers(0, registers).ok_or(HyperLogLogError::Foreign)
            }
            Some(1) => Self::of_registers(1, registers).ok_or(HyperLogLogError::Corrupted),
            _ => Err(HyperLogLogError::Foreign),
        }
    }

    /// The registers in the shorter form, and its number.
    fn to_registers(&self) -> (u8, Vec<u8>) {
        if let Some(sparse) = self.to_sparse() {
            return (1, sparse);
        }
        let mut dense = Box::new([0; DENSE_BYTES]);
        match &self.registers {
            Registers::Many(own) => dense.copy_from_slice(own.as_slice()),
            Registers::Few(_) => {
                self.for_each(|index, value| dense_set(&mut dense, index, value));
            }
        }
        (0, dense.to_vec())
    }

    fn to_sparse(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut fits = true;
        // Runs of one value: where the last ended, where it began, what it is.
        let (mut next, mut first, mut run) = (0u16, 0u16, 0u8);
        self.for_each(|index, value| {
            fits &= value <= SPARSE_VALUE_MAX && bytes.len() <= SPARSE_BYTES_MAX;
            if !fits || (index == next && value == run) {
                next = index + 1;
                return;
            }
            push_run(&mut bytes, run, next - first);
            push_run(&mut bytes, 0, index - next);
            (next, first, run) = (index + 1, index, value);
        });
        push_run(&mut bytes, run, next - first);
        push_run(&mut bytes, 0, REGISTERS as u16 - next);
        (fits && bytes.len() <= SPARSE_BYTES_MAX).then_some(bytes)
    }

    /// Reads registers in the form of a number; `None` if they are not exactly all.
    fn of_registers(encoding: u8, bytes: &[u8]) -> Option<Self> {
        let mut log = Self::new();
        if encoding == 0 {
            let dense: Box<[u8; DENSE_BYTES]> = Box::new(bytes.try_into().ok()?);
            let values = (0..REGISTERS as u16).map(|index| (index, dense_get(&dense, index)));
            let few: Vec<(u16, u8)> = values.filter(|(_, value)| *value > 0).collect();
            log.registers = if few.len() > FEW_MAX {
                Registers::Many(dense)
            } else {
                Registers::Few(few)
            };
            return Some(log);
        }
        let mut reader = Reader::new(bytes);
        let mut index = 0;
        while !reader.is_empty() {
            let op = reader.u8().ok()?;
            let (value, length) = match op >> 6 {
                0 => (0, usize::from(op & 0x3f) + 1),
                1 => {
                    let low = reader.u8().ok()?;
                    (0, (usize::from(op & 0x3f) << 8 | usize::from(low)) + 1)
                }
                _ => ((op >> 2 & 0x1f) + 1, usize::from(op & 3) + 1),
            };
            let end = index + length;
            if end > REGISTERS {
                return None;
            }
            if value > 0 {
                (index..end).for_each(|index| {
                    log.raise(index as u16, value);
                });
            }
            index = end;
        }
        (index == REGISTERS).then_some(log)
    }

    /// About how many bytes the registers take on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.registers {
                Registers::Few(few) => few.capacity() * size_of::<(u16, u8)>(),
                Registers::Many(_) => DENSE_BYTES,
            }
    }

    /// Appends the number of the form and the registers in it, as bytes.
    pub fn encode(&self, writer: &mut Writer) {
        let (encoding, registers) = self.to_registers();
        writer.u8(encoding);
        writer.bytes(&registers);
    }

    /// Reads what [`HyperLogLog::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`]; registers that are not exactly all are inconsistent.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let encoding = reader.u8()?;
        if encoding > 1 {
            return Err(DecodeError::UnknownTag);
        }
        let registers = reader.bytes(DENSE_BYTES.max(2 * REGISTERS))?;
        Self::of_registers(encoding, registers).ok_or(DecodeError::Inconsistent)
    }
}

/// Appends registers of one value as operations of the sparse form.
fn push_run(bytes: &mut Vec<u8>, value: u8, length: u16) {
    let mut left = length;
    while left > 0 {
        let taken = if value > 0 {
            let taken = left.min(4);
            bytes.push(0x80 | (value - 1) << 2 | (taken - 1) as u8);
            taken
        } else if left <= 64 {
            bytes.push((left - 1) as u8);
            left
        } else {
            bytes.extend_from_slice(&((left - 1) | 0x4000).to_be_bytes());
            left
        };
        left -= taken;
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
