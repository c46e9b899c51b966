//! Elements of a list in their order, a page at a time, and the places of new ones.

use larder_cluster::element::{Family, Role};
use larder_cluster::rows::{Elements, Span};
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::types::position::{self, PositionError};
use larder_crdt::{Row, Value};

use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::key;

/// The name of an element and its row.
pub(super) type Element = (Box<[u8]>, Row);

/// Elements that are looked at together.
pub(super) const PAGE: usize = 512;

/// One end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its head.
    Left,
    /// Its tail.
    Right,
}

impl End {
    /// Reads `LEFT` or `RIGHT`.
    pub(super) fn parse(word: &[u8]) -> Result<Self, CommandError> {
        if word.eq_ignore_ascii_case(b"left") {
            Ok(Self::Left)
        } else if word.eq_ignore_ascii_case(b"right") {
            Ok(Self::Right)
        } else {
            Err(CommandError::Syntax)
        }
    }

    fn span(self) -> Span {
        let span = Span::of_prefix(&Family::LIST.element(Role::MEMBER, b""));
        match self {
            Self::Left => span,
            Self::Right => span.reversed(),
        }
    }
}

/// A walk over the elements of a list from one of its ends. What was passed may be removed.
pub(super) struct Walk {
    span: Span,
}

impl Walk {
    /// From an end.
    pub(super) fn from(end: End) -> Self {
        Self { span: end.span() }
    }

    /// From behind an element on, towards the other end than `end`.
    pub(super) fn behind(end: End, name: &[u8]) -> Self {
        Self {
            span: end.span().behind(name),
        }
    }

    /// The next elements: `wanted` of them, but no more than a page; none behind the last one.
    pub(super) fn page(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        list: &Place,
        wanted: u64,
    ) -> Result<Elements, CommandError> {
        let max = usize::try_from(wanted).unwrap_or(PAGE).min(PAGE);
        let page = transaction.range(list, &self.span, max)?;
        if let Some((last, _)) = page.last() {
            let everything = Span::of_prefix(b"");
            self.span = std::mem::replace(&mut self.span, everything).behind(last);
        }
        Ok(page)
    }

    /// Passes over so many elements.
    pub(super) fn skip(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        list: &Place,
        mut count: u64,
    ) -> Result<(), CommandError> {
        while count > 0 {
            let passed = self.page(transaction, list, count)?.len() as u64;
            if passed == 0 {
                break;
            }
            count -= passed;
        }
        Ok(())
    }
}

/// How many elements a list has.
pub(super) fn length(
    transaction: &mut Transaction<'_, '_>,
    list: &Place,
) -> Result<u64, CommandError> {
    Ok(transaction.members(list, Family::LIST)?)
}

/// Appends the value of an element to a reply.
pub(super) fn show(call: &mut Call<'_, '_, '_>, row: &Row) {
    let value = key::string(row, call.now_ms);
    call.reply.bulk(&value.ok().flatten().unwrap_or_default());
}

/// Whether an element has this value.
pub(super) fn is_value(row: &Row, now_ms: u64, value: &[u8]) -> bool {
    matches!(key::string(row, now_ms), Ok(Some(found)) if *found == *value)
}

/// The element at an index, counted from the nearer end; a negative one counts from the tail.
pub(super) fn seek(
    transaction: &mut Transaction<'_, '_>,
    list: &Place,
    index: i64,
) -> Result<Option<Element>, CommandError> {
    let length = length(transaction, list)?;
    let index = if index < 0 {
        length.checked_sub(index.unsigned_abs())
    } else {
        Some(index.unsigned_abs()).filter(|index| *index < length)
    };
    let Some(index) = index else {
        return Ok(None);
    };
    let behind = length - 1 - index;
    let (end, distance) = if index <= behind {
        (End::Left, index)
    } else {
        (End::Right, behind)
    };
    let mut walk = Walk::from(end);
    walk.skip(transaction, list, distance)?;
    Ok(walk.page(transaction, list, 1)?.pop())
}

/// Adds values at an end of a list, one after the other.
pub(super) fn push<'a>(
    transaction: &mut Transaction<'_, '_>,
    list: &Place,
    end: End,
    values: impl Iterator<Item = &'a [u8]>,
) -> Result<(), CommandError> {
    let mut outermost = Walk::from(end).page(transaction, list, 1)?.pop();
    for value in values {
        let edge = outermost.as_ref().map(|(name, _)| &**name);
        let name = match end {
            End::Left => insert(transaction, list, None, edge, value)?,
            End::Right => insert(transaction, list, edge, None, value)?,
        };
        outermost = Some((name, Row::new()));
    }
    Ok(())
}

/// Puts a value between two elements that stand beside each other; gives the name of its element.
pub(super) fn insert(
    transaction: &mut Transaction<'_, '_>,
    list: &Place,
    left: Option<&[u8]>,
    right: Option<&[u8]>,
    value: &[u8],
) -> Result<Box<[u8]>, CommandError> {
    let signer = transaction.next_position(list);
    let (left, right) = (left.map(position_of), right.map(position_of));
    let position = position::between(left, right, signer).map_err(|error| match error {
        PositionError::TooLong => CommandError::Fixed(
            "ERR too many elements were inserted one by one at this place of the list",
        ),
        PositionError::Malformed => {
            CommandError::DiskFailed("stored data is damaged: a place in a list".to_owned())
        }
    })?;
    let name = Family::LIST.element(Role::MEMBER, &position);
    set(transaction, list, &name, value)?;
    Ok(name.into())
}

fn position_of(name: &[u8]) -> &[u8] {
    name.get(2..).unwrap_or_default()
}

/// Gives an element a value.
pub(super) fn set(
    transaction: &mut Transaction<'_, '_>,
    list: &Place,
    name: &[u8],
    value: &[u8],
) -> Result<(), CommandError> {
    let place = transaction.element(list, name);
    transaction.edit(&place, |edit| {
        edit.remove(|_| true);
        edit.insert(edit.stamp(), None, |_| Value::Register(value.into()));
    })?;
    Ok(())
}

/// Removes an element.
pub(super) fn remove(
    transaction: &mut Transaction<'_, '_>,
    list: &Place,
    name: &[u8],
) -> Result<(), CommandError> {
    let place = transaction.element(list, name);
    transaction.edit(&place, |edit| edit.remove(|_| true))?;
    Ok(())
}

/// Removes so many elements from an end on, and tells of each.
pub(super) fn take(
    call: &mut Call<'_, '_, '_>,
    list: &Place,
    end: End,
    mut count: u64,
    mut tell: impl FnMut(&mut Call<'_, '_, '_>, &Row),
) -> Result<(), CommandError> {
    if count > 1 {
        call.transaction.group();
    }
    let mut walk = Walk::from(end);
    while count > 0 {
        let page = walk.page(call.transaction, list, count)?;
        if page.is_empty() {
            break;
        }
        count -= page.len() as u64;
        for (name, row) in page {
            tell(call, &row);
            remove(call.transaction, list, &name)?;
        }
    }
    collection::end_if_empty(call.transaction, list, Family::LIST)
}
