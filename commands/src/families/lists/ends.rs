//! Pushing, popping and moving: what happens at the ends of lists.

use larder_cluster::element::Family;
use larder_cluster::transaction::Place;
use larder_crdt::types::register_lww::parse_integer;

use super::walk::{self, End};
use crate::args::Args;
use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::table::Asked;

pub(super) fn lpush(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    push(call, End::Left)
}

pub(super) fn rpush(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    push(call, End::Right)
}

fn push(call: &mut Call<'_, '_, '_>, end: End) -> Result<(), CommandError> {
    let list = call.collection_to_write(1, Family::LIST)?;
    push_values(call, &list, end)
}

fn push_values(call: &mut Call<'_, '_, '_>, list: &Place, end: End) -> Result<(), CommandError> {
    if call.args.len() > 3 {
        call.transaction.group();
    }
    walk::push(call.transaction, list, end, call.args.from(2).iter())?;
    reply_length(call, list)
}

fn reply_length(call: &mut Call<'_, '_, '_>, list: &Place) -> Result<(), CommandError> {
    let length = walk::length(call.transaction, list)?;
    call.reply
        .integer(i64::try_from(length).unwrap_or(i64::MAX));
    Ok(())
}

pub(super) fn lpushx(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    push_to_existing(call, End::Left)
}

pub(super) fn rpushx(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    push_to_existing(call, End::Right)
}

fn push_to_existing(call: &mut Call<'_, '_, '_>, end: End) -> Result<(), CommandError> {
    match call.collection_to_change(1, Family::LIST)? {
        Some(list) => push_values(call, &list, end),
        None => {
            call.reply.integer(0);
            Ok(())
        }
    }
}

pub(super) fn lpop(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    pop(call, End::Left)
}

pub(super) fn rpop(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    pop(call, End::Right)
}

fn pop(call: &mut Call<'_, '_, '_>, end: End) -> Result<(), CommandError> {
    let count = match call.args.len() {
        2 => None,
        3 => {
            let count = parse_integer(call.arg(2)).and_then(|count| u64::try_from(count).ok());
            Some(count.ok_or(CommandError::NotPositive)?)
        }
        _ => return Err(CommandError::WrongArity(call.name)),
    };
    if count == Some(0) {
        match call.collection(1, Family::LIST)? {
            Some(_) => call.reply.array(0),
            None => call.reply.null_array(),
        }
        return Ok(());
    }
    let list = call.collection_to_change(1, Family::LIST)?;
    match (list, count) {
        (None, None) => call.reply.null(),
        (None, Some(_)) => call.reply.null_array(),
        (Some(list), None) => walk::take(call, &list, end, 1, walk::show)?,
        (Some(list), Some(count)) => pop_some(call, &list, end, count)?,
    }
    Ok(())
}

/// Replies an array of so many elements, and removes them.
fn pop_some(
    call: &mut Call<'_, '_, '_>,
    list: &Place,
    end: End,
    count: u64,
) -> Result<(), CommandError> {
    let count = count.min(walk::length(call.transaction, list)?);
    call.reply
        .array(usize::try_from(count).unwrap_or(usize::MAX));
    walk::take(call, list, end, count, walk::show)
}

pub(super) fn lmove(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (from, to) = (End::parse(call.arg(3))?, End::parse(call.arg(4))?);
    move_element(call, from, to)
}

pub(super) fn rpoplpush(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    move_element(call, End::Right, End::Left)
}

pub(super) fn move_element(
    call: &mut Call<'_, '_, '_>,
    from: End,
    to: End,
) -> Result<(), CommandError> {
    let Some(source) = call.collection(1, Family::LIST)? else {
        call.reply.null();
        return Ok(());
    };
    let target = call.collection_to_write(2, Family::LIST)?;
    let first = walk::Walk::from(from)
        .page(call.transaction, &source, 1)?
        .pop();
    let Some((name, row)) = first else {
        call.reply.null();
        return Ok(());
    };
    walk::show(call, &row);
    if source == target && (from == to || walk::length(call.transaction, &source)? == 1) {
        return Ok(());
    }
    call.collection_to_change(1, Family::LIST)?;
    call.transaction.group();
    let value = collection::value(&row, call.now_ms).unwrap_or_default();
    walk::push(call.transaction, &target, to, std::iter::once(&value[..]))?;
    walk::remove(call.transaction, &source, &name)?;
    collection::end_if_empty(call.transaction, &source, Family::LIST)
}

/// What LMPOP is to do: from which end to take how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pops {
    end: End,
    count: u64,
    /// The position of the first key, and how many there are.
    keys: (usize, usize),
}

impl Pops {
    /// Reads the arguments from `numkeys`, which stands at `at`, on.
    pub(super) fn parse(args: Args<'_>, at: usize) -> Result<Self, CommandError> {
        let keys = parse_integer(args.at(at)).filter(|keys| *keys > 0);
        let keys = keys.ok_or(CommandError::NumKeys)?;
        let keys = usize::try_from(keys).unwrap_or(usize::MAX);
        let mut words = args.from((at + 1).saturating_add(keys)).iter();
        let end = End::parse(words.next().ok_or(CommandError::Syntax)?)?;
        let mut count = None;
        while let Some(word) = words.next() {
            if count.is_some() || !word.eq_ignore_ascii_case(b"count") {
                return Err(CommandError::Syntax);
            }
            let number = parse_integer(words.next().ok_or(CommandError::Syntax)?);
            let number = number.filter(|number| *number > 0).map(i64::unsigned_abs);
            count = Some(number.ok_or(CommandError::Fixed("ERR count should be greater than 0"))?);
        }
        Ok(Self {
            end,
            count: count.unwrap_or(1),
            keys: (at + 1, keys),
        })
    }
}

/// Finds errors in the arguments before the keys are counted by them.
pub(super) fn check_lmpop(args: Args<'_>) -> Result<Asked, CommandError> {
    Pops::parse(args, 1).map(|_| Asked::default())
}

pub(super) fn lmpop(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    pop_first(call, 1)
}

/// Pops from the first list that there is; `numkeys` stands at `at`.
pub(super) fn pop_first(call: &mut Call<'_, '_, '_>, at: usize) -> Result<(), CommandError> {
    let pops = Pops::parse(call.args, at)?;
    let (first, keys) = pops.keys;
    for index in first..first + keys {
        if let Some(list) = call.collection_to_change(index, Family::LIST)? {
            call.reply.array(2);
            call.reply.bulk(call.arg(index));
            return pop_some(call, &list, pops.end, pops.count);
        }
    }
    call.reply.null_array();
    Ok(())
}
