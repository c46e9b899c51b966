//! The rows of commands about the node and the cluster; the server runs them, but for MEMORY USAGE.

use crate::call::Call;
use crate::error::CommandError;
use crate::key;
use crate::numbers;
use crate::table::Flag::{
    Admin, AllowBusy, Fast, Loading, NoMulti, NoScript, ReadOnly, Stale, TouchesArbitraryKeys,
    Write,
};
use crate::table::{Command, KeySpec, Scope};

const SERVER: Command = Command {
    group: "server",
    ..Command::EMPTY
};

const CONFIG: Command = Command {
    arity: 2,
    since: "2.0.0",
    flags: &[Admin, NoScript, Loading, Stale],
    ..SERVER
};

const COMMAND: Command = Command {
    arity: -2,
    since: "2.8.13",
    flags: &[Loading, Stale],
    categories: &["connection"],
    ..SERVER
};

const MEMORY: Command = Command {
    arity: 2,
    since: "4.0.0",
    ..SERVER
};

const FLUSH: Command = Command {
    arity: -1,
    usage: "[ASYNC | SYNC]",
    flags: &[Write, TouchesArbitraryKeys],
    categories: &["keyspace", "dangerous"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    scope: Scope::Cluster,
    concurrent: "Removes what the nodes in reach have seen, everywhere; concurrent writes stay.",
    ..SERVER
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "info",
        arity: -1,
        usage: "[section...]",
        summary: "Returns information and statistics about the server.",
        flags: &[Loading, Stale],
        categories: &["dangerous"],
        tips: &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        ..SERVER
    },
    Command {
        name: "command",
        arity: -1,
        summary: "Returns detailed information about all commands.",
        complexity: "O(N) where N is the total number of Redis commands.",
        tips: &["nondeterministic_output_order"],
        subcommands: COMMAND_ROWS,
        ..COMMAND
    },
    Command {
        name: "config",
        arity: -2,
        summary: "A container for server configuration commands.",
        complexity: "Depends on subcommand.",
        flags: &[],
        subcommands: CONFIG_ROWS,
        ..CONFIG
    },
    Command {
        name: "dbsize",
        summary: "Returns the number of keys in the database.",
        flags: &[ReadOnly, Fast],
        categories: &["keyspace"],
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        scope: Scope::Cluster,
        ..SERVER
    },
    Command {
        name: "flushall",
        summary: "Removes all keys from all databases.",
        complexity: "O(N) where N is the total number of keys in all databases.",
        ..FLUSH
    },
    Command {
        name: "flushdb",
        summary: "Remove all keys from the current database.",
        complexity: "O(N) where N is the number of keys in the selected database.",
        ..FLUSH
    },
    Command {
        name: "lastsave",
        summary: "Returns the Unix timestamp of the last successful save to disk.",
        flags: &[Loading, Stale, Fast],
        categories: &["admin", "dangerous"],
        tips: &["nondeterministic_output"],
        ..SERVER
    },
    Command {
        name: "time",
        summary: "Returns the server time.",
        since: "2.6.0",
        flags: &[Loading, Stale, Fast],
        tips: &["nondeterministic_output"],
        ..SERVER
    },
    Command {
        name: "shutdown",
        arity: -1,
        usage: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        summary: "Synchronously saves the database(s) to disk and shuts down the Redis server.",
        flags: &[Admin, NoScript, Loading, Stale, NoMulti, AllowBusy],
        ..SERVER
    },
    Command {
        name: "debug",
        arity: -2,
        usage: "subcommand [arg...]",
        summary: "A container for debugging commands.",
        complexity: "Depends on subcommand.",
        flags: &[Admin, NoScript, Loading, Stale],
        ..SERVER
    },
    Command {
        name: "memory",
        arity: -2,
        summary: "A container for memory diagnostics commands.",
        complexity: "Depends on subcommand.",
        subcommands: MEMORY_ROWS,
        ..MEMORY
    },
];

const COMMAND_ROWS: &[Command] = &[
    Command {
        name: "command|count",
        arity: 2,
        summary: "Returns a count of commands.",
        ..COMMAND
    },
    Command {
        name: "command|docs",
        usage: "[command-name...]",
        summary: "Returns documentary information about one, multiple or all commands.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands to look up.",
        tips: &["nondeterministic_output_order"],
        ..COMMAND
    },
    Command {
        name: "command|getkeys",
        arity: -3,
        usage: "command [arg...]",
        summary: "Extracts the key names from an arbitrary command.",
        complexity: "O(N) where N is the number of arguments to the command.",
        ..COMMAND
    },
    Command {
        name: "command|getkeysandflags",
        arity: -3,
        usage: "command [arg...]",
        summary: "Extracts the key names and access flags for an arbitrary command.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of arguments to the command.",
        ..COMMAND
    },
    Command {
        name: "command|help",
        arity: 2,
        summary: "Returns helpful text about the different subcommands.",
        since: "5.0.0",
        ..COMMAND
    },
    Command {
        name: "command|info",
        usage: "[command-name...]",
        summary: "Returns information about one, multiple or all commands.",
        complexity: "O(N) where N is the number of commands to look up.",
        tips: &["nondeterministic_output_order"],
        ..COMMAND
    },
    Command {
        name: "command|list",
        usage: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern:pattern>]",
        summary: "Returns a list of command names.",
        since: "7.0.0",
        complexity: "O(N) where N is the total number of Redis commands.",
        tips: &["nondeterministic_output_order"],
        ..COMMAND
    },
];

const CONFIG_ROWS: &[Command] = &[
    Command {
        name: "config|get",
        arity: -3,
        usage: "parameter...",
        summary: "Returns the effective values of configuration parameters.",
        complexity: "O(N) when N is the number of configuration parameters provided.",
        ..CONFIG
    },
    Command {
        name: "config|help",
        summary: "Returns helpful text about the different subcommands.",
        since: "5.0.0",
        flags: &[Loading, Stale],
        ..CONFIG
    },
    Command {
        name: "config|resetstat",
        summary: "Resets the server's statistics.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..CONFIG
    },
    Command {
        name: "config|rewrite",
        summary: "Persists the effective configuration to file.",
        since: "2.8.0",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..CONFIG
    },
    Command {
        name: "config|set",
        arity: -4,
        usage: "(parameter value)...",
        summary: "Sets configuration parameters in-flight.",
        complexity: "O(N) when N is the number of configuration parameters provided.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..CONFIG
    },
];

const MEMORY_ROWS: &[Command] = &[
    Command {
        name: "memory|doctor",
        summary: "Outputs a memory problems report.",
        tips: &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        ..MEMORY
    },
    Command {
        name: "memory|help",
        summary: "Returns helpful text about the different subcommands.",
        flags: &[Loading, Stale],
        ..MEMORY
    },
    Command {
        name: "memory|malloc-stats",
        summary: "Returns the allocator statistics.",
        complexity: "Depends on how much memory is allocated, could be slow.",
        tips: &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        ..MEMORY
    },
    Command {
        name: "memory|purge",
        summary: "Asks the allocator to release memory.",
        complexity: "Depends on how much memory is allocated, could be slow.",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..MEMORY
    },
    Command {
        name: "memory|stats",
        summary: "Returns details about memory usage.",
        tips: &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        ..MEMORY
    },
    Command {
        name: "memory|usage",
        arity: -3,
        usage: "key:key [SAMPLES count:integer]",
        summary: "Estimates the memory usage of a key.",
        complexity: "O(N) where N is the number of samples.",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(2, &["RO"])],
        scope: Scope::Keys(memory_usage),
        ..MEMORY
    },
];

fn memory_usage(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let mut words = call.args.from(3).iter();
    while let Some(word) = words.next() {
        let count = words
            .next()
            .filter(|_| word.eq_ignore_ascii_case(b"samples"));
        if numbers::integer(count.ok_or(CommandError::Syntax)?)? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    let place = call.place(2);
    let row = call.transaction.try_row(&place)?;
    if key::exists(row, call.now_ms) {
        let bytes = size_of_val(row) + row.heap_bytes() + place.key.heap_bytes();
        call.reply.count(bytes);
    } else {
        call.reply.null();
    }
    Ok(())
}
