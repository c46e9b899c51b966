//! A write to a document changes what its writer wanted changed, and nothing that it had not seen:
//! a lost update is a violation.

use larder_crdt::context::Seen;
use larder_crdt::types::document_causal::{Document, LeafValue, Pointer};
use serde_json::{Map, Value, json};

use crate::action::{DocumentWrite, Way};
use crate::documents::leaves;

/// A write that changed something, and what it did.
pub(crate) struct Write<'a> {
    pub(crate) write: &'a DocumentWrite,
    pub(crate) seen: &'a Seen,
    pub(crate) before: &'a Document,
    pub(crate) after: &'a Document,
}

/// Says what is wrong with a write, if anything is.
pub(crate) fn check(write: &Write<'_>) -> Option<String> {
    let Write {
        seen,
        before,
        after,
        ..
    } = write;
    for (dot, leaf) in before.leaves() {
        if !after.leaves().contains_key(dot) && !seen.dots().contains(*dot) {
            let path = leaf.path.as_str();
            return Some(format!(
                "a write removed {path}, which its writer had not seen"
            ));
        }
    }
    match write.write.way {
        Way::Put => check_put(write),
        Way::Remove => check_remove(write),
        Way::Patch => None,
    }
}

fn holds(document: &Document, path: &Pointer, value: &LeafValue) -> bool {
    document
        .leaves()
        .values()
        .any(|leaf| leaf.path == *path && leaf.value == *value)
}

fn check_put(write: &Write<'_>) -> Option<String> {
    let (shown, wanted) = (leaves(&write.write.shown), leaves(&write.write.json));
    // A retry whose dots were spent in part writes only the rest.
    if !write.write.is_named {
        for (path, value) in &wanted {
            let is_new = !shown.contains(&(path.clone(), value.clone()));
            if is_new && !holds(write.after, path, value) {
                return Some(format!(
                    "LPUT did not write {} as it was asked to",
                    path.as_str()
                ));
            }
        }
    }
    for (dot, leaf) in write.after.leaves() {
        let dropped = !wanted.iter().any(|(path, _)| *path == leaf.path);
        if dropped && write.seen.dots().contains(*dot) {
            return Some(format!(
                "LPUT left {}, which it was to remove",
                leaf.path.as_str()
            ));
        }
    }
    None
}

fn check_remove(write: &Write<'_>) -> Option<String> {
    let left = write
        .after
        .leaves()
        .keys()
        .any(|dot| write.seen.dots().contains(*dot));
    left.then(|| "LDEL left what its writer had seen".to_owned())
}

/// What the writer of a merge patch knows afterwards (RFC 7396).
pub(crate) fn patched(shown: &Value, patch: &Value) -> Value {
    let Some(patch) = patch.as_object() else {
        return patch.clone();
    };
    let mut merged: Map<String, Value> = shown.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            merged.remove(name);
        } else {
            let below = merged.get(name).cloned().unwrap_or_else(|| json!({}));
            merged.insert(name.clone(), patched(&below, value));
        }
    }
    Value::Object(merged)
}
