//! When fields end: the HEXPIRE family of Redis 7.4. A field's deadline is part of its row, so that
//! every replica drops it by itself.

use std::num::NonZeroU64;

use larder_cluster::element::{Family, MEMBER_BYTES_MAX};
use larder_cluster::transaction::{Place, Transaction};

use crate::args::Args;
use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::expire_time::Unit;
use crate::key;
use crate::members;
use crate::numbers;

use super::remove;

/// The latest deadline of a field, in Unix milliseconds, as in Redis.
const FIELD_DEADLINE_MAX: i64 = 0x0000_ffff_ffff_ffff >> 2;
/// Answers for one field.
const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const CONDITION_FAILED: i64 = 0;
const DONE: i64 = 1;
const REMOVED: i64 = 2;

/// When a deadline is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    WithoutDeadline,
    WithDeadline,
    Later,
    Sooner,
}

impl Condition {
    fn named(word: &[u8]) -> Option<Self> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("nx") {
            Some(Self::WithoutDeadline)
        } else if is("xx") {
            Some(Self::WithDeadline)
        } else if is("gt") {
            Some(Self::Later)
        } else if is("lt") {
            Some(Self::Sooner)
        } else {
            None
        }
    }

    /// Whether the deadline may become `time`; no deadline is later than any.
    fn allows(self, before: Option<NonZeroU64>, time: u64) -> bool {
        match (self, before) {
            (Self::Always, _) => true,
            (Self::WithoutDeadline, before) => before.is_none(),
            (Self::WithDeadline, before) => before.is_some(),
            (Self::Later, before) => before.is_some_and(|before| time > before.get()),
            (Self::Sooner, before) => before.is_none_or(|before| time < before.get()),
        }
    }
}

/// The fields behind `FIELDS count`, the word at `at`.
fn fields<'a>(
    args: Args<'a>,
    at: usize,
    bad_count: &'static str,
) -> Result<Args<'a>, CommandError> {
    if !args.at(at).eq_ignore_ascii_case(b"fields") {
        return Err(CommandError::Fixed(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let count = numbers::integer(args.at(at + 1)).ok();
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0);
    let count = count.ok_or(CommandError::Fixed(bad_count))?;
    let fields = args.from(at + 2);
    if fields.len() != count {
        return Err(CommandError::Fixed(
            "ERR The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(fields)
}

fn time(call: &Call<'_, '_, '_>, unit: Unit) -> Result<u64, CommandError> {
    let given = call.integer(2)?;
    if given < 0 {
        return Err(CommandError::Fixed("ERR invalid expire time, must be >= 0"));
    }
    let time = crate::expire_time::any(call.arg(2), unit, call)?;
    if time > FIELD_DEADLINE_MAX {
        return Err(CommandError::InvalidExpire(call.name));
    }
    u64::try_from(time).map_err(|_| CommandError::InvalidExpire(call.name))
}

fn change(call: &mut Call<'_, '_, '_>, unit: Unit) -> Result<(), CommandError> {
    let key = call.collection(1, Family::HASH)?;
    let (time, now_ms) = (time(call, unit)?, call.now_ms);
    let condition = Condition::named(call.arg(3));
    let at = if condition.is_some() { 4 } else { 3 };
    let condition = condition.unwrap_or(Condition::Always);
    let fields = fields(
        call.args,
        at,
        "ERR Parameter `numFields` should be greater than 0",
    )?;
    call.reply.array(fields.len());
    if key.is_none() {
        fields.iter().for_each(|_| call.reply.integer(NO_FIELD));
        return Ok(());
    }
    call.transaction.group();
    let Some(key) = call.collection_to_change(1, Family::HASH)? else {
        return Ok(());
    };
    for field in fields.iter() {
        let place = members::place(call.transaction, &key, Family::HASH, field);
        let row = call.row(&place)?;
        let answer = if !members::shows(row, now_ms) {
            NO_FIELD
        } else if !condition.allows(key::deadline(row, now_ms), time) {
            CONDITION_FAILED
        } else if time <= now_ms {
            remove(call.transaction, &key, field)?;
            REMOVED
        } else {
            set_deadline(call.transaction, &key, field, NonZeroU64::new(time))?;
            DONE
        };
        call.reply.integer(answer);
    }
    collection::end_if_empty(call.transaction, &key, Family::HASH)
}

/// Gives a field another deadline, and the row of its text if it has one.
fn set_deadline(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    field: &[u8],
    deadline: Option<NonZeroU64>,
) -> Result<(), CommandError> {
    let now_ms = transaction.now_ms();
    if field.len() > MEMBER_BYTES_MAX {
        members::write_text(transaction, key, Family::HASH, field, deadline)?;
    }
    let place = members::place(transaction, key, Family::HASH, field);
    transaction.edit(&place, |edit| key::change_deadline(edit, now_ms, deadline))?;
    Ok(())
}

pub(super) fn hexpire(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    change(call, Unit::Seconds)
}

pub(super) fn hpexpire(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    change(call, Unit::Milliseconds)
}

pub(super) fn hexpireat(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    change(call, Unit::UnixSeconds)
}

pub(super) fn hpexpireat(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    change(call, Unit::UnixMilliseconds)
}

/// Answers for each field: -2 if it is not there, -1 if it has no deadline, else what `show` makes
/// of the deadline and now.
fn answer(call: &mut Call<'_, '_, '_>, show: fn(u64, u64) -> u64) -> Result<(), CommandError> {
    let key = call.collection(1, Family::HASH)?;
    let fields = fields(call.args, 2, BAD_COUNT)?;
    let now_ms = call.now_ms;
    call.reply.array(fields.len());
    for field in fields.iter() {
        let answer = match &key {
            None => NO_FIELD,
            Some(key) => {
                let place = members::place(call.transaction, key, Family::HASH, field);
                let row = call.row(&place)?;
                match key::deadline(row, now_ms) {
                    _ if !members::shows(row, now_ms) => NO_FIELD,
                    None => NO_DEADLINE,
                    Some(deadline) => {
                        i64::try_from(show(deadline.get(), now_ms)).unwrap_or(i64::MAX)
                    }
                }
            }
        };
        call.reply.integer(answer);
    }
    Ok(())
}

const BAD_COUNT: &str = "ERR Number of fields must be a positive integer";

pub(super) fn httl(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, |deadline, now_ms| {
        (deadline + 999).saturating_sub(now_ms) / 1000
    })
}

pub(super) fn hpttl(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, u64::saturating_sub)
}

pub(super) fn hexpiretime(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, |deadline, _| deadline.saturating_add(999) / 1000)
}

pub(super) fn hpexpiretime(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, |deadline, _| deadline)
}

pub(super) fn hpersist(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let key = call.collection(1, Family::HASH)?;
    let fields = fields(call.args, 2, BAD_COUNT)?;
    let now_ms = call.now_ms;
    call.reply.array(fields.len());
    if fields.len() > 1 {
        call.transaction.group();
    }
    for field in fields.iter() {
        let answer = match &key {
            None => NO_FIELD,
            Some(key) => {
                let place = members::place(call.transaction, key, Family::HASH, field);
                let row = call.row(&place)?;
                if !members::shows(row, now_ms) {
                    NO_FIELD
                } else if key::deadline(row, now_ms).is_none() {
                    NO_DEADLINE
                } else {
                    set_deadline(call.transaction, key, field, None)?;
                    DONE
                }
            }
        };
        call.reply.integer(answer);
    }
    Ok(())
}
