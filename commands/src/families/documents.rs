//! Documents: JSON objects whose fields merge, read and written with a context.

mod explain;
mod merge;
mod options;
mod read;
mod write;

use larder_crdt::types::document_causal::DocumentError;

use crate::error::CommandError;
use crate::table::Flag::{DenyOom, NoScript, ReadOnly, Write};
use crate::table::{Command, KeySpec, OnCollection, Repeat, Scope};

const DOCUMENT: Command = Command {
    group: "document",
    since: "0.1.0",
    complexity: "O(N) where N is the number of leaves of the document.",
    categories: &["document"],
    on_collection: OnCollection::Refused,
    ..Command::EMPTY
};

const WRITE: Command = Command {
    arity: -4,
    flags: &[Write, DenyOom],
    keys: &[KeySpec::at(1, &["RW", "access", "update"])],
    repeat: Repeat::IfNamed,
    asked: Some(options::asked_of_write),
    ..DOCUMENT
};

const WATCH: Command = Command {
    arity: 2,
    usage: "key:key",
    flags: &[ReadOnly, NoScript],
    keys: &[KeySpec::at(1, &["RO", "access"])],
    scope: Scope::Connection,
    ..DOCUMENT
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "lget",
        arity: -2,
        usage: "key:key [PATH pointer] [R replicas:integer] [SIBLINGS] [STATE [SINCE context]]",
        summary: "Returns the JSON object of a document, or a part of it, and the context of the \
                  reader.",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(read::lget),
        asked: Some(options::asked_of_read),
        ..DOCUMENT
    },
    Command {
        name: "lput",
        usage: "key:key context json [AT milliseconds:unix-time] [AS (actor counter:integer)] \
                [W replicas:integer] [RETURN]",
        summary: "Makes a document what the writer wants it to be, as far as the writer had seen \
            it.",
        scope: Scope::Keys(write::lput),
        concurrent: "Fields merge. What the writer left as it was stays as others have made it; of \
                     concurrent values of one field the latest shows, and SIBLINGS has the others.",
        ..WRITE
    },
    Command {
        name: "lpatch",
        usage: "key:key context json-merge-patch [AT milliseconds:unix-time] \
                [AS (actor counter:integer)] [W replicas:integer] [RETURN]",
        summary: "Changes the fields of a document that a JSON merge patch names.",
        scope: Scope::Keys(write::lpatch),
        concurrent: "As LPUT, on the fields that the patch names.",
        ..WRITE
    },
    Command {
        name: "ldel",
        arity: -3,
        usage: "key:key context [W replicas:integer]",
        summary: "Removes what the writer had seen of a document.",
        flags: &[Write],
        scope: Scope::Keys(write::ldel),
        repeat: Repeat::Always,
        asked: Some(options::asked_of_removal),
        concurrent: "Additions that the writer had not seen stay.",
        ..WRITE
    },
    Command {
        name: "lincrby",
        usage: "key:key pointer increment:integer [AT milliseconds:unix-time] \
                [AS (actor counter:integer)] [W replicas:integer]",
        summary: "Increments a number inside of a document.",
        scope: Scope::Keys(write::lincrby),
        concurrent: "Concurrent increments add up. Those on a number that somebody has replaced \
                     meanwhile do not count, and appear under SIBLINGS.",
        ..WRITE
    },
    Command {
        name: "lmerge",
        usage: "key:key delta context... [W replicas:integer]",
        summary: "Joins the changes of a client that is a replica itself.",
        scope: Scope::Keys(merge::lmerge),
        repeat: Repeat::Always,
        asked: Some(options::asked_of_merge),
        concurrent: "Joins: the order of merges is of no account, and repeating one does nothing.",
        ..WRITE
    },
    Command {
        name: "lwatch",
        summary: "Sends a document and its context now, and again after every change.",
        ..WATCH
    },
    Command {
        name: "lunwatch",
        summary: "Ends LWATCH of a document.",
        ..WATCH
    },
    Command {
        name: "lexplain",
        on_collection: OnCollection::Handled,
        arity: 2,
        usage: "key:key",
        summary: "Explains how a key is stored and where.",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(explain::lexplain),
        ..DOCUMENT
    },
    Command {
        name: "lconflicts",
        arity: -1,
        usage: "[key] [COUNT count:integer]",
        summary: "Lists values that lost against concurrent ones here or, of a key, on its owner; \
                  the latest first.",
        complexity: "O(N) where N is the number of conflicts returned.",
        flags: &[ReadOnly],
        scope: Scope::Node,
        ..DOCUMENT
    },
];

/// The error towards clients.
pub(crate) fn refused(error: DocumentError) -> CommandError {
    match error {
        DocumentError::Overflow => CommandError::Overflow,
        DocumentError::UnseenClaim | DocumentError::TooOld => {
            CommandError::Text(format!("BADCONTEXT {error}"))
        }
        other => CommandError::Text(format!("ERR {other}")),
    }
}
