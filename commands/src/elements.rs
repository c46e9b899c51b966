//! The elements of a collection on their way to another key, another node or another server: what
//! shows of each, under its name.
//!
//! ```text
//! elements   family (1)  count  element*
//! element    name  deadline (0: none)  1 bytes | 2 score (8 bytes)
//! ```
//!
//! Names are kept, positions of lists among them: they are unique among all that a partition's
//! actors ever sign, so the copy of a list may keep those of its source.

use std::num::NonZeroU64;

use larder_cluster::element::{self, Family, Role};
use larder_cluster::rows::Span;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::limits::VALUE_BYTES_MAX;
use larder_crdt::types::score::{self, Score, Update};
use larder_crdt::{DecodeError, Reader, Row, Value, Writer};

use crate::dump;
use crate::error::CommandError;
use crate::key;

/// Elements that are read at a time.
const ELEMENTS_AT_ONCE: usize = 512;
/// The longest name of an element that is read.
const NAME_BYTES_MAX: usize = larder_cluster::limits::ELEMENT_BYTES_MAX;
/// Elements that one message may hold.
const ELEMENTS_MAX: usize = 1 << 28;

/// What shows of a collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Elements {
    /// Which kind of collection it is.
    pub(crate) family: Family,
    elements: Vec<Element>,
}

#[derive(Debug, Clone, PartialEq)]
struct Element {
    name: Box<[u8]>,
    deadline: Option<NonZeroU64>,
    value: Shown,
}

#[derive(Debug, Clone, PartialEq)]
enum Shown {
    Bytes(Vec<u8>),
    Score(f64),
}

/// A member by its text, with its deadline.
type Member = (Box<[u8]>, Option<NonZeroU64>, Shown);

fn shown(family: Family, name: &[u8], row: &Row, now_ms: u64) -> Option<Element> {
    let deadline = key::deadline(row, now_ms);
    let is_scored = family == Family::SORTED_SET && Role::of(name) == Some(Role::MEMBER);
    let value = if is_scored {
        Shown::Score(score::visible_score(row)?)
    } else {
        Shown::Bytes(key::string(row, now_ms).ok()??.into_owned())
    };
    Some(Element {
        name: name.into(),
        deadline,
        value,
    })
}

impl Elements {
    /// What shows of a collection.
    pub(crate) fn read(
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
        family: Family,
    ) -> Result<Self, CommandError> {
        let now_ms = transaction.now_ms();
        let mut elements = Vec::new();
        let mut span = Span::of_prefix(&[family.0]);
        loop {
            let rows = transaction.range(place, &span, ELEMENTS_AT_ONCE)?;
            let Some((last, _)) = rows.last() else {
                return Ok(Self { family, elements });
            };
            span = span.behind(last);
            for (name, mut row) in rows {
                let role = Role::of(&name).unwrap_or(Role::MASK);
                if role > Role::DEADLINE && !role.is_derived() {
                    row.drop_expired(now_ms);
                    elements.extend(shown(family, &name, &row, now_ms));
                }
            }
        }
    }

    /// Adds the elements to a key that shows nothing.
    pub(crate) fn write(
        &self,
        transaction: &mut Transaction<'_, '_>,
        place: &Place,
    ) -> Result<(), CommandError> {
        for element in &self.elements {
            let value = match &element.value {
                Shown::Bytes(bytes) => Value::Register(bytes.as_slice().into()),
                Shown::Score(score) => Value::Score(
                    Score::new(Update::Set, *score).map_err(|_| CommandError::NotFloat)?,
                ),
            };
            let place = transaction.element(place, &element.name);
            transaction.edit(&place, |edit| {
                edit.remove(|sibling| !sibling.value.is_reset());
                edit.insert(edit.stamp(), element.deadline, |_| value);
            })?;
        }
        Ok(())
    }

    /// Appends the elements.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.family.0);
        writer.length(self.elements.len());
        for element in &self.elements {
            writer.bytes(&element.name);
            writer.varint(element.deadline.map_or(0, NonZeroU64::get));
            match &element.value {
                Shown::Bytes(bytes) => {
                    writer.u8(1);
                    writer.bytes(bytes);
                }
                Shown::Score(score) => {
                    writer.u8(2);
                    writer.u64_be(score.to_bits());
                }
            }
        }
    }

    /// Reads what [`Elements::encode`] wrote.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let family = Family(reader.u8()?);
        let mut elements = Vec::new();
        for _ in 0..reader.count(ELEMENTS_MAX)? {
            let name: Box<[u8]> = reader.bytes(NAME_BYTES_MAX)?.into();
            let role = Role::of(&name).filter(|role| *role > Role::DEADLINE && !role.is_derived());
            if Family::of(&name) != Some(family) || role.is_none() {
                return Err(DecodeError::Inconsistent);
            }
            let deadline = NonZeroU64::new(reader.varint()?);
            let value = match reader.u8()? {
                1 => Shown::Bytes(reader.bytes(VALUE_BYTES_MAX)?.to_vec()),
                2 => Shown::Score(f64::from_bits(reader.u64_be()?)),
                _ => return Err(DecodeError::UnknownTag),
            };
            elements.push(Element {
                name,
                deadline,
                value,
            });
        }
        Ok(Self { family, elements })
    }

    /// The elements as DUMP gives them.
    ///
    /// # Errors
    /// For a type that has no such form yet.
    pub(crate) fn into_dump(self) -> Result<dump::Value, CommandError> {
        let family = self.family;
        let members = self.members();
        match family {
            Family::SET => Ok(dump::Value::Set(
                members.into_iter().map(|(text, _)| text).collect(),
            )),
            Family::HASH => {
                let field = |(name, element): (Box<[u8]>, Element)| dump::Field {
                    name,
                    deadline: element.deadline,
                    value: match element.value {
                        Shown::Bytes(bytes) => bytes.into(),
                        Shown::Score(_) => Box::default(),
                    },
                };
                Ok(dump::Value::Hash(members.into_iter().map(field).collect()))
            }
            Family::SORTED_SET => {
                let scored = |(text, element): (Box<[u8]>, Element)| match element.value {
                    Shown::Score(score) => Some((text, score)),
                    Shown::Bytes(_) => None,
                };
                let members = members.into_iter().filter_map(scored).collect();
                Ok(dump::Value::SortedSet(members))
            }
            _ => Err(CommandError::Fixed(
                "ERR this release dumps strings, hashes, sets and sorted sets only",
            )),
        }
    }

    /// The members with their texts, which stand in rows of their own if they are long.
    fn members(self) -> Vec<(Box<[u8]>, Element)> {
        let mut texts = std::collections::BTreeMap::new();
        let mut members = Vec::new();
        for element in self.elements {
            let name = element.name.get(2..).unwrap_or_default();
            match Role::of(&element.name) {
                Some(Role::TEXT) => {
                    if let Shown::Bytes(text) = element.value {
                        texts.insert(Box::<[u8]>::from(name), text);
                    }
                }
                Some(Role::MEMBER) => members.push(element),
                _ => {}
            }
        }
        let named = |element: Element| {
            let name = element.name.get(2..).unwrap_or_default();
            let text = match element::member_of(name) {
                Some(member) => Some(Box::from(member)),
                None => texts.remove(name).map(Vec::into_boxed_slice),
            };
            text.map(|text| (text, element))
        };
        members.into_iter().filter_map(named).collect()
    }

    /// The elements that RESTORE was given.
    ///
    /// # Errors
    /// For a type that cannot be kept yet.
    pub(crate) fn of_dump(value: dump::Value) -> Result<Self, CommandError> {
        let (family, members): (Family, Vec<Member>) = match value {
            dump::Value::Set(members) => {
                let member = |text| (text, None, Shown::Bytes(Vec::new()));
                (Family::SET, members.into_iter().map(member).collect())
            }
            dump::Value::Hash(fields) => {
                let field = |field: dump::Field| {
                    (field.name, field.deadline, Shown::Bytes(field.value.into()))
                };
                (Family::HASH, fields.into_iter().map(field).collect())
            }
            dump::Value::SortedSet(members) => {
                let member = |(text, score)| (text, None, Shown::Score(score));
                let members = members.into_iter().map(member).collect();
                (Family::SORTED_SET, members)
            }
            _ => {
                return Err(CommandError::Fixed(
                    "ERR Bad data format: this release restores strings, hashes, sets and sorted \
                     sets only",
                ));
            }
        };
        let mut elements = Vec::with_capacity(members.len());
        for (text, deadline, value) in members {
            let name = element::member_name(&text);
            if element::member_of(&name).is_none() {
                elements.push(Element {
                    name: family.element(Role::TEXT, &name).into(),
                    deadline,
                    value: Shown::Bytes(text.into()),
                });
            }
            elements.push(Element {
                name: family.element(Role::MEMBER, &name).into(),
                deadline,
                value,
            });
        }
        Ok(Self { family, elements })
    }
}
