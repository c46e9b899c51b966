//! The rows of what operators and their tools ask of a node beside INFO; the server runs them.

use crate::table::Flag::{
    Admin, AllowBusy, Fast, Loading, NoAsyncLoading, NoMulti, NoScript, ReadOnly, SkipSlowlog,
    Stale, Write,
};
use crate::table::{Command, Scope};

const SERVER: Command = Command {
    group: "server",
    ..Command::EMPTY
};

const SAVE: Command = Command {
    arity: 1,
    flags: &[Admin, NoScript, NoAsyncLoading],
    complexity: "O(N) where N is the number of rows changed since the last save.",
    ..SERVER
};

const SLOWLOG: Command = Command {
    arity: 2,
    since: "2.2.12",
    flags: &[Admin, Loading, Stale],
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    ..SERVER
};

const LATENCY: Command = Command {
    arity: 2,
    since: "2.8.13",
    flags: &[Admin, NoScript, Loading, Stale],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ],
    ..SERVER
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "save",
        summary: "Synchronously moves what was written to its place on disk.",
        flags: &[Admin, NoScript, NoAsyncLoading, NoMulti],
        ..SAVE
    },
    Command {
        name: "bgsave",
        arity: -1,
        usage: "[SCHEDULE]",
        summary: "Moves what was written to its place on disk in the background.",
        ..SAVE
    },
    Command {
        name: "bgrewriteaof",
        summary: "Moves what was written to its place on disk in the background, and forgets the \
                  redo that this makes needless.",
        ..SAVE
    },
    Command {
        name: "swapdb",
        arity: 3,
        usage: "index1:integer index2:integer",
        summary: "Not supported: databases are parts of the names of keys.",
        since: "4.0.0",
        flags: &[Write, Fast],
        categories: &["keyspace", "dangerous"],
        scope: Scope::Cluster,
        concurrent: "Changes nothing.",
        ..SERVER
    },
    Command {
        name: "lolwut",
        arity: -1,
        usage: "[VERSION version:integer]",
        summary: "Displays computer art and the Larder version.",
        since: "5.0.0",
        flags: &[ReadOnly, Fast],
        ..SERVER
    },
    Command {
        name: "role",
        summary: "Returns the replication role.",
        since: "2.8.12",
        flags: &[NoScript, Loading, Stale, Fast],
        categories: &["admin", "dangerous"],
        ..SERVER
    },
    Command {
        name: "module",
        arity: -2,
        summary: "A container for module commands.",
        since: "4.0.0",
        complexity: "Depends on subcommand.",
        subcommands: &[
            Command {
                name: "module|help",
                arity: 2,
                summary: "Returns helpful text about the different subcommands.",
                since: "5.0.0",
                flags: &[Loading, Stale],
                ..SERVER
            },
            Command {
                name: "module|list",
                arity: 2,
                summary: "Returns all loaded modules.",
                since: "4.0.0",
                complexity: "O(N) where N is the number of loaded modules.",
                flags: &[Admin, NoScript],
                tips: &["nondeterministic_output_order"],
                ..SERVER
            },
        ],
        ..SERVER
    },
    Command {
        name: "slowlog",
        arity: -2,
        summary: "A container for slow log commands.",
        complexity: "Depends on subcommand.",
        flags: &[],
        tips: &[],
        subcommands: SLOWLOG_ROWS,
        ..SLOWLOG
    },
    Command {
        name: "latency",
        arity: -2,
        summary: "A container for latency diagnostics commands.",
        complexity: "Depends on subcommand.",
        flags: &[],
        tips: &[],
        subcommands: LATENCY_ROWS,
        ..LATENCY
    },
];

const SLOWLOG_ROWS: &[Command] = &[
    Command {
        name: "slowlog|get",
        arity: -2,
        usage: "[count:integer]",
        summary: "Returns the slow log's entries.",
        complexity: "O(N) where N is the number of entries returned.",
        ..SLOWLOG
    },
    Command {
        name: "slowlog|help",
        summary: "Returns helpful text about the different subcommands.",
        since: "6.2.0",
        flags: &[Loading, Stale],
        tips: &[],
        ..SLOWLOG
    },
    Command {
        name: "slowlog|len",
        summary: "Returns the number of entries in the slow log.",
        tips: &[
            "request_policy:all_nodes",
            "response_policy:agg_sum",
            "nondeterministic_output",
        ],
        ..SLOWLOG
    },
    Command {
        name: "slowlog|reset",
        summary: "Clears all entries from the slow log.",
        complexity: "O(N) where N is the number of entries in the slowlog.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..SLOWLOG
    },
];

const LATENCY_ROWS: &[Command] = &[
    Command {
        name: "latency|doctor",
        summary: "Returns a human-readable latency analysis report.",
        ..LATENCY
    },
    Command {
        name: "latency|graph",
        arity: 3,
        usage: "event",
        summary: "Returns a latency graph for an event.",
        ..LATENCY
    },
    Command {
        name: "latency|help",
        summary: "Returns helpful text about the different subcommands.",
        flags: &[Loading, Stale],
        tips: &[],
        ..LATENCY
    },
    Command {
        name: "latency|histogram",
        arity: -2,
        usage: "[command...]",
        summary: "Returns the cumulative distribution of latencies of a subset or all commands.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands with latency information being \
                     retrieved.",
        ..LATENCY
    },
    Command {
        name: "latency|history",
        arity: 3,
        usage: "event",
        summary: "Returns timestamp-latency samples for an event.",
        ..LATENCY
    },
    Command {
        name: "latency|latest",
        summary: "Returns the latest latency samples for all events.",
        ..LATENCY
    },
    Command {
        name: "latency|reset",
        arity: -2,
        usage: "[event...]",
        summary: "Resets the latency data for one or more events.",
        flags: &[Admin, NoScript, Loading, Stale, SkipSlowlog, AllowBusy],
        tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
        ..LATENCY
    },
];
