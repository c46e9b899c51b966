//! A document's bytes, on disk and between nodes.
//!
//! ```text
//! document  version (1)  last ms  context  leaf count, leaf*  mask count, mask*
//! context   actor count, (actor (16)  intervals and flag  interval*)*: document_context.rs
//! leaf      actor (its place in the context)  counter  stamp (8)  path  kind (1)  content
//! content   1: canonical JSON   2: nothing   3, 4: amount, base count, dot*
//! dot       actor (16)  counter
//! mask      path  context
//! ```
//!
//! Leaves come in order of their dots, masks in order of their paths. Numbers are LEB128 where no
//! width is given.

use crate::actor::Actor;
use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::{
    DOCUMENT_COUNTER_MAX, DOCUMENT_INTERVALS_DECODED_MAX, DOCUMENT_LEAVES_DECODED_MAX,
    DOCUMENT_PATH_BYTES_MAX, VALUE_BYTES_MAX,
};
use crate::stamp::Stamp;
use crate::types::document_causal::{Document, DocumentError, Leaf, LeafValue};
use crate::types::document_context::{DocContext, DocDot};
use crate::types::document_json::Json;
use crate::types::document_pointer::Pointer;
use crate::types::document_state::kind;

const VERSION: u8 = 1;

impl Document {
    /// Appends the document.
    ///
    /// # Panics
    /// Never: the context covers every leaf.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u8(VERSION);
        writer.varint(self.last_ms);
        self.context.encode(writer);
        let actors: Vec<Actor> = self.context.actors().collect();
        writer.length(self.leaves.len());
        for (dot, leaf) in &self.leaves {
            let place = actors
                .binary_search(&dot.actor)
                .expect("the context covers every leaf");
            writer.length(place);
            writer.varint(dot.counter);
            leaf.encode(writer);
        }
        writer.length(self.masks.len());
        for (path, dots) in &self.masks {
            writer.bytes(path.as_str().as_bytes());
            dots.encode(writer);
        }
    }

    /// Reads what [`Document::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u8()? != VERSION {
            return Err(DecodeError::UnknownTag);
        }
        let mut document = Self {
            last_ms: reader.varint()?,
            ..Self::new()
        };
        document.context = DocContext::decode(reader)?;
        let actors: Vec<Actor> = document.context.actors().collect();
        for _ in 0..reader.count(DOCUMENT_LEAVES_DECODED_MAX)? {
            let place = reader.length(DOCUMENT_INTERVALS_DECODED_MAX)?;
            let actor = *actors.get(place).ok_or(DecodeError::Inconsistent)?;
            let dot = DocDot::new(actor, decode_counter(reader)?);
            let is_in_order = document
                .leaves
                .last_key_value()
                .is_none_or(|(last, _)| *last < dot);
            if !is_in_order || !document.context.contains(dot) {
                return Err(DecodeError::Inconsistent);
            }
            document.leaves.insert(dot, Leaf::decode(reader)?);
        }
        for _ in 0..reader.count(DOCUMENT_LEAVES_DECODED_MAX)? {
            let path = decode_path(reader)?;
            let dots = DocContext::decode(reader)?;
            let is_in_order = document
                .masks
                .last_key_value()
                .is_none_or(|(last, _)| *last < path);
            if !is_in_order || dots.is_empty() || dots.minus(&document.context) != dots {
                return Err(DecodeError::Inconsistent);
            }
            document.masks.insert(path, dots);
        }
        Ok(document)
    }
}

impl Leaf {
    fn encode(&self, writer: &mut Writer) {
        writer.u64_be(self.stamp.0);
        writer.bytes(self.path.as_str().as_bytes());
        match &self.value {
            LeafValue::Json(json) => {
                writer.u8(kind::JSON);
                writer.bytes(json.as_str().as_bytes());
            }
            LeafValue::EmptyObject => writer.u8(kind::EMPTY_OBJECT),
            LeafValue::Increment { by, bases, folded } => {
                writer.u8(if *folded {
                    kind::FOLDED_INCREMENTS
                } else {
                    kind::INCREMENT
                });
                writer.signed(*by);
                writer.length(bases.len());
                for base in bases {
                    writer.u128_be(base.actor.0);
                    writer.varint(base.counter);
                }
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let stamp = Stamp(reader.u64_be()?);
        let path = decode_path(reader)?;
        let kind = reader.u8()?;
        if path.depth() == 0 && kind != kind::EMPTY_OBJECT {
            return Err(DecodeError::Inconsistent);
        }
        let value = match kind {
            kind::JSON => {
                let text = decode_text(reader, VALUE_BYTES_MAX)?;
                let json = Json::from_canonical(text, path.depth());
                LeafValue::Json(json.map_err(|_| DecodeError::Inconsistent)?)
            }
            kind::EMPTY_OBJECT => LeafValue::EmptyObject,
            kind::INCREMENT | kind::FOLDED_INCREMENTS => {
                let by = reader.signed()?;
                let mut bases = Vec::new();
                for _ in 0..reader.count(DOCUMENT_LEAVES_DECODED_MAX)? {
                    let actor = Actor(reader.u128_be()?);
                    bases.push(DocDot::new(actor, decode_counter(reader)?));
                }
                if !bases.is_sorted_by(|a, b| a < b) {
                    return Err(DecodeError::Inconsistent);
                }
                LeafValue::Increment {
                    by,
                    bases,
                    folded: kind == kind::FOLDED_INCREMENTS,
                }
            }
            _ => return Err(DecodeError::UnknownTag),
        };
        Ok(Self { stamp, path, value })
    }
}

fn decode_counter(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    match reader.varint()? {
        0 => Err(DecodeError::Inconsistent),
        counter if counter > DOCUMENT_COUNTER_MAX => Err(DecodeError::OverLimit),
        counter => Ok(counter),
    }
}

fn decode_path(reader: &mut Reader<'_>) -> Result<Pointer, DecodeError> {
    Pointer::parse(decode_text(reader, DOCUMENT_PATH_BYTES_MAX)?).map_err(|error| match error {
        DocumentError::TooDeep | DocumentError::PathTooLong => DecodeError::OverLimit,
        _ => DecodeError::Inconsistent,
    })
}

fn decode_text<'a>(reader: &mut Reader<'a>, max: usize) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(reader.bytes(max)?).map_err(|_| DecodeError::Inconsistent)
}
