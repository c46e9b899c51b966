//! Sorted sets: members with scores, in the order of these.

mod combine;
mod random;
mod ranges;
mod scores;
mod take;

use larder_cluster::transaction::{Place, Transaction};

use crate::args::Args;
use crate::error::CommandError;
use crate::numbers;
use crate::reply::{Protocol, Reply};
use crate::sorted_set;
use crate::table::{Asked, Command, OnCollection};

pub(crate) use combine::ROWS as COMBINE;
pub(crate) use random::ROWS as RANDOM;
pub(crate) use ranges::ROWS as RANGES;
pub(crate) use scores::ROWS as SCORES;
pub(super) use scores::add_all;
pub(crate) use take::ROWS as TAKE;

/// What rows of sorted sets have in common.
const SORTED_SET: Command = Command {
    group: "sorted-set",
    categories: &["sortedset"],
    on_collection: OnCollection::Handled,
    ..Command::EMPTY
};

/// How pairs of members and scores are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Members alone.
    Members,
    /// Members and scores by turns.
    Flat,
    /// Pairs.
    Nested,
}

impl Shape {
    /// With scores if they are wanted, as RESP2 and RESP3 show them.
    fn of(reply: &Reply, with_scores: bool) -> Self {
        match (with_scores, reply.protocol()) {
            (false, _) => Self::Members,
            (true, Protocol::Resp2) => Self::Flat,
            (true, Protocol::Resp3) => Self::Nested,
        }
    }

    /// How many values so many pairs are.
    fn values(self, pairs: usize) -> usize {
        if self == Self::Flat { pairs * 2 } else { pairs }
    }

    fn write(self, reply: &mut Reply, member: &[u8], score: f64) {
        if self == Self::Nested {
            reply.array(2);
        }
        reply.bulk(member);
        if self != Self::Members {
            reply.double(score);
        }
    }

    /// Writes what stands at a place of the order.
    fn write_place(
        self,
        reply: &mut Reply,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
        place: &[u8],
    ) -> Result<(), CommandError> {
        let member = sorted_set::member_at(transaction, key, place)?;
        self.write(reply, &member, sorted_set::score_at(place));
        Ok(())
    }
}

/// The number of keys at `at`, as ZUNION and its like have it.
fn key_count(args: Args<'_>, at: usize, too_few: CommandError) -> Result<usize, CommandError> {
    let count = numbers::integer(args.at(at))?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or(too_few)?;
    if count >= args.len() - at {
        return Err(CommandError::Syntax);
    }
    Ok(count)
}

/// As [`key_count`], before anything is sent.
fn asked(args: Args<'_>, at: usize, too_few: CommandError) -> Result<Asked, CommandError> {
    key_count(args, at, too_few)?;
    Ok(Asked::default())
}
