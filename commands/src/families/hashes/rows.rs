//! The rows of hash commands.

use crate::table::Flag::{DenyOom, Fast, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope};

use super::expiry::{
    hexpire, hexpireat, hexpiretime, hpersist, hpexpire, hpexpireat, hpexpiretime, hpttl, httl,
};
use super::increments::{hincrby, hincrbyfloat};
use super::{
    hdel, hexists, hget, hgetall, hkeys, hlen, hmget, hmset, hrandfield, hscan, hset, hsetnx,
    hstrlen, hvals,
};

const HASH: Command = Command {
    since: "2.0.0",
    group: "hash",
    categories: &["hash"],
    ..Command::EMPTY
};

const WRITE: Command = Command {
    arity: -4,
    usage: "key:key (field value)...",
    flags: &[Write, DenyOom, Fast],
    keys: &[KeySpec::at(1, &["RW", "update"])],
    concurrent: "Per field: among concurrent writes the latest stamp shows, and what is written \
                 stays, whatever removes it at the same time.",
    ..HASH
};

const READ: Command = Command {
    arity: 2,
    usage: "key:key",
    flags: &[ReadOnly],
    keys: &[KeySpec::at(1, &["RO", "access"])],
    ..HASH
};

const WHOLE: Command = Command {
    complexity: "O(N) where N is the size of the hash.",
    tips: &["nondeterministic_output_order"],
    ..READ
};

const FIELD: Command = Command {
    arity: 3,
    usage: "key:key field",
    flags: &[ReadOnly, Fast],
    ..READ
};

const INCREMENT: Command = Command {
    arity: 4,
    keys: &[KeySpec::at(1, &["RW", "access", "update"])],
    concurrent: "Concurrent increments add up exactly; a concurrent HDEL, HSET or DEL takes only \
                 those that it had seen.",
    ..WRITE
};

const DEADLINE: Command = Command {
    arity: -6,
    since: "7.4.0",
    complexity: "O(N) where N is the number of specified fields",
    flags: &[Write, DenyOom, Fast],
    keys: &[KeySpec::at(1, &["RW", "update"])],
    concurrent: "Per field: among concurrent deadlines the longest holds; a concurrent HPERSIST, \
                 or a write of the value that saw no deadline, holds over any.",
    ..HASH
};

const REMAINING: Command = Command {
    arity: -5,
    usage: "key:key FIELDS (numfields:integer field...)",
    since: "7.4.0",
    complexity: "O(N) where N is the number of specified fields",
    flags: &[ReadOnly, Fast],
    tips: &["nondeterministic_output"],
    ..READ
};

pub(in crate::families) const ROWS: &[Command] = &[
    Command {
        name: "hset",
        summary: "Creates or modifies the value of a field in a hash.",
        complexity: "O(1) for each field/value pair added, so O(N) to add N field/value pairs \
                     when the command is called with multiple field/value pairs.",
        scope: Scope::Keys(hset),
        ..WRITE
    },
    Command {
        name: "hsetnx",
        arity: 4,
        usage: "key:key field value",
        summary: "Sets the value of a field in a hash only when the field doesn't exist.",
        keys: &[KeySpec::at(1, &["RW", "insert"])],
        scope: Scope::Keys(hsetnx),
        concurrent: "As HSET; both sides of a cut may find that the field is not there.",
        ..WRITE
    },
    Command {
        name: "hmset",
        summary: "Sets the values of multiple fields.",
        complexity: "O(N) where N is the number of fields being set.",
        deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
        scope: Scope::Keys(hmset),
        ..WRITE
    },
    Command {
        name: "hget",
        summary: "Returns the value of a field in a hash.",
        scope: Scope::Keys(hget),
        ..FIELD
    },
    Command {
        name: "hmget",
        arity: -3,
        usage: "key:key field...",
        summary: "Returns the values of all fields in a hash.",
        complexity: "O(N) where N is the number of fields being requested.",
        scope: Scope::Keys(hmget),
        ..FIELD
    },
    Command {
        name: "hgetall",
        summary: "Returns all fields and values in a hash.",
        scope: Scope::Keys(hgetall),
        ..WHOLE
    },
    Command {
        name: "hkeys",
        summary: "Returns all fields in a hash.",
        scope: Scope::Keys(hkeys),
        ..WHOLE
    },
    Command {
        name: "hvals",
        summary: "Returns all values in a hash.",
        scope: Scope::Keys(hvals),
        ..WHOLE
    },
    Command {
        name: "hlen",
        summary: "Returns the number of fields in a hash.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO"])],
        scope: Scope::Keys(hlen),
        ..READ
    },
    Command {
        name: "hstrlen",
        summary: "Returns the length of the value of a field.",
        since: "3.2.0",
        keys: &[KeySpec::at(1, &["RO"])],
        scope: Scope::Keys(hstrlen),
        ..FIELD
    },
    Command {
        name: "hexists",
        summary: "Determines whether a field exists in a hash.",
        keys: &[KeySpec::at(1, &["RO"])],
        scope: Scope::Keys(hexists),
        ..FIELD
    },
    Command {
        name: "hdel",
        arity: -3,
        usage: "key:key field...",
        summary: "Deletes one or more fields and their values from a hash. Deletes the hash if no \
                  fields remain.",
        complexity: "O(N) where N is the number of fields to be removed.",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "delete"])],
        scope: Scope::Keys(hdel),
        concurrent: "Removes what it has seen of the fields; concurrent writes and increments \
                     stay.",
        ..HASH
    },
    Command {
        name: "hincrby",
        usage: "key:key field increment:integer",
        summary: "Increments the integer value of a field in a hash by a number. Uses 0 as \
                  initial value if the field doesn't exist.",
        scope: Scope::Keys(hincrby),
        ..INCREMENT
    },
    Command {
        name: "hincrbyfloat",
        usage: "key:key field increment:double",
        summary: "Increments the floating point value of a field by a number. Uses 0 as initial \
                  value if the field doesn't exist.",
        since: "2.6.0",
        scope: Scope::Keys(hincrbyfloat),
        ..INCREMENT
    },
    Command {
        name: "hrandfield",
        arity: -2,
        usage: "key:key [count:integer [WITHVALUES]]",
        summary: "Returns one or more random fields from a hash.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of fields returned",
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(hrandfield),
        ..READ
    },
    Command {
        name: "hscan",
        arity: -3,
        usage: "key:key cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [NOVALUES]",
        summary: "Iterates over fields and values of a hash.",
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command \
                     calls for the cursor to return back to 0. N is the number of elements inside \
                     the collection.",
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(hscan),
        ..READ
    },
    Command {
        name: "hexpire",
        usage: "key:key seconds:integer [NX | XX | GT | LT] FIELDS \
                (numfields:integer field...)",
        summary: "Set expiry for hash field using relative time to expire (seconds).",
        scope: Scope::Keys(hexpire),
        ..DEADLINE
    },
    Command {
        name: "hpexpire",
        usage: "key:key milliseconds:integer [NX | XX | GT | LT] FIELDS \
                (numfields:integer field...)",
        summary: "Set expiry for hash field using relative time to expire (milliseconds).",
        scope: Scope::Keys(hpexpire),
        ..DEADLINE
    },
    Command {
        name: "hexpireat",
        usage: "key:key unix-time-seconds:unix-time [NX | XX | GT | LT] FIELDS \
                (numfields:integer field...)",
        summary: "Set expiry for hash field using an absolute Unix timestamp (seconds).",
        scope: Scope::Keys(hexpireat),
        ..DEADLINE
    },
    Command {
        name: "hpexpireat",
        usage: "key:key unix-time-milliseconds:unix-time [NX | XX | GT | LT] FIELDS \
                (numfields:integer field...)",
        summary: "Set expiry for hash field using an absolute Unix timestamp (milliseconds).",
        scope: Scope::Keys(hpexpireat),
        ..DEADLINE
    },
    Command {
        name: "hpersist",
        arity: -5,
        usage: "key:key FIELDS (numfields:integer field...)",
        summary: "Removes the expiration time for each specified field.",
        flags: &[Write, Fast],
        scope: Scope::Keys(hpersist),
        concurrent: "Holds over any concurrent deadline of the fields.",
        ..DEADLINE
    },
    Command {
        name: "httl",
        summary: "Returns the TTL in seconds of a hash field.",
        scope: Scope::Keys(httl),
        ..REMAINING
    },
    Command {
        name: "hpttl",
        summary: "Returns the TTL in milliseconds of a hash field.",
        scope: Scope::Keys(hpttl),
        ..REMAINING
    },
    Command {
        name: "hexpiretime",
        summary: "Returns the expiration time of a hash field as a Unix timestamp, in seconds.",
        tips: &[],
        scope: Scope::Keys(hexpiretime),
        ..REMAINING
    },
    Command {
        name: "hpexpiretime",
        summary: "Returns the expiration time of a hash field as a Unix timestamp, in msec.",
        tips: &[],
        scope: Scope::Keys(hpexpiretime),
        ..REMAINING
    },
];
