//! What a row of the table holds.

use larder_cluster::request::Access;

use crate::args::Args;
use crate::call::Handler;
use crate::error::CommandError;
use crate::numbers;

/// What a command is like, in Redis's words and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// It may change something.
    Write,
    /// It changes nothing.
    ReadOnly,
    /// Redis refuses it when memory is full.
    DenyOom,
    /// For operators.
    Admin,
    /// Not from scripts.
    NoScript,
    /// It may keep its connection waiting.
    Blocking,
    /// Also while the node reads its data.
    Loading,
    /// Also on a node without its data.
    Stale,
    /// Not shown by MONITOR.
    SkipMonitor,
    /// Not kept by SLOWLOG.
    SkipSlowlog,
    /// Also for keys of which a slot of a cluster is on its way to a node.
    Asking,
    /// Constant or logarithmic time.
    Fast,
    /// Also before AUTH.
    NoAuth,
    /// Not while a replica reads a whole copy.
    NoAsyncLoading,
    /// Not in a transaction.
    NoMulti,
    /// Which arguments are keys is said by others among them.
    MovableKeys,
    /// Also while a script is busy.
    AllowBusy,
    /// It works on keys that its arguments do not name. COMMAND INFO does not tell, as in Redis.
    TouchesArbitraryKeys,
}

impl Flag {
    /// Redis's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::ReadOnly => "readonly",
            Self::DenyOom => "denyoom",
            Self::Admin => "admin",
            Self::NoScript => "noscript",
            Self::Blocking => "blocking",
            Self::Loading => "loading",
            Self::Stale => "stale",
            Self::SkipMonitor => "skip_monitor",
            Self::SkipSlowlog => "skip_slowlog",
            Self::Asking => "asking",
            Self::Fast => "fast",
            Self::NoAuth => "no_auth",
            Self::NoAsyncLoading => "no_async_loading",
            Self::NoMulti => "no_multi",
            Self::MovableKeys => "movablekeys",
            Self::AllowBusy => "allow_busy",
            Self::TouchesArbitraryKeys => "touches_arbitrary_keys",
        }
    }
}

/// The categories of ACL, in Redis's order.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
    "document",
];

/// How keys are found among arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// From one position to another.
    Range {
        /// The first key.
        first: usize,
        /// The last key, at most; a negative one counts from the end.
        last: i64,
        /// From one key to the next.
        step: usize,
    },
    /// As many as the number at this position says, behind it.
    Counted(usize),
    /// One, behind this word, which is looked for from a position on.
    Behind(&'static str, usize),
}

/// Which arguments are keys, and what happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// Where they are.
    pub find: Find,
    /// Redis's words for what happens to them.
    pub flags: &'static [&'static str],
    /// Why, where that is not plain; else empty.
    pub notes: &'static str,
}

impl KeySpec {
    /// One key, at `position`.
    pub(crate) const fn at(position: usize, flags: &'static [&'static str]) -> Self {
        Self::range(position, position as i64, 1, flags)
    }

    /// From one position to another.
    pub(crate) const fn range(
        first: usize,
        last: i64,
        step: usize,
        flags: &'static [&'static str],
    ) -> Self {
        Self {
            find: Find::Range { first, last, step },
            flags,
            notes: "",
        }
    }

    /// As many keys as the number at `position` says, behind it. A row with such keys refuses other
    /// numbers by its `asked`.
    pub(crate) const fn counted(position: usize, flags: &'static [&'static str]) -> Self {
        Self {
            find: Find::Counted(position),
            flags,
            notes: "",
        }
    }

    /// The key behind the last `word` that stands at `from` or later, if there is one.
    pub(crate) const fn behind(
        word: &'static str,
        from: usize,
        flags: &'static [&'static str],
    ) -> Self {
        Self {
            find: Find::Behind(word, from),
            flags,
            notes: "",
        }
    }

    /// The same, with a reason for its flags.
    pub(crate) const fn with_notes(self, notes: &'static str) -> Self {
        Self { notes, ..self }
    }

    /// All arguments.
    pub(crate) const fn all(flags: &'static [&'static str]) -> Self {
        Self::range(1, -1, 1, flags)
    }

    /// Every other argument, each with a value behind it.
    pub(crate) const fn with_values(flags: &'static [&'static str]) -> Self {
        Self::range(1, -1, 2, flags)
    }

    /// The positions of the keys among the arguments of a whole request.
    #[inline]
    #[must_use]
    pub fn positions(&self, args: Args<'_>) -> Positions {
        let count = args.len();
        let (next, end, step) = match self.find {
            Find::Range { first, last, step } if last < 0 => {
                let behind = usize::try_from(-last - 1).unwrap_or(usize::MAX);
                (first, count.saturating_sub(behind), step)
            }
            Find::Range { first, last, step } => (
                first,
                count.min(usize::try_from(last).unwrap_or(0) + 1),
                step,
            ),
            Find::Counted(at) => {
                let keys = numbers::integer(args.at(at)).unwrap_or(0);
                let keys = usize::try_from(keys).unwrap_or(0);
                let is_there = keys < count.saturating_sub(at);
                (at + 1, if is_there { at + 1 + keys } else { 0 }, 1)
            }
            Find::Behind(word, from) => {
                let is_word = |at: &usize| args.at(*at).eq_ignore_ascii_case(word.as_bytes());
                let found = (from..count.saturating_sub(1)).rev().find(is_word);
                found.map_or((0, 0, 1), |at| (at + 1, at + 2, 1))
            }
        };
        Positions { next, end, step }
    }
}

/// Positions of keys, ascending. (`step_by` divides, which costs as much as all the rest of it.)
#[derive(Debug, Clone)]
pub struct Positions {
    next: usize,
    end: usize,
    step: usize,
}

impl Iterator for Positions {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let here = self.next;
        self.next = here.saturating_add(self.step);
        (here < self.end).then_some(here)
    }
}

/// Who runs a command.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// The core, on the rows of its keys.
    Keys(Handler),
    /// The server, for the connection.
    Connection,
    /// The server, for the reached node.
    Node,
    /// The server, for the whole cluster.
    Cluster,
}

/// How a command whose keys live on several nodes is split, and its answers gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// It is not: the command has one key.
    None,
    /// Each node counts its keys; the counts are added.
    Sum,
    /// Each node answers for its keys; the values are put in the order of the keys.
    Array,
    /// Each node does its part; all is well if all went well.
    Ok,
    /// The keys are asked one after the other, until one has something.
    First,
    /// Its own steps: reads first, then writes. See `scatter.rs`.
    Steps,
}

/// Whether running a command twice is the same as once, so that it may be tried on another node
/// when an answer stays out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It is if the command only looks.
    IfRead,
    /// It is: what it does is a function of its arguments alone.
    Always,
    /// It is if the client named the dots of the write.
    IfNamed,
}

/// What becomes of a command that finds a collection under one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCollection {
    /// Its handler sees to that.
    Handled,
    /// The key is of the wrong type.
    Refused,
    /// The collection is removed first: the command overwrites the key.
    Replaced,
}

/// What a client asks of replicas in the arguments of a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// On how many replicas' states it must look (`R n`).
    pub read_copies: Option<u8>,
    /// On how many nodes it must be on disk (`W n`).
    pub write_copies: Option<u8>,
    /// Whether the client named the dots of the write (`AS`).
    pub is_named: bool,
}

/// Reads what a client asks of replicas; finds errors in the arguments before anything is sent.
pub type AskedOf = fn(Args<'_>) -> Result<Asked, CommandError>;

/// One row: a command or a subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Lower case; of a subcommand with its command: `config|get`.
    pub name: &'static str,
    /// How many arguments, the name included; negative: at least that many.
    pub arity: i64,
    /// The arguments, in the notation of `usage.rs`.
    pub usage: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Redis's version that brought it.
    pub since: &'static str,
    /// Redis's group of commands.
    pub group: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// The version since which something else is to be used, and what.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// What it is like.
    pub flags: &'static [Flag],
    /// The categories of ACL that do not follow from the flags.
    pub categories: &'static [&'static str],
    /// Which arguments are keys.
    pub keys: &'static [KeySpec],
    /// Redis's hints for clients of clusters.
    pub tips: &'static [&'static str],
    /// Who runs it.
    pub scope: Scope,
    /// What becomes of it where a key is a collection.
    pub on_collection: OnCollection,
    /// How it is split.
    pub spread: Spread,
    /// Whether it may run twice.
    pub repeat: Repeat,
    /// What its arguments ask of replicas.
    pub asked: Option<AskedOf>,
    /// What concurrent use does: one or two sentences, for whatever writes.
    pub concurrent: &'static str,
    /// Its subcommands; a command with some is nothing without one.
    pub subcommands: &'static [Self],
}

impl Command {
    /// What most rows of a family begin with.
    pub const EMPTY: Self = Self {
        name: "",
        arity: 1,
        usage: "",
        summary: "",
        since: "1.0.0",
        group: "generic",
        complexity: "O(1)",
        deprecated: None,
        flags: &[],
        categories: &[],
        keys: &[],
        tips: &[],
        scope: Scope::Node,
        on_collection: OnCollection::Handled,
        spread: Spread::None,
        repeat: Repeat::IfRead,
        asked: None,
        concurrent: "",
        subcommands: &[],
    };

    /// Whether it has `flag`.
    #[must_use]
    #[inline]
    pub fn is(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// Whether it only looks.
    #[must_use]
    #[inline]
    pub fn access(&self) -> Access {
        if self.is(Flag::Write) {
            Access::Write
        } else {
            Access::Read
        }
    }

    /// The last word of the name.
    #[must_use]
    pub fn last_word(&self) -> &'static str {
        self.name.rsplit('|').next().unwrap_or(self.name)
    }

    /// All categories of ACL, in Redis's order.
    pub fn all_categories(&self) -> impl Iterator<Item = &'static str> + '_ {
        CATEGORIES.iter().copied().filter(|category| {
            self.categories.contains(category)
                || match *category {
                    "read" => self.is(Flag::ReadOnly),
                    "write" => self.is(Flag::Write),
                    "admin" => self.is(Flag::Admin),
                    "dangerous" => self.is(Flag::Admin),
                    "fast" => self.is(Flag::Fast),
                    "slow" => !self.is(Flag::Fast),
                    "blocking" => self.is(Flag::Blocking),
                    _ => false,
                }
        })
    }

    /// The positions of its keys among the arguments of a whole request.
    #[inline]
    pub fn key_positions<'a>(&'a self, args: Args<'a>) -> impl Iterator<Item = usize> + 'a {
        self.keys.iter().flat_map(move |spec| spec.positions(args))
    }

    /// Whether `count` arguments are as many as it takes.
    #[must_use]
    #[inline]
    pub fn takes(&self, count: usize) -> bool {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.arity >= 0 {
            count == self.arity
        } else {
            count >= -self.arity
        }
    }
}
