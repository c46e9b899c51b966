//! Several sorted sets, or sets, made into one.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use larder_cluster::element::{Family, Role};
use larder_cluster::rows::Span;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::types::score::visible_score;

use crate::args::Args;
use crate::call::Call;
use crate::error::CommandError;
use crate::key::Kind;
use crate::numbers;
use crate::sorted_set::{self, FAMILY, PAGE, Scored};
use crate::table::Flag::{DenyOom, MovableKeys, ReadOnly, Write};
use crate::table::{Asked, Command, KeySpec, Scope};
use crate::texts;

use super::{SORTED_SET, Shape, asked, key_count};

pub(crate) const ROWS: &[Command] = &[
    Command {
        name: "zunion",
        arity: -3,
        usage: "numkeys:integer key:key... [WEIGHTS weight:integer...] [AGGREGATE <SUM | MIN | \
                  MAX>] [WITHSCORES]",
        summary: "Returns the union of multiple sorted sets.",
        since: "6.2.0",
        complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, \
                  and M being the number of elements in the resulting sorted set.",
        flags: &[ReadOnly, MovableKeys],
        keys: &[KeySpec::counted(1, &["RO", "access"])],
        asked: Some(asked_first),
        scope: Scope::Keys(zunion),
        ..SORTED_SET
    },
    Command {
        name: "zinter",
        arity: -3,
        usage: "numkeys:integer key:key... [WEIGHTS weight:integer...] [AGGREGATE <SUM | MIN | \
                  MAX>] [WITHSCORES]",
        summary: "Returns the intersect of multiple sorted sets.",
        since: "6.2.0",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K \
                  being the number of input sorted sets and M being the number of elements in \
                  the resulting sorted set.",
        flags: &[ReadOnly, MovableKeys],
        keys: &[KeySpec::counted(1, &["RO", "access"])],
        asked: Some(asked_first),
        scope: Scope::Keys(zinter),
        ..SORTED_SET
    },
    Command {
        name: "zdiff",
        arity: -3,
        usage: "numkeys:integer key:key... [WITHSCORES]",
        summary: "Returns the difference between multiple sorted sets.",
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all \
                  the sets, N is the size of the first set, and K is the size of the result set.",
        flags: &[ReadOnly, MovableKeys],
        keys: &[KeySpec::counted(1, &["RO", "access"])],
        asked: Some(asked_first),
        scope: Scope::Keys(zdiff),
        ..SORTED_SET
    },
    Command {
        name: "zunionstore",
        arity: -4,
        usage: "destination:key numkeys:integer key:key... [WEIGHTS weight:integer...] \
                  [AGGREGATE <SUM | MIN | MAX>]",
        summary: "Stores the union of multiple sorted sets in a key.",
        since: "2.0.0",
        complexity: "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, \
                  and M being the number of elements in the resulting sorted set.",
        flags: &[Write, DenyOom, MovableKeys],
        keys: &[
            KeySpec::at(1, &["OW", "update"]),
            KeySpec::counted(2, &["RO", "access"]),
        ],
        asked: Some(asked_second),
        scope: Scope::Keys(zunionstore),
        concurrent: "Removes what it has seen of the destination, then writes the result there: \
                  members written there at the same time elsewhere stay beside it.",
        ..SORTED_SET
    },
    Command {
        name: "zinterstore",
        arity: -4,
        usage: "destination:key numkeys:integer key:key... [WEIGHTS weight:integer...] \
                  [AGGREGATE <SUM | MIN | MAX>]",
        summary: "Stores the intersect of multiple sorted sets in a key.",
        since: "2.0.0",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K \
                  being the number of input sorted sets and M being the number of elements in \
                  the resulting sorted set.",
        flags: &[Write, DenyOom, MovableKeys],
        keys: &[
            KeySpec::at(1, &["OW", "update"]),
            KeySpec::counted(2, &["RO", "access"]),
        ],
        asked: Some(asked_second),
        scope: Scope::Keys(zinterstore),
        concurrent: "Removes what it has seen of the destination, then writes the result there: \
                  members written there at the same time elsewhere stay beside it.",
        ..SORTED_SET
    },
    Command {
        name: "zdiffstore",
        arity: -4,
        usage: "destination:key numkeys:integer key:key...",
        summary: "Stores the difference of multiple sorted sets in a key.",
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all \
                  the sets, N is the size of the first set, and K is the size of the result set.",
        flags: &[Write, DenyOom, MovableKeys],
        keys: &[
            KeySpec::at(1, &["OW", "update"]),
            KeySpec::counted(2, &["RO", "access"]),
        ],
        asked: Some(asked_second),
        scope: Scope::Keys(zdiffstore),
        concurrent: "Removes what it has seen of the destination, then writes the result there: \
                  members written there at the same time elsewhere stay beside it.",
        ..SORTED_SET
    },
    Command {
        name: "zintercard",
        arity: -3,
        usage: "numkeys:integer key:key... [LIMIT limit:integer]",
        summary: "Returns the number of members of the intersect of multiple sorted sets.",
        since: "7.0.0",
        complexity: "O(N*K) worst case with N being the smallest input sorted set, K being the \
                  number of input sorted sets.",
        flags: &[ReadOnly, MovableKeys],
        keys: &[KeySpec::counted(1, &["RO", "access"])],
        asked: Some(asked_first),
        scope: Scope::Keys(zintercard),
        ..SORTED_SET
    },
];

/// How several sets make one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores of a member that several have.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Least,
    Greatest,
}

impl Aggregate {
    fn join(self, one: f64, other: f64) -> f64 {
        match self {
            // Infinity less infinity is 0 here, as in Redis.
            Self::Sum => number_or_zero(one + other),
            Self::Least if other < one => other,
            Self::Greatest if other > one => other,
            Self::Least | Self::Greatest => one,
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A sorted set, or a set all of whose scores are 1.
#[derive(Clone)]
struct Source {
    key: Place,
    family: Option<Family>,
    members: u64,
    weight: f64,
}

impl Source {
    fn weighted(&self, score: f64) -> f64 {
        number_or_zero(self.weight * score)
    }

    /// The weighted score of a member, which may be no number, as in Redis: aggregates see to that.
    fn score_of(
        &self,
        transaction: &mut Transaction<'_, '_>,
        member: &[u8],
    ) -> Result<Option<f64>, CommandError> {
        let Some(family) = self.family else {
            return Ok(None);
        };
        if family == FAMILY {
            let score = sorted_set::score_of(transaction, &self.key, member)?;
            return Ok(score.map(|score| self.weight * score));
        }
        let place = transaction.element(&self.key, &texts::element_of(family, member));
        let is_there = !transaction.try_row(&place)?.is_empty();
        Ok(is_there.then_some(self.weight))
    }

    /// Shows each member with its score to `act`, until it says that it has enough.
    fn each(
        &self,
        transaction: &mut Transaction<'_, '_>,
        mut act: impl FnMut(&mut Transaction<'_, '_>, Vec<u8>, f64) -> Result<bool, CommandError>,
    ) -> Result<(), CommandError> {
        let Some(family) = self.family else {
            return Ok(());
        };
        let mut span = Span::of_prefix(&family.element(Role::MEMBER, b""));
        loop {
            let page = transaction.range(&self.key, &span, PAGE)?;
            let is_last = page.len() < PAGE;
            if let Some((last, _)) = page.last() {
                span = span.behind(last);
            }
            for (element, row) in page {
                let score = if family == FAMILY {
                    visible_score(&row)
                } else {
                    Some(1.0)
                };
                let Some(score) = score else { continue };
                let member = texts::text_of(transaction, &self.key, &element)?;
                if act(transaction, member, self.weighted(score))? {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

/// What a command of several sets is asked for.
struct Asking {
    operation: Operation,
    sources: Vec<Source>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: u64,
}

/// Where the result of a command goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Shown,
    Counted,
    Stored,
}

impl Goal {
    fn keys_at(self) -> usize {
        if self == Self::Stored { 2 } else { 1 }
    }
}

fn too_few(name: &str) -> CommandError {
    CommandError::Text(format!(
        "ERR at least 1 input key is needed for '{name}' command"
    ))
}

fn asked_first(args: Args<'_>) -> Result<Asked, CommandError> {
    asked(args, 1, too_few(&lower(args)))
}

fn asked_second(args: Args<'_>) -> Result<Asked, CommandError> {
    asked(args, 2, too_few(&lower(args)))
}

fn lower(args: Args<'_>) -> String {
    String::from_utf8_lossy(args.at(0)).to_ascii_lowercase()
}

impl Asking {
    fn read(
        call: &mut Call<'_, '_, '_>,
        operation: Operation,
        goal: Goal,
    ) -> Result<Self, CommandError> {
        let at = goal.keys_at();
        let keys = key_count(call.args, at, too_few(call.name))?;
        let mut sources = Vec::with_capacity(keys);
        for index in at + 1..=at + keys {
            sources.push(source(call, index)?);
        }
        let mut asking = Self {
            operation,
            sources,
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        asking.options(call.args.from(at + 1 + keys), goal)?;
        Ok(asking)
    }

    fn options(&mut self, options: Args<'_>, goal: Goal) -> Result<(), CommandError> {
        let joins = self.operation != Operation::Difference && goal != Goal::Counted;
        let mut at = 0;
        while at < options.len() {
            let is = |word: &[u8]| options.at(at).eq_ignore_ascii_case(word);
            let left = options.len() - at;
            if joins && is(b"weights") && left > self.sources.len() {
                for source in &mut self.sources {
                    at += 1;
                    source.weight = numbers::float(options.at(at))
                        .map_err(|_| CommandError::Fixed("ERR weight value is not a float"))?;
                }
            } else if joins && is(b"aggregate") && left > 1 {
                at += 1;
                self.aggregate = match options.at(at).to_ascii_lowercase().as_slice() {
                    b"sum" => Aggregate::Sum,
                    b"min" => Aggregate::Least,
                    b"max" => Aggregate::Greatest,
                    _ => return Err(CommandError::Syntax),
                };
            } else if goal == Goal::Shown && is(b"withscores") {
                self.with_scores = true;
            } else if goal == Goal::Counted && is(b"limit") && left > 1 {
                at += 1;
                let negative = CommandError::Fixed("ERR LIMIT can't be negative");
                let limit = numbers::integer(options.at(at)).map_err(|_| negative.clone())?;
                self.limit = u64::try_from(limit).map_err(|_| negative)?;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(())
    }

    /// The members of the result with their scores, in their order.
    fn result(
        mut self,
        transaction: &mut Transaction<'_, '_>,
    ) -> Result<Vec<Scored>, CommandError> {
        let mut found = match self.operation {
            Operation::Union => self.union(transaction)?,
            _ => {
                let mut found = Vec::new();
                self.matching(transaction, |member, score| {
                    found.push((member, score));
                    false
                })?;
                found
            }
        };
        // Scores are numbers, and both zeros are alike.
        found.sort_unstable_by(|(one, a), (other, b)| {
            let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
            order.then_with(|| one.cmp(other))
        });
        Ok(found)
    }

    fn union(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
    ) -> Result<Vec<Scored>, CommandError> {
        self.sources.sort_by_key(|source| source.members);
        let (mut all, aggregate) = (BTreeMap::new(), self.aggregate);
        for source in &self.sources {
            source.each(transaction, |_, member, score| {
                all.entry(member)
                    .and_modify(|known| *known = aggregate.join(*known, score))
                    .or_insert(score);
                Ok(false)
            })?;
        }
        Ok(all.into_iter().collect())
    }

    /// The members of an intersection or difference, until `act` has enough.
    fn matching(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        mut act: impl FnMut(Vec<u8>, f64) -> bool,
    ) -> Result<(), CommandError> {
        let meets = self.operation == Operation::Intersection;
        if meets {
            self.sources.sort_by_key(|source| source.members);
        }
        let aggregate = self.aggregate;
        let Some((first, others)) = self.sources.split_first() else {
            return Ok(());
        };
        first.each(transaction, |transaction, member, score| {
            let mut joined = score;
            for other in others {
                match other.score_of(transaction, &member)? {
                    Some(score) if meets => joined = aggregate.join(joined, score),
                    None if !meets => {}
                    _ => return Ok(false),
                }
            }
            Ok(act(member, joined))
        })
    }
}

fn source(call: &mut Call<'_, '_, '_>, index: usize) -> Result<Source, CommandError> {
    let (key, kind) = call.shown(index)?;
    let family = match kind {
        Kind::Missing => None,
        Kind::Collection(family) if family == FAMILY || family == Family::SET => Some(family),
        _ => return Err(CommandError::WrongType),
    };
    let members = match family {
        Some(family) => call.transaction.members(&key, family)?,
        None => 0,
    };
    Ok(Source {
        key,
        family,
        members,
        weight: 1.0,
    })
}

fn show(call: &mut Call<'_, '_, '_>, operation: Operation) -> Result<(), CommandError> {
    let asking = Asking::read(call, operation, Goal::Shown)?;
    let shape = Shape::of(call.reply, asking.with_scores);
    let found = asking.result(call.transaction)?;
    call.reply.array(shape.values(found.len()));
    for (member, score) in &found {
        shape.write(call.reply, member, *score);
    }
    Ok(())
}

fn store(call: &mut Call<'_, '_, '_>, operation: Operation) -> Result<(), CommandError> {
    let asking = Asking::read(call, operation, Goal::Stored)?;
    let found = asking.result(call.transaction)?;
    let target = call.place(1);
    sorted_set::replace(call.transaction, &target, &found)?;
    call.reply.count(found.len());
    Ok(())
}

fn zunion(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, Operation::Union)
}

fn zinter(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, Operation::Intersection)
}

fn zdiff(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    show(call, Operation::Difference)
}

fn zunionstore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    store(call, Operation::Union)
}

fn zinterstore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    store(call, Operation::Intersection)
}

fn zdiffstore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    store(call, Operation::Difference)
}

fn zintercard(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let mut asking = Asking::read(call, Operation::Intersection, Goal::Counted)?;
    let (limit, mut count) = (asking.limit, 0);
    asking.matching(call.transaction, |_, _| {
        count += 1;
        count == limit
    })?;
    call.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}
