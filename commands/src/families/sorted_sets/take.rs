//! Members that are taken out of sorted sets from their ends, drawn at random, or walked over.

use std::ops::Bound;

use larder_cluster::element::{HASH_BYTES, Role};
use larder_cluster::rows::Span;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::Row;
use larder_crdt::types::score::visible_score;

use crate::args::Args;
use crate::call::Call;
use crate::double::DoubleText;
use crate::error::CommandError;
use crate::glob;
use crate::numbers;
use crate::reply::Protocol;
use crate::sorted_set::{self, FAMILY, PAGE, Walk};
use crate::table::Flag::{Fast, MovableKeys, ReadOnly, Write};
use crate::table::{Asked, Command, KeySpec, Scope};
use crate::texts;

use super::{SORTED_SET, Shape, asked, key_count};

pub(crate) const ROWS: &[Command] = &[
    Command {
        name: "zpopmin",
        arity: -2,
        usage: "key:key [count:integer]",
        summary: "Returns the lowest-scoring members from a sorted set after removing them. \
                  Deletes the sorted set if the last member was popped.",
        since: "5.0.0",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, \
                  and M being \
                  the number of elements popped.",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "access", "delete"])],
        scope: Scope::Keys(zpopmin),
        concurrent: "Removes what this node has seen. Two sides of a cut may be given the same \
                  member, once per side.",
        ..SORTED_SET
    },
    Command {
        name: "zpopmax",
        arity: -2,
        usage: "key:key [count:integer]",
        summary: "Returns the highest-scoring members from a sorted set after removing them. \
                  Deletes the sorted set if the last member was popped.",
        since: "5.0.0",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, \
                  and M being \
                  the number of elements popped.",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "access", "delete"])],
        scope: Scope::Keys(zpopmax),
        concurrent: "Removes what this node has seen. Two sides of a cut may be given the same \
                  member, once per side.",
        ..SORTED_SET
    },
    Command {
        name: "zmpop",
        arity: -4,
        usage: "numkeys:integer key:key... <MIN | MAX> [COUNT count:integer]",
        summary: "Returns the highest- or lowest-scoring members from one or more sorted sets \
                  after removing them. Deletes the sorted set if the last member was popped.",
        since: "7.0.0",
        complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number \
                  of elements in the sorted set, and M being the number of elements popped.",
        flags: &[Write, MovableKeys],
        keys: &[KeySpec::counted(1, &["RW", "access", "delete"])],
        asked: Some(zmpop_asked),
        scope: Scope::Keys(zmpop),
        concurrent: "Removes what this node has seen. Two sides of a cut may be given the same \
                  member, once per side.",
        ..SORTED_SET
    },
    Command {
        name: "zscan",
        arity: -3,
        usage: "key:key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
        summary: "Iterates over members and scores of a sorted set.",
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command \
                  calls for the cursor to return back to 0. N is the number of elements inside \
                  the collection..",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(zscan),
        ..SORTED_SET
    },
];

fn zpopmin(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    pop_one_key(call, false)
}

fn zpopmax(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    pop_one_key(call, true)
}

fn pop_one_key(call: &mut Call<'_, '_, '_>, from_top: bool) -> Result<(), CommandError> {
    let count = match call.args.len() {
        2 => None,
        3 => Some(positive(call.arg(2), CommandError::NotPositive)?),
        _ => return Err(CommandError::Syntax),
    };
    let shape = match (count, call.reply.protocol()) {
        (Some(_), Protocol::Resp3) => Shape::Nested,
        _ => Shape::Flat,
    };
    if call.collection(1, FAMILY)?.is_none() || count == Some(0) {
        call.reply.array(0);
        return Ok(());
    }
    pop(call, 1, count.unwrap_or(1), from_top, shape)
}

/// An integer that is not negative. What is none, is told as Redis does in either case.
fn positive(text: &[u8], error: CommandError) -> Result<usize, CommandError> {
    let number = numbers::integer(text).map_err(|_| error.clone())?;
    usize::try_from(number).map_err(|_| error)
}

/// Takes up to `count` members from an end of the sorted set at `index`, which is there.
fn pop(
    call: &mut Call<'_, '_, '_>,
    index: usize,
    count: usize,
    from_top: bool,
    shape: Shape,
) -> Result<(), CommandError> {
    let key = call.collection_to_write(index, FAMILY)?;
    let all = sorted_set::all();
    let span = if from_top { all.reversed() } else { all };
    let mut walk = Walk::new(span, count);
    let mut places = Vec::new();
    while places.len() < count
        && let Some(place) = walk.next(call.transaction, &key)?
    {
        places.push(place);
    }
    if places.len() > 1 {
        call.transaction.group();
    }
    call.reply.array(shape.values(places.len()));
    for place in &places {
        shape.write_place(call.reply, call.transaction, &key, place)?;
        sorted_set::remove_at(call.transaction, &key, place)?;
    }
    Ok(())
}

fn zmpop_asked(args: Args<'_>) -> Result<Asked, CommandError> {
    asked_in_bounds(args, 1)
}

/// The number of keys as ZMPOP has it: whatever is none is told in one way.
fn asked_in_bounds(args: Args<'_>, at: usize) -> Result<Asked, CommandError> {
    numbers::integer(args.at(at)).map_err(|_| CommandError::NumKeys)?;
    asked(args, at, CommandError::NumKeys)
}

fn zmpop(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let keys = key_count(call.args, 1, CommandError::NumKeys)?;
    let options = call.args.from(2 + keys);
    let from_top = match options.at(0) {
        word if word.eq_ignore_ascii_case(b"min") => false,
        word if word.eq_ignore_ascii_case(b"max") => true,
        _ => return Err(CommandError::Syntax),
    };
    let too_few = CommandError::Fixed("ERR count should be greater than 0");
    let count = match options.len() {
        1 => 1,
        3 if options.at(1).eq_ignore_ascii_case(b"count") => {
            match positive(options.at(2), too_few.clone())? {
                0 => return Err(too_few),
                count => count,
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    for index in 2..2 + keys {
        if call.collection(index, FAMILY)?.is_some() {
            call.reply.array(2);
            call.reply.bulk(call.arg(index));
            return pop(call, index, count, from_top, Shape::Nested);
        }
    }
    call.reply.null_array();
    Ok(())
}

/// Members in the order of their hashes, such as have no score left out.
pub(super) struct Elements {
    span: Option<Span>,
    size: usize,
    page: std::vec::IntoIter<(Box<[u8]>, Row)>,
}

impl Elements {
    /// Those of a span, of which about so many are wanted.
    pub(super) fn new(span: Span, wanted: usize) -> Self {
        Self {
            span: Some(span),
            size: wanted.clamp(1, PAGE),
            page: Vec::new().into_iter(),
        }
    }

    /// The next one.
    pub(super) fn next(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
    ) -> Result<Option<Box<[u8]>>, CommandError> {
        loop {
            for (name, row) in self.page.by_ref() {
                if visible_score(&row).is_some() {
                    return Ok(Some(name));
                }
            }
            let Some(span) = self.span.take() else {
                return Ok(None);
            };
            let page = transaction.range(key, &span, self.size)?;
            if let Some((last, _)) = page.last().filter(|_| page.len() == self.size) {
                self.span = Some(span.behind(last));
            }
            self.size = PAGE;
            self.page = page.into_iter();
        }
    }
}

fn zscan(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let cursor = std::str::from_utf8(call.arg(2)).ok();
    let cursor = cursor.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let cursor: u64 = cursor
        .and_then(|text| text.parse().ok())
        .ok_or(CommandError::InvalidCursor)?;
    let key = call.collection(1, FAMILY)?;
    call.reply.array(2);
    let Some(key) = key else {
        call.reply.bulk(b"0");
        call.reply.array(0);
        return Ok(());
    };
    let (pattern, count) = scan_options(call.args.from(3))?;
    let (found, next) = scan_page(call.transaction, &key, cursor, count)?;
    call.reply.bulk(next.to_string().as_bytes());
    let (mark, mut values) = (call.reply.later(), 0);
    for element in found {
        let member = texts::text_of(call.transaction, &key, &element)?;
        if pattern.is_none_or(|pattern| glob::matches(pattern, &member)) {
            let score = sorted_set::score_of(call.transaction, &key, &member)?;
            call.reply.bulk(&member);
            let text = DoubleText::new(score.unwrap_or(0.0));
            call.reply.bulk(text.as_bytes());
            values += 2;
        }
    }
    call.reply.array_at(mark, values);
    Ok(())
}

fn scan_options(options: Args<'_>) -> Result<(Option<&[u8]>, usize), CommandError> {
    let (mut pattern, mut count) = (None, 10);
    for at in (0..options.len()).step_by(2) {
        let is = |word: &[u8]| options.at(at).eq_ignore_ascii_case(word);
        let Some(value) = options.get(at + 1) else {
            return Err(CommandError::Syntax);
        };
        if is(b"count") {
            let number = usize::try_from(numbers::integer(value)?).ok();
            let number = number.filter(|number| *number > 0);
            count = number.ok_or(CommandError::Syntax)?;
        } else if is(b"match") {
            pattern = Some(value);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((pattern, count))
}

/// The name of an element.
type Name = Box<[u8]>;

/// Bits of a cursor: clients whose numbers are all doubles hold no more exactly.
const CURSOR_BITS: u32 = 53;

/// Some members from a cursor on, all that share the upper bits of a hash with the last one
/// included, and the next cursor; 0 at the end.
fn scan_page(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    cursor: u64,
    count: usize,
) -> Result<(Vec<Name>, u64), CommandError> {
    let upper = |element: &[u8]| {
        let hash = element.get(2..2 + HASH_BYTES).unwrap_or_default();
        let hash = hash.try_into().map_or(0, u64::from_be_bytes);
        hash >> (u64::BITS - CURSOR_BITS)
    };
    let mut span = Span::of_prefix(&FAMILY.element(Role::MEMBER, b""));
    let from = cursor << (u64::BITS - CURSOR_BITS);
    span.from = Bound::Included(FAMILY.element(Role::MEMBER, &from.to_be_bytes()));
    let mut elements = Elements::new(span, count.saturating_add(1));
    let mut found: Vec<Box<[u8]>> = Vec::new();
    while let Some(element) = elements.next(transaction, key)? {
        if found.len() >= count
            && let Some(last) = found.last()
            && upper(last) != upper(&element)
        {
            return Ok((found, upper(&element)));
        }
        found.push(element);
    }
    Ok((found, 0))
}
