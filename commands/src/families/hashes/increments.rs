//! HINCRBY and HINCRBYFLOAT: fields are counters as strings are.

use larder_cluster::copy::Edit;
use larder_cluster::element::Family;
use larder_cluster::transaction::Place;
use larder_crdt::types::register_lww::{joined_counter, parse_float, parse_integer};

use crate::call::Call;
use crate::error::CommandError;
use crate::key;
use crate::members;
use crate::numbers;

use super::value;

/// The value that the field at the second argument shows before it changes.
fn before(call: &mut Call<'_, '_, '_>) -> Result<Option<Vec<u8>>, CommandError> {
    match call.collection(1, Family::HASH)? {
        Some(key) => value(call.transaction, &key, call.arg(2)),
        None => Ok(None),
    }
}

/// Changes the field at the second argument, and gives what it shows then.
fn change(
    call: &mut Call<'_, '_, '_>,
    change: impl FnOnce(&mut Edit<'_>, u64),
) -> Result<Vec<u8>, CommandError> {
    let (key, field, now_ms) = (
        call.collection_to_write(1, Family::HASH)?,
        call.arg(2),
        call.now_ms,
    );
    let place: Place = members::place(call.transaction, &key, Family::HASH, field);
    let deadline = key::deadline(call.row(&place)?, now_ms);
    members::write_text(call.transaction, &key, Family::HASH, field, deadline)?;
    call.edit(&place, |edit| {
        change(edit, now_ms);
        let shown = key::string(edit.row(), now_ms)?;
        Ok(shown.unwrap_or_default().into_owned())
    })
}

pub(super) fn hincrby(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let amount = call.integer(3)?;
    let shown = match before(call)? {
        Some(text) => parse_integer(&text).ok_or(CommandError::HashNotInteger)?,
        None => 0,
    };
    shown.checked_add(amount).ok_or(CommandError::Overflow)?;
    let value = change(call, |edit, now_ms| {
        if amount == 0 {
            key::ensure_zero(edit, now_ms);
            return;
        }
        let deadline = key::deadline(edit.row(), now_ms);
        let mut counter = joined_counter(edit.row(), now_ms).unwrap_or_default();
        key::replace_counter(edit, deadline, |dot| {
            counter.add(amount, dot);
            counter
        });
    })?;
    // Where concurrent increments went beyond 64 bits, the end of the range shows.
    call.reply
        .integer(parse_integer(&value).ok_or(CommandError::HashNotInteger)?);
    Ok(())
}

pub(super) fn hincrbyfloat(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let amount = numbers::float(call.arg(3))?;
    if !amount.is_finite() {
        return Err(CommandError::ValueNanOrInfinity);
    }
    let shown = match before(call)? {
        Some(text) => parse_float(&text).ok_or(CommandError::HashNotFloat)?,
        None => 0.0,
    };
    if !(shown + amount).is_finite() {
        return Err(CommandError::NanOrInfinity);
    }
    let value = change(call, |edit, now_ms| {
        let deadline = key::deadline(edit.row(), now_ms);
        let mut counter = joined_counter(edit.row(), now_ms).unwrap_or_default();
        key::replace_counter(edit, deadline, |dot| {
            counter.add_float(amount, dot);
            counter
        });
    })?;
    call.reply.bulk(&value);
    Ok(())
}
