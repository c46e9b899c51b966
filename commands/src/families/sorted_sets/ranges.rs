//! Ranges of sorted sets: by rank, by score, and by name among members of one score.

use larder_cluster::rows::Span;
use larder_cluster::transaction::{Place, Transaction};

use crate::args::Args;
use crate::call::Call;
use crate::error::CommandError;
use crate::numbers;
use crate::sorted_set::{self, FAMILY, Names, Scores, Walk};
use crate::table::Flag::{DenyOom, Fast, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope};

use super::{SORTED_SET, Shape};

pub(crate) const ROWS: &[Command] = &[
    Command {
        name: "zrange",
        arity: -4,
        usage: "key:key start stop [BYSCORE | BYLEX] [REV] [LIMIT (offset:integer \
                  count:integer)] [WITHSCORES]",
        summary: "Returns members in a sorted set within a range of indexes.",
        since: "1.2.0",
        complexity: "O(log(N)+R+M) with N being the number of elements in the sorted set, R the \
                  number of those between the range and the nearer end (0 for BYSCORE and \
                  BYLEX), and M the number of elements returned.",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zrange),
        ..SORTED_SET
    },
    Command {
        name: "zrevrange",
        arity: -4,
        usage: "key:key start:integer stop:integer [WITHSCORES]",
        summary: "Returns members in a sorted set within a range of indexes in reverse order.",
        since: "1.2.0",
        complexity: "O(log(N)+R+M) with N being the number of elements in the sorted set, R the \
                  number of those between the range and the nearer end (0 for BYSCORE and \
                  BYLEX), and M the number of elements returned.",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zrevrange),
        ..SORTED_SET
    },
    Command {
        name: "zrangebyscore",
        arity: -4,
        usage: "key:key min:double max:double [WITHSCORES] [LIMIT (offset:integer \
                  count:integer)]",
        summary: "Returns members in a sorted set within a range of scores.",
        since: "1.0.5",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                  number of elements being returned. If M is constant (e.g. always asking for \
                  the first 10 elements with LIMIT), you can consider it O(log(N)).",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zrangebyscore),
        ..SORTED_SET
    },
    Command {
        name: "zrevrangebyscore",
        arity: -4,
        usage: "key:key max:double min:double [WITHSCORES] [LIMIT (offset:integer \
                  count:integer)]",
        summary: "Returns members in a sorted set within a range of scores in reverse order.",
        since: "2.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                  number of elements being returned. If M is constant (e.g. always asking for \
                  the first 10 elements with LIMIT), you can consider it O(log(N)).",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zrevrangebyscore),
        ..SORTED_SET
    },
    Command {
        name: "zrangebylex",
        arity: -4,
        usage: "key:key min max [LIMIT (offset:integer count:integer)]",
        summary: "Returns members in a sorted set within a lexicographical range.",
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                  number of elements being returned. If M is constant (e.g. always asking for \
                  the first 10 elements with LIMIT), you can consider it O(log(N)).",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zrangebylex),
        ..SORTED_SET
    },
    Command {
        name: "zrevrangebylex",
        arity: -4,
        usage: "key:key max min [LIMIT (offset:integer count:integer)]",
        summary: "Returns members in a sorted set within a lexicographical range in reverse \
                  order.",
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                  number of elements being returned. If M is constant (e.g. always asking for \
                  the first 10 elements with LIMIT), you can consider it O(log(N)).",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zrevrangebylex),
        ..SORTED_SET
    },
    Command {
        name: "zrangestore",
        arity: -5,
        usage: "dst:key src:key min max [BYSCORE | BYLEX] [REV] [LIMIT (offset:integer \
                  count:integer)]",
        summary: "Stores a range of members from a sorted set in a key.",
        since: "6.2.0",
        complexity: "O(log(N)+R+M) with N being the number of elements in the sorted set, R the \
                  number of those between the range and the nearer end (0 for BYSCORE and \
                  BYLEX), and M the number of elements stored.",
        flags: &[Write, DenyOom],
        keys: &[
            KeySpec::at(1, &["OW", "update"]),
            KeySpec::at(2, &["RO", "access"]),
        ],
        scope: Scope::Keys(zrangestore),
        concurrent: "Removes what it has seen of the destination, then writes the result there: \
                  members written there at the same time elsewhere stay beside it.",
        ..SORTED_SET
    },
    Command {
        name: "zcount",
        arity: 4,
        usage: "key:key min:double max:double",
        summary: "Returns the count of members in a sorted set that have scores within a range.",
        since: "2.0.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                  number of those counted.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zcount),
        ..SORTED_SET
    },
    Command {
        name: "zlexcount",
        arity: 4,
        usage: "key:key min max",
        summary: "Returns the number of members in a sorted set within a lexicographical range.",
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                  number of those counted.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(zlexcount),
        ..SORTED_SET
    },
    Command {
        name: "zremrangebyrank",
        arity: 4,
        usage: "key:key start:integer stop:integer",
        summary: "Removes members in a sorted set within a range of indexes. Deletes the sorted \
                  set if all members were removed.",
        since: "2.0.0",
        complexity: "O(R+M*log(N)) with N being the number of elements in the sorted set, R the \
                  number of those between the range and the nearer end, and M the number of \
                  elements removed.",
        flags: &[Write],
        keys: &[KeySpec::at(1, &["RW", "delete"])],
        scope: Scope::Keys(zremrangebyrank),
        concurrent: "Removes what this node has seen: a member that is added or incremented at the \
                  same time elsewhere stays, with what was added there.",
        ..SORTED_SET
    },
    Command {
        name: "zremrangebyscore",
        arity: 4,
        usage: "key:key min:double max:double",
        summary: "Removes members in a sorted set within a range of scores. Deletes the sorted \
                  set if all members were removed.",
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                  number of elements removed by the operation.",
        flags: &[Write],
        keys: &[KeySpec::at(1, &["RW", "delete"])],
        scope: Scope::Keys(zremrangebyscore),
        concurrent: "Removes what this node has seen: a member that is added or incremented at the \
                  same time elsewhere stays, with what was added there.",
        ..SORTED_SET
    },
    Command {
        name: "zremrangebylex",
        arity: 4,
        usage: "key:key min max",
        summary: "Removes members in a sorted set within a lexicographical range. Deletes the \
                  sorted set if all members were removed.",
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                  number of elements removed by the operation.",
        flags: &[Write],
        keys: &[KeySpec::at(1, &["RW", "delete"])],
        scope: Scope::Keys(zremrangebylex),
        concurrent: "Removes what this node has seen: a member that is added or incremented at the \
                  same time elsewhere stays, with what was added there.",
        ..SORTED_SET
    },
];

/// Which members a command is about.
enum Which {
    /// From one rank to another; negative ones count from the end.
    Ranks(i64, i64),
    Scores(Scores),
    Names(Names),
}

/// How the bounds of a range are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

impl Which {
    fn parse(by: By, min: &[u8], max: &[u8]) -> Result<Self, CommandError> {
        Ok(match by {
            By::Rank => Self::Ranks(numbers::integer(min)?, numbers::integer(max)?),
            By::Score => Self::Scores(Scores::parse(min, max)?),
            By::Lex => Self::Names(Names::parse(min, max)?),
        })
    }
}

/// What a range command is asked for.
struct Asking {
    by: By,
    backwards: bool,
    offset: i64,
    count: i64,
    with_scores: bool,
}

impl Asking {
    /// The options behind the bounds of a range. What the command's name says is given: no option
    /// may say it then.
    fn parse(
        options: Args<'_>,
        stores: bool,
        by: Option<By>,
        backwards: Option<bool>,
    ) -> Result<Self, CommandError> {
        let (mut by_asked, mut backwards_asked) = (by, backwards);
        let mut asking = Self {
            by: By::Rank,
            backwards: false,
            offset: 0,
            count: -1,
            with_scores: false,
        };
        let mut at = 0;
        while at < options.len() {
            let is = |word: &[u8]| options.at(at).eq_ignore_ascii_case(word);
            if !stores && is(b"withscores") {
                asking.with_scores = true;
            } else if is(b"limit") && at + 2 < options.len() {
                asking.offset = numbers::integer(options.at(at + 1))?;
                asking.count = numbers::integer(options.at(at + 2))?;
                at += 2;
            } else if backwards_asked.is_none() && is(b"rev") {
                backwards_asked = Some(true);
            } else if by_asked.is_none() && is(b"bylex") {
                by_asked = Some(By::Lex);
            } else if by_asked.is_none() && is(b"byscore") {
                by_asked = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        asking.by = by_asked.unwrap_or(By::Rank);
        asking.backwards = backwards_asked.unwrap_or(false);
        if asking.count != -1 && asking.by == By::Rank {
            return Err(CommandError::Fixed(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or \
                 BYLEX",
            ));
        }
        if asking.with_scores && asking.by == By::Lex {
            return Err(CommandError::Fixed(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        Ok(asking)
    }

    /// Reads the bounds: of a range that is read backwards, the upper one comes first.
    fn which(&self, args: Args<'_>) -> Result<Which, CommandError> {
        let (first, second) = (args.at(0), args.at(1));
        if self.backwards && self.by != By::Rank {
            Which::parse(self.by, second, first)
        } else {
            Which::parse(self.by, first, second)
        }
    }

    /// Shows each place of the range to `act`.
    fn each(
        &self,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
        which: &Which,
        mut act: impl FnMut(&mut Transaction<'_, '_>, &[u8]) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let found = match which {
            Which::Ranks(start, end) => {
                ranks(transaction, key, (*start, *end), self.backwards)?.map(|(s, c)| (s, 0, c))
            }
            _ if self.offset < 0 || self.count == 0 => None,
            Which::Scores(scores) => Some((scores.span(), self.offset, self.count)),
            Which::Names(names) => names
                .span(transaction, key)?
                .map(|span| (span, self.offset, self.count)),
        };
        let Some((mut span, offset, count)) = found else {
            return Ok(());
        };
        if self.backwards != span.backwards {
            span = span.reversed();
        }
        let (offset, count) = (offset.unsigned_abs(), u64::try_from(count).ok());
        let wanted = count.map_or(u64::MAX, |count| count.saturating_add(offset));
        let mut walk = Walk::new(span, usize::try_from(wanted).unwrap_or(usize::MAX));
        for _ in 0..offset {
            if walk.next(transaction, key)?.is_none() {
                return Ok(());
            }
        }
        let mut left = count.unwrap_or(u64::MAX);
        while left > 0
            && let Some(place) = walk.next(transaction, key)?
        {
            act(transaction, &place)?;
            left -= 1;
        }
        Ok(())
    }
}

/// The places from one rank on, and how many there are to another one.
fn ranks(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    (start, end): (i64, i64),
    backwards: bool,
) -> Result<Option<(Span, i64)>, CommandError> {
    let members = transaction.members(key, FAMILY)?;
    let length = i64::try_from(members).unwrap_or(i64::MAX);
    let from_end = |rank: i64| {
        if rank < 0 {
            rank.saturating_add(length)
        } else {
            rank
        }
    };
    let (start, end) = (from_end(start).max(0), from_end(end).min(length - 1));
    if start > end {
        return Ok(None);
    }
    let span = sorted_set::from_rank(transaction, key, start.unsigned_abs(), members, backwards)?;
    Ok(span.map(|span| (span, end - start + 1)))
}

fn show(
    call: &mut Call<'_, '_, '_>,
    by: Option<By>,
    backwards: Option<bool>,
) -> Result<(), CommandError> {
    let asking = Asking::parse(call.args.from(4), false, by, backwards)?;
    let which = asking.which(call.args.from(2))?;
    let Some(key) = call.collection(1, FAMILY)? else {
        call.reply.array(0);
        return Ok(());
    };
    let (mark, mut pairs) = (call.reply.later(), 0);
    let shape = Shape::of(call.reply, asking.with_scores);
    let reply = &mut *call.reply;
    asking.each(call.transaction, &key, &which, |transaction, place| {
        pairs += 1;
        shape.write_place(reply, transaction, &key, place)
    })?;
    call.reply.array_at(mark, shape.values(pairs));
    Ok(())
}

fn zrange(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, None, None)
}

fn zrevrange(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, Some(By::Rank), Some(true))
}

fn zrangebyscore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, Some(By::Score), Some(false))
}

fn zrevrangebyscore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, Some(By::Score), Some(true))
}

fn zrangebylex(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, Some(By::Lex), Some(false))
}

fn zrevrangebylex(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, Some(By::Lex), Some(true))
}

fn zrangestore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let asking = Asking::parse(call.args.from(5), true, None, None)?;
    let which = asking.which(call.args.from(3))?;
    let mut found = Vec::new();
    if let Some(key) = call.collection(2, FAMILY)? {
        asking.each(call.transaction, &key, &which, |transaction, place| {
            let member = sorted_set::member_at(transaction, &key, place)?;
            found.push((member, sorted_set::score_at(place)));
            Ok(())
        })?;
    }
    let target = call.place(1);
    sorted_set::replace(call.transaction, &target, &found)?;
    call.reply.count(found.len());
    Ok(())
}

fn zcount(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let scores = Scores::parse(call.arg(2), call.arg(3))?;
    let count = match call.collection(1, FAMILY)? {
        None => 0,
        Some(key) if scores.is_all() => call.transaction.members(&key, FAMILY)?,
        Some(key) => sorted_set::count(call.transaction, &key, scores.span())?,
    };
    call.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

fn zlexcount(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let names = Names::parse(call.arg(2), call.arg(3))?;
    let mut count = 0;
    if let Some(key) = call.collection(1, FAMILY)?
        && let Some(span) = names.span(call.transaction, &key)?
    {
        count = sorted_set::count(call.transaction, &key, span)?;
    }
    call.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

fn remove(call: &mut Call<'_, '_, '_>, by: By) -> Result<(), CommandError> {
    let which = Which::parse(by, call.arg(2), call.arg(3))?;
    if call.collection(1, FAMILY)?.is_none() {
        call.reply.integer(0);
        return Ok(());
    }
    let key = call.collection_to_write(1, FAMILY)?;
    let asking = Asking {
        by,
        backwards: false,
        offset: 0,
        count: -1,
        with_scores: false,
    };
    let mut places = Vec::new();
    asking.each(call.transaction, &key, &which, |_, place| {
        places.push(place.to_vec());
        Ok(())
    })?;
    if places.len() > 1 {
        call.transaction.group();
    }
    for place in &places {
        sorted_set::remove_at(call.transaction, &key, place)?;
    }
    call.reply.count(places.len());
    Ok(())
}

fn zremrangebyrank(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    remove(call, By::Rank)
}

fn zremrangebyscore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    remove(call, By::Score)
}

fn zremrangebylex(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    remove(call, By::Lex)
}
