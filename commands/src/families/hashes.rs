//! Hashes: fields with values, each of which may end by itself.

mod expiry;
mod increments;
mod rows;

use std::num::NonZeroU64;

use larder_cluster::element::Family;
use larder_cluster::transaction::{Place, Transaction};

use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::key;
use crate::members::{self, Member, Walk, random, scan};
use crate::numbers;
use crate::reply::Protocol;
use crate::scan::cursor;

use super::sets::draw;

pub(super) use rows::ROWS;

/// The value of a field, if it is there.
fn value(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    field: &[u8],
) -> Result<Option<Vec<u8>>, CommandError> {
    let now_ms = transaction.now_ms();
    let place = members::place(transaction, key, Family::HASH, field);
    Ok(collection::value(transaction.try_row(&place)?, now_ms))
}

/// Writes a field; says whether it was not there.
fn set(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    field: &[u8],
    value: &[u8],
    deadline: Option<NonZeroU64>,
) -> Result<bool, CommandError> {
    let now_ms = transaction.now_ms();
    members::write_text(transaction, key, Family::HASH, field, deadline)?;
    let place = members::place(transaction, key, Family::HASH, field);
    let is_new = transaction.edit(&place, |edit| {
        let is_new = !members::shows(edit.row(), now_ms);
        key::replace(edit, now_ms, value, deadline);
        is_new
    })?;
    Ok(is_new)
}

/// Removes a field; says whether it was there.
fn remove(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    field: &[u8],
) -> Result<bool, CommandError> {
    let now_ms = transaction.now_ms();
    let place = members::place(transaction, key, Family::HASH, field);
    if !members::shows(transaction.try_row(&place)?, now_ms) {
        return Ok(false);
    }
    members::remove_text(transaction, key, Family::HASH, field)?;
    transaction.edit(&place, |edit| key::remove(edit, now_ms))?;
    Ok(true)
}

fn set_all(call: &mut Call<'_, '_, '_>) -> Result<usize, CommandError> {
    if !call.args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(call.name));
    }
    if call.args.len() > 4 {
        call.transaction.group();
    }
    let key = call.collection_to_write(1, Family::HASH)?;
    let mut created = 0;
    for at in (2..call.args.len()).step_by(2) {
        let (field, value) = (call.arg(at), call.arg(at + 1));
        created += usize::from(set(call.transaction, &key, field, value, None)?);
    }
    Ok(created)
}

fn hset(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let created = set_all(call)?;
    call.reply.count(created);
    Ok(())
}

fn hmset(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    set_all(call)?;
    call.reply.ok();
    Ok(())
}

fn hsetnx(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (field, new) = (call.arg(2), call.arg(3));
    let is_taken = match call.collection(1, Family::HASH)? {
        Some(key) => value(call.transaction, &key, field)?.is_some(),
        None => false,
    };
    if !is_taken {
        let key = call.collection_to_write(1, Family::HASH)?;
        set(call.transaction, &key, field, new, None)?;
    }
    call.reply.integer(i64::from(!is_taken));
    Ok(())
}

fn hdel(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let Some(key) = call.collection_to_change(1, Family::HASH)? else {
        call.reply.integer(0);
        return Ok(());
    };
    if call.args.len() > 3 {
        call.transaction.group();
    }
    let mut removed = 0;
    for field in call.args.from(2).iter() {
        removed += usize::from(remove(call.transaction, &key, field)?);
    }
    collection::end_if_empty(call.transaction, &key, Family::HASH)?;
    call.reply.count(removed);
    Ok(())
}

/// The value of the field behind the key, if both are there.
fn asked(call: &mut Call<'_, '_, '_>) -> Result<Option<Vec<u8>>, CommandError> {
    match call.collection(1, Family::HASH)? {
        Some(key) => value(call.transaction, &key, call.arg(2)),
        None => Ok(None),
    }
}

fn hget(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let value = asked(call)?;
    call.reply.bulk_or_null(value.as_deref());
    Ok(())
}

fn hexists(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let value = asked(call)?;
    call.reply.integer(i64::from(value.is_some()));
    Ok(())
}

fn hstrlen(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let value = asked(call)?;
    call.reply.count(value.map_or(0, |value| value.len()));
    Ok(())
}

fn hmget(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let key = call.collection(1, Family::HASH)?;
    call.reply.array(call.args.len().saturating_sub(2));
    for field in call.args.from(2).iter() {
        let value = match &key {
            Some(key) => value(call.transaction, key, field)?,
            None => None,
        };
        call.reply.bulk_or_null(value.as_deref());
    }
    Ok(())
}

fn hlen(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let fields = match call.collection(1, Family::HASH)? {
        Some(key) => call.transaction.members(&key, Family::HASH)?,
        None => 0,
    };
    call.reply
        .integer(i64::try_from(fields).unwrap_or(i64::MAX));
    Ok(())
}

/// Writes the fields, the values or both of a whole hash; says how many fields there are.
fn write_all(
    call: &mut Call<'_, '_, '_>,
    with_fields: bool,
    with_values: bool,
) -> Result<usize, CommandError> {
    let Some(key) = call.collection(1, Family::HASH)? else {
        return Ok(0);
    };
    let (mut count, mut walk) = (0, Walk::new(Family::HASH));
    while let Some(field) = walk.next(call.transaction, &key)? {
        if with_fields {
            call.reply.bulk(&field.text(call.transaction, &key)?);
        }
        if with_values {
            let value = collection::value(&field.row, call.now_ms).unwrap_or_default();
            call.reply.bulk(&value);
        }
        count += 1;
    }
    Ok(count)
}

fn hgetall(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let mark = call.reply.later();
    let count = write_all(call, true, true)?;
    call.reply.map_at(mark, count);
    Ok(())
}

fn hkeys(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let mark = call.reply.later();
    let count = write_all(call, true, false)?;
    call.reply.array_at(mark, count);
    Ok(())
}

fn hvals(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let mark = call.reply.later();
    let count = write_all(call, false, true)?;
    call.reply.array_at(mark, count);
    Ok(())
}

fn hrandfield(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    if call.args.len() == 2 {
        let field = match call.collection(1, Family::HASH)? {
            Some(key) => match random::one(call.transaction, &key, Family::HASH)? {
                Some(field) => Some(field.text(call.transaction, &key)?.into_owned()),
                None => None,
            },
            None => None,
        };
        call.reply.bulk_or_null(field.as_deref());
        return Ok(());
    }
    let count = numbers::signed_count(call.arg(2))?;
    let with_values = call.args.len() > 3;
    if call.args.len() > 4 || with_values && !call.arg(3).eq_ignore_ascii_case(b"withvalues") {
        return Err(CommandError::Syntax);
    }
    if with_values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(CommandError::OutOfRange);
    }
    let Some(key) = call.collection(1, Family::HASH)? else {
        call.reply.array(0);
        return Ok(());
    };
    let in_pairs = with_values && call.reply.protocol() == Protocol::Resp3;
    let (mark, mut written) = (call.reply.later(), 0);
    draw(call, &key, Family::HASH, count, |call, text, field| {
        if in_pairs {
            call.reply.array(2);
        }
        call.reply.bulk(text);
        written += 1;
        if with_values {
            let value = collection::value(&field.row, call.now_ms).unwrap_or_default();
            call.reply.bulk(&value);
            written += usize::from(!in_pairs);
        }
        Ok(())
    })?;
    call.reply.array_at(mark, written);
    Ok(())
}

fn hscan(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let cursor = cursor(call.arg(2))?;
    let now_ms = call.now_ms;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = match call.collection(1, Family::HASH)? {
        Some(key) => {
            let options = scan::Options::parse(call.args)?;
            let take = |_: &mut Transaction<'_, '_>, text: &[u8], field: &Member| {
                found.push(text.to_vec());
                if !options.without_values {
                    found.push(collection::value(&field.row, now_ms).unwrap_or_default());
                }
                Ok(())
            };
            scan::page(call.transaction, &key, Family::HASH, cursor, options, take)?
        }
        None => 0,
    };
    call.reply.array(2);
    call.reply.bulk(next.to_string().as_bytes());
    call.reply.array(found.len());
    found.iter().for_each(|part| call.reply.bulk(part));
    Ok(())
}
