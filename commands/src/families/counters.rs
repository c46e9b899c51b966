//! Counters: increments that add up, whoever makes them.

use larder_crdt::Row;
use larder_crdt::types::register_lww::{joined_counter, parse_float, parse_integer};

use crate::call::Call;
use crate::error::CommandError;
use crate::key;
use crate::numbers;
use crate::table::Flag::{DenyOom, Fast, Write};
use crate::table::{Command, KeySpec, Scope};

use super::strings::STRING;

const COUNTER: Command = Command {
    flags: &[Write, DenyOom, Fast],
    keys: &[KeySpec::at(1, &["RW", "access", "update"])],
    concurrent: "Concurrent increments and decrements add up exactly; a concurrent DEL or SET \
        takes \
                 only those that it had seen.",
    ..STRING
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "incr",
        arity: 2,
        usage: "key:key",
        summary: "Increments the integer value of a key by one. Uses 0 as initial value if the key \
                  doesn't exist.",
        scope: Scope::Keys(incr),
        ..COUNTER
    },
    Command {
        name: "decr",
        arity: 2,
        usage: "key:key",
        summary: "Decrements the integer value of a key by one. Uses 0 as initial value if the key \
                  doesn't exist.",
        scope: Scope::Keys(decr),
        ..COUNTER
    },
    Command {
        name: "incrby",
        arity: 3,
        usage: "key:key increment:integer",
        summary: "Increments the integer value of a key by a number. Uses 0 as initial value if \
            the \
                  key doesn't exist.",
        scope: Scope::Keys(incrby),
        ..COUNTER
    },
    Command {
        name: "decrby",
        arity: 3,
        usage: "key:key decrement:integer",
        summary: "Decrements a number from the integer value of a key. Uses 0 as initial value if \
                  the key doesn't exist.",
        scope: Scope::Keys(decrby),
        ..COUNTER
    },
    Command {
        name: "incrbyfloat",
        arity: 3,
        usage: "key:key increment:double",
        summary: "Increment the floating point value of a key by a number. Uses 0 as initial value \
                  if the key doesn't exist.",
        since: "2.6.0",
        scope: Scope::Keys(incrbyfloat),
        ..COUNTER
    },
];

fn incr(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    add(call, 1)
}

fn decr(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    add(call, -1)
}

fn incrby(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let amount = call.integer(2)?;
    add(call, amount)
}

fn decrby(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let amount = call.integer(2)?;
    add(
        call,
        amount
            .checked_neg()
            .ok_or(CommandError::DecrementOverflow)?,
    )
}

fn shown_integer(row: &Row, now_ms: u64) -> Result<i64, CommandError> {
    match key::string(row, now_ms)? {
        Some(text) => parse_integer(&text).ok_or(CommandError::NotInteger),
        None => Ok(0),
    }
}

fn add(call: &mut Call<'_, '_, '_>, amount: i64) -> Result<(), CommandError> {
    let (place, now_ms) = (call.place(1), call.now_ms);
    let value = call.edit(&place, |edit| {
        let before = shown_integer(edit.row(), now_ms)?;
        before.checked_add(amount).ok_or(CommandError::Overflow)?;
        if amount == 0 {
            key::ensure_zero(edit, now_ms);
            return Ok(before);
        }
        let deadline = key::deadline(edit.row(), now_ms);
        let mut counter = joined_counter(edit.row(), now_ms).unwrap_or_default();
        key::replace_counter(edit, deadline, |dot| {
            counter.add(amount, dot);
            counter
        });
        // Where concurrent increments went beyond 64 bits, the end of the range shows.
        shown_integer(edit.row(), now_ms)
    })?;
    call.reply.integer(value);
    Ok(())
}

fn incrbyfloat(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (place, text, now_ms) = (call.place(1), call.arg(2), call.now_ms);
    let value = call.edit(&place, |edit| {
        let before = match key::string(edit.row(), now_ms)? {
            Some(text) => parse_float(&text).ok_or(CommandError::NotFloat)?,
            None => 0.0,
        };
        let amount = numbers::float(text)?;
        if !(before + amount).is_finite() || !amount.is_finite() {
            return Err(CommandError::NanOrInfinity);
        }
        let deadline = key::deadline(edit.row(), now_ms);
        let mut counter = joined_counter(edit.row(), now_ms).unwrap_or_default();
        key::replace_counter(edit, deadline, |dot| {
            counter.add_float(amount, dot);
            counter
        });
        Ok(key::string(edit.row(), now_ms)?
            .unwrap_or_default()
            .into_owned())
    })?;
    call.reply.bulk(&value);
    Ok(())
}
