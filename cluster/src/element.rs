//! Names of the elements of a collection: what their bytes say to the rows of a copy.
//!
//! ```text
//! element   family (1 byte)  role (1 byte)  name
//! ```
//!
//! The element of a key's own row, a string or document, is empty; that of its summary (see
//! [`crate::rows`]) is one zero byte.

use std::hash::Hasher;
use std::num::NonZeroU64;

use larder_crdt::types::score;
use larder_crdt::{Row, Sibling, Value};
use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

/// Which kind of collection an element belongs to. Numbers on disk and wire, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family(pub u8);

impl Family {
    /// Fields with values.
    pub const HASH: Self = Self(1);
    /// Members without order.
    pub const SET: Self = Self(2);
    /// Members by score.
    pub const SORTED_SET: Self = Self(3);
    /// Values by position.
    pub const LIST: Self = Self(4);
    /// Entries by identifier, and groups of consumers.
    pub const STREAM: Self = Self(5);
    /// Fragments of a string that was changed bit by bit.
    pub const FRAGMENTS: Self = Self(6);

    /// The element with this role and name.
    #[must_use]
    pub fn element(self, role: Role, name: &[u8]) -> Vec<u8> {
        let mut element = Vec::with_capacity(2 + name.len());
        element.extend_from_slice(&[self.0, role.0]);
        element.extend_from_slice(name);
        element
    }

    /// The family of an element; `None` for the key's own row and its summary.
    #[must_use]
    pub fn of(element: &[u8]) -> Option<Self> {
        element.first().copied().filter(|f| *f != 0).map(Self)
    }
}

/// What an element is to its collection. Numbers on disk and wire, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(pub u8);

impl Role {
    /// The reset header: which dots of the family are gone (SEMANTICS.md section 6).
    pub const MASK: Self = Self(0x00);
    /// When the collection ends.
    pub const DEADLINE: Self = Self(0x01);
    /// What is counted: fields, members, entries.
    pub const MEMBER: Self = Self(0x10);
    /// What makes the key exist without being counted; up to [`Role::KEEPER_LAST`].
    pub const KEEPER: Self = Self(0x11);
    /// The last of the keepers.
    pub const KEEPER_LAST: Self = Self(0x1f);
    /// The text of a member whose name holds only its digest.
    pub const TEXT: Self = Self(0x20);
    /// The first of those that a copy derives for itself and tells nobody.
    pub const DERIVED: Self = Self(0x80);
    /// Derived: the members of a sorted set by score.
    pub const BY_SCORE: Self = Self(0x80);
    /// Derived: the members that hold increments.
    pub const COUNTING: Self = Self(0x81);

    /// The role of an element; `None` for the key's own row and its summary.
    #[must_use]
    pub fn of(element: &[u8]) -> Option<Self> {
        match element {
            [family, role, ..] if *family != 0 => Some(Self(*role)),
            _ => None,
        }
    }

    /// Whether it is made from other rows of the same copy.
    #[must_use]
    pub fn is_derived(self) -> bool {
        self >= Self::DERIVED
    }
}

/// The element of a key's summary.
pub(crate) const SUMMARY: &[u8] = &[0];

/// Whether rows of this name are a copy's own and never travel.
#[must_use]
pub fn is_local(element: &[u8]) -> bool {
    element == SUMMARY || Role::of(element).is_some_and(Role::is_derived)
}

/// Whether the element is the reset header of its family.
#[must_use]
pub fn is_mask(element: &[u8]) -> bool {
    element.len() == 2 && Role::of(element) == Some(Role::MASK)
}

/// The longest member whose name is its text; of longer ones it is a digest.
pub const MEMBER_BYTES_MAX: usize = 1024;
/// Bytes of the hash by which members are ordered.
pub const HASH_BYTES: usize = 8;
const DIRECT: u8 = 0;
const DIGEST: u8 = 1;

/// The name of a member of a family that has no order of its own: a hash, by which they are
/// ordered, so that a position among them is 64 bits and a random one finds a random member; and
/// the member itself, or its digest if it is longer than [`MEMBER_BYTES_MAX`]: then its text stands
/// in a row of role [`Role::TEXT`].
///
/// ```text
/// name   hash (8 bytes, SipHash-1-3)   0 | 1   member | digest (32 bytes)
/// ```
#[must_use]
pub fn member_name(member: &[u8]) -> Vec<u8> {
    let digest;
    let (kind, text) = if member.len() <= MEMBER_BYTES_MAX {
        (DIRECT, member)
    } else {
        digest = Sha256::digest(member);
        (DIGEST, &digest[..])
    };
    named(kind, text)
}

fn named(kind: u8, text: &[u8]) -> Vec<u8> {
    let mut hasher = SipHasher13::new_with_keys(0x6c61_7264_6572_2d31, 0x6d65_6d62_6572_7321);
    hasher.write_u8(kind);
    hasher.write(text);
    let mut name = Vec::with_capacity(HASH_BYTES + 1 + text.len());
    name.extend_from_slice(&hasher.finish().to_be_bytes());
    name.push(kind);
    name.extend_from_slice(text);
    name
}

/// The member in a name of [`member_name`]; `None` if the name holds a digest.
#[must_use]
pub fn member_of(name: &[u8]) -> Option<&[u8]> {
    match name.get(HASH_BYTES..)? {
        [DIRECT, member @ ..] => Some(member),
        _ => None,
    }
}

/// When a collection ends, as the row of its deadline says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It does not.
    Never,
    /// At this time, in unix milliseconds: the latest of concurrent deadlines.
    At(NonZeroU64),
    /// It has ended, and nothing may extend it: see `partition/reclaim.rs`.
    Closed,
}

/// What the row of a deadline says. Its values are 8 bytes of unix milliseconds, 0 for none; a mask
/// beside them covers those that are over.
#[must_use]
pub fn ending(row: &Row) -> Ending {
    let is_over = |dot| {
        row.siblings().iter().any(|other| match &other.value {
            Value::Mask(over) => over.contains(dot),
            _ => false,
        })
    };
    let (mut latest, mut closed) = (None, false);
    for sibling in row.siblings() {
        let Value::Register(bytes) = &sibling.value else {
            continue;
        };
        if is_over(sibling.dot) {
            closed = true;
            continue;
        }
        let unix_ms = bytes[..].try_into().map_or(0, u64::from_be_bytes);
        match NonZeroU64::new(unix_ms) {
            None => return Ending::Never,
            deadline => latest = latest.max(deadline),
        }
    }
    match latest {
        Some(deadline) => Ending::At(deadline),
        None if closed => Ending::Closed,
        None => Ending::Never,
    }
}

/// The elements that a copy derives from the row of another one: members by score, members that
/// hold increments. A function of the row alone.
#[must_use]
pub fn derived(element: &[u8], row: &Row) -> SmallVec<[Box<[u8]>; 1]> {
    let mut derived = SmallVec::new();
    let (Some(family), Some(Role::MEMBER)) = (Family::of(element), Role::of(element)) else {
        return derived;
    };
    let name = element.get(2..).unwrap_or_default();
    if family == Family::SORTED_SET
        && let Some(score) = score::visible_score(row)
    {
        let text = name.get(HASH_BYTES..).unwrap_or_default();
        let mut place = score::sortable(score).to_vec();
        place.extend_from_slice(text);
        derived.push(family.element(Role::BY_SCORE, &place).into());
    }
    let counts = |sibling: &Sibling| matches!(&sibling.value, Value::Counter(c) if !c.is_reset());
    if row.siblings().iter().any(counts) {
        derived.push(family.element(Role::COUNTING, name).into());
    }
    derived
}

/// The element that `derived` was made from.
#[must_use]
pub fn derived_from(derived: &[u8]) -> Option<Vec<u8>> {
    let (family, role) = (Family::of(derived)?, Role::of(derived)?);
    match role {
        Role::BY_SCORE => {
            let (kind, text) = derived.get(2 + HASH_BYTES..)?.split_first()?;
            Some(family.element(Role::MEMBER, &named(*kind, text)))
        }
        Role::COUNTING => Some(family.element(Role::MEMBER, derived.get(2..)?)),
        _ => None,
    }
}
