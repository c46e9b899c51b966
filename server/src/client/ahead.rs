//! Requests that have come in together: parsed and planned before the first of them runs.
//!
//! What a command costs is mostly waiting for memory, as keys are anywhere. A group of commands
//! asks for the rows of all its keys first, so that these waits overlap; then it runs in order. A
//! command that is not about keys ends its group, because it may change how the next ones are read.

use larder_cluster::id::PartitionId;
use larder_cluster::token::Partitions;
use larder_commands::args::{ArgRange, Args};
use larder_commands::error::CommandError;
use larder_commands::plan::{Plan, plan};
use larder_commands::table::Scope;

use crate::resp::request::{ProtocolError, RequestLimits, RequestParser};

/// Requests in a group: with more, the first rows are gone from the nearest cache again.
const GROUP_MAX: usize = 16;

/// A request of a group.
struct Ready {
    /// Where it stands in the input.
    start: usize,
    end: usize,
    /// Its arguments among those of the group; none if the parser holds them.
    ranges: Option<(usize, usize)>,
    planned: Option<Result<Plan, CommandError>>,
}

/// A request on its way to be run.
pub(super) struct Taken<'a> {
    pub(super) args: Args<'a>,
    /// What it is; `None` for a request without arguments.
    pub(super) planned: Option<Result<Plan, CommandError>>,
    /// Where the next one begins.
    pub(super) end: usize,
}

/// The group that is parsed next.
#[derive(Default)]
pub(super) struct Ahead {
    ranges: Vec<ArgRange>,
    requests: Vec<Ready>,
    places: Vec<(PartitionId, u64)>,
}

/// Why a group ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There may be more.
    Full,
    /// The rest of the input is no complete request.
    Incomplete,
    /// What follows is no request.
    Broken(ProtocolError),
}

impl Ahead {
    /// Parses and plans the next requests of `input`, in place of those of the last call.
    pub(super) fn fill(
        &mut self,
        parser: &mut RequestParser,
        input: &[u8],
        limits: &RequestLimits,
        partitions: Partitions,
    ) -> End {
        self.ranges.clear();
        self.requests.clear();
        self.places.clear();
        let mut start = 0;
        while self.requests.len() < GROUP_MAX {
            let rest = input.get(start..).unwrap_or_default();
            let length = match parser.parse(rest, limits) {
                Ok(Some(length)) => length,
                Ok(None) => return End::Incomplete,
                Err(error) => return End::Broken(error),
            };
            let args = parser.args(rest);
            let planned = (!args.is_empty()).then(|| plan(args, partitions));
            let goes_on = planned.as_ref().is_none_or(|planned| {
                planned
                    .as_ref()
                    .is_ok_and(|plan| matches!(plan.command.scope, Scope::Keys(_)))
            });
            if let Some(Ok(plan)) = &planned {
                let places = plan.places.iter();
                self.places
                    .extend(places.map(|(_, place)| (place.partition(partitions), place.key_hash)));
            }
            let ranges = parser.ranges().map(|ranges| {
                let from = self.ranges.len();
                self.ranges.extend_from_slice(ranges);
                (from, self.ranges.len())
            });
            self.requests.push(Ready {
                start,
                end: start + length,
                ranges,
                planned,
            });
            start += length;
            if !goes_on || ranges.is_none() {
                break;
            }
        }
        End::Full
    }

    /// How many requests there are.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The partitions of all keys, and the hashes by which their rows are found.
    pub(super) fn places(&self) -> &[(PartitionId, u64)] {
        &self.places
    }

    /// A request of the group, once.
    pub(super) fn get<'a>(
        &'a mut self,
        index: usize,
        parser: &'a RequestParser,
        input: &'a [u8],
    ) -> Option<Taken<'a>> {
        let ready = self.requests.get_mut(index)?;
        let request = input.get(ready.start..ready.end).unwrap_or_default();
        let args = match ready.ranges {
            Some((from, to)) => Args::new(request, self.ranges.get(from..to).unwrap_or_default()),
            None => parser.args(request),
        };
        Some(Taken {
            args,
            planned: ready.planned.take(),
            end: ready.end,
        })
    }
}
