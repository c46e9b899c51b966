//! The rows of commands about connections; the server runs them.

use crate::table::Flag::{Admin, AllowBusy, Blocking, Fast, Loading, NoAuth, NoScript, Stale};
use crate::table::{Command, Scope};

const CONNECTION: Command = Command {
    group: "connection",
    categories: &["connection"],
    scope: Scope::Connection,
    ..Command::EMPTY
};

const QUICK: Command = Command {
    flags: &[Loading, Stale, Fast],
    ..CONNECTION
};

const BEFORE_AUTH: Command = Command {
    flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
    ..CONNECTION
};

const CLIENT: Command = Command {
    arity: 2,
    since: "2.6.9",
    flags: &[NoScript, Loading, Stale],
    ..CONNECTION
};

const CLIENT_ADMIN: Command = Command {
    flags: &[Admin, NoScript, Loading, Stale],
    ..CLIENT
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "ping",
        arity: -1,
        usage: "[message]",
        summary: "Returns the server's liveliness response.",
        flags: &[Fast],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..CONNECTION
    },
    Command {
        name: "echo",
        arity: 2,
        usage: "message",
        summary: "Returns the given string.",
        ..QUICK
    },
    Command {
        name: "hello",
        arity: -1,
        usage: "[(protover:integer [AUTH (username password)] [SETNAME clientname])]",
        summary: "Handshakes with the Redis server.",
        since: "6.0.0",
        ..BEFORE_AUTH
    },
    Command {
        name: "auth",
        arity: -2,
        usage: "[username] password",
        summary: "Authenticates the connection.",
        complexity: "O(N) where N is the number of passwords defined for the user.",
        ..BEFORE_AUTH
    },
    Command {
        name: "select",
        arity: 2,
        usage: "index:integer",
        summary: "Changes the selected database.",
        ..QUICK
    },
    Command {
        name: "quit",
        arity: -1,
        summary: "Closes the connection.",
        deprecated: Some(("7.2.0", "just closing the connection")),
        ..BEFORE_AUTH
    },
    Command {
        name: "reset",
        summary: "Resets the connection.",
        since: "6.2.0",
        ..BEFORE_AUTH
    },
    Command {
        name: "readonly",
        summary: "Enables read-only queries for a connection to a Redis Cluster replica node.",
        since: "3.0.0",
        group: "cluster",
        ..QUICK
    },
    Command {
        name: "readwrite",
        summary: "Enables read-write queries for a connection to a Redis Cluster replica node.",
        since: "3.0.0",
        group: "cluster",
        ..QUICK
    },
    Command {
        name: "client",
        arity: -2,
        summary: "A container for client connection commands.",
        since: "2.4.0",
        complexity: "Depends on subcommand.",
        categories: &[],
        subcommands: CLIENT_ROWS,
        ..CONNECTION
    },
    Command {
        name: "wait",
        arity: 3,
        usage: "numreplicas:integer timeout:integer",
        summary: "Blocks until the asynchronous replication of all preceding write commands sent \
                  by the connection is completed.",
        since: "3.0.0",
        group: "generic",
        flags: &[Blocking],
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        ..CONNECTION
    },
    Command {
        name: "waitaof",
        arity: 4,
        usage: "numlocal:integer numreplicas:integer timeout:integer",
        summary: "Blocks until all of the preceding write commands sent by the connection are \
                  written to the append-only file of the master and/or replicas.",
        since: "7.2.0",
        group: "generic",
        flags: &[Blocking],
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        ..CONNECTION
    },
];

const CLIENT_ROWS: &[Command] = &[
    Command {
        name: "client|caching",
        arity: 3,
        usage: "<YES | NO>",
        summary: "Instructs the server whether to track the keys in the next request.",
        since: "6.0.0",
        ..CLIENT
    },
    Command {
        name: "client|getname",
        summary: "Returns the name of the connection.",
        ..CLIENT
    },
    Command {
        name: "client|getredir",
        summary: "Returns the client ID to which the connection's tracking notifications are \
                  redirected.",
        since: "6.0.0",
        ..CLIENT
    },
    Command {
        name: "client|help",
        summary: "Returns helpful text about the different subcommands.",
        since: "5.0.0",
        flags: &[Loading, Stale],
        ..CLIENT
    },
    Command {
        name: "client|id",
        summary: "Returns the unique client ID of the connection.",
        since: "5.0.0",
        ..CLIENT
    },
    Command {
        name: "client|info",
        summary: "Returns information about the connection.",
        since: "6.2.0",
        tips: &["nondeterministic_output"],
        ..CLIENT
    },
    Command {
        name: "client|kill",
        arity: -3,
        usage: "<ip:port | ([ID client-id:integer] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | \
                PUBSUB>] | [USER username] | [ADDR addr] | [LADDR laddr] | [SKIPME <YES | \
                NO>])...>",
        summary: "Terminates open connections.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections.",
        ..CLIENT_ADMIN
    },
    Command {
        name: "client|list",
        arity: -2,
        usage: "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id:integer...]",
        summary: "Lists open connections.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections.",
        tips: &["nondeterministic_output"],
        ..CLIENT_ADMIN
    },
    Command {
        name: "client|no-evict",
        arity: 3,
        usage: "<ON | OFF>",
        summary: "Sets the client eviction mode of the connection.",
        since: "7.0.0",
        ..CLIENT_ADMIN
    },
    Command {
        name: "client|no-touch",
        arity: 3,
        usage: "<ON | OFF>",
        summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed \
                  keys.",
        since: "7.2.0",
        ..CLIENT
    },
    Command {
        name: "client|pause",
        arity: -3,
        usage: "timeout:integer [WRITE | ALL]",
        summary: "Suspends commands processing.",
        since: "3.0.0",
        ..CLIENT_ADMIN
    },
    Command {
        name: "client|reply",
        arity: 3,
        usage: "<ON | OFF | SKIP>",
        summary: "Instructs the server whether to reply to commands.",
        since: "3.2.0",
        ..CLIENT
    },
    Command {
        name: "client|setinfo",
        arity: 4,
        usage: "<LIB-NAME libname | LIB-VER libver>",
        summary: "Sets information specific to the client or connection.",
        since: "7.2.0",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..CLIENT
    },
    Command {
        name: "client|setname",
        arity: 3,
        usage: "connection-name",
        summary: "Sets the connection name.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..CLIENT
    },
    Command {
        name: "client|tracking",
        arity: -3,
        usage: "<ON | OFF> [REDIRECT client-id:integer] [PREFIX prefix]... [BCAST] [OPTIN] \
                [OPTOUT] [NOLOOP]",
        summary: "Controls server-assisted client-side caching for the connection: it can only be \
                  off.",
        since: "6.0.0",
        ..CLIENT
    },
    Command {
        name: "client|trackinginfo",
        summary: "Returns information about server-assisted client-side caching for the \
                  connection.",
        since: "6.2.0",
        ..CLIENT
    },
    Command {
        name: "client|unblock",
        arity: -3,
        usage: "client-id:integer [TIMEOUT | ERROR]",
        summary: "Unblocks a client blocked by a blocking command from a different connection.",
        since: "5.0.0",
        complexity: "O(log N) where N is the number of client connections.",
        ..CLIENT_ADMIN
    },
    Command {
        name: "client|unpause",
        summary: "Resumes processing commands from paused clients.",
        since: "6.2.0",
        ..CLIENT_ADMIN
    },
];
