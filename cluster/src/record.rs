//! What redo records and checkpoints hold of copies: tags, and the bytes behind them.
//!
//! One redo record is a sequence of entries, each a tag and its fields. Every entry is an image of
//! the state after the change, so that replaying it twice, or over a later checkpoint, is harmless:
//! clocks join, rows are replaced by the later entry, actors keep their numbers.
//!
//! ```text
//! 1 change   slot  key  dots  group  row       an element's row after a change, and its fresh dots
//! 2 clock    slot  clock                       dots taken over without their elements
//! 3 actor    slot  number  actor               an actor got a number
//! 4 copy     slot  copy image                  a copy began or became another kind
//! 5 drop     slot                              a copy ended with all its rows
//! 6 node     bytes                             what the node knows beside its copies
//! 7 log      slot  entries                     log entries taken over with a whole partition
//! ```

use std::collections::BTreeMap;

use larder_crdt::{Actor, ActorIndex, ActorTable, Clock, DecodeError, Dot, Reader, Row, Writer};

use crate::id::PartitionId;
use crate::limits::{
    ACTORS_PER_PARTITION_MAX, DATABASES_MAX, LOG_ENTRIES_MAX, NODE_STATE_BYTES_MAX,
};
use crate::log::Log;
use crate::row_key::RowKey;
use crate::store::Slot;

const CHANGE: u8 = 1;
const CLOCK: u8 = 2;
const ACTOR: u8 = 3;
const COPY: u8 = 4;
const DROP: u8 = 5;
const NODE: u8 = 6;
const LOG: u8 = 7;

/// The version of copy images.
const COPY_VERSION: u8 = 2;

/// What a copy is on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An owner's copy, ready to be read and written.
    Main,
    /// An owner's copy that was someone's before and waits for a bootstrap.
    Returning,
    /// A stand-in's copy: what it took itself and no more.
    Fallback,
    /// A bootstrap under way.
    Staged,
}

impl Role {
    fn number(self) -> u8 {
        match self {
            Self::Main => 1,
            Self::Returning => 2,
            Self::Fallback => 3,
            Self::Staged => 4,
        }
    }

    fn from_number(number: u8) -> Result<Self, DecodeError> {
        Ok(match number {
            1 => Self::Main,
            2 => Self::Returning,
            3 => Self::Fallback,
            4 => Self::Staged,
            _ => return Err(DecodeError::UnknownTag),
        })
    }
}

/// Everything of a copy but its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyImage {
    /// What the copy is.
    pub role: Role,
    /// The actors that its rows name.
    pub actors: ActorTable,
    /// All dots that it has seen.
    pub clock: Clock,
    /// What some owner may lack.
    pub log: Log,
    /// Rows that may be forgotten when their dots are settled.
    pub resets: BTreeMap<Dot, RowKey>,
    /// How many keys it holds, per database.
    pub keys: [u64; DATABASES_MAX],
    /// How many keys have rows of collections.
    pub collected: u64,
}

fn encode_slot(slot: Slot, writer: &mut Writer) {
    writer.u16_be(slot.partition.0);
    writer.varint(u64::from(slot.number));
}

fn decode_slot(reader: &mut Reader<'_>) -> Result<Slot, DecodeError> {
    let partition = PartitionId(reader.u16_be()?);
    Ok(Slot {
        partition,
        number: reader.length(u32::MAX as usize)? as u32,
    })
}

/// Appends an optional dot.
pub(crate) fn encode_group(group: Option<Dot>, writer: &mut Writer) {
    writer.u8(u8::from(group.is_some()));
    if let Some(group) = group {
        group.encode(writer);
    }
}

/// Reads what [`encode_group`] wrote.
pub(crate) fn decode_group(reader: &mut Reader<'_>) -> Result<Option<Dot>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Dot::decode(reader).map(Some),
        _ => Err(DecodeError::UnknownTag),
    }
}

/// Appends the entries of a log.
pub(crate) fn encode_log(log: &Log, writer: &mut Writer) {
    writer.length(log.len());
    for (dot, entry) in log.iter() {
        dot.encode(writer);
        encode_group(entry.group, writer);
        entry.key.encode(writer);
    }
}

/// Reads what [`encode_log`] wrote.
pub(crate) fn decode_log(reader: &mut Reader<'_>) -> Result<Log, DecodeError> {
    let mut log = Log::new();
    for _ in 0..reader.count(LOG_ENTRIES_MAX)? {
        let dot = Dot::decode(reader)?;
        let group = decode_group(reader)?;
        log.insert(dot, RowKey::decode(reader)?, group);
    }
    Ok(log)
}

impl CopyImage {
    /// Appends the image.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u8(COPY_VERSION);
        writer.u8(self.role.number());
        self.actors.encode(writer);
        self.clock.encode(writer);
        encode_log(&self.log, writer);
        writer.length(self.resets.len());
        for (dot, key) in &self.resets {
            dot.encode(writer);
            key.encode(writer);
        }
        for count in self.keys {
            writer.varint(count);
        }
        writer.varint(self.collected);
    }

    /// Reads what [`CopyImage::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u8()? != COPY_VERSION {
            return Err(DecodeError::UnknownTag);
        }
        let role = Role::from_number(reader.u8()?)?;
        let actors = ActorTable::decode(reader, ACTORS_PER_PARTITION_MAX)?;
        let clock = Clock::decode(reader, actors.len())?;
        let log = decode_log(reader)?;
        let mut resets = BTreeMap::new();
        for _ in 0..reader.count(LOG_ENTRIES_MAX)? {
            let dot = Dot::decode(reader)?;
            resets.insert(dot, RowKey::decode(reader)?);
        }
        let mut keys = [0; DATABASES_MAX];
        for count in &mut keys {
            *count = reader.varint()?;
        }
        let collected = reader.varint()?;
        Ok(Self {
            role,
            actors,
            clock,
            log,
            resets,
            keys,
            collected,
        })
    }
}

/// Appends a change of one element: its fresh dots and its row after it.
pub(crate) fn change(
    writer: &mut Writer,
    slot: Slot,
    key: &RowKey,
    dots: &[(Dot, Option<Dot>)],
    row: &Row,
) {
    writer.u8(CHANGE);
    encode_slot(slot, writer);
    key.encode(writer);
    writer.length(dots.len());
    for (dot, group) in dots {
        dot.encode(writer);
        encode_group(*group, writer);
    }
    row.encode(writer);
}

/// Appends dots that were taken over without their elements.
pub(crate) fn clock(writer: &mut Writer, slot: Slot, clock: &Clock) {
    writer.u8(CLOCK);
    encode_slot(slot, writer);
    clock.encode(writer);
}

/// Appends that an actor got a number.
pub(crate) fn actor(writer: &mut Writer, slot: Slot, number: ActorIndex, actor: Actor) {
    writer.u8(ACTOR);
    encode_slot(slot, writer);
    writer.varint(u64::from(number.0));
    writer.u128_be(actor.0);
}

/// Appends that a copy began or changed its role.
pub(crate) fn copy(writer: &mut Writer, slot: Slot, image: &CopyImage) {
    writer.u8(COPY);
    encode_slot(slot, writer);
    image.encode(writer);
}

/// Appends that a copy ended.
pub(crate) fn drop_copy(writer: &mut Writer, slot: Slot) {
    writer.u8(DROP);
    encode_slot(slot, writer);
}

/// Appends what the node knows beside its copies.
pub(crate) fn node(writer: &mut Writer, state: &[u8]) {
    writer.u8(NODE);
    writer.bytes(state);
}

/// Appends log entries that came with a whole partition.
pub(crate) fn log(writer: &mut Writer, slot: Slot, log: &Log) {
    writer.u8(LOG);
    encode_slot(slot, writer);
    encode_log(log, writer);
}

/// One entry of a redo record, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// An element's row after a change, and the dots that the change took.
    Change {
        /// The copy.
        slot: Slot,
        /// The element.
        key: RowKey,
        /// Its fresh dots, each with the group it belongs to.
        dots: Vec<(Dot, Option<Dot>)>,
        /// The row after it; empty if the element is gone.
        row: Row,
    },
    /// Dots that were taken over without their elements.
    Clock {
        /// The copy.
        slot: Slot,
        /// The dots.
        clock: Clock,
    },
    /// An actor got a number.
    Actor {
        /// The copy.
        slot: Slot,
        /// Its number.
        number: ActorIndex,
        /// The actor.
        actor: Actor,
    },
    /// A copy began or changed its role.
    Copy {
        /// The copy.
        slot: Slot,
        /// Its state then.
        image: Box<CopyImage>,
    },
    /// A copy ended.
    Drop {
        /// The copy.
        slot: Slot,
    },
    /// What the node knows beside its copies.
    Node {
        /// As the node encodes it.
        state: Vec<u8>,
    },
    /// Log entries that came with a whole partition.
    Log {
        /// The copy.
        slot: Slot,
        /// The entries.
        log: Log,
    },
}

impl Entry {
    /// Reads the next entry of a redo record.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        if tag == NODE {
            return Ok(Self::Node {
                state: reader.bytes(NODE_STATE_BYTES_MAX)?.to_vec(),
            });
        }
        let slot = decode_slot(reader)?;
        Ok(match tag {
            CHANGE => {
                let key = RowKey::decode(reader)?;
                let mut dots = Vec::new();
                for _ in 0..reader.count(LOG_ENTRIES_MAX)? {
                    dots.push((Dot::decode(reader)?, decode_group(reader)?));
                }
                Self::Change {
                    slot,
                    key,
                    dots,
                    row: Row::decode(reader)?,
                }
            }
            CLOCK => Self::Clock {
                slot,
                clock: Clock::decode(reader, ACTORS_PER_PARTITION_MAX)?,
            },
            ACTOR => {
                let number = reader.length(ACTORS_PER_PARTITION_MAX)? as u32;
                let actor = Actor(reader.u128_be()?);
                Self::Actor {
                    slot,
                    number: ActorIndex(number),
                    actor,
                }
            }
            COPY => Self::Copy {
                slot,
                image: Box::new(CopyImage::decode(reader)?),
            },
            DROP => Self::Drop { slot },
            LOG => Self::Log {
                slot,
                log: decode_log(reader)?,
            },
            _ => return Err(DecodeError::UnknownTag),
        })
    }
}

impl Entry {
    /// The copy that the entry is about; `None` for the node's own.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Change { slot, .. }
            | Self::Clock { slot, .. }
            | Self::Actor { slot, .. }
            | Self::Copy { slot, .. }
            | Self::Drop { slot }
            | Self::Log { slot, .. } => Some(*slot),
            Self::Node { .. } => None,
        }
    }
}
