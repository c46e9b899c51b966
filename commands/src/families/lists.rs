//! Lists: an element is a register under its position (`larder_crdt::types::position`), so that
//! what is pushed or inserted concurrently stays together and in its order.

use crate::table::Flag::{Blocking, DenyOom, Fast, MovableKeys, NoScript, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope, Spread};

mod blocking;
mod change;
mod ends;
mod read;
mod walk;

const LIST: Command = Command {
    group: "list",
    categories: &["list"],
    ..Command::EMPTY
};

const READ: Command = Command {
    flags: &[ReadOnly],
    keys: &[KeySpec::at(1, &["RO", "access"])],
    ..LIST
};

const PUSH: Command = Command {
    arity: -3,
    usage: "key:key element...",
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called \
                 with multiple arguments.",
    flags: &[Write, DenyOom, Fast],
    keys: &[KeySpec::at(1, &["RW", "insert"])],
    concurrent: "Everything that was pushed stays, in one order everywhere; what one client pushed \
                 in a row stays together, and nobody's elements come between.",
    ..LIST
};

const POP: Command = Command {
    arity: -2,
    usage: "key:key [count:integer]",
    complexity: "O(N) where N is the number of elements returned",
    flags: &[Write, Fast],
    keys: &[KeySpec::at(1, &["RW", "access", "delete"])],
    concurrent: "Removes the elements that it returns. On two sides of a cut the same ones may be \
                 returned, once per side. One that LSET changed meanwhile stays.",
    ..LIST
};

const BLOCKING_POP: Command = Command {
    arity: -3,
    usage: "key:key... timeout:double",
    since: "2.0.0",
    complexity: "O(N) where N is the number of provided keys.",
    flags: &[Write, NoScript, Blocking],
    keys: &[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])],
    spread: Spread::First,
    ..POP
};

const CHANGE: Command = Command {
    arity: 4,
    flags: &[Write],
    keys: &[KeySpec::at(1, &["RW", "delete"])],
    ..LIST
};

const MOVE: Command = Command {
    flags: &[Write, DenyOom],
    keys: &[
        KeySpec::at(1, &["RW", "access", "delete"]),
        KeySpec::at(2, &["RW", "insert"]),
    ],
    concurrent: "A pop and a push: of two that move the same element on two sides of a cut, each \
                 pushes it, within one list as well. Both keys must be on one node.",
    ..LIST
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "lpush",
        summary: "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
        scope: Scope::Keys(ends::lpush),
        ..PUSH
    },
    Command {
        name: "rpush",
        summary: "Appends one or more elements to a list. Creates the key if it doesn't exist.",
        scope: Scope::Keys(ends::rpush),
        ..PUSH
    },
    Command {
        name: "lpushx",
        summary: "Prepends one or more elements to a list only when the list exists.",
        since: "2.2.0",
        scope: Scope::Keys(ends::lpushx),
        ..PUSH
    },
    Command {
        name: "rpushx",
        summary: "Appends an element to a list only when the list exists.",
        since: "2.2.0",
        scope: Scope::Keys(ends::rpushx),
        ..PUSH
    },
    Command {
        name: "lpop",
        summary: "Returns the first elements in a list after removing it. Deletes the list if the \
                  last element was popped.",
        scope: Scope::Keys(ends::lpop),
        ..POP
    },
    Command {
        name: "rpop",
        summary: "Returns and removes the last elements of a list. Deletes the list if the last \
                  element was popped.",
        scope: Scope::Keys(ends::rpop),
        ..POP
    },
    Command {
        name: "llen",
        arity: 2,
        usage: "key:key",
        summary: "Returns the length of a list.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO"])],
        scope: Scope::Keys(read::llen),
        ..READ
    },
    Command {
        name: "lrange",
        arity: 4,
        usage: "key:key start:integer stop:integer",
        summary: "Returns a range of elements from a list.",
        complexity: "O(S+N) where S is the distance of start offset from HEAD for small lists, \
                     from nearest end (HEAD or TAIL) for large lists; and N is the number of \
                     elements in the specified range.",
        scope: Scope::Keys(read::lrange),
        ..READ
    },
    Command {
        name: "lindex",
        arity: 3,
        usage: "key:key index:integer",
        summary: "Returns an element from a list by its index.",
        complexity: "O(N) where N is the number of elements to traverse to get to the element at \
                     index. This makes asking for the first or the last element of the list O(1).",
        scope: Scope::Keys(read::lindex),
        ..READ
    },
    Command {
        name: "lpos",
        arity: -3,
        usage: "key:key element [RANK rank:integer] [COUNT num-matches:integer] \
                [MAXLEN len:integer]",
        summary: "Returns the index of matching elements in a list.",
        since: "6.0.6",
        complexity: "O(N) where N is the number of elements in the list, for the average case. \
                     When searching for elements near the head or the tail of the list, or when \
                     the MAXLEN option is provided, the command may run in constant time.",
        scope: Scope::Keys(read::lpos),
        ..READ
    },
    Command {
        name: "lset",
        usage: "key:key index:integer element",
        summary: "Sets the value of an element in a list by its index.",
        complexity: "O(N) where N is the length of the list. Setting either the first or the last \
                     element of the list is O(1).",
        flags: &[Write, DenyOom],
        keys: &[KeySpec::at(1, &["RW", "update"])],
        scope: Scope::Keys(change::lset),
        concurrent: "The element keeps its place. Among concurrent values the latest shows, and \
                     an element that was removed at the same time stays with the new value.",
        ..CHANGE
    },
    Command {
        name: "linsert",
        arity: 5,
        usage: "key:key <BEFORE | AFTER> pivot element",
        summary: "Inserts an element before or after another element in a list.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements to traverse before seeing the value \
                     pivot. This means that inserting somewhere on the left end on the list (head) \
                     can be considered O(1) and inserting somewhere on the right end (tail) is \
                     O(N).",
        flags: &[Write, DenyOom],
        keys: &[KeySpec::at(1, &["RW", "insert"])],
        scope: Scope::Keys(change::linsert),
        concurrent: "All that was inserted at one place stays, each client's elements together \
                     and in their order, even if the pivot was removed at the same time.",
        ..CHANGE
    },
    Command {
        name: "lrem",
        usage: "key:key count:integer element",
        summary: "Removes elements from a list. Deletes the list if the last element was removed.",
        complexity: "O(N+M) where N is the length of the list and M is the number of elements \
                     removed.",
        scope: Scope::Keys(change::lrem),
        concurrent: "Removes the elements that it has seen; what was pushed or set meanwhile \
                     stays.",
        ..CHANGE
    },
    Command {
        name: "ltrim",
        usage: "key:key start:integer stop:integer",
        summary: "Removes elements from both ends a list. Deletes the list if all elements were \
                  trimmed.",
        complexity: "O(N) where N is the number of elements to be removed by the operation.",
        scope: Scope::Keys(change::ltrim),
        concurrent: "Removes the elements that it has seen outside of the range; what was pushed \
                     or set meanwhile stays, so the list may be longer than that.",
        ..CHANGE
    },
    Command {
        name: "lmove",
        arity: 5,
        usage: "source:key destination:key <LEFT | RIGHT> <LEFT | RIGHT>",
        summary: "Returns an element after popping it from one list and pushing it to another. \
                  Deletes the list if the last element was moved.",
        since: "6.2.0",
        scope: Scope::Keys(ends::lmove),
        ..MOVE
    },
    Command {
        name: "rpoplpush",
        arity: 3,
        usage: "source:key destination:key",
        summary: "Returns the last element of a list after removing and pushing it to another \
                  list. Deletes the list if the last element was popped.",
        since: "1.2.0",
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        scope: Scope::Keys(ends::rpoplpush),
        ..MOVE
    },
    Command {
        name: "lmpop",
        arity: -4,
        usage: "numkeys:integer key:key... <LEFT | RIGHT> [COUNT count:integer]",
        summary: "Returns multiple elements from a list after removing them. Deletes the list if \
                  the last element was popped.",
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of provided keys and M is the number of elements \
                     returned.",
        flags: &[Write, MovableKeys],
        keys: &[KeySpec::counted(1, &["RW", "access", "delete"])],
        asked: Some(ends::check_lmpop),
        scope: Scope::Keys(ends::lmpop),
        spread: Spread::First,
        ..POP
    },
    Command {
        name: "blpop",
        summary: "Removes and returns the first element in a list. Blocks until an element is \
                  available otherwise. Deletes the list if the last element was popped.",
        scope: Scope::Keys(blocking::blpop),
        ..BLOCKING_POP
    },
    Command {
        name: "brpop",
        summary: "Removes and returns the last element in a list. Blocks until an element is \
                  available otherwise. Deletes the list if the last element was popped.",
        scope: Scope::Keys(blocking::brpop),
        ..BLOCKING_POP
    },
    Command {
        name: "blmpop",
        arity: -5,
        usage: "timeout:double numkeys:integer key:key... <LEFT | RIGHT> [COUNT count:integer]",
        summary: "Pops the first element from one of multiple lists. Blocks until an element is \
                  available otherwise. Deletes the list if the last element was popped.",
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of provided keys and M is the number of elements \
                     returned.",
        flags: &[Write, Blocking, MovableKeys],
        keys: &[KeySpec::counted(2, &["RW", "access", "delete"])],
        asked: Some(blocking::check_blmpop),
        scope: Scope::Keys(blocking::blmpop),
        ..BLOCKING_POP
    },
    Command {
        name: "blmove",
        arity: 6,
        usage: "source:key destination:key <LEFT | RIGHT> <LEFT | RIGHT> timeout:double",
        summary: "Pops an element from a list, pushes it to another list and returns it. Blocks \
                  until an element is available otherwise. Deletes the list if the last element \
                  was moved.",
        since: "6.2.0",
        flags: &[Write, DenyOom, NoScript, Blocking],
        scope: Scope::Keys(blocking::blmove),
        ..MOVE
    },
    Command {
        name: "brpoplpush",
        arity: 4,
        usage: "source:key destination:key timeout:double",
        summary: "Pops an element from a list, pushes it to another list and returns it. Block \
                  until an element is available otherwise. Deletes the list if the last element \
                  was popped.",
        since: "2.2.0",
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        flags: &[Write, DenyOom, NoScript, Blocking],
        scope: Scope::Keys(blocking::brpoplpush),
        ..MOVE
    },
];
