//! Whether commands on documents honoured their contexts, and what they signed.

use larder_crdt::context::{ContextSeal, Seen};
use larder_crdt::types::document_causal::{Document, LeafValue, Pointer, leaves_of};
use larder_crdt::{Row, Value};

use crate::action::Action;
use crate::checkers::{contexts, merges};
use crate::execute::context_key;
use crate::history::History;
use crate::reply::is_error;
use crate::truth::Edited;

/// What makes and reads the contexts of a key.
pub(crate) fn seal(key: &[u8]) -> ContextSeal {
    // The number of the database comes first.
    context_key().for_key(&[&[0], key].concat())
}

/// The join of the documents among the siblings.
pub(crate) fn joined(row: &Row) -> Document {
    let mut document = Document::new();
    for sibling in row.siblings() {
        if let Value::Document(sibling) = &sibling.value {
            document.join(sibling);
        }
    }
    document
}

/// The leaves of a JSON object as path and value.
pub(crate) fn leaves(json: &serde_json::Value) -> Vec<(Pointer, LeafValue)> {
    leaves_of(json, usize::MAX).unwrap_or_default()
}

/// Holds a write to a document against what its writer wanted.
pub(crate) fn check_write(
    history: &mut History,
    command: u64,
    reply: &[u8],
    element: Option<usize>,
    (before, after): (&Row, &Row),
) {
    let action = &history.commands[command as usize].action;
    if action.write.is_none() && action.delta.is_none() {
        return;
    }
    if reply.starts_with(b"-BADCONTEXT") {
        let text = String::from_utf8_lossy(reply).into_owned();
        history.complain(|| format!("command {command} has a context of its own, but: {text}"));
        return;
    }
    if is_error(reply) {
        return;
    }
    let (before, after) = (joined(before), joined(after));
    let complaint = match (&action.write, &action.delta) {
        (Some(write), _) => context_of(action).and_then(|seen| {
            contexts::check(&contexts::Write {
                write,
                seen: &seen,
                before: &before,
                after: &after,
            })
        }),
        (None, Some(delta)) => {
            let is_new =
                |dot| element.is_none_or(|element| !history.leaves.contains_key(&(element, dot)));
            merges::check(delta, &before, &after, is_new)
        }
        (None, None) => None,
    };
    if let Some(complaint) = complaint {
        history.complain(|| format!("command {command}: {complaint}"));
    }
}

/// What the writer has seen, from the context that it hands back.
fn context_of(action: &Action) -> Option<Seen> {
    let context = action.words.get(2)?;
    seal(&action.key()).decode(context).ok()
}

/// A dot inside a document names one leaf: it may be written again only by a retry of the client
/// that named it.
pub(crate) fn note_leaves(history: &mut History, command: u64, edited: &Edited<'_>) {
    let has_document = |row: &Row| {
        let mut siblings = row.siblings().iter();
        siblings.any(|sibling| matches!(sibling.value, Value::Document(_)))
    };
    if !has_document(edited.after) {
        return;
    }
    let (before, after) = (joined(edited.observed), joined(edited.after));
    let change = history.changes.len();
    for (dot, leaf) in after.leaves() {
        if before.leaves().contains_key(dot) {
            continue;
        }
        let named = after.context().is_named(dot.actor);
        match history.leaves.insert((edited.element, *dot), change) {
            Some(_) if !named => {
                let path = leaf.path.as_str().to_owned();
                history.complain(|| {
                    format!("command {command} gave the leaf {path} a dot that another leaf had")
                });
            }
            _ => {}
        }
    }
}
