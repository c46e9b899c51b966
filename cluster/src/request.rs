//! A client's command on its way to the node that runs it, and the answer on its way back.

use bytes::Bytes;
use larder_crdt::{DecodeError, Reader, Writer};

use crate::id::PartitionId;
use crate::limits::{ARGUMENTS_MAX, PARTITIONS_MAX, REPLY_BYTES_MAX};
use crate::row_key::RowKey;
use larder_crdt::limits::VALUE_BYTES_MAX;

/// Whether a command only looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It changes nothing.
    Read,
    /// It may change something.
    Write,
}

/// A command of a client, with what the core needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The number of the selected database.
    pub database: u8,
    /// The version of RESP that the client speaks.
    pub protocol: u8,
    /// The command and its arguments.
    pub args: Vec<Bytes>,
    /// The partitions of its keys, ascending, each once.
    pub partitions: Vec<PartitionId>,
    /// Whether it only looks.
    pub access: Access,
    /// Whether running it twice is the same as once: then it is tried on another node if an answer
    /// stays out.
    pub repeatable: bool,
    /// How many replicas' states are joined before it runs, this node's included; 1 asks nobody.
    pub read_copies: u8,
    /// The element that those replicas are asked for.
    pub pull: Option<RowKey>,
    /// On how many nodes its change must be on disk before it is answered; 0 and 1 do not wait for
    /// others.
    pub write_copies: u8,
    /// Whether a read may run where no replica is in reach, as if nothing were stored.
    pub blind: bool,
    /// Whether what it changes in a partition must arrive at every replica together.
    pub grouped: bool,
}

impl Request {
    /// A request that asks nothing special.
    #[must_use]
    pub fn new(
        database: u8,
        args: Vec<Bytes>,
        partitions: Vec<PartitionId>,
        access: Access,
    ) -> Self {
        Self {
            database,
            protocol: 2,
            args,
            partitions,
            access,
            repeatable: access == Access::Read,
            read_copies: 1,
            pull: None,
            write_copies: 0,
            blind: false,
            grouped: false,
        }
    }

    /// Appends the request.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u8(self.database);
        writer.u8(self.protocol);
        writer.u8(u8::from(self.access == Access::Write));
        writer.u8(u8::from(self.repeatable));
        writer.u8(self.read_copies);
        writer.u8(self.write_copies);
        writer.u8(u8::from(self.blind));
        writer.u8(u8::from(self.grouped));
        writer.u8(u8::from(self.pull.is_some()));
        if let Some(key) = &self.pull {
            key.encode(writer);
        }
        writer.length(self.partitions.len());
        for partition in &self.partitions {
            writer.u16_be(partition.0);
        }
        writer.length(self.args.len());
        for arg in &self.args {
            writer.bytes(arg);
        }
    }

    /// Reads what [`Request::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (database, protocol) = (reader.u8()?, reader.u8()?);
        let access = if reader.u8()? == 0 {
            Access::Read
        } else {
            Access::Write
        };
        let repeatable = reader.u8()? != 0;
        let (read_copies, write_copies) = (reader.u8()?, reader.u8()?);
        let (blind, grouped) = (reader.u8()? != 0, reader.u8()? != 0);
        let pull = if reader.u8()? == 0 {
            None
        } else {
            Some(RowKey::decode(reader)?)
        };
        let mut partitions: Vec<PartitionId> = Vec::new();
        for _ in 0..reader.count(PARTITIONS_MAX)? {
            let partition = PartitionId(reader.u16_be()?);
            if partitions.last().is_some_and(|last| *last >= partition) {
                return Err(DecodeError::Inconsistent);
            }
            partitions.push(partition);
        }
        let mut args = Vec::new();
        for _ in 0..reader.count(ARGUMENTS_MAX)? {
            args.push(Bytes::copy_from_slice(reader.bytes(VALUE_BYTES_MAX)?));
        }
        Ok(Self {
            database,
            protocol,
            args,
            partitions,
            access,
            repeatable,
            read_copies,
            pull,
            write_copies,
            blind,
            grouped,
        })
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It ran; these bytes are for the client.
    Done(Bytes),
    /// It ran; fewer nodes than asked for have the change on disk in time.
    Partial {
        /// What it answered.
        reply: Bytes,
        /// How many nodes have it.
        reached: u8,
        /// How many were asked for.
        wanted: u8,
    },
    /// It did not run: fewer replicas than asked for told their states in time.
    PartialRead {
        /// How many did, this node's own included.
        reached: u8,
        /// How many were asked for.
        wanted: u8,
    },
    /// It did not run: neither a replica nor a fallback's copy is in reach.
    NoReplica,
    /// It did not run here: this node has no ready copy.
    NotReady,
    /// Nobody knows: it was sent to a node that did not answer in time.
    Unknown,
    /// It did not run: the disk refuses writes, for this reason.
    Refused(String),
}

impl Reply {
    /// Appends the reply.
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Done(reply) => {
                writer.u8(1);
                writer.bytes(reply);
            }
            Self::Partial {
                reply,
                reached,
                wanted,
            } => {
                writer.u8(2);
                writer.bytes(reply);
                writer.u8(*reached);
                writer.u8(*wanted);
            }
            Self::NoReplica => writer.u8(3),
            Self::NotReady => writer.u8(4),
            Self::Unknown => writer.u8(5),
            Self::PartialRead { reached, wanted } => {
                writer.u8(7);
                writer.u8(*reached);
                writer.u8(*wanted);
            }
            Self::Refused(reason) => {
                writer.u8(6);
                writer.bytes(reason.as_bytes());
            }
        }
    }

    /// Reads what [`Reply::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            1 => Self::Done(Bytes::copy_from_slice(reader.bytes(REPLY_BYTES_MAX)?)),
            2 => Self::Partial {
                reply: Bytes::copy_from_slice(reader.bytes(REPLY_BYTES_MAX)?),
                reached: reader.u8()?,
                wanted: reader.u8()?,
            },
            3 => Self::NoReplica,
            4 => Self::NotReady,
            5 => Self::Unknown,
            7 => Self::PartialRead {
                reached: reader.u8()?,
                wanted: reader.u8()?,
            },
            6 => Self::Refused(String::from_utf8_lossy(reader.bytes(1 << 16)?).into_owned()),
            _ => return Err(DecodeError::UnknownTag),
        })
    }
}
