//! Members and their scores, one by one.

use larder_crdt::types::score::Update;
use smallvec::SmallVec;

use crate::args::Args;
use crate::call::Call;
use crate::error::CommandError;
use crate::numbers;
use crate::reply::Reply;
use crate::sorted_set::{self, Change, FAMILY};
use crate::table::Flag::{DenyOom, Fast, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope};
use crate::texts;

use super::SORTED_SET;

pub(crate) const ROWS: &[Command] = &[
    Command {
        name: "zadd",
        arity: -4,
        usage: "key:key [NX | XX] [GT | LT] [CH] [INCR] (score:double member)...",
        summary: "Adds one or more members to a sorted set, or updates their scores. Creates the \
                  key if it doesn't exist.",
        since: "1.2.0",
        complexity: "O(log(N)) for each item added, where N is the number of elements in \
                  the sorted \
                  set.",
        flags: &[Write, DenyOom, Fast],
        keys: &[KeySpec::at(1, &["RW", "update"])],
        scope: Scope::Keys(zadd),
        concurrent: "ZADD puts the score in the place of those that it had seen, increments \
                  included; increments that it had not seen are added to it. Of concurrent ones \
                  the latest shows, with GT the greatest, with LT the least.",
        ..SORTED_SET
    },
    Command {
        name: "zincrby",
        arity: 4,
        usage: "key:key increment:integer member",
        summary: "Increments the score of a member in a sorted set.",
        since: "1.2.0",
        complexity: "O(log(N)) where N is the number of elements in the sorted set.",
        flags: &[Write, DenyOom, Fast],
        keys: &[KeySpec::at(1, &["RW", "access", "update"])],
        scope: Scope::Keys(zincrby),
        concurrent: "Concurrent increments add up exactly, and to the score that a concurrent ZADD \
                  sets; a concurrent ZREM or DEL takes only those that it had seen.",
        ..SORTED_SET
    },
    Command {
        name: "zrem",
        arity: -3,
        usage: "key:key member...",
        summary: "Removes one or more members from a sorted set. Deletes the sorted set if all \
                  members were removed.",
        since: "1.2.0",
        complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the \
                  number of elements to be removed.",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "delete"])],
        scope: Scope::Keys(zrem),
        concurrent: "Removes what this node has seen: a member that is added or incremented at the \
                  same time elsewhere stays, with what was added there.",
        ..SORTED_SET
    },
    Command {
        name: "zscore",
        arity: 3,
        usage: "key:key member",
        summary: "Returns the score of a member in a sorted set.",
        since: "1.2.0",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zscore),
        ..SORTED_SET
    },
    Command {
        name: "zmscore",
        arity: -3,
        usage: "key:key member...",
        summary: "Returns the score of one or more members in a sorted set.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of members being requested.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zmscore),
        ..SORTED_SET
    },
    Command {
        name: "zcard",
        arity: 2,
        usage: "key:key",
        summary: "Returns the number of members in a sorted set.",
        since: "1.2.0",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO"])],
        scope: Scope::Keys(zcard),
        ..SORTED_SET
    },
    Command {
        name: "zrank",
        arity: -3,
        usage: "key:key member [WITHSCORE]",
        summary: "Returns the index of a member in a sorted set ordered by ascending scores.",
        since: "2.0.0",
        complexity: "O(log(N)+R) where R is the number of members between this one and the nearer \
                  end.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zrank),
        ..SORTED_SET
    },
    Command {
        name: "zrevrank",
        arity: -3,
        usage: "key:key member [WITHSCORE]",
        summary: "Returns the index of a member in a sorted set ordered by descending scores.",
        since: "2.0.0",
        complexity: "O(log(N)+R) where R is the number of members between this one and the nearer \
                  end.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zrevrank),
        ..SORTED_SET
    },
];

/// The options of ZADD.
#[derive(Default)]
struct AddOptions {
    only_new: bool,
    only_old: bool,
    greater: bool,
    less: bool,
    counts_changed: bool,
    adds: bool,
}

impl AddOptions {
    /// The options, and where the pairs begin.
    fn parse(args: Args<'_>) -> Result<(Self, usize), CommandError> {
        let mut options = Self::default();
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let place = match () {
                () if word.eq_ignore_ascii_case(b"nx") => &mut options.only_new,
                () if word.eq_ignore_ascii_case(b"xx") => &mut options.only_old,
                () if word.eq_ignore_ascii_case(b"gt") => &mut options.greater,
                () if word.eq_ignore_ascii_case(b"lt") => &mut options.less,
                () if word.eq_ignore_ascii_case(b"ch") => &mut options.counts_changed,
                () if word.eq_ignore_ascii_case(b"incr") => &mut options.adds,
                () => break,
            };
            *place = true;
            at += 1;
        }
        let words = args.len() - at;
        if words == 0 || !words.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        options.check(words / 2)?;
        Ok((options, at))
    }

    fn check(&self, pairs: usize) -> Result<(), CommandError> {
        let (only_new, greater, less) = (self.only_new, self.greater, self.less);
        if only_new && self.only_old {
            return Err(CommandError::Fixed(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if [greater, less, only_new]
            .iter()
            .filter(|is_set| **is_set)
            .count()
            > 1
        {
            return Err(CommandError::Fixed(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.adds && pairs > 1 {
            return Err(CommandError::Fixed(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }

    fn update(&self) -> Update {
        match (self.greater, self.less) {
            (true, _) => Update::Greatest,
            (_, true) => Update::Least,
            _ => Update::Set,
        }
    }

    /// What becomes of a member that has this score.
    fn decide(&self, before: Option<f64>, number: f64) -> Change {
        let Some(score) = before else {
            return match (self.only_old, self.adds) {
                (true, _) => Change::None,
                (_, true) => Change::Add(number),
                _ => Change::Set(self.update(), number),
            };
        };
        let after = if self.adds { score + number } else { number };
        // Not a number is found out where it would be written.
        let loses = self.greater && after <= score || self.less && after >= score;
        if self.only_new || loses {
            Change::None
        } else if self.adds {
            Change::Add(number)
        } else {
            Change::Set(self.update(), number)
        }
    }
}

/// A number as a score or an amount.
pub(super) fn number(text: &[u8]) -> Result<f64, CommandError> {
    numbers::float(text)
}

fn zadd(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (options, first) = AddOptions::parse(call.args)?;
    let pairs = call.args.from(first);
    let scores = pairs.iter().step_by(2).map(number);
    let scores: SmallVec<[f64; 4]> = scores.collect::<Result<_, _>>()?;
    let pairs = scores.into_iter().zip(pairs.iter().skip(1).step_by(2));
    add(call, &options, pairs)
}

fn zincrby(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let amount = number(call.arg(2))?;
    let options = AddOptions {
        adds: true,
        ..AddOptions::default()
    };
    let member = call.arg(3);
    add(call, &options, std::iter::once((amount, member)))
}

/// Adds members that must be new, or old, or neither; for GEOADD.
pub(in crate::families) fn add_all<'m>(
    call: &mut Call<'_, '_, '_>,
    (only_new, only_old, counts_changed): (bool, bool, bool),
    pairs: impl ExactSizeIterator<Item = (f64, &'m [u8])>,
) -> Result<(), CommandError> {
    let options = AddOptions {
        only_new,
        only_old,
        counts_changed,
        ..AddOptions::default()
    };
    add(call, &options, pairs)
}

fn add<'m>(
    call: &mut Call<'_, '_, '_>,
    options: &AddOptions,
    pairs: impl ExactSizeIterator<Item = (f64, &'m [u8])>,
) -> Result<(), CommandError> {
    if options.only_old && call.collection(1, FAMILY)?.is_none() {
        if options.adds {
            call.reply.null();
        } else {
            call.reply.integer(0);
        }
        return Ok(());
    }
    let key = call.collection_to_write(1, FAMILY)?;
    if pairs.len() > 1 {
        call.transaction.group();
    }
    let (mut added, mut changed, mut shown) = (0, 0, None);
    for (number, member) in pairs {
        let (mut was_kept, transaction) = (false, &mut *call.transaction);
        let now = sorted_set::change(transaction, &key, member, |before| {
            let change = options.decide(before, number);
            was_kept = matches!(change, Change::None);
            change
        })?;
        added += i64::from(now.before.is_none() && now.after.is_some());
        changed += i64::from(now.before != now.after);
        shown = now.after.filter(|_| !was_kept);
    }
    match (options.adds, shown) {
        (true, Some(score)) => call.reply.double(score),
        (true, None) => call.reply.null(),
        _ if options.counts_changed => call.reply.integer(changed),
        _ => call.reply.integer(added),
    }
    Ok(())
}

fn zrem(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    if call.collection(1, FAMILY)?.is_none() {
        call.reply.integer(0);
        return Ok(());
    }
    let key = call.collection_to_write(1, FAMILY)?;
    let members = call.args.from(2);
    if members.len() > 1 {
        call.transaction.group();
    }
    let mut removed = 0;
    for member in members.iter() {
        let element = texts::element_of(FAMILY, member);
        removed += i64::from(sorted_set::remove(call.transaction, &key, &element)?);
    }
    call.reply.integer(removed);
    Ok(())
}

fn score_or_null(reply: &mut Reply, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn zscore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let score = match call.collection(1, FAMILY)? {
        Some(key) => sorted_set::score_of(call.transaction, &key, call.args.at(2))?,
        None => None,
    };
    score_or_null(call.reply, score);
    Ok(())
}

fn zmscore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let key = call.collection(1, FAMILY)?;
    let members = call.args.from(2);
    call.reply.array(members.len());
    for member in members.iter() {
        let score = match &key {
            Some(key) => sorted_set::score_of(call.transaction, key, member)?,
            None => None,
        };
        score_or_null(call.reply, score);
    }
    Ok(())
}

fn zcard(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let count = match call.collection(1, FAMILY)? {
        Some(key) => call.transaction.members(&key, FAMILY)?,
        None => 0,
    };
    call.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

fn zrank(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    rank(call, false)
}

fn zrevrank(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    rank(call, true)
}

fn rank(call: &mut Call<'_, '_, '_>, from_top: bool) -> Result<(), CommandError> {
    let with_score = match call.args.len() {
        3 => false,
        4 if call.arg(3).eq_ignore_ascii_case(b"withscore") => true,
        _ => return Err(CommandError::Syntax),
    };
    let (key, member) = (call.collection(1, FAMILY)?, call.arg(2));
    let score = match &key {
        Some(key) => sorted_set::score_of(call.transaction, key, member)?,
        None => None,
    };
    let (Some(key), Some(score)) = (key, score) else {
        if with_score {
            call.reply.null_array();
        } else {
            call.reply.null();
        }
        return Ok(());
    };
    let members = call.transaction.members(&key, FAMILY)?;
    let below = sorted_set::rank_of(call.transaction, &key, member, score, members)?;
    let rank = if from_top {
        members.saturating_sub(below + 1)
    } else {
        below
    };
    if with_score {
        call.reply.array(2);
    }
    call.reply.integer(i64::try_from(rank).unwrap_or(i64::MAX));
    if with_score {
        call.reply.double(score);
    }
    Ok(())
}
