//! The rows of CLUSTER; the server runs them.

use crate::table::Flag::{Admin, Loading, NoScript, Stale};
use crate::table::{Command, Scope};

const CLUSTER: Command = Command {
    arity: 2,
    group: "cluster",
    since: "3.0.0",
    flags: &[Stale],
    scope: Scope::Cluster,
    ..Command::EMPTY
};

/// What only Larder has.
const OURS: Command = Command {
    since: "0.1.0",
    ..CLUSTER
};

const CHANGE: Command = Command {
    flags: &[Admin, Stale],
    ..OURS
};

const SHOWN: Command = Command {
    complexity: "O(N) where N is the total number of cluster nodes.",
    tips: &["nondeterministic_output"],
    ..CLUSTER
};

pub(super) const ROWS: &[Command] = &[Command {
    name: "cluster",
    arity: -2,
    summary: "A container for Redis Cluster commands.",
    complexity: "Depends on subcommand.",
    flags: &[],
    subcommands: SUBCOMMANDS,
    ..CLUSTER
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "cluster|count-failure-reports",
        arity: 3,
        usage: "node-id",
        summary: "Returns the number of active failure reports for a node.",
        flags: &[Admin, Stale],
        tips: &["nondeterministic_output"],
        ..CLUSTER
    },
    Command {
        name: "cluster|countkeysinslot",
        arity: 3,
        usage: "slot:integer",
        summary: "Not supported: no keys are kept by slot.",
        ..CLUSTER
    },
    Command {
        name: "cluster|forget",
        arity: 3,
        usage: "node-id",
        summary: "Removes a node that will not return from the ring.",
        ..CHANGE
    },
    Command {
        name: "cluster|getkeysinslot",
        arity: 4,
        usage: "slot:integer count:integer",
        summary: "Not supported: no keys are kept by slot.",
        ..CLUSTER
    },
    Command {
        name: "cluster|help",
        summary: "Returns helpful text about the different subcommands.",
        since: "5.0.0",
        flags: &[Loading, Stale],
        ..CLUSTER
    },
    Command {
        name: "cluster|info",
        summary: "Returns information about the state of a node.",
        tips: &["nondeterministic_output"],
        ..CLUSTER
    },
    Command {
        name: "cluster|join",
        arity: 3,
        usage: "peer-address",
        summary: "Lets the reached node, which is alone, join a cluster with what it holds.",
        ..CHANGE
    },
    Command {
        name: "cluster|keyslot",
        arity: 3,
        usage: "key",
        summary: "Returns the hash slot for a key.",
        complexity: "O(N) where N is the number of bytes in the key.",
        ..CLUSTER
    },
    Command {
        name: "cluster|lag",
        summary: "Shows for each peer how far it is behind the reached node.",
        tips: &["nondeterministic_output"],
        ..OURS
    },
    Command {
        name: "cluster|leave",
        arity: -2,
        usage: "[node-id]",
        summary: "Lets a node hand over its share of the ring and leave for good.",
        ..CHANGE
    },
    Command {
        name: "cluster|links",
        summary: "Returns the links between the reached node and its peers.",
        since: "7.0.0",
        ..SHOWN
    },
    Command {
        name: "cluster|meet",
        arity: -4,
        usage: "ip port:integer [cluster-bus-port:integer]",
        summary: "As CLUSTER JOIN, by the client port of the other node.",
        flags: &[Admin, Stale],
        ..CLUSTER
    },
    Command {
        name: "cluster|myid",
        summary: "Returns the ID of a node.",
        ..CLUSTER
    },
    Command {
        name: "cluster|myshardid",
        summary: "Returns the shard ID of a node, which is its ID.",
        since: "7.2.0",
        tips: &["nondeterministic_output"],
        ..CLUSTER
    },
    Command {
        name: "cluster|nodes",
        summary: "Returns the cluster configuration for a node.",
        ..SHOWN
    },
    Command {
        name: "cluster|peers",
        summary: "Lists the members of the cluster as the reached node sees them.",
        since: "0.1.0",
        ..SHOWN
    },
    Command {
        name: "cluster|replace",
        arity: 4,
        usage: "old-node-id new-node-id",
        summary: "Gives the share of a lost node to a new one.",
        ..CHANGE
    },
    Command {
        name: "cluster|reset",
        arity: -2,
        usage: "[HARD | SOFT]",
        summary: "Not supported: a node that has left starts anew with an empty directory.",
        flags: &[Admin, NoScript, Stale],
        ..CLUSTER
    },
    Command {
        name: "cluster|ring",
        arity: -2,
        usage: "[DRAW]",
        summary: "Shows who owns which part of the ring.",
        since: "0.1.0",
        ..SHOWN
    },
    Command {
        name: "cluster|shards",
        summary: "Returns the mapping of cluster slots to shards.",
        since: "7.0.0",
        ..SHOWN
    },
    Command {
        name: "cluster|slots",
        summary: "Returns the mapping of cluster slots to nodes.",
        deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
        ..SHOWN
    },
];
