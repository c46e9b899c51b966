//! LPUT, LPATCH, LDEL and LINCRBY.

use larder_cluster::copy::Edit;
use larder_crdt::Stamp;
use larder_crdt::context::{ContextSeal, Seen};
use larder_crdt::types::document_causal::{
    Document, DocumentError, Pointer, Signer, Written, parse_json,
};

use super::options::WriteOptions;
use super::read::{pointer, show};
use super::refused;
use crate::call::Call;
use crate::commands::FETCH_FIRST;
use crate::error::CommandError;
use crate::key;

/// Reads a context of this key.
pub(super) fn seen_in(seal: &ContextSeal, text: &[u8]) -> Result<Seen, CommandError> {
    seal.decode(text)
        .map_err(|error| CommandError::Text(format!("BADCONTEXT {error}")))
}

/// What became of a write.
enum Outcome<T> {
    /// It was done.
    Done(T),
    /// Nothing was done: the writer has seen what this node has not got.
    Ahead,
}

pub(super) fn lput(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let json = parse_json(call.arg(3)).map_err(refused)?;
    write(call, |document, seen, stamp, signer| {
        document.put(seen, &json, stamp, signer)
    })
}

pub(super) fn lpatch(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let patch = parse_json(call.arg(3)).map_err(refused)?;
    write(call, |document, seen, stamp, signer| {
        document.patch(seen, &patch, stamp, signer)
    })
}

/// A put or a patch.
fn write(
    call: &mut Call<'_, '_, '_>,
    change: impl FnOnce(&mut Document, &Seen, Stamp, &Signer) -> Result<Written, DocumentError>,
) -> Result<(), CommandError> {
    let options = WriteOptions::parse(call.args)?;
    let seal = call.seal(call.database, call.arg(1));
    let seen = seen_in(&seal, call.arg(2))?;
    let at = stamp_of(call, &options)?;
    let (place, now_ms, has_pulled) = (call.place(1), call.now_ms, call.has_pulled);
    let outcome = call.edit(&place, |edit| {
        let mut document = key::document(edit.row(), now_ms)?.into_owned();
        key::begin_signing(&mut document, edit);
        if document.is_ahead(&seen) && !has_pulled {
            return Ok(Outcome::Ahead);
        }
        let signer = Signer {
            copy: edit.actor(),
            named: options.named,
        };
        let stamp = at.unwrap_or(edit.stamp());
        let written = change(&mut document, &seen, stamp, &signer).map_err(refused)?;
        let shown = options.returns.then(|| document.clone());
        if written.changed {
            store(edit, document, now_ms);
        }
        Ok(Outcome::Done((written.seen, shown)))
    })?;
    match outcome {
        Outcome::Ahead => call.reply.raw(FETCH_FIRST),
        Outcome::Done((_, Some(document))) => {
            call.reply.array(2);
            show(call.reply, &seal, &document, &Pointer::root());
        }
        Outcome::Done((seen, None)) => call.reply.bulk(seal.encode(&seen).as_bytes()),
    }
    Ok(())
}

/// Puts the new state in place of the old ones, with the deadline of the key.
pub(super) fn store(edit: &mut Edit<'_>, document: Document, now_ms: u64) {
    let deadline = key::deadline(edit.row(), now_ms);
    key::replace_document(edit, document, deadline);
}

/// The stamp of an edit made offline.
fn stamp_of(
    call: &Call<'_, '_, '_>,
    options: &WriteOptions,
) -> Result<Option<Stamp>, CommandError> {
    match options.at_ms {
        Some(at_ms) => check_time(call, at_ms).map(|()| Some(Stamp::from_ms(at_ms))),
        None => Ok(None),
    }
}

/// Refuses an edit from the future.
pub(super) fn check_time(call: &Call<'_, '_, '_>, at_ms: u64) -> Result<(), CommandError> {
    let drift_ms = call.transaction.env().settings.max_clock_drift_ms;
    if at_ms <= call.now_ms.saturating_add(drift_ms) {
        return Ok(());
    }
    Err(CommandError::Fixed(
        "ERR the edit is from the future: more than max-clock-drift-ms ahead of this node's clock",
    ))
}

pub(super) fn ldel(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let seal = call.seal(call.database, call.arg(1));
    let seen = seen_in(&seal, call.arg(2))?;
    let (place, now_ms) = (call.place(1), call.now_ms);
    // What has not arrived yet is removed when it does: there is nothing to fetch.
    let after = call.edit(&place, |edit| {
        let mut document = key::document(edit.row(), now_ms)?.into_owned();
        let written = document.remove(&seen, edit.stamp());
        if written.changed {
            store(edit, document, now_ms);
        }
        Ok(written.seen)
    })?;
    call.reply.bulk(seal.encode(&after).as_bytes());
    Ok(())
}

pub(super) fn lincrby(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (path, amount) = (pointer(call.arg(2))?, call.integer(3)?);
    let options = WriteOptions::parse(call.args)?;
    let at = stamp_of(call, &options)?;
    let (place, now_ms) = (call.place(1), call.now_ms);
    let number = call.edit(&place, |edit| {
        let mut document = key::document(edit.row(), now_ms)?.into_owned();
        key::begin_signing(&mut document, edit);
        let signer = Signer {
            copy: edit.actor(),
            named: options.named,
        };
        let stamp = at.unwrap_or(edit.stamp());
        let done = document
            .increment(&path, amount, &signer, stamp)
            .map_err(refused)?;
        if done.changed {
            store(edit, document, now_ms);
        }
        Ok(done.value)
    })?;
    match number.as_i64() {
        Some(integer) => call.reply.integer(integer),
        None => call.reply.bulk(number.to_string().as_bytes()),
    }
    Ok(())
}
