//! The rows of set commands.

use crate::table::Flag::{DenyOom, Fast, MovableKeys, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope};

use super::algebra::{
    check_sintercard, sdiff, sdiffstore, sinter, sintercard, sinterstore, smove, sunion,
    sunionstore,
};
use super::{sadd, scard, sismember, smembers, smismember, spop, srandmember, srem, sscan};

const SET: Command = Command {
    group: "set",
    categories: &["set"],
    ..Command::EMPTY
};

const READ: Command = Command {
    arity: 2,
    usage: "key:key",
    flags: &[ReadOnly],
    keys: &[KeySpec::at(1, &["RO", "access"])],
    ..SET
};

const LOOK: Command = Command {
    flags: &[ReadOnly, Fast],
    keys: &[KeySpec::at(1, &["RO"])],
    ..READ
};

const SEVERAL: Command = Command {
    arity: -2,
    usage: "key:key...",
    complexity: "O(N) where N is the total number of elements in all given sets.",
    keys: &[KeySpec::all(&["RO", "access"])],
    tips: &["nondeterministic_output_order"],
    ..READ
};

const STORE: Command = Command {
    arity: -3,
    usage: "destination:key key:key...",
    complexity: "O(N) where N is the total number of elements in all given sets.",
    flags: &[Write, DenyOom],
    keys: &[
        KeySpec::at(1, &["OW", "update"]),
        KeySpec::range(2, -1, 1, &["RO", "access"]),
    ],
    concurrent: "Writes what the sets show to the destination, in place of all that it has seen \
                 there; members that were added there at the same time stay.",
    ..SET
};

const INTERSECTION: &str = "O(N*M) worst case where N is the cardinality of the smallest set and \
                            M is the number of sets.";

pub(in crate::families) const ROWS: &[Command] = &[
    Command {
        name: "sadd",
        arity: -3,
        usage: "key:key member...",
        summary: "Adds one or more members to a set. Creates the key if it doesn't exist.",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is \
                     called with multiple arguments.",
        flags: &[Write, DenyOom, Fast],
        keys: &[KeySpec::at(1, &["RW", "insert"])],
        scope: Scope::Keys(sadd),
        concurrent: "What is added stays, whatever removes it at the same time.",
        ..SET
    },
    Command {
        name: "srem",
        arity: -3,
        usage: "key:key member...",
        summary: "Removes one or more members from a set. Deletes the set if the last member was \
                  removed.",
        complexity: "O(N) where N is the number of members to be removed.",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "delete"])],
        scope: Scope::Keys(srem),
        concurrent: "Removes the additions that it has seen; members that are added at the same \
                     time stay.",
        ..SET
    },
    Command {
        name: "sismember",
        arity: 3,
        usage: "key:key member",
        summary: "Determines whether a member belongs to a set.",
        scope: Scope::Keys(sismember),
        ..LOOK
    },
    Command {
        name: "smismember",
        arity: -3,
        usage: "key:key member...",
        summary: "Determines whether multiple members belong to a set.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of elements being checked for membership",
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(smismember),
        ..LOOK
    },
    Command {
        name: "scard",
        summary: "Returns the number of members in a set.",
        scope: Scope::Keys(scard),
        ..LOOK
    },
    Command {
        name: "smembers",
        summary: "Returns all members of a set.",
        complexity: "O(N) where N is the set cardinality.",
        tips: &["nondeterministic_output_order"],
        scope: Scope::Keys(smembers),
        ..READ
    },
    Command {
        name: "spop",
        arity: -2,
        usage: "key:key [count:integer]",
        summary: "Returns one or more random members from a set after removing them. Deletes the \
                  set if the last member was popped.",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the \
                     passed count.",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "access", "delete"])],
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(spop),
        concurrent: "Removes the additions that it has seen. The same member may be popped on both \
                     sides of a cut, once per side; one that is added again at the same time \
                     stays.",
        ..SET
    },
    Command {
        name: "srandmember",
        arity: -2,
        usage: "key:key [count:integer]",
        summary: "Returns one or multiple random members from a set.",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value \
                     of the passed count.",
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(srandmember),
        ..READ
    },
    Command {
        name: "smove",
        arity: 4,
        usage: "source:key destination:key member",
        summary: "Moves a member from one set to another.",
        flags: &[Write, Fast],
        keys: &[
            KeySpec::at(1, &["RW", "access", "delete"]),
            KeySpec::at(2, &["RW", "insert"]),
        ],
        scope: Scope::Keys(smove),
        concurrent: "Adds to the destination, and removes what it has seen from the source: of two \
                     moves at the same time to different sets both add.",
        ..SET
    },
    Command {
        name: "sinter",
        summary: "Returns the intersect of multiple sets.",
        complexity: INTERSECTION,
        scope: Scope::Keys(sinter),
        ..SEVERAL
    },
    Command {
        name: "sintercard",
        arity: -3,
        usage: "numkeys:integer key:key... [LIMIT limit:integer]",
        summary: "Returns the number of members of the intersect of multiple sets.",
        since: "7.0.0",
        complexity: INTERSECTION,
        flags: &[ReadOnly, MovableKeys],
        keys: &[KeySpec::counted(1, &["RO", "access"])],
        tips: &[],
        scope: Scope::Keys(sintercard),
        asked: Some(check_sintercard),
        ..SEVERAL
    },
    Command {
        name: "sinterstore",
        summary: "Stores the intersect of multiple sets in a key.",
        complexity: INTERSECTION,
        keys: &[
            KeySpec::at(1, &["RW", "update"]),
            KeySpec::range(2, -1, 1, &["RO", "access"]),
        ],
        scope: Scope::Keys(sinterstore),
        ..STORE
    },
    Command {
        name: "sunion",
        summary: "Returns the union of multiple sets.",
        scope: Scope::Keys(sunion),
        ..SEVERAL
    },
    Command {
        name: "sunionstore",
        summary: "Stores the union of multiple sets in a key.",
        scope: Scope::Keys(sunionstore),
        ..STORE
    },
    Command {
        name: "sdiff",
        summary: "Returns the difference of multiple sets.",
        scope: Scope::Keys(sdiff),
        ..SEVERAL
    },
    Command {
        name: "sdiffstore",
        summary: "Stores the difference of multiple sets in a key.",
        scope: Scope::Keys(sdiffstore),
        ..STORE
    },
    Command {
        name: "sscan",
        arity: -3,
        usage: "key:key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
        summary: "Iterates over members of a set.",
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command \
                     calls for the cursor to return back to 0. N is the number of elements inside \
                     the collection.",
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(sscan),
        ..READ
    },
];
