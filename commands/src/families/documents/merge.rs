//! LMERGE.

use larder_crdt::Stamp;
use larder_crdt::types::document_causal::{State, parse_json};

use super::options::contexts_of_merge;
use super::refused;
use super::write::{check_time, seen_in, store};
use crate::call::Call;
use crate::error::CommandError;
use crate::key;

pub(super) fn lmerge(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let json = parse_json(call.arg(2)).map_err(refused)?;
    let delta = State::from_json(&json).map_err(refused)?;
    let latest = delta
        .leaves
        .values()
        .map(|leaf| leaf.stamp)
        .max()
        .unwrap_or_default();
    check_time(call, latest.ms())?;
    let seal = call.seal(call.database, call.arg(1));
    let (end, _) = contexts_of_merge(call.args)?;
    let mut contexts = Vec::new();
    for index in 3..end {
        contexts.push(seen_in(&seal, call.arg(index))?);
    }
    let forget_after_ms = call.transaction.env().settings.document_forget_after_ms;
    let (place, now_ms) = (call.place(1), call.now_ms);
    let dots = call.edit(&place, |edit| {
        let mut document = key::document(edit.row(), now_ms)?.into_owned();
        let now = Stamp::from_ms(now_ms);
        let merged = document
            .merge(&delta, &contexts, now, forget_after_ms)
            .map_err(refused)?;
        if merged.changed {
            store(edit, document, now_ms);
        }
        Ok(merged.dots)
    })?;
    call.reply.bulk(seal.encode(&seal.dots(dots)).as_bytes());
    Ok(())
}
