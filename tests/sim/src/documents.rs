//! Whether commands on documents honoured their contexts, and what they signed.

use larder_crdt::context::{ContextSeal, Seen};
use larder_crdt::types::document_causal::{DocDot, Document, LeafValue, Pointer, leaves_of};
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
            let key = action.key();
            let is_new = |dot| {
                element.is_none_or(|element| !history.leaves.contains_key(&(element, dot)))
                    && !is_dropped(history, &key, dot)
            };
            merges::check(delta, &before, &after, is_new)
        }
        (None, None) => None,
    };
    if let Some(complaint) = complaint {
        history.complain(|| format!("command {command}: {complaint}"));
    }
}

/// Whether the client that signed a leaf has handed in its removal: that may come before the leaf,
/// and reach by contexts where the leaf arrives then.
fn is_dropped(history: &History, key: &[u8], dot: DocDot) -> bool {
    history.commands.iter().any(|command| {
        let delta = command.action.delta.as_ref();
        delta.is_some_and(|delta| delta.context.contains(dot) && !delta.leaves.contains_key(&dot))
            && command.action.key() == key
    })
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

#[cfg(test)]
mod tests {
    use larder_cluster::token::Partitions;
    use larder_commands::plan::plan;
    use larder_commands::reply::Protocol;
    use larder_crdt::types::document_causal::{Leaf, Signer, State};
    use larder_crdt::{Actor, ActorIndex, Dot, Sibling, Stamp};

    use super::*;
    use crate::history::Moment;

    const KEY: &[u8] = b"d";
    const DOT: DocDot = DocDot {
        actor: Actor(1 << 64),
        counter: 1,
    };

    fn begin(history: &mut History, delta: &State) -> u64 {
        let json = delta.to_json().to_string();
        let mut action = Action::new([b"LMERGE".as_slice(), KEY, json.as_bytes(), b""]);
        action.delta = Some(delta.clone());
        let partitions = Partitions::new(4).expect("four is a power of two");
        let planned = plan(action.args(), partitions).expect("there is such a command");
        let request = planned.request(action.args(), 0, Protocol::Resp2, 1);
        history.begin_command(action, &request, Moment::default())
    }

    fn row(document: &Document) -> Row {
        let mut row = Row::new();
        row.insert(Sibling {
            dot: Dot::new(ActorIndex(0), 1),
            stamp: Stamp::from_ms(1),
            deadline: None,
            value: Value::Document(Box::new(document.clone())),
        });
        row
    }

    /// Merges a leaf where a patch has removed its path for one who knew its dot; says what is
    /// complained of. The removal of the leaf may have been handed in before.
    fn merged_behind_a_patch(is_dropped: bool) -> Option<String> {
        let mut history = History::default();
        let mut removal = State::default();
        removal.context.insert(DOT);
        if is_dropped {
            begin(&mut history, &removal);
        }
        let mut elsewhere = Document::new();
        elsewhere.absorb(&removal);
        let patch = serde_json::json!({ "n": null });
        let signer = Signer::of_copy(Actor(2 << 64));
        let mut before = Document::new();
        let seen = seal(KEY).whole(&elsewhere);
        let patched = before.patch(&seen, &patch, Stamp::from_ms(2), &signer);
        assert!(patched.expect("it is an object").changed);
        let leaf = Leaf {
            stamp: Stamp::from_ms(1),
            path: Pointer::parse("/n").expect("it is a path"),
            value: LeafValue::EmptyObject,
        };
        let mut delta = removal;
        delta.leaves.insert(DOT, leaf);
        let mut after = before.clone();
        let merged = after.merge(&delta, &[], Stamp::from_ms(3), u64::MAX);
        assert!(merged.expect("it is the client's own").changed);
        assert!(!after.leaves().contains_key(&DOT), "the patch hides it");
        let command = begin(&mut history, &delta);
        check_write(
            &mut history,
            command,
            b"$0",
            None,
            (&row(&before), &row(&after)),
        );
        history.complaint
    }

    #[test]
    fn a_leaf_whose_removal_came_first_may_be_gone_when_it_arrives() {
        assert_eq!(merged_behind_a_patch(true), None);
    }

    #[test]
    fn a_leaf_that_nobody_can_have_removed_is_missed() {
        let complaint = merged_behind_a_patch(false).expect("it is lost");
        assert!(complaint.contains("a merge lost"), "{complaint}");
    }
}
