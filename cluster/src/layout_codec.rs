//! The bytes of a [`Layout`], as they are stored and sent to peers.
//!
//! ```text
//!   version 1 · cluster 16 · log2(partitions) · replicas · count · entry*
//!   entry   = node 16 · state 1 · [description · tokens]           nodes ascending; nothing in
//!   descr.  = version · weight · zone · address                    brackets if the state is left
//!   tokens  = version · count · (length 1 · bytes)*                ascending, big-endian, without
//!                                                                  the zero bytes at their end
//! ```
//!
//! Numbers without a width are LEB128, texts stand behind their length. Each layout has exactly
//! one encoding, so that equal digests mean equal layouts.

use larder_crdt::codec::{DecodeError, Reader, Writer};

use crate::id::{NodeId, Token};
use crate::layout::{Entry, Layout, State};
use crate::limits::{
    ADDRESS_BYTES_MAX, LAYOUT_ENTRIES_MAX, LAYOUT_VERSION_MAX, PARTITIONS_MAX, REPLICAS_MAX,
    TOKENS_MAX, WEIGHT_MAX, ZONE_BYTES_MAX,
};
use crate::token::{Partitions, md5_number};

/// The first byte of an encoded layout.
const FORMAT_1: u8 = 1;

impl Layout {
    /// The one encoding of this layout.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT_1);
        out.u128_be(self.cluster);
        out.varint(u64::from(self.partitions.bits()));
        out.length(self.replicas);
        out.length(self.entries.len());
        for (node, entry) in &self.entries {
            out.u128_be(node.0);
            out.u8(entry.state as u8);
            if entry.state != State::Left {
                encode_entry(entry, &mut out);
            }
        }
        out.into_vec()
    }

    /// Reads what [`Layout::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != FORMAT_1 {
            return Err(DecodeError::UnknownTag);
        }
        let cluster = reader.u128_be()?;
        let bits = reader.length(PARTITIONS_MAX.ilog2() as usize)?;
        let partitions = Partitions::new(1 << bits).ok_or(DecodeError::OverLimit)?;
        let replicas = reader.length(REPLICAS_MAX)?;
        if replicas == 0 {
            return Err(DecodeError::Inconsistent);
        }
        let mut layout = Self::new(cluster, partitions, replicas);
        for _ in 0..reader.count(LAYOUT_ENTRIES_MAX)? {
            let node = NodeId(reader.u128_be()?);
            if layout
                .entries
                .last_key_value()
                .is_some_and(|(last, _)| *last >= node)
            {
                return Err(DecodeError::Inconsistent);
            }
            layout.entries.insert(node, decode_entry(&mut reader)?);
        }
        reader.finish()?;
        Ok(layout)
    }

    /// A short name of exactly this state, by which peers see whether they agree.
    #[must_use]
    pub fn digest(&self) -> u64 {
        (md5_number(&self.encode()) >> 64) as u64
    }
}

fn encode_entry(entry: &Entry, out: &mut Writer) {
    out.varint(entry.version);
    out.varint(u64::from(entry.weight));
    out.bytes(entry.zone.as_bytes());
    out.bytes(entry.address.as_bytes());
    out.varint(entry.tokens_version);
    out.length(entry.tokens.len());
    for token in &entry.tokens {
        let bytes = token.0.to_be_bytes();
        let length = bytes.len() - (token.0.trailing_zeros() / 8) as usize;
        out.bytes(&bytes[..length]);
    }
}

fn decode_entry(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    let state = match reader.u8()? {
        1 => State::Joining,
        2 => State::Up,
        3 => State::Leaving,
        4 => return Ok(Entry::left()),
        _ => return Err(DecodeError::UnknownTag),
    };
    let version = decode_version(reader)?;
    let Ok(weight @ 1..=WEIGHT_MAX) = u32::try_from(reader.varint()?) else {
        return Err(DecodeError::OverLimit);
    };
    let zone = decode_text(reader, ZONE_BYTES_MAX)?;
    let address = decode_text(reader, ADDRESS_BYTES_MAX)?;
    let tokens_version = decode_version(reader)?;
    let count = reader.count(TOKENS_MAX)?;
    let mut tokens = Vec::with_capacity(count);
    for _ in 0..count {
        let token = decode_token(reader)?;
        if tokens.last().is_some_and(|last| *last >= token) {
            return Err(DecodeError::Inconsistent);
        }
        tokens.push(token);
    }
    Ok(Entry {
        state,
        version,
        zone,
        weight,
        address,
        tokens_version,
        tokens,
    })
}

/// A bound on versions keeps room for the next one.
fn decode_version(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let version = reader.varint()?;
    if version <= LAYOUT_VERSION_MAX {
        Ok(version)
    } else {
        Err(DecodeError::OverLimit)
    }
}

fn decode_text(reader: &mut Reader<'_>, max: usize) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(reader.bytes(max)?).map_err(|_| DecodeError::Inconsistent)?;
    Ok(text.to_owned())
}

fn decode_token(reader: &mut Reader<'_>) -> Result<Token, DecodeError> {
    let bytes = reader.bytes(size_of::<u128>())?;
    if bytes.last() == Some(&0) {
        return Err(DecodeError::Inconsistent);
    }
    let mut padded = [0; size_of::<u128>()];
    padded
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    Ok(Token(u128::from_be_bytes(padded)))
}
