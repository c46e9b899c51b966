//! What nodes say to each other: one row per message, its number and verb never reused.
//!
//! On the wire a message is a RESP array of its verb and one bulk string, so that an operator can
//! see what goes on; the bulk string is the number and the fields. `docs/protocol.md` describes
//! the exchanges.

use bytes::Bytes;
use larder_crdt::{ActorTable, Clock, DecodeError, Reader, Writer};

use crate::copy::Delta;
use crate::id::PartitionId;
use crate::layout::Layout;
use crate::limits::{ACTORS_PER_PARTITION_MAX, SWIM_BYTES_MAX};
use crate::partition::{Acknowledgement, Range};
use crate::request::{Reply, Request};
use crate::row_key::RowKey;

/// Declares [`Message`]: a row is a number, a verb, a variant and its fields. Each field type says
/// by [`Field`] how it is written and read.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $number:literal $verb:literal $variant:ident($($field:ident: $type:ty),*),
    )+) => {
        /// A message between two nodes.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Message {
            $($(#[$doc])* $variant($($type),*),)+
        }

        impl Message {
            /// The word for it on the wire and in traces.
            #[must_use]
            pub fn verb(&self) -> &'static str {
                match self {
                    $(Self::$variant(..) => $verb,)+
                }
            }

            /// Appends number and fields.
            pub fn encode(&self, writer: &mut Writer) {
                match self {
                    $(Self::$variant($($field),*) => {
                        writer.u8($number);
                        $(Field::write($field, writer);)*
                    })+
                }
            }

            /// Reads a message that fills `bytes` exactly.
            ///
            /// # Errors
            /// Any [`DecodeError`]; an unknown number is from a newer release.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(bytes);
                let message = match reader.u8()? {
                    $($number => {
                        $(let $field = <$type as Field>::read(&mut reader)?;)*
                        Self::$variant($($field),*)
                    })+
                    _ => return Err(DecodeError::UnknownTag),
                };
                reader.finish()?;
                Ok(message)
            }
        }

        /// Number, verb and variant of every message, for documentation and tests.
        pub const MESSAGES: &[(u8, &str, &str)] =
            &[$(($number, $verb, stringify!($variant)),)+];
    };
}

messages! {
    /// The sender's run, and the layout as it has it: first on every link, and when it has changed.
    1 "LAYOUT" Layout(run: u128, layout: Box<Layout>),
    /// The sender's word about its copy.
    2 "ACK" Acknowledge(partition: PartitionId, told: Acknowledgement),
    /// The receiver is to tell of its copy, under this number.
    3 "ASK" Ask(partition: PartitionId, asked: u64),
    /// Changes.
    4 "DELTA" Delta(partition: PartitionId, delta: Delta),
    /// The receiver may fetch the whole partition here.
    5 "OFFER" Offer(partition: PartitionId),
    /// The next range of a transfer is wanted: its number, and the range's.
    6 "FETCH" Fetch(partition: PartitionId, transfer: u64, turn: u64),
    /// The next range.
    7 "RANGE" Range(partition: PartitionId, range: Range),
    /// A command for the receiver to run, under a number of the sender's.
    8 "REQUEST" Request(number: u64, request: Box<Request>),
    /// The answer.
    9 "REPLY" Reply(number: u64, reply: Reply),
    /// A reader wants what it lacks of an element: number, partition, its clock, element.
    10 "PULL" Pull(number: u64, partition: PartitionId, known: KnownClock, key: RowKey),
    /// The answer, if the log can explain it.
    11 "PULLED" Pulled(number: u64, partition: PartitionId, delta: Option<Box<Delta>>),
    /// Failure detection: what the SWIM library says to its like.
    12 "SWIM" Swim(payload: Bytes),
    /// The sender has retired actors of which it had these dots.
    13 "RETIRE" Retire(partition: PartitionId, dots: KnownClock),
    /// The sender's run, and the digest of its layout: now and then, in case LAYOUT was lost.
    14 "DIGEST" Digest(run: u128, digest: u64),
    /// The sender wants to be told when an element changes that the receiver leads.
    15 "WATCH" Watch(partition: PartitionId, key: RowKey),
    /// It does not want that any more.
    16 "UNWATCH" Unwatch(partition: PartitionId, key: RowKey),
    /// An element that the receiver watches has changed.
    17 "CHANGED" Changed(partition: PartitionId, key: RowKey),
}

impl Message {
    /// The number of the request that `bytes` encode, if they do: what a sender wants to know of a
    /// message that it could not send.
    #[must_use]
    pub fn request_number(bytes: &[u8]) -> Option<u64> {
        let mut reader = Reader::new(bytes);
        let is_request = reader.u8() == Ok(REQUEST);
        reader.varint().ok().filter(|_| is_request)
    }
}

/// The number of REQUEST in the table.
const REQUEST: u8 = 8;

/// A clock together with the actors that it names by number.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownClock {
    /// The actors.
    pub actors: ActorTable,
    /// The clock.
    pub clock: Clock,
}

/// What can stand in a row of the table.
trait Field: Sized {
    fn write(&self, writer: &mut Writer);
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// Declares fields of types that encode themselves.
macro_rules! encoded_fields {
    ($($type:ty),+) => {
        $(impl Field for $type {
            fn write(&self, writer: &mut Writer) {
                self.encode(writer);
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Self::decode(reader)
            }
        })+
    };
}

encoded_fields!(Acknowledgement, Delta, Range, Reply, RowKey);

impl Field for u64 {
    fn write(&self, writer: &mut Writer) {
        writer.varint(*self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.varint()
    }
}

impl Field for u128 {
    fn write(&self, writer: &mut Writer) {
        writer.u128_be(*self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u128_be()
    }
}

impl Field for PartitionId {
    fn write(&self, writer: &mut Writer) {
        writer.u16_be(self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u16_be().map(Self)
    }
}

impl Field for Box<Layout> {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&Layout::encode(self));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let rest = reader.rest();
        let layout = Layout::decode(reader.raw(rest.len())?)?;
        Ok(Self::new(layout))
    }
}

impl Field for Box<Request> {
    fn write(&self, writer: &mut Writer) {
        self.encode(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Request::decode(reader).map(Self::new)
    }
}

impl Field for KnownClock {
    fn write(&self, writer: &mut Writer) {
        self.actors.encode(writer);
        self.clock.encode(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let actors = ActorTable::decode(reader, ACTORS_PER_PARTITION_MAX)?;
        let clock = Clock::decode(reader, actors.len())?;
        Ok(Self { actors, clock })
    }
}

impl Field for Option<Box<Delta>> {
    fn write(&self, writer: &mut Writer) {
        writer.u8(u8::from(self.is_some()));
        if let Some(delta) = self {
            delta.encode(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(None),
            1 => Delta::decode(reader).map(|delta| Some(Box::new(delta))),
            _ => Err(DecodeError::UnknownTag),
        }
    }
}

impl Field for Bytes {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::copy_from_slice(reader.bytes(SWIM_BYTES_MAX)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_documented_messages_are_those_of_the_table() {
        let page = include_str!("../../docs/protocol.md");
        for (number, verb, _) in MESSAGES {
            assert!(
                page.contains(&format!("| {number} | {verb} |")),
                "{verb} is not documented"
            );
        }
        assert_eq!(
            page.matches("\n| ").count(),
            MESSAGES.len() + 2,
            "a row too many"
        );
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read_but_never_panics(number in 0u8..20, mut bytes: Vec<u8>) {
            bytes.insert(0, number);
            if let Ok(message) = Message::decode(&bytes) {
                let mut writer = Writer::new();
                message.encode(&mut writer);
                prop_assert!(Message::decode(writer.as_slice()).is_ok());
            }
        }
    }
}
