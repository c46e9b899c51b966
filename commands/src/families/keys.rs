//! Keys as such: whether they are there, and how they are held.

use larder_cluster::element::Family;
use larder_cluster::transaction::Place;
use larder_crdt::types::register_lww::parse_integer;

use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::key::{self, Kind};
use crate::table::Flag::{Fast, Loading, ReadOnly, Stale, TouchesArbitraryKeys, Write};
use crate::table::{Command, KeySpec, Scope, Spread};

/// What rows of commands on keys as such have in common.
pub(super) const KEYSPACE: Command = Command {
    categories: &["keyspace"],
    ..Command::EMPTY
};

const COUNT: Command = Command {
    arity: -2,
    usage: "key:key...",
    flags: &[ReadOnly, Fast],
    keys: &[KeySpec::all(&["RO"])],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    spread: Spread::Sum,
    ..KEYSPACE
};

const REMOVE: Command = Command {
    keys: &[KeySpec::all(&["RM", "delete"])],
    concurrent: "Removes what it has seen; concurrent writes and increments stay.",
    ..COUNT
};

const CLUSTER_WIDE: Command = Command {
    flags: &[ReadOnly, TouchesArbitraryKeys],
    scope: Scope::Cluster,
    ..KEYSPACE
};

const OBJECT: Command = Command {
    arity: 3,
    usage: "key:key",
    since: "2.2.3",
    flags: &[ReadOnly],
    keys: &[KeySpec::at(2, &["RO"])],
    tips: &["nondeterministic_output"],
    ..KEYSPACE
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "del",
        summary: "Deletes one or more keys.",
        complexity: "O(N) where N is the number of keys that will be removed.",
        flags: &[Write],
        scope: Scope::Keys(del),
        ..REMOVE
    },
    Command {
        name: "unlink",
        summary: "Asynchronously deletes one or more keys.",
        since: "4.0.0",
        complexity: "O(1) for each key removed regardless of its size.",
        flags: &[Write, Fast],
        scope: Scope::Keys(del),
        ..REMOVE
    },
    Command {
        name: "exists",
        summary: "Determines whether one or more keys exist.",
        complexity: "O(N) where N is the number of keys to check.",
        scope: Scope::Keys(exists),
        ..COUNT
    },
    Command {
        name: "touch",
        summary: "Returns the number of existing keys out of those specified after updating the \
                  time they were last accessed.",
        since: "3.2.1",
        complexity: "O(N) where N is the number of keys that will be touched.",
        scope: Scope::Keys(exists),
        ..COUNT
    },
    Command {
        name: "type",
        arity: 2,
        usage: "key:key",
        summary: "Determines the type of value stored at a key.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO"])],
        scope: Scope::Keys(kind),
        ..KEYSPACE
    },
    Command {
        name: "object",
        arity: -2,
        summary: "A container for object introspection commands.",
        since: "2.2.3",
        complexity: "Depends on subcommand.",
        categories: &[],
        subcommands: &[
            Command {
                name: "object|encoding",
                summary: "Returns the internal encoding of a Redis object.",
                scope: Scope::Keys(encoding),
                ..OBJECT
            },
            Command {
                name: "object|freq",
                summary: "Returns the logarithmic access frequency counter of a Redis object.",
                since: "4.0.0",
                scope: Scope::Keys(freq),
                ..OBJECT
            },
            Command {
                name: "object|help",
                arity: 2,
                usage: "",
                summary: "Returns helpful text about the different subcommands.",
                since: "6.2.0",
                flags: &[Loading, Stale],
                keys: &[],
                tips: &[],
                ..OBJECT
            },
            Command {
                name: "object|idletime",
                summary: "Returns the time since the last access to a Redis object.",
                scope: Scope::Keys(idletime),
                ..OBJECT
            },
            Command {
                name: "object|refcount",
                summary: "Returns the reference count of a value of a key.",
                scope: Scope::Keys(refcount),
                ..OBJECT
            },
        ],
        ..KEYSPACE
    },
    Command {
        name: "keys",
        arity: 2,
        usage: "pattern:pattern",
        summary: "Returns all key names that match a pattern.",
        complexity: "O(N) with N being the number of keys in the database, under the assumption \
                     that the key names in the database and the given pattern have limited length.",
        categories: &["keyspace", "dangerous"],
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        ..CLUSTER_WIDE
    },
    Command {
        name: "scan",
        arity: -2,
        usage: "cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [TYPE type]",
        summary: "Iterates over the key names in the database.",
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command \
                     calls for the cursor to return back to 0. N is the number of elements inside \
                     the collection.",
        tips: &[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ],
        ..CLUSTER_WIDE
    },
    Command {
        name: "randomkey",
        summary: "Returns a random key name from the database.",
        tips: &[
            "request_policy:all_shards",
            "response_policy:special",
            "nondeterministic_output",
        ],
        ..CLUSTER_WIDE
    },
];

fn del(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (now_ms, mut removed) = (call.now_ms, 0);
    for index in 1..call.args.len() {
        let place = call.place(index);
        removed += usize::from(collection::remove(call.transaction, &place, now_ms)?);
    }
    call.reply.count(removed);
    Ok(())
}

fn exists(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (now_ms, mut found) = (call.now_ms, 0);
    for index in 1..call.args.len() {
        let place = call.place(index);
        found += usize::from(collection::exists(call.transaction, &place, now_ms)?);
    }
    call.reply.count(found);
    Ok(())
}

fn kind(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (_, kind) = call.shown(1)?;
    call.reply.simple(kind.word());
    Ok(())
}

/// The place of the key behind a subcommand; replies null if there is no such key.
fn existing(call: &mut Call<'_, '_, '_>) -> Result<Option<Place>, CommandError> {
    let (place, kind) = call.shown(2)?;
    if kind == Kind::Missing {
        call.reply.null();
        return Ok(None);
    }
    Ok(Some(place))
}

/// The longest string that Redis embeds in its object.
const EMBEDDED_BYTES_MAX: usize = 44;

fn encoding(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let Some(place) = existing(call)? else {
        return Ok(());
    };
    let kind = collection::kind(call.transaction, &place, call.now_ms)?;
    let row = call.transaction.try_row(&place)?;
    let encoding = match kind {
        Kind::Document | Kind::Missing => "document",
        // Each element is a row: there is one encoding for all sizes.
        Kind::Collection(family) => match family {
            Family::SORTED_SET => "skiplist",
            Family::LIST => "quicklist",
            Family::STREAM => "stream",
            Family::FRAGMENTS => "raw",
            _ => "hashtable",
        },
        Kind::String => {
            let value = key::string(row, call.now_ms)?.unwrap_or_default();
            if parse_integer(&value).is_some() {
                "int"
            } else if value.len() <= EMBEDDED_BYTES_MAX {
                "embstr"
            } else {
                "raw"
            }
        }
    };
    call.reply.bulk(encoding.as_bytes());
    Ok(())
}

fn freq(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    match existing(call)? {
        None => Ok(()),
        Some(_) => Err(CommandError::Fixed(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust.",
        )),
    }
}

/// Reads are not noted, so this is the time since the last write.
fn idletime(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let Some(place) = existing(call)? else {
        return Ok(());
    };
    let written_ms = call.transaction.try_row(&place)?.latest_stamp().ms();
    let idle_s = call.now_ms.saturating_sub(written_ms) / 1000;
    call.reply
        .integer(i64::try_from(idle_s).unwrap_or(i64::MAX));
    Ok(())
}

fn refcount(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    if existing(call)?.is_some() {
        call.reply.integer(1);
    }
    Ok(())
}
