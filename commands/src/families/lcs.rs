//! LCS: what two strings have in common, in order.

use larder_crdt::limits::VALUE_BYTES_MAX;

use crate::args::Args;
use crate::call::Call;
use crate::error::CommandError;
use crate::key;
use crate::numbers;
use crate::reply::Reply;
use crate::table::Flag::ReadOnly;
use crate::table::{Command, KeySpec, Scope, Spread};

use super::strings::STRING;

pub(super) const ROWS: &[Command] = &[Command {
    name: "lcs",
    arity: -3,
    usage: "key1:key key2:key [LEN] [IDX] [MINMATCHLEN min-match-len:integer] [WITHMATCHLEN]",
    summary: "Finds the longest common substring.",
    since: "7.0.0",
    complexity: "O(N*M) where N and M are the lengths of s1 and s2, respectively.",
    flags: &[ReadOnly],
    keys: &[KeySpec::range(1, 2, 1, &["RO", "access"])],
    scope: Scope::Keys(lcs),
    spread: Spread::Steps,
    ..STRING
}];

/// What is to be told of the common part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LcsOptions {
    only_length: bool,
    ranges: bool,
    with_lengths: bool,
    length_min: usize,
}

impl LcsOptions {
    /// Reads the options of a whole request.
    pub(crate) fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = args.from(3).iter();
        while let Some(word) = words.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("idx") {
                options.ranges = true;
            } else if is("len") {
                options.only_length = true;
            } else if is("withmatchlen") {
                options.with_lengths = true;
            } else if is("minmatchlen") {
                let length = numbers::integer(words.next().ok_or(CommandError::Syntax)?)?;
                options.length_min = usize::try_from(length).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.ranges && options.only_length {
            return Err(CommandError::Fixed(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

/// The error for keys of other types.
pub(crate) const NOT_STRINGS: CommandError =
    CommandError::Fixed("ERR The specified keys must contain string values");

fn lcs(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let now_ms = call.now_ms;
    let mut values = [Vec::new(), Vec::new()];
    for (index, value) in (1..).zip(&mut values) {
        let place = call.place(index);
        let shown = key::string(call.row(&place)?, now_ms).map_err(|error| match error {
            CommandError::WrongType => NOT_STRINGS,
            other => other,
        })?;
        *value = shown.unwrap_or_default().into_owned();
    }
    let options = LcsOptions::parse(call.args)?;
    answer(&values, options, call.reply)
}

/// A common part without gaps: where it ends in either string, and how long it is.
struct Match {
    ends: [usize; 2],
    length: usize,
}

/// Appends what `options` want to know of the common part of two values.
pub(crate) fn answer(
    values: &[Vec<u8>; 2],
    options: LcsOptions,
    reply: &mut Reply,
) -> Result<(), CommandError> {
    let [a, b] = values;
    let table = Table::new(a, b)?;
    let (common, matches) = table.walk(a, b);
    if options.only_length {
        reply.count(common.len());
    } else if options.ranges {
        let kept = matches
            .iter()
            .filter(|found| found.length >= options.length_min);
        reply.map(2);
        reply.bulk(b"matches");
        reply.array(kept.clone().count());
        for found in kept {
            reply.array(if options.with_lengths { 3 } else { 2 });
            for end in found.ends {
                reply.array(2);
                reply.count(end - found.length);
                reply.count(end - 1);
            }
            if options.with_lengths {
                reply.count(found.length);
            }
        }
        reply.bulk(b"len");
        reply.count(common.len());
    } else {
        reply.bulk(&common);
    }
    Ok(())
}

/// For each pair of beginnings of both strings, the length of what they have in common.
struct Table {
    lengths: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Result<Self, CommandError> {
        let width = b.len() + 1;
        let cells = (a.len() + 1).checked_mul(width);
        let bytes = cells.and_then(|cells| cells.checked_mul(size_of::<u32>()));
        let (Some(cells), Some(0..=VALUE_BYTES_MAX)) = (cells, bytes) else {
            return Err(CommandError::Fixed(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ));
        };
        let mut table = Self {
            lengths: vec![0; cells],
            width,
        };
        for (i, left) in (1..).zip(a) {
            for (j, right) in (1..).zip(b) {
                let length = if left == right {
                    table.length(i - 1, j - 1) + 1
                } else {
                    table.length(i - 1, j).max(table.length(i, j - 1))
                };
                if let Some(cell) = table.lengths.get_mut(i * width + j) {
                    *cell = length;
                }
            }
        }
        Ok(table)
    }

    fn length(&self, i: usize, j: usize) -> u32 {
        self.lengths.get(i * self.width + j).copied().unwrap_or(0)
    }

    /// From the ends of both strings back: the common part, and its runs without gaps, last first.
    fn walk(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (a.len(), b.len());
        let mut common = Vec::new();
        let mut matches: Vec<Match> = Vec::new();
        while let (Some(left), Some(right)) = (i.checked_sub(1), j.checked_sub(1)) {
            if a.get(left) == b.get(right) {
                common.extend(a.get(left));
                match matches.last_mut() {
                    Some(last) if last.ends == [i + last.length, j + last.length] => {
                        last.length += 1;
                    }
                    _ => matches.push(Match {
                        ends: [i, j],
                        length: 1,
                    }),
                }
                (i, j) = (left, right);
            } else if self.length(left, j) > self.length(i, right) {
                i = left;
            } else {
                j = right;
            }
        }
        common.reverse();
        (common, matches)
    }
}
