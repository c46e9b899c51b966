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
use larder_crdt::Clock;
use parking_lot::MutexGuard;

use super::Node;
use super::effects::Answer;
use crate::copy::Delta;
use crate::env::{Env, Now};
use crate::id::{NodeId, PartitionId};
use crate::limits::PENDING_MAX;
use crate::message::{KnownClock, Message};
use crate::partition::{Output, Partition, Target};
use crate::request::{Access, Reply, Request};
use crate::row_key::RowKey;
use crate::store::StoreError;
use crate::transaction::{Part, Transaction};

/// Who is told of the outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
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
}

/// A request that waits for the states of other replicas.
#[derive(Debug)]
struct Pulling {
    caller: Caller,
    request: Request,
    awaited: BTreeSet<NodeId>,
    reached: u8,
    deadline_ms: u64,
}

/// A request that has run, and waits until its change is durable on enough nodes.
#[derive(Debug)]
struct Waiting {
    caller: Caller,
    reply: Bytes,
    parts: Vec<(PartitionId, Target, Clock)>,
    wanted: u8,
    deadline_ms: u64,
}

/// All requests that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Requests {
    next: u64,
    forwarded: BTreeMap<u64, Forwarded>,
    pulling: BTreeMap<u64, Pulling>,
    waiting: BTreeMap<u64, Waiting>,
}

impl Requests {
    fn number(&mut self) -> u64 {
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
        let locked = self.partitions.get(partition.index()).map(|partition| partition.lock());
        let Some(locked) = locked else {
            return (Route::Here, Target::Fallback);
        };
        for &node in env.view.ownership.preference(partition) {
            if node == env.node {
                if locked.is_ready(env) {
                    return (Route::Here, Target::Main);
                }
            } else if env.view.up.contains(&node)
                && !tried.contains(&node)
                && locked.ready.get(&node) != Some(&false)
            {
                return (Route::There(node), Target::Main);
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
            (Route::There(to), Caller::Client(_)) => {
                self.forward(env, caller, request, to, tried)
            }
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
        let deadline_ms = env.now.monotonic_ms + env.settings.request_timeout_ms;
        let mut requests = self.requests.lock();
        if requests.len() >= PENDING_MAX {
            return Some(Reply::Refused("too many commands wait for other nodes".to_owned()));
        }
        let number = requests.number();
        self.send(to, Message::Request(number, Box::new(request.clone())));
        requests.forwarded.insert(number, Forwarded { caller, request, to, tried, deadline_ms });
        None
    }

    /// Runs a request here, after asking other replicas if it wants that.
    fn run_here(&self, env: &Env<'_>, caller: Caller, request: Request) -> Option<Reply> {
        if request.read_copies > 1
            && let (Some(key), &[partition]) = (&request.pull, &request.partitions[..])
        {
            let asked = self.pull(env, partition, key);
            if let Some((number, awaited)) = asked {
                let deadline_ms = env.now.monotonic_ms + env.settings.request_timeout_ms;
                let pulling = Pulling { caller, request, awaited, reached: 1, deadline_ms };
                self.requests.lock().pulling.insert(number, pulling);
                return None;
            }
        }
        self.execute_here(env, caller, &request, 1)
    }

    /// Asks the other owners in reach for what this node lacks of an element.
    fn pull(
        &self,
        env: &Env<'_>,
        partition: PartitionId,
        key: &RowKey,
    ) -> Option<(u64, BTreeSet<NodeId>)> {
        let known = self.with_partition(partition, |p| {
            let ready = p.is_ready(env);
            p.main.as_ref().filter(|_| ready).map(|main| KnownClock {
                actors: main.actors.clone(),
                clock: main.clock.clone(),
            })
        })??;
        let peers: BTreeSet<NodeId> =
            env.other_owners(partition).filter(|owner| env.view.up.contains(owner)).collect();
        if peers.is_empty() {
            return None;
        }
        let number = self.requests.lock().number();
        for &peer in &peers {
            self.send(peer, Message::Pull(number, partition, known.clone(), key.clone()));
        }
        Some((number, peers))
    }

    /// Runs a request on the copies of this node.
    fn execute_here(
        &self,
        env: &Env<'_>,
        caller: Caller,
        request: &Request,
        reached: u8,
    ) -> Option<Reply> {
        if request.access == Access::Write
            && let Some(error) = self.refusal()
        {
            return Some(Reply::Refused(error.to_string()));
        }
        if env.view.layout.entry(self.id).is_none() {
            // A node that has left is no stand-in: nobody would wait for what it took.
            return Some(Reply::NoReplica);
        }
        let mut guards: Vec<MutexGuard<'_, Partition>> = Vec::with_capacity(1);
        for partition in &request.partitions {
            match self.partitions.get(partition.index()) {
                Some(partition) => guards.push(partition.lock()),
                None => return Some(Reply::NotReady),
            }
        }
        let mut targets = Vec::with_capacity(guards.len());
        for partition in &guards {
            let ready = partition.is_ready(env);
            if !ready && matches!(caller, Caller::Peer(..)) {
                return Some(Reply::NotReady);
            }
            if !ready
                && request.access == Access::Read
                && !request.blind
                && partition.fallback.is_none()
            {
                return Some(Reply::NoReplica);
            }
            targets.push(if ready { Target::Main } else { Target::Fallback });
        }
        let mut out = Output::default();
        let parts = guards
            .iter_mut()
            .zip(&targets)
            .map(|(partition, target)| Part { partition, target: *target, group: None })
            .collect();
        let grouped = request.args.len() > 3;
        let mut transaction = Transaction::new(env, &mut out, parts, grouped);
        let reply = Bytes::from(self.execute.execute(&mut transaction, request));
        if guards.iter().any(|partition| partition.outgoing) {
            let mut dirty = self.dirty.lock();
            dirty.extend(guards.iter().filter(|p| p.outgoing).map(|p| p.id));
        }
        let waits = request.write_copies > 1 || (request.write_copies == 1 && request.access == Access::Write);
        let parts = if waits { written(&guards, &targets) } else { Vec::new() };
        let events = self.keep(out);
        drop(guards);
        self.react(env, events);
        if request.read_copies > reached {
            return Some(Reply::Partial { reply, reached, wanted: request.read_copies });
        }
        if waits {
            return self.wait(env, caller, request.write_copies, reply, parts);
        }
        Some(Reply::Done(reply))
    }

    /// Waits until what the copies of `parts` have written is durable on `wanted` nodes.
    fn wait(
        &self,
        env: &Env<'_>,
        caller: Caller,
        wanted: u8,
        reply: Bytes,
        parts: Vec<(PartitionId, Target, Clock)>,
    ) -> Option<Reply> {
        for (partition, ..) in &parts {
            // What fails to go out now goes out later; the wait tells if that is too late.
            let _ = self.replicate_now(env, *partition);
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
        let mut requests = self.requests.lock();
        let number = requests.number();
        requests.waiting.insert(number, Waiting { caller, reply, parts, wanted, deadline_ms });
        None
    }

    fn reached(&self, waiting: &Waiting) -> u8 {
        let copies = |(partition, target, clock): &(PartitionId, Target, Clock)| {
            self.with_partition(*partition, |p| p.durable_copies(*target, clock)).unwrap_or(0)
        };
        waiting.parts.iter().map(copies).min().unwrap_or(usize::from(u8::MAX)).min(255) as u8
    }

    /// More is durable in a partition: requests that wait for that may be over.
    pub(super) fn on_durable(&self, env: &Env<'_>, partition: PartitionId) {
        let candidates: Vec<(u64, Waiting)> = {
            let mut requests = self.requests.lock();
            let concerned: Vec<u64> = requests
                .waiting
                .iter()
                .filter(|(_, waiting)| waiting.parts.iter().any(|(p, ..)| *p == partition))
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

    fn answer(&self, _env: &Env<'_>, caller: Caller, reply: Reply) {
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
                f.deadline_ms <= now || !linked.contains(&f.to)
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
            if linked.contains(&forwarded.to) {
                self.suspect(forwarded.to, env.now);
            }
            if forwarded.request.repeatable {
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
            let Waiting { caller, reply, wanted, .. } = waiting;
            let reply = if reached >= wanted {
                Reply::Done(reply)
            } else {
                Reply::Partial { reply, reached, wanted }
            };
            self.answer(env, caller, reply);
        }
    }

    /// A peer wants what it lacks of an element.
    pub(super) fn on_pull(
        &self,
        env: &Env<'_>,
        peer: NodeId,
        number: u64,
        partition: PartitionId,
        known: &KnownClock,
        key: &RowKey,
    ) -> Result<(), StoreError> {
        let delta = self
            .act(env, partition, |p, env, out| p.on_pull(env, &known.actors, &known.clock, key, out))
            .unwrap_or(Ok(None))?;
        self.send(peer, Message::Pulled(number, partition, delta.map(Box::new)));
        Ok(())
    }

    /// A replica's state of an element came in.
    pub(super) fn on_pull_answer(
        &self,
        env: &Env<'_>,
        peer: NodeId,
        number: u64,
        partition: PartitionId,
        delta: Option<Box<Delta>>,
    ) -> Result<(), StoreError> {
        let joined = delta.is_some();
        if let Some(delta) = delta {
            self.act(env, partition, |p, env, out| p.on_delta(env, out, peer, *delta))
                .unwrap_or(Ok(()))?;
        }
        let done = {
            let mut requests = self.requests.lock();
            let Some(pulling) = requests.pulling.get_mut(&number) else {
                return Ok(());
            };
            if pulling.awaited.remove(&peer) && joined {
                pulling.reached += 1;
            }
            let enough = pulling.reached >= pulling.request.read_copies;
            let over = enough || pulling.awaited.is_empty();
            if over { requests.pulling.remove(&number) } else { None }
        };
        if let Some(pulling) = done {
            self.finish_pull(env, pulling);
        }
        Ok(())
    }

    fn finish_pull(&self, env: &Env<'_>, pulling: Pulling) {
        let Pulling { caller, request, reached, .. } = pulling;
        if let Some(reply) = self.execute_here(env, caller, &request, reached) {
            self.answer(env, caller, reply);
        }
    }
}

/// What the copies that took a command have signed so far: its changes are among it.
fn written(
    guards: &[MutexGuard<'_, Partition>],
    targets: &[Target],
) -> Vec<(PartitionId, Target, Clock)> {
    let mut parts = Vec::new();
    for (partition, target) in guards.iter().zip(targets) {
        let copy = match target {
            Target::Main => partition.main.as_ref(),
            Target::Fallback => partition.fallback.as_ref(),
        };
        let mut clock = Clock::new();
        if let Some(signer) = copy.and_then(|copy| copy.signer).filter(|signer| signer.next > 1) {
            clock.insert_range(signer.index, 1, signer.next - 1);
        }
        parts.push((partition.id, *target, clock));
    }
    parts
}

fn take_if<T>(map: &mut BTreeMap<u64, T>, over: impl Fn(&T) -> bool) -> Vec<T> {
    let numbers: Vec<u64> =
        map.iter().filter(|(_, value)| over(value)).map(|(number, _)| *number).collect();
    numbers.into_iter().filter_map(|number| map.remove(&number)).collect()
}
