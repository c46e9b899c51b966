//! Members that have names: what hashes, sets and sorted sets do alike. Where a member stands, the
//! walk over all of them in the order of their hashes, and members at random.
//!
//! A member longer than a name may be stands under its digest, and its text in a row beside it that
//! is written and removed together with it.

pub(crate) mod random;
pub(crate) mod scan;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ops::Bound;

use larder_cluster::element::{Family, HASH_BYTES, MEMBER_BYTES_MAX, Role, member_name, member_of};
use larder_cluster::rows::Span;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::types::register_lww::visible_register;
use larder_crdt::{Row, Value};

use crate::error::CommandError;

/// Members that one step of a walk reads.
const AT_ONCE: usize = 256;
/// Bytes of a member's element before its name: family and role.
const HEAD_BYTES: usize = 2;

/// Where a member of a collection stands.
pub(crate) fn place(
    transaction: &Transaction<'_, '_>,
    key: &Place,
    family: Family,
    member: &[u8],
) -> Place {
    transaction.element(key, &family.element(Role::MEMBER, &member_name(member)))
}

/// Writes the text of a member that is too long for a name. Whoever writes the member does this
/// first, and every time, so that a concurrent removal takes neither without the other.
///
/// # Errors
/// What the disk says; nothing has changed then.
#[inline]
pub(crate) fn write_text(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
    member: &[u8],
    deadline: Option<NonZeroU64>,
) -> Result<(), CommandError> {
    if member.len() <= MEMBER_BYTES_MAX {
        return Ok(());
    }
    transaction.group();
    let text = text_place(transaction, key, family, &member_name(member));
    transaction.edit(&text, |edit| {
        edit.remove(|_| true);
        edit.insert(edit.stamp(), deadline, |_| Value::Register(member.into()));
    })?;
    Ok(())
}

/// Removes the text of a member that is too long for a name. Whoever removes the member does this
/// first.
///
/// # Errors
/// What the disk says; nothing has changed then.
#[inline]
pub(crate) fn remove_text(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
    member: &[u8],
) -> Result<(), CommandError> {
    if member.len() <= MEMBER_BYTES_MAX {
        return Ok(());
    }
    transaction.group();
    let text = text_place(transaction, key, family, &member_name(member));
    transaction.edit(&text, |edit| edit.remove(|_| true))?;
    Ok(())
}

fn text_place(
    transaction: &Transaction<'_, '_>,
    key: &Place,
    family: Family,
    name: &[u8],
) -> Place {
    transaction.element(key, &family.element(Role::TEXT, name))
}

/// A member that was found.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    element: Box<[u8]>,
    /// Its row; some of its siblings may have expired.
    pub(crate) row: Row,
}

impl Member {
    fn name(&self) -> &[u8] {
        self.element.get(HEAD_BYTES..).unwrap_or_default()
    }

    /// Its place in the order of members.
    pub(crate) fn hash(&self) -> u64 {
        let hash = self.name().get(..HASH_BYTES);
        hash.and_then(|hash| hash.try_into().ok())
            .map_or(0, u64::from_be_bytes)
    }

    /// The member itself.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn text(
        &self,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
    ) -> Result<Cow<'_, [u8]>, CommandError> {
        if let Some(text) = member_of(self.name()) {
            return Ok(Cow::Borrowed(text));
        }
        let family = Family(self.element.first().copied().unwrap_or_default());
        let place = text_place(transaction, key, family, self.name());
        let now_ms = transaction.now_ms();
        let row = transaction.try_row(&place)?;
        let text = visible_register(row, now_ms).map(|(_, text)| text.to_vec());
        Ok(Cow::Owned(text.unwrap_or_default()))
    }
}

/// Whether a row shows a member: a register, an increment or a score that has not expired.
pub(crate) fn shows(row: &Row, now_ms: u64) -> bool {
    row.siblings()
        .iter()
        .any(|sibling| !sibling.is_expired(now_ms) && !sibling.value.is_reset())
}

/// A walk over the members of a collection, in the order of their hashes.
#[derive(Debug)]
pub(crate) struct Walk {
    span: Span,
    page: VecDeque<Member>,
    at_once: usize,
    is_over: bool,
}

impl Walk {
    /// All members.
    pub(crate) fn new(family: Family) -> Self {
        Self {
            span: Span::of_prefix(&family.element(Role::MEMBER, b"")),
            page: VecDeque::new(),
            at_once: AT_ONCE,
            is_over: false,
        }
    }

    /// Members from this hash on, so many read at once.
    pub(crate) fn from_hash(family: Family, hash: u64, at_once: usize) -> Self {
        let mut walk = Self::new(family);
        walk.span.from = Bound::Included(family.element(Role::MEMBER, &hash.to_be_bytes()));
        walk.at_once = at_once.clamp(1, AT_ONCE);
        walk
    }

    /// The next member that shows.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn next(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
    ) -> Result<Option<Member>, CommandError> {
        let now_ms = transaction.now_ms();
        loop {
            while let Some(member) = self.page.pop_front() {
                if shows(&member.row, now_ms) {
                    return Ok(Some(member));
                }
            }
            if self.is_over {
                return Ok(None);
            }
            let found = transaction.range(key, &self.span, self.at_once)?;
            self.is_over = found.len() < self.at_once;
            if let Some((last, _)) = found.last() {
                self.span = self.span.clone().behind(last);
            }
            let members = found.into_iter();
            self.page
                .extend(members.map(|(element, row)| Member { element, row }));
        }
    }
}
