//! The content of a key on its way to another: COPY, RENAME and MOVE.
//!
//! What travels is what shows. At the target it is written under fresh dots; the dots, counters and
//! concurrent siblings of the source stay behind.

use std::num::NonZeroU64;

use larder_cluster::copy::Edit;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::context::ContextSeal;
use larder_crdt::limits::VALUE_BYTES_MAX;
use larder_crdt::types::document_causal::Signer;
use larder_crdt::{DecodeError, Reader, Row, Writer};
use serde_json::Value as JsonValue;

use crate::collection;
use crate::dump;
use crate::elements::Elements;
use crate::error::CommandError;
use crate::families::documents::refused;
use crate::key::{self, Kind};

/// What a key shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    /// The value.
    pub(crate) value: Shown,
    /// When the key ends.
    pub(crate) deadline: Option<NonZeroU64>,
}

/// A value without its history.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shown {
    /// A string.
    String(Vec<u8>),
    /// The JSON object of a document.
    Document(JsonValue),
    /// The elements of a collection.
    Collection(Elements),
}

impl Shown {
    /// The value as DUMP gives it.
    ///
    /// # Errors
    /// For a document: Redis has nothing like it.
    pub(crate) fn into_dump(self) -> Result<dump::Value, CommandError> {
        match self {
            Self::String(value) => Ok(dump::Value::String(value)),
            Self::Collection(elements) => elements.into_dump(),
            Self::Document(_) => Err(CommandError::Fixed(
                "ERR a document has no form that Redis knows; LGET answers its JSON",
            )),
        }
    }

    /// The value that RESTORE was given.
    ///
    /// # Errors
    /// For a type that cannot be kept yet.
    pub(crate) fn of_dump(value: dump::Value) -> Result<Self, CommandError> {
        match value {
            dump::Value::String(value) => Ok(Self::String(value)),
            value => Elements::of_dump(value).map(Self::Collection),
        }
    }
}

impl Content {
    /// What the key at `place` shows, if it exists.
    pub(crate) fn read(
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
    ) -> Result<Option<Self>, CommandError> {
        let now_ms = transaction.now_ms();
        match collection::shown(transaction, place, now_ms)? {
            (Kind::Collection(family), deadline) => {
                let value = Shown::Collection(Elements::read(transaction, place, family)?);
                Ok(Some(Self { value, deadline }))
            }
            _ => Ok(Self::of(transaction.try_row(place)?, now_ms)),
        }
    }

    /// Puts the content in place of all that the key at `place` shows here. `seal` is that key's.
    ///
    /// # Errors
    /// What is beyond a limit, or what the disk says; nothing has changed then.
    pub(crate) fn write(
        &self,
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
        seal: &ContextSeal,
    ) -> Result<(), CommandError> {
        let now_ms = transaction.now_ms();
        let Shown::Collection(elements) = &self.value else {
            transaction.edit(place, |edit| self.put(edit, seal, now_ms))??;
            return collection::remove_collections(transaction, place, |_| true);
        };
        transaction.group();
        collection::remove(transaction, place, now_ms)?;
        if self
            .deadline
            .is_some_and(|deadline| deadline.get() <= now_ms)
        {
            return Ok(());
        }
        collection::remove_collections(transaction, place, |_| true)?;
        elements.write(transaction, place)?;
        if self.deadline.is_some() {
            collection::change_deadline(transaction, place, now_ms, self.deadline)?;
        }
        Ok(())
    }

    fn of(row: &Row, now_ms: u64) -> Option<Self> {
        let value = match key::kind(row, now_ms) {
            Kind::Missing | Kind::Collection(_) => return None,
            Kind::String => Shown::String(key::string(row, now_ms).ok()??.into_owned()),
            Kind::Document => Shown::Document(key::joined_document(row, now_ms)?.view()?),
        };
        Some(Self {
            value,
            deadline: key::deadline(row, now_ms),
        })
    }

    fn put(
        &self,
        edit: &mut Edit<'_>,
        seal: &ContextSeal,
        now_ms: u64,
    ) -> Result<(), CommandError> {
        match &self.value {
            Shown::String(value) => key::replace(edit, now_ms, value, self.deadline),
            Shown::Document(json) => {
                let before = key::joined_document(edit.row(), now_ms);
                let mut document = before.unwrap_or_default().into_owned();
                key::begin_signing(&mut document, edit);
                let seen = seal.whole(&document);
                let signer = Signer::of_copy(edit.actor());
                document
                    .put(&seen, json, edit.stamp(), &signer)
                    .map_err(refused)?;
                key::remove_string(edit, now_ms);
                key::replace_document(edit, document, self.deadline);
            }
            // Elements are rows of their own.
            Shown::Collection(_) => {}
        }
        Ok(())
    }

    /// Appends the content: a deadline (0 for none), a tag and the value.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.varint(self.deadline.map_or(0, NonZeroU64::get));
        match &self.value {
            Shown::String(value) => {
                writer.u8(1);
                writer.bytes(value);
            }
            Shown::Document(json) => {
                writer.u8(2);
                writer.bytes(json.to_string().as_bytes());
            }
            Shown::Collection(elements) => {
                writer.u8(3);
                elements.encode(writer);
            }
        }
    }

    /// Reads what [`Content::encode`] wrote.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let deadline = NonZeroU64::new(reader.varint()?);
        let tag = reader.u8()?;
        let value = match tag {
            1 => Shown::String(reader.bytes(VALUE_BYTES_MAX)?.to_vec()),
            2 => {
                let bytes = reader.bytes(VALUE_BYTES_MAX)?;
                let json = serde_json::from_slice(bytes).map_err(|_| DecodeError::Inconsistent)?;
                Shown::Document(json)
            }
            3 => Shown::Collection(Elements::decode(reader)?),
            _ => return Err(DecodeError::UnknownTag),
        };
        Ok(Self { value, deadline })
    }
}
