//! Commands on their way: run here, on another node, or after asking other replicas.
//!
//! ```text
//! client ── submit ──▶ first live owner?
//!                        here:  (pull from other replicas) ── run ── (wait until durable) ── reply
//!                        there: Request ─────▶ the same there ─────▶ Reply
//!                        none:  run on the fallback's copy
//! ```

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::Node;
use super::effects::Answer;
use crate::env::{Env, Now};
use crate::id::{NodeId, PartitionId};
use crate::limits::{PENDING_MAX, REQUEST_BYTES_PER_MS_MIN};
use crate::message::Message;
use crate::partition::{Output, Partition, Target, Written};
use crate::request::{Access, Reply, Request};
use crate::transaction::{Part, Transaction};

/// Who is told of the outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The layer above, under its token.
    Client(u64),
    /// A peer, under its number.
    Peer(NodeId, u64),
}

/// A request that runs on another node.
#[derive(Debug)]
struct Forwarded {
    caller: Caller,
    request: Request,
    to: NodeId,
    tried: BTreeSet<NodeId>,
    deadline_ms: u64,
    fate: Fate,
}

/// What is known of a request that was sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// An answer may come.
    UnderWay,
    /// The link is gone: it may have arrived, and no answer will.
    Lost,
    /// It has not arrived, and never will.
    Unsent,
}

/// A request that waits for the states of other replicas.
#[derive(Debug)]
pub(super) struct Pulling {
    pub(super) caller: Caller,
    pub(super) request: Request,
    pub(super) awaited: BTreeSet<NodeId>,
    pub(super) reached: u8,
    pub(super) deadline_ms: u64,
}

/// A request that has run, and waits until its change is durable on enough nodes.
#[derive(Debug, Clone)]
struct Waiting {
    caller: Caller,
    reply: Bytes,
    parts: Vec<Written>,
    wanted: u8,
    deadline_ms: u64,
}

/// All requests that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Requests {
    next: u64,
    forwarded: BTreeMap<u64, Forwarded>,
    pub(super) pulling: BTreeMap<u64, Pulling>,
    waiting: BTreeMap<u64, Waiting>,
}

impl Requests {
    /// Nothing asked yet. Numbers begin somewhere else in each run: a peer may still answer what an
    /// earlier run of this node asked.
    pub(super) fn of_run(run: u128) -> Self {
        let next = (run >> 88) as u64;
        Self {
            next,
            ..Self::default()
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn len(&self) -> usize {
        self.forwarded.len() + self.pulling.len() + self.waiting.len()
    }
}

/// What became of a submitted request at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is over; it may be answered after the next commit.
    Done(Reply),
    /// Its answer comes as an [`Answer::Reply`].
    Pending,
}

/// A command that may run at once on the copies of this node.
#[derive(Debug, Clone, Copy)]
pub struct LocalCall<'a> {
    /// The partitions of its keys, ascending, each once.
    pub partitions: &'a [PartitionId],
    /// Whether it only looks.
    pub access: Access,
    /// Whether what it changes in a partition must arrive everywhere together.
    pub grouped: bool,
}

/// Whether a node may use its fallback's copy for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandIn {
    /// No: the command is run by an owner or not at all.
    Never,
    /// If it has one.
    WithCopy,
    /// Yes, beginning one if need be.
    Always,
}

fn target_of(partition: &Partition, env: &Env<'_>, standing_in: StandIn) -> Result<Target, Reply> {
    if partition.is_ready(env) {
        return Ok(Target::Main);
    }
    match standing_in {
        StandIn::Never => Err(Reply::NotReady),
        // A node that has left is no stand-in: nobody would wait for what it took.
        _ if env.view.layout.entry(env.node).is_none() => Err(Reply::NoReplica),
        StandIn::WithCopy if partition.fallback.is_none() => Err(Reply::NoReplica),
        StandIn::WithCopy | StandIn::Always => Ok(Target::Fallback),
    }
}

/// Where a request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// On this node: it owns the partition, or nobody who does is in reach.
    Here,
    /// On the first owner in reach.
    There(NodeId),
}

impl Node {
    /// Where a command on `partition` would run now: commands whose partitions differ in this are
    /// split by the layer above.
    #[must_use]
    pub fn route(&self, partition: PartitionId, now: Now) -> Route {
        let settings = self.settings();
        let env = self.env(&settings, now);
        self.route_among(&env, partition, &BTreeSet::new()).0
    }

    fn route_among(
        &self,
        env: &Env<'_>,
        partition: PartitionId,
        tried: &BTreeSet<NodeId>,
    ) -> (Route, Target) {
        let locked = self
            .partitions
            .get(partition.index())
            .map(|partition| partition.lock());
        let Some(mut locked) = locked else {
            return (Route::Here, Target::Fallback);
        };
        for &node in env.view.ownership.preference(partition) {
            if node == env.node {
                if locked.is_ready(env) {
                    return (Route::Here, Target::Main);
                }
            } else if env.view.up.contains(&node) && !tried.contains(&node) {
                if locked.ready.get(&node) != Some(&false) {
                    return (Route::There(node), Target::Main);
                }
                locked.is_doubted = true;
            }
        }
        (Route::Here, Target::Fallback)
    }

    /// Takes a command of a client. If it is not over at once, `token` names it in the answer. All
    /// its partitions must have the same [`Node::route`]; if that has changed meanwhile, it runs
    /// where the first one leads, or here.
    pub fn submit(&self, token: u64, request: Request, now: Now) -> Submitted {
        let settings = self.settings();
        let env = self.env(&settings, now);
        self.start(&env, Caller::Client(token), request, BTreeSet::new())
            .map_or(Submitted::Pending, Submitted::Done)
    }

    /// Begins a request, or begins it anew on the next node; `None` if its answer comes later.
    fn start(
        &self,
        env: &Env<'_>,
        caller: Caller,
        request: Request,
        tried: BTreeSet<NodeId>,
    ) -> Option<Reply> {
        let first = request.partitions.first().copied();
        let route = first.map_or(Route::Here, |first| self.route_among(env, first, &tried).0);
        match (route, caller) {
            (Route::There(to), Caller::Client(_)) => self.forward(env, caller, request, to, tried),
            (Route::There(_), Caller::Peer(..)) | (Route::Here, _) => {
                self.run_here(env, caller, request)
            }
        }
    }

    fn forward(
        &self,
        env: &Env<'_>,
        caller: Caller,
        request: Request,
        to: NodeId,
        tried: BTreeSet<NodeId>,
    ) -> Option<Reply> {
        let deadline_ms = env.now.monotonic_ms + patience_ms(env, &request);
        let mut requests = self.requests.lock();
        if requests.len() >= PENDING_MAX {
            return Some(Reply::Refused(
                "too many commands wait for other nodes".to_owned(),
            ));
        }
        let number = requests.number();
        self.send(to, Message::Request(number, Box::new(request.clone())));
        requests.forwarded.insert(
            number,
            Forwarded {
                caller,
                request,
                to,
                tried,
                deadline_ms,
                fate: Fate::UnderWay,
            },
        );
        None
    }

    /// The request with this number did not leave for `peer`, and will not: at the next poll
    /// another node is tried, also for what must not run twice.
    pub fn on_unsent(&self, peer: NodeId, number: u64) {
        let mut requests = self.requests.lock();
        let forwarded = requests.forwarded.get_mut(&number);
        if let Some(forwarded) = forwarded.filter(|forwarded| forwarded.to == peer) {
            forwarded.fate = Fate::Unsent;
        }
    }

    /// The link to `peer` is gone, and with it all answers that it owes.
    pub(super) fn lose_requests(&self, peer: NodeId) {
        let mut requests = self.requests.lock();
        let forwarded = requests.forwarded.values_mut();
        for forwarded in forwarded.filter(|f| f.to == peer && f.fate == Fate::UnderWay) {
            forwarded.fate = Fate::Lost;
        }
        for pulling in requests.pulling.values_mut() {
            pulling.awaited.remove(&peer);
        }
    }

    /// Runs a request here, after asking other replicas if it wants that.
    fn run_here(&self, env: &Env<'_>, caller: Caller, request: Request) -> Option<Reply> {
        if request.read_copies > 1
            && let (Some(key), &[partition]) = (&request.pull, &request.partitions[..])
        {
            let asked = self.pull(env, partition, key);
            if let Some((number, awaited)) = asked {
                let deadline_ms = env.now.monotonic_ms + env.settings.request_timeout_ms;
                let pulling = Pulling {
                    caller,
                    request,
                    awaited,
                    reached: 1,
                    deadline_ms,
                };
                self.requests.lock().pulling.insert(number, pulling);
                return None;
            }
        }
        self.execute_here(env, caller, &request, 1)
    }

    /// Runs a request on the copies of this node.
    pub(super) fn execute_here(
        &self,
        env: &Env<'_>,
        caller: Caller,
        request: &Request,
        reached: u8,
    ) -> Option<Reply> {
        if request.read_copies > reached {
            return Some(Reply::PartialRead {
                reached,
                wanted: request.read_copies,
            });
        }
        let standing_in = match (caller, request.access, request.blind) {
            (Caller::Peer(..), ..) => StandIn::Never,
            (Caller::Client(_), Access::Read, false) => StandIn::WithCopy,
            (Caller::Client(_), ..) => StandIn::Always,
        };
        let waits = request.write_copies > 0 && request.access == Access::Write;
        let mut out = Output::default();
        let call = LocalCall {
            partitions: &request.partitions,
            access: request.access,
            grouped: request.grouped,
        };
        let ran = self.run_locked(env, &mut out, &call, standing_in, |transaction| {
            let mut reply = Vec::new();
            self.execute.execute(transaction, request, &mut reply);
            let parts = if waits {
                transaction.written()
            } else {
                Vec::new()
            };
            (Bytes::from(reply), parts)
        });
        let (reply, parts) = match ran {
            Ok(ran) => ran,
            Err(reply) => return Some(reply),
        };
        if waits {
            return self.wait(env, caller, request.write_copies, reply, parts);
        }
        Some(Reply::Done(reply))
    }

    /// The short way for a command all of whose partitions are ready here: `run` is called with the
    /// rows at once. `out` is scratch that a caller of many commands keeps.
    ///
    /// # Errors
    /// Why it did not run; [`Reply::NotReady`] asks for [`Node::submit`].
    pub fn run_local<T>(
        &self,
        env: &Env<'_>,
        out: &mut Output,
        call: &LocalCall<'_>,
        run: impl FnOnce(&mut Transaction<'_, '_>) -> T,
    ) -> Result<T, Reply> {
        for partition in call.partitions {
            if env.view.ownership.preference(*partition).first() != Some(&env.node) {
                return Err(Reply::NotReady);
            }
        }
        self.run_locked(env, out, call, StandIn::Never, run)
    }

    /// Locks the partitions, runs, and keeps what is left to be done.
    fn run_locked<T>(
        &self,
        env: &Env<'_>,
        out: &mut Output,
        call: &LocalCall<'_>,
        standing_in: StandIn,
        run: impl FnOnce(&mut Transaction<'_, '_>) -> T,
    ) -> Result<T, Reply> {
        if call.access == Access::Write
            && let Some(error) = self.refusal()
        {
            return Err(Reply::Refused(error.to_string()));
        }
        let mut guards: SmallVec<[MutexGuard<'_, Partition>; 1]> = SmallVec::new();
        for partition in call.partitions {
            match self.partitions.get(partition.index()) {
                Some(partition) => guards.push(partition.lock()),
                None => return Err(Reply::NotReady),
            }
        }
        let mut parts = SmallVec::new();
        for partition in &mut guards {
            let target = target_of(partition, env, standing_in)?;
            parts.push(Part::new(partition, target));
        }
        let ran = run(&mut Transaction::new(env, out, parts, call.grouped));
        for partition in guards.iter().filter(|partition| partition.outgoing) {
            self.dirty.lock().insert(partition.id);
        }
        // Under the partitions' locks, so that the redo stands in the order of the changes.
        let events = self.keep_from(out);
        drop(guards);
        self.react(env, events);
        Ok(ran)
    }

    /// Waits until what the copies of `parts` have written is durable on `wanted` nodes.
    fn wait(
        &self,
        env: &Env<'_>,
        caller: Caller,
        wanted: u8,
        reply: Bytes,
        parts: Vec<Written>,
    ) -> Option<Reply> {
        for part in &parts {
            // What fails to go out now goes out later; the wait tells if that is too late.
            let _ = self.replicate_now(env, part.partition);
        }
        {
            let mut commit = self.commit.lock();
            commit.sync_wanted = true;
            for (_, message) in &mut commit.sends {
                if let Message::Delta(_, delta) = message {
                    delta.urgent = true;
                }
            }
        }
        let deadline_ms = env.now.monotonic_ms + env.settings.request_timeout_ms;
        let waiting = Waiting {
            caller,
            reply,
            parts,
            wanted,
            deadline_ms,
        };
        // It waits first and looks then, or nothing might tell of a sync that ends in between.
        let number = {
            let mut requests = self.requests.lock();
            let number = requests.number();
            requests.waiting.insert(number, waiting.clone());
            number
        };
        if self.reached(&waiting) < wanted {
            return None;
        }
        let waiting = self.requests.lock().waiting.remove(&number)?;
        Some(Reply::Done(waiting.reply))
    }

    fn reached(&self, waiting: &Waiting) -> u8 {
        let copies = |part: &Written| {
            self.with_partition(part.partition, |p| p.durable_copies(part))
                .unwrap_or(0)
        };
        waiting
            .parts
            .iter()
            .map(copies)
            .min()
            .unwrap_or(usize::from(u8::MAX))
            .min(255) as u8
    }

    /// More is durable in a partition: requests that wait for that may be over.
    pub(super) fn on_durable(&self, env: &Env<'_>, partition: PartitionId) {
        let candidates: Vec<(u64, Waiting)> = {
            let mut requests = self.requests.lock();
            let concerned: Vec<u64> = requests
                .waiting
                .iter()
                .filter(|(_, waiting)| waiting.parts.iter().any(|part| part.partition == partition))
                .map(|(number, _)| *number)
                .collect();
            concerned
                .into_iter()
                .filter_map(|number| requests.waiting.remove(&number).map(|w| (number, w)))
                .collect()
        };
        for (number, waiting) in candidates {
            if self.reached(&waiting) >= waiting.wanted {
                self.answer(env, waiting.caller, Reply::Done(waiting.reply));
            } else {
                self.requests.lock().waiting.insert(number, waiting);
            }
        }
    }

    pub(super) fn answer(&self, _env: &Env<'_>, caller: Caller, reply: Reply) {
        let mut commit = self.commit.lock();
        match caller {
            Caller::Client(token) => commit.answers.push(Answer::Reply(token, reply)),
            Caller::Peer(peer, number) => {
                commit.sends.push((peer, Message::Reply(number, reply)));
            }
        }
    }

    /// A peer forwards a client's command.
    pub(super) fn on_request(&self, env: &Env<'_>, peer: NodeId, number: u64, request: Request) {
        let caller = Caller::Peer(peer, number);
        if let Some(reply) = self.start(env, caller, request, BTreeSet::new()) {
            self.answer(env, caller, reply);
        }
    }

    /// The answer to a forwarded command.
    pub(super) fn on_reply(&self, env: &Env<'_>, peer: NodeId, number: u64, reply: Reply) {
        let forwarded = {
            let mut requests = self.requests.lock();
            match requests.forwarded.get(&number) {
                Some(forwarded) if forwarded.to == peer => requests.forwarded.remove(&number),
                _ => None,
            }
        };
        let Some(forwarded) = forwarded else {
            return;
        };
        if reply == Reply::NotReady {
            for partition in &forwarded.request.partitions {
                self.with_partition(*partition, |p| p.ready.insert(peer, false));
            }
            self.review_watches();
            self.retry(env, forwarded);
        } else {
            self.answer(env, forwarded.caller, reply);
        }
    }

    /// The node that a command was sent to did not run it: the next one is tried.
    fn retry(&self, env: &Env<'_>, mut forwarded: Forwarded) {
        forwarded.tried.insert(forwarded.to);
        let (caller, request) = (forwarded.caller, forwarded.request);
        if let Some(reply) = self.start(env, caller, request, forwarded.tried) {
            self.answer(env, caller, reply);
        }
    }

    /// Gives up commands whose time is over, and those sent to peers that are gone.
    pub(super) fn expire_requests(&self, env: &Env<'_>) {
        let now = env.now.monotonic_ms;
        let linked = self.links.lock().linked.clone();
        let (forwarded, pulling, waiting) = {
            let mut requests = self.requests.lock();
            let forwarded = take_if(&mut requests.forwarded, |f| {
                f.deadline_ms <= now || f.fate != Fate::UnderWay || !linked.contains(&f.to)
            });
            for pulling in requests.pulling.values_mut() {
                pulling.awaited.retain(|peer| linked.contains(peer));
            }
            let pulling = take_if(&mut requests.pulling, |p| {
                p.deadline_ms <= now || p.awaited.is_empty()
            });
            let waiting = take_if(&mut requests.waiting, |w| w.deadline_ms <= now);
            (forwarded, pulling, waiting)
        };
        for forwarded in forwarded {
            if forwarded.fate == Fate::UnderWay && linked.contains(&forwarded.to) {
                self.suspect(forwarded.to, env.now);
            }
            if forwarded.request.repeatable || forwarded.fate == Fate::Unsent {
                self.retry(env, forwarded);
            } else {
                self.answer(env, forwarded.caller, Reply::Unknown);
            }
        }
        for pulling in pulling {
            self.finish_pull(env, pulling);
        }
        for waiting in waiting {
            let reached = self.reached(&waiting);
            let Waiting {
                caller,
                reply,
                wanted,
                ..
            } = waiting;
            let reply = if reached >= wanted {
                Reply::Done(reply)
            } else {
                Reply::Partial {
                    reply,
                    reached,
                    wanted,
                }
            };
            self.answer(env, caller, reply);
        }
    }
}

/// How long a node that a request was sent to may take: longer if it waits for other replicas, as
/// it has a timeout of its own for each kind of wait, and answers when that is over; and longer for
/// large arguments, which take their time on the way and on the disk.
fn patience_ms(env: &Env<'_>, request: &Request) -> u64 {
    let waits = u64::from(request.read_copies > 1) + u64::from(request.write_copies > 1);
    let bytes: usize = request.args.iter().map(Bytes::len).sum();
    env.settings.request_timeout_ms * (1 + waits) + (bytes / REQUEST_BYTES_PER_MS_MIN) as u64
}

fn take_if<T>(map: &mut BTreeMap<u64, T>, over: impl Fn(&T) -> bool) -> Vec<T> {
    let numbers: Vec<u64> = map
        .iter()
        .filter(|(_, value)| over(value))
        .map(|(number, _)| *number)
        .collect();
    numbers
        .into_iter()
        .filter_map(|number| map.remove(&number))
        .collect()
}
