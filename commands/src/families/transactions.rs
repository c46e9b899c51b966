//! The rows of commands about transactions; the server runs them.

use crate::table::Flag::{AllowBusy, Fast, Loading, NoScript, SkipSlowlog, Stale};
use crate::table::{Command, KeySpec, Scope};

const TRANSACTION: Command = Command {
    since: "1.2.0",
    group: "transactions",
    flags: &[NoScript, Loading, Stale, Fast, AllowBusy],
    categories: &["transaction"],
    scope: Scope::Connection,
    ..Command::EMPTY
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "multi",
        summary: "Starts a transaction.",
        ..TRANSACTION
    },
    Command {
        name: "exec",
        summary: "Executes all commands in a transaction.",
        complexity: "Depends on commands in the transaction",
        flags: &[NoScript, Loading, Stale, SkipSlowlog],
        ..TRANSACTION
    },
    Command {
        name: "discard",
        summary: "Discards a transaction.",
        since: "2.0.0",
        complexity: "O(N), when N is the number of queued commands",
        ..TRANSACTION
    },
    Command {
        name: "watch",
        arity: -2,
        usage: "key:key...",
        summary: "Monitors changes to keys to determine the execution of a transaction.",
        since: "2.2.0",
        complexity: "O(1) for every key.",
        keys: &[KeySpec::all(&["RO"])],
        ..TRANSACTION
    },
    Command {
        name: "unwatch",
        summary: "Forgets about watched keys of a transaction.",
        since: "2.2.0",
        ..TRANSACTION
    },
];
