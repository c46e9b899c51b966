//! Commands on documents, and whether each honoured its context.

use larder_cluster::copy::Edit;
use larder_cluster::store::StoreError;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::context::{ContextKey, ContextSeal, Seen};
use larder_crdt::types::document_causal::{
    DocContext, DocDot, Document, DocumentError, LeafValue, Pointer, Signer, State, leaves_of,
};
use larder_crdt::{Row, Stamp, Value};
use serde_json::json;

use crate::action::DocumentWrite;
use crate::checkers::contexts::{self, Write};
use crate::execute::{Put, Run};
use crate::history::Content;

/// Which command writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Put,
    Patch,
    Remove,
}

fn seal(key: &[u8]) -> ContextSeal {
    ContextKey::from_secret(b"simulated").for_key(key)
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

/// What a client is told: the context, and what shows.
fn told(key: &[u8], seen: &Seen, shown: Option<serde_json::Value>) -> Vec<u8> {
    json!([seal(key).encode(seen), shown.unwrap_or_else(|| json!({}))])
        .to_string()
        .into_bytes()
}

/// LGET.
pub(crate) fn read(transaction: &mut Transaction<'_, '_>, place: &Place, key: &[u8]) -> Vec<u8> {
    let document = joined(transaction.row(place));
    told(key, &seal(key).whole(&document), document.view())
}

/// LPUT, LPATCH, LDEL.
pub(crate) fn write(
    run: &mut Run<'_>,
    transaction: &mut Transaction<'_, '_>,
    place: &Place,
    key: &[u8],
    write: &DocumentWrite,
    way: Way,
) -> Result<Vec<u8>, StoreError> {
    let seen = match seal(key).decode(write.context.as_bytes()) {
        Ok(seen) => seen,
        Err(error) => {
            run.history
                .complain(|| format!("a context that was handed out was refused: {error}"));
            return Ok(b"-BADCONTEXT".to_vec());
        }
    };
    let before = joined(transaction.row(place));
    let outcome = run.edit(transaction, place, |edit, puts| {
        let signer = Signer {
            copy: edit.actor(),
            named: write.named,
        };
        let stamp = edit.stamp();
        let mut document = joined(edit.row());
        if way != Way::Remove {
            begin_signing(&mut document, edit);
        }
        let written = match way {
            Way::Put => document.put(&seen, &write.json, stamp, &signer),
            Way::Patch => document.patch(&seen, &write.json, stamp, &signer),
            Way::Remove => Ok(document.remove(&seen, stamp)),
        };
        if written.as_ref().is_ok_and(|written| written.changed) {
            replace(edit, &document, stamp, puts);
        }
        (written, document)
    })?;
    let (written, after) = outcome;
    let written = match written {
        Ok(written) => written,
        Err(error) => return Ok(refused(&error)),
    };
    note_leaves(run, place, &before, &after);
    if let Some(complaint) = contexts::check(&Write {
        write,
        way,
        seen: &seen,
        before: &before,
        after: &after,
        changed: written.changed,
    }) {
        run.history.complain(|| complaint);
    }
    let shown = match way {
        Way::Put => Some(write.json.clone()),
        Way::Patch => Some(contexts::patched(&write.shown, &write.json)),
        Way::Remove => None,
    };
    Ok(told(key, &written.seen, shown))
}

/// LINCRBY.
pub(crate) fn add(
    run: &mut Run<'_>,
    transaction: &mut Transaction<'_, '_>,
    place: &Place,
    path: &str,
    by: i64,
    named: Option<DocDot>,
) -> Result<Vec<u8>, StoreError> {
    let path = Pointer::parse(path).expect("the workload writes valid paths");
    let before = joined(transaction.row(place));
    let (outcome, after) = run.edit(transaction, place, |edit, puts| {
        let signer = Signer {
            copy: edit.actor(),
            named,
        };
        let stamp = edit.stamp();
        let mut document = joined(edit.row());
        begin_signing(&mut document, edit);
        let outcome = document.increment(&path, by, &signer, stamp);
        if outcome
            .as_ref()
            .is_ok_and(|incremented| incremented.changed)
        {
            replace(edit, &document, stamp, puts);
        }
        (outcome, document)
    })?;
    if let Err(error) = &outcome {
        return Ok(refused(error));
    }
    note_leaves(run, place, &before, &after);
    Ok(b"ok".to_vec())
}

/// As the commands do it: whatever the actor may have signed in a document that was forgotten
/// counts as seen.
fn begin_signing(document: &mut Document, edit: &Edit<'_>) {
    let actor = edit.actor();
    if !document.context().knows(actor) {
        let mut past = DocContext::new();
        past.insert_range(actor, 1, edit.next_counter() << 20);
        document.absorb(&State {
            context: past,
            ..State::default()
        });
    }
}

fn refused(error: &DocumentError) -> Vec<u8> {
    format!("-ERR {error}").into_bytes()
}

fn is_document(value: &Value) -> bool {
    matches!(value, Value::Document(_))
}

/// The document takes the place of all its siblings.
fn replace(edit: &mut Edit<'_>, document: &Document, stamp: Stamp, puts: &mut Vec<Put>) {
    edit.remove(|sibling| is_document(&sibling.value));
    edit.insert(stamp, None, |dot| {
        puts.push((dot, Content::Document(Box::new(document.clone()))));
        Value::Document(Box::new(document.clone()))
    });
}

/// DEL: the leaves go, the context stays.
pub(crate) fn remove_all(edit: &mut Edit<'_>, stamp: Stamp, puts: &mut Vec<Put>) {
    if !edit
        .row()
        .siblings()
        .iter()
        .any(|sibling| is_document(&sibling.value))
    {
        return;
    }
    let mut document = joined(edit.row());
    if document.remove_all(stamp) {
        replace(edit, &document, stamp, puts);
    }
}

/// A dot inside a document names one leaf: it may be written again only by a retry of the client
/// that named it.
fn note_leaves(run: &mut Run<'_>, place: &Place, before: &Document, after: &Document) {
    let element = run.history.element(place.partition, &place.key);
    let change = run.history.changes.len().saturating_sub(1);
    for (dot, leaf) in after.leaves() {
        if before.leaves().contains_key(dot) {
            continue;
        }
        let named = after.context().is_named(dot.actor);
        match run.history.leaves.insert((element, *dot), change) {
            Some(_) if !named => {
                let path = leaf.path.as_str().to_owned();
                let command = run.command;
                run.history.complain(|| {
                    format!("command {command} gave the leaf {path} a dot that another leaf had")
                });
            }
            _ => {}
        }
    }
}

/// The leaves of a JSON object as path and value.
pub(crate) fn leaves(json: &serde_json::Value) -> Vec<(Pointer, LeafValue)> {
    leaves_of(json, usize::MAX).unwrap_or_default()
}
