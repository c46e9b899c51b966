//! What one dot holds: the table of value types.

use crate::actor::Translation;
use crate::clock::Clock;
use crate::codec::{DecodeError, Reader, Writer};
use crate::dot::Dot;
use crate::limits::{MASK_ACTORS_MAX, VALUE_BYTES_MAX};
use crate::types::counter_dotted::Counter;
use crate::types::document_causal::Document;
use crate::types::hyperloglog::HyperLogLog;
use crate::types::score::Score;

/// Declares [`Value`]: one row per type with its number on disk and wire (never reused), its
/// variant and its content. Encoding and decoding dispatch follow from the rows.
macro_rules! value_types {
    ($($(#[$doc:meta])* $number:literal $variant:ident($content:ty),)+) => {
        /// A value under a dot.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Value {
            $($(#[$doc])* $variant($content),)+
        }

        impl Value {
            /// Appends the type's number and the content.
            pub fn encode(&self, writer: &mut Writer) {
                match self {
                    $(Self::$variant(content) => {
                        writer.u8($number);
                        content.encode(writer);
                    })+
                }
            }

            /// Reads what [`Value::encode`] wrote.
            ///
            /// # Errors
            /// Any [`DecodeError`].
            pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match reader.u8()? {
                    $($number => Ok(Self::$variant(<$content as Content>::decode(reader)?)),)+
                    _ => Err(DecodeError::UnknownTag),
                }
            }

            /// Names the dots inside the content by another table's numbers.
            ///
            /// # Errors
            /// [`DecodeError::Inconsistent`] if the source table lacks one of their actors.
            pub fn translate(self, translation: &Translation) -> Result<Self, DecodeError> {
                Ok(match self {
                    $(Self::$variant(content) => {
                        Self::$variant(Content::translate(content, translation)?)
                    })+
                })
            }
        }
    };
}

value_types! {
    /// Bytes of which, among concurrent ones, those with the latest stamp show.
    1 Register(Box<[u8]>),
    /// Amounts that add up.
    2 Counter(Box<Counter>),
    /// A JSON object whose fields merge.
    3 Document(Box<Document>),
    /// The base of a sorted set's score; counters beside it add to it.
    4 Score(Score),
    /// How many distinct elements were added; siblings join.
    6 HyperLogLog(Box<HyperLogLog>),
    /// The dots that a collection was cleared of: its reset header (SEMANTICS.md section 6).
    5 Mask(Box<Clock>),
}

/// What the table asks of a content.
trait Content: Sized {
    fn encode(&self, writer: &mut Writer);
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    fn translate(self, translation: &Translation) -> Result<Self, DecodeError>;
}

impl Content for Box<[u8]> {
    fn encode(&self, writer: &mut Writer) {
        writer.bytes(self);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(reader.bytes(VALUE_BYTES_MAX)?.into())
    }

    fn translate(self, _: &Translation) -> Result<Self, DecodeError> {
        Ok(self)
    }
}

impl Content for Box<Counter> {
    fn encode(&self, writer: &mut Writer) {
        Counter::encode(self, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Counter::decode(reader).map(Self::new)
    }

    fn translate(self, translation: &Translation) -> Result<Self, DecodeError> {
        Counter::translate(&self, translation).map(Self::new)
    }
}

impl Content for Box<Document> {
    fn encode(&self, writer: &mut Writer) {
        Document::encode(self, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Document::decode(reader).map(Self::new)
    }

    /// Dots inside documents name their actors in full.
    fn translate(self, _: &Translation) -> Result<Self, DecodeError> {
        Ok(self)
    }
}

impl Content for Box<HyperLogLog> {
    fn encode(&self, writer: &mut Writer) {
        HyperLogLog::encode(self, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        HyperLogLog::decode(reader).map(Self::new)
    }

    fn translate(self, _: &Translation) -> Result<Self, DecodeError> {
        Ok(self)
    }
}

impl Content for Score {
    fn encode(&self, writer: &mut Writer) {
        Self::encode(*self, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode(reader)
    }

    fn translate(self, _: &Translation) -> Result<Self, DecodeError> {
        Ok(self)
    }
}

impl Content for Box<Clock> {
    fn encode(&self, writer: &mut Writer) {
        Clock::encode(self, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Clock::decode(reader, MASK_ACTORS_MAX).map(Self::new)
    }

    fn translate(self, translation: &Translation) -> Result<Self, DecodeError> {
        Clock::translate(&self, translation).map(Self::new)
    }
}

impl Value {
    /// The Redis word for the type of a key whose row holds this.
    #[must_use]
    pub fn type_word(&self) -> &'static str {
        match self {
            Self::Register(_) | Self::Counter(_) | Self::HyperLogLog(_) => "string",
            Self::Document(_) => "document",
            Self::Score(_) => "zset",
            Self::Mask(_) => "none",
        }
    }

    /// Whether readers take this for no value at all: a counter that is all resets, a document
    /// without leaves.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        match self {
            Self::Register(_) | Self::Score(_) | Self::HyperLogLog(_) => false,
            Self::Counter(counter) => counter.is_reset(),
            Self::Document(document) => document.is_removed(),
            Self::Mask(_) => true,
        }
    }

    /// The dots of the partition that the content itself mentions.
    pub fn for_each_dot(&self, mut found: impl FnMut(Dot)) {
        match self {
            Self::Counter(counter) => counter.births().for_each(&mut found),
            Self::Register(_)
            | Self::Document(_)
            | Self::Score(_)
            | Self::HyperLogLog(_)
            | Self::Mask(_) => {}
        }
    }
}

impl Value {
    /// About how many bytes the content takes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Register(bytes) => bytes.len() + 8,
            Self::Counter(counter) => counter.heap_bytes(),
            Self::Document(document) => document.heap_bytes(),
            Self::Score(_) => 0,
            Self::HyperLogLog(log) => log.heap_bytes(),
            Self::Mask(clock) => 48 + 16 * clock.ranges_count(),
        }
    }
}
