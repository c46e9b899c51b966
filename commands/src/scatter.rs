//! Commands whose keys live on several nodes: split into requests of one node each, and the answers
//! gathered into one reply.
//!
//! ```text
//! DEL a b c     ─▶ DEL a c | DEL b            sum of the counts
//! MGET a b c    ─▶ MGET a c | MGET b          values in the order of the keys
//! LMPOP 2 a b   ─▶ LMPOP 1 a ─▶ LMPOP 1 b     until one has something
//! RENAME a b    ─▶ dump a ─▶ load b ─▶ drop a one after the other: reads first, then writes
//! ```
//!
//! There is no atomicity across nodes: each request is atomic where it runs. The machine is pure;
//! whoever drives it sends the requests of a round at once and hands their answers to
//! [`Scatter::gather`] in the same order, an error in place of an answer that did not come.

use std::collections::BTreeMap;

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::request::{Access, Request};
use larder_cluster::token::{KeyPlace, Partitions};

use crate::args::Args;
use crate::content::Content;
use crate::error::CommandError;
use crate::families::copying::CopyOptions;
use crate::families::lcs::{self, LcsOptions, NOT_STRINGS};
use crate::internal::transfer::{self, Dump};
use crate::plan::Plan;
use crate::reply::{Protocol, Reply};
use crate::resp;
use crate::table::{Find, Spread};

/// A command on several nodes while it runs.
#[derive(Debug)]
pub struct Scatter {
    args: Vec<Bytes>,
    database: u8,
    protocol: Protocol,
    partitions: Partitions,
    state: State,
}

/// What the answers of the round under way are for.
#[derive(Debug)]
enum State {
    /// Counts to be added.
    Sum,
    /// Values of keys at these positions among the arguments.
    Array(Vec<Vec<usize>>),
    /// `+OK` of all, which becomes this reply.
    Ok(&'static [u8]),
    /// What one key has; the requests for the others, the next one last.
    First(Vec<Request>),
    /// MSETNX: whether any of its keys exists, then the groups of MSET.
    Exists(Vec<Request>),
    /// RENAME and COPY: the content of the source.
    Dump(Transfer),
    /// Whether the target took it.
    Load(Transfer, Dump),
    /// RENAME: what was observed of the source is gone.
    Drop(Transfer),
    /// LCS: both strings.
    Strings(LcsOptions),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transfer {
    Rename,
    RenameNx,
    Copy { database: u8, replaces: bool },
}

impl Scatter {
    /// Begins a planned command. `node_of` says which node runs commands on a partition; any
    /// numbers do, as long as different nodes have different ones.
    ///
    /// # Errors
    /// What is wrong with the arguments, or [`CommandError::CrossSlot`] for a command that cannot
    /// be split.
    pub fn begin(
        plan: &Plan,
        args: Args<'_>,
        database: u8,
        protocol: Protocol,
        partitions: Partitions,
        node_of: &dyn Fn(PartitionId) -> u64,
    ) -> Result<(Self, Vec<Request>), CommandError> {
        let list = args.iter().map(Bytes::copy_from_slice).collect();
        let mut scatter = Self {
            args: list,
            database,
            protocol,
            partitions,
            state: State::Sum,
        };
        let requests = match plan.command.spread {
            Spread::None => return Err(CommandError::CrossSlot),
            Spread::Sum | Spread::Array | Spread::Ok => {
                let groups = scatter.groups(plan, plan.command.name, plan.access(), node_of);
                let (positions, requests) = groups.into_iter().unzip();
                scatter.state = match plan.command.spread {
                    Spread::Array => State::Array(positions),
                    Spread::Ok => State::Ok(crate::reply::OK),
                    _ => State::Sum,
                };
                requests
            }
            Spread::First => {
                let mut requests = scatter.one_by_one(plan);
                let first = requests.pop();
                scatter.state = State::First(requests);
                first.into_iter().collect()
            }
            Spread::Steps => scatter.first_step(plan, args, node_of)?,
        };
        Ok((scatter, requests))
    }

    fn first_step(
        &mut self,
        plan: &Plan,
        args: Args<'_>,
        node_of: &dyn Fn(PartitionId) -> u64,
    ) -> Result<Vec<Request>, CommandError> {
        let (state, requests) = match plan.command.name {
            "rename" => (State::Dump(Transfer::Rename), vec![self.dump(1)]),
            "renamenx" => (State::Dump(Transfer::RenameNx), vec![self.dump(1)]),
            "copy" => {
                let CopyOptions { database, replaces } = CopyOptions::parse(args, self.database)?;
                let transfer = Transfer::Copy { database, replaces };
                (State::Dump(transfer), vec![self.dump(1)])
            }
            "lcs" => {
                let options = LcsOptions::parse(args)?;
                (State::Strings(options), vec![self.dump(1), self.dump(2)])
            }
            "msetnx" => {
                let reads = self.groups(plan, "exists", Access::Read, node_of);
                let writes = self.groups(plan, "mset", Access::Write, node_of);
                let writes = writes.into_iter().map(|(_, request)| request).collect();
                let reads = reads.into_iter().map(|(_, request)| request).collect();
                (State::Exists(writes), reads)
            }
            _ => return Err(CommandError::CrossSlot),
        };
        self.state = state;
        Ok(requests)
    }

    /// The keys, with their values if `name` takes any, as one request of `name` per node; and the
    /// positions of each request's keys.
    fn groups(
        &self,
        plan: &Plan,
        name: &'static str,
        access: Access,
        node_of: &dyn Fn(PartitionId) -> u64,
    ) -> Vec<(Vec<usize>, Request)> {
        let mut groups: BTreeMap<u64, (Vec<usize>, Request)> = BTreeMap::new();
        for position in plan.command.key_positions(Args::of_list(&self.args)) {
            let key = self.arg(position);
            let partition = self.partition_of(&key);
            let (positions, request) = groups.entry(node_of(partition)).or_insert_with(|| {
                let words = vec![Bytes::from_static(name.as_bytes())];
                (Vec::new(), self.request(words, access))
            });
            request.grouped = !positions.is_empty();
            positions.push(position);
            request.args.push(key);
            if name == "mset" {
                request.args.push(self.arg(position + 1));
            }
            if let Err(at) = request.partitions.binary_search(&partition) {
                request.partitions.insert(at, partition);
            }
        }
        groups.into_values().collect()
    }

    /// The command for each key alone, the first one last.
    fn one_by_one(&self, plan: &Plan) -> Vec<Request> {
        let args = Args::of_list(&self.args);
        let positions: Vec<usize> = plan.command.key_positions(args).collect();
        let (Some(start), Some(end)) = (positions.first(), positions.last()) else {
            return Vec::new();
        };
        let is_counted = matches!(
            plan.command.keys.first().map(|spec| spec.find),
            Some(Find::Counted(_))
        );
        let head = start - usize::from(is_counted);
        let alone = |position: &usize| {
            let key = self.arg(*position);
            let mut words: Vec<Bytes> = self.args.iter().take(head).cloned().collect();
            if is_counted {
                words.push(Bytes::from_static(b"1"));
            }
            words.push(key.clone());
            words.extend(self.args.iter().skip(end + 1).cloned());
            let mut request = self.request(words, plan.access());
            request.partitions.push(self.partition_of(&key));
            request
        };
        positions.iter().rev().map(alone).collect()
    }

    fn request(&self, words: Vec<Bytes>, access: Access) -> Request {
        let mut request = Request::new(self.database, words, Vec::new(), access);
        request.protocol = self.protocol.number();
        request
    }

    fn arg(&self, index: usize) -> Bytes {
        self.args.get(index).cloned().unwrap_or_default()
    }

    fn partition_of(&self, key: &[u8]) -> PartitionId {
        KeyPlace::of(key).partition(self.partitions)
    }

    fn dump(&self, index: usize) -> Request {
        let key = self.arg(index);
        transfer::dump_request(self.database, self.partition_of(&key), &key)
    }

    /// Takes the answers of a round and gives the requests of the next one; none if the command is
    /// over, and its reply is appended.
    pub fn gather(&mut self, answers: &[Bytes], reply: &mut Reply) -> Vec<Request> {
        let before = reply.len();
        match self.step(answers, reply) {
            Ok(requests) => requests,
            Err(error) => {
                reply.truncate(before);
                error.write_to(reply);
                Vec::new()
            }
        }
    }

    fn step(&mut self, answers: &[Bytes], reply: &mut Reply) -> Result<Vec<Request>, CommandError> {
        if let Some(error) = answers.iter().find(|answer| answer.first() == Some(&b'-')) {
            reply.raw(error);
            return Ok(Vec::new());
        }
        match std::mem::replace(&mut self.state, State::Sum) {
            State::Sum => reply.integer(sum(answers)?),
            State::Array(positions) => array(answers, &positions, reply)?,
            State::Ok(done) => reply.raw(done),
            State::First(mut others) => {
                let answer = first(answers)?;
                match others.pop().filter(|_| resp::is_null(answer)) {
                    Some(next) => {
                        self.state = State::First(others);
                        return Ok(vec![next]);
                    }
                    None => reply.raw(answer),
                }
            }
            State::Exists(writes) => {
                if sum(answers)? == 0 {
                    self.state = State::Ok(crate::reply::ONE);
                    return Ok(writes);
                }
                reply.integer(0);
            }
            State::Dump(transfer) => return self.on_dump(transfer, answers, reply),
            State::Load(transfer, dump) => return self.on_load(transfer, dump, answers, reply),
            State::Drop(transfer) => {
                transfer::dropped(first(answers)?)?;
                transfer.succeed(reply);
            }
            State::Strings(options) => strings(answers, options, reply)?,
        }
        Ok(Vec::new())
    }

    fn on_dump(
        &mut self,
        transfer: Transfer,
        answers: &[Bytes],
        reply: &mut Reply,
    ) -> Result<Vec<Request>, CommandError> {
        let dump = transfer::dumped(first(answers)?)?;
        let Some(content) = &dump.content else {
            return match transfer {
                Transfer::Rename | Transfer::RenameNx => Err(CommandError::NoSuchKey),
                Transfer::Copy { .. } => {
                    reply.integer(0);
                    Ok(Vec::new())
                }
            };
        };
        let request = self.load(transfer, content);
        self.state = State::Load(transfer, dump);
        Ok(vec![request])
    }

    fn load(&self, transfer: Transfer, content: &Content) -> Request {
        let (database, replaces) = match transfer {
            Transfer::Rename => (self.database, true),
            Transfer::RenameNx => (self.database, false),
            Transfer::Copy { database, replaces } => (database, replaces),
        };
        let key = self.arg(2);
        transfer::load_request(database, self.partition_of(&key), &key, content, replaces)
    }

    fn on_load(
        &mut self,
        transfer: Transfer,
        dump: Dump,
        answers: &[Bytes],
        reply: &mut Reply,
    ) -> Result<Vec<Request>, CommandError> {
        if !transfer::loaded(first(answers)?)? {
            reply.integer(0);
            return Ok(Vec::new());
        }
        if let Transfer::Copy { .. } = transfer {
            transfer.succeed(reply);
            return Ok(Vec::new());
        }
        let key = self.arg(1);
        let request = transfer::drop_request(self.database, self.partition_of(&key), &key, &dump);
        self.state = State::Drop(transfer);
        Ok(vec![request])
    }
}

impl Transfer {
    fn succeed(self, reply: &mut Reply) {
        match self {
            Self::Rename => reply.ok(),
            Self::RenameNx | Self::Copy { .. } => reply.integer(1),
        }
    }
}

const UNREADABLE: CommandError =
    CommandError::Fixed("ERR a node answered what this one cannot read");

fn first(answers: &[Bytes]) -> Result<&[u8], CommandError> {
    answers.first().map(|answer| &answer[..]).ok_or(UNREADABLE)
}

fn sum(answers: &[Bytes]) -> Result<i64, CommandError> {
    let mut sum = 0i64;
    for answer in answers {
        sum = sum.saturating_add(resp::integer(answer).ok_or(UNREADABLE)?);
    }
    Ok(sum)
}

fn array(
    answers: &[Bytes],
    positions: &[Vec<usize>],
    reply: &mut Reply,
) -> Result<(), CommandError> {
    let mut values: BTreeMap<usize, &[u8]> = BTreeMap::new();
    for (answer, positions) in answers.iter().zip(positions) {
        let found = resp::elements(answer).ok_or(UNREADABLE)?;
        if found.len() != positions.len() {
            return Err(UNREADABLE);
        }
        values.extend(positions.iter().copied().zip(found));
    }
    reply.array(values.len());
    values.values().for_each(|value| reply.raw(value));
    Ok(())
}

fn strings(answers: &[Bytes], options: LcsOptions, reply: &mut Reply) -> Result<(), CommandError> {
    let [a, b] = answers else {
        return Err(UNREADABLE);
    };
    let string = |answer: &[u8]| transfer::dumped(answer)?.string().ok_or(NOT_STRINGS);
    lcs::answer(&[string(a)?, string(b)?], options, reply)
}
