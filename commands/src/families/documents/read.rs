//! LGET.

use larder_crdt::context::ContextSeal;
use larder_crdt::types::document_causal::{ConcurrentLeaves, Document, LeafValue, Pointer};
use serde_json::{Value, json};

use super::options::ReadOptions;
use super::refused;
use super::write::seen_in;
use crate::call::Call;
use crate::error::CommandError;
use crate::key;
use crate::reply::Reply;

pub(super) fn lget(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let options = ReadOptions::parse(call.args)?;
    let path = pointer(options.path.unwrap_or_default())?;
    let seal = call.seal(call.database, call.arg(1));
    let since = options.since.map(|text| seen_in(&seal, text)).transpose()?;
    let place = call.place(1);
    let row = call.transaction.try_row(&place)?;
    let document = key::document(row, call.now_ms)?;
    if options.state {
        let state = document.state_since(since.as_ref().map(|seen| seen.dots()));
        call.reply.array(2);
        call.reply.bulk(state.to_json().to_string().as_bytes());
        call.reply
            .bulk(seal.encode(&seal.whole(&document)).as_bytes());
        return Ok(());
    }
    call.reply.array(if options.siblings { 3 } else { 2 });
    show(call.reply, &seal, &document, &path);
    if options.siblings {
        let disagreements = document.siblings();
        let within = disagreements.iter().filter(|at| at.path.is_within(&path));
        let list: Vec<Value> = within.map(siblings_json).collect();
        call.reply.bulk(Value::Array(list).to_string().as_bytes());
    }
    Ok(())
}

/// Appends what a reader is shown of the part at `path`, and the reader's context.
pub(super) fn show(reply: &mut Reply, seal: &ContextSeal, document: &Document, path: &Pointer) {
    match document.view_at(path) {
        Some(view) => reply.bulk(view.to_string().as_bytes()),
        None => reply.null(),
    }
    reply.bulk(seal.encode(&seal.part(document, path)).as_bytes());
}

/// A JSON Pointer from outside.
pub(super) fn pointer(text: &[u8]) -> Result<Pointer, CommandError> {
    let text = std::str::from_utf8(text);
    let text = text.map_err(|_| CommandError::Fixed("ERR the path is not a JSON Pointer"))?;
    Pointer::parse(text).map_err(refused)
}

/// `{"path":…,"leaves":[{"actor":…,"counter":"…","stamp":"…","ms":…,"value":…,"shown":…}]}`; an
/// increment has `increment` and `bases` in place of `value`.
fn siblings_json(at: &ConcurrentLeaves<'_>) -> Value {
    let leaves = at.leaves.iter().map(|leaf| {
        let mut shown = json!({
            "actor": leaf.dot.actor.to_string(),
            "counter": leaf.dot.counter.to_string(),
            "stamp": leaf.stamp.0.to_string(),
            "ms": leaf.stamp.ms(),
            "shown": leaf.shown,
        });
        match leaf.value {
            LeafValue::EmptyObject => shown["value"] = json!({}),
            LeafValue::Json(value) => shown["value"] = value.value(),
            LeafValue::Increment { by, bases, .. } => {
                let bases = bases
                    .iter()
                    .map(|dot| json!([dot.actor.to_string(), dot.counter.to_string()]));
                shown["increment"] = json!(by.to_string());
                shown["bases"] = bases.collect();
            }
        }
        shown
    });
    json!({ "path": at.path.as_str(), "leaves": leaves.collect::<Vec<_>>() })
}
