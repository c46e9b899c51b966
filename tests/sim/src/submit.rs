//! From a client's command to requests for the core, and from its answers back: what the server's
//! connections do.
//!
//! ```text
//! keys here, nobody to ask     run at once on the locked rows
//! keys on one node             one request, there
//! keys on several nodes        rounds of requests, gathered
//! the context is ahead         the same again, once what others have was joined
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::node::{LocalCall, Node, Route, Submitted};
use larder_cluster::partition::Output;
use larder_cluster::request::{Access, Reply, Request};
use larder_commands::commands::{FETCH_FIRST, READ_COPIES_WAIVED};
use larder_commands::internal::settle_request;
use larder_commands::plan::{Plan, plan};
use larder_commands::reply::{Protocol, Reply as Written};
use larder_commands::scatter::Scatter;
use larder_commands::table::Spread;

use crate::action::Action;
use crate::execute::marked;
use crate::history::{Moment, Promise};
use crate::network::Place;
use crate::plan::Durability;
use crate::world::World;

/// What an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client.
    Client,
    /// A command on several nodes.
    Part {
        /// Which one.
        number: u64,
        /// Which request of its round.
        at: usize,
    },
    /// WAIT.
    Wait {
        /// Which one.
        number: u64,
    },
    /// WATCH.
    Watch {
        /// Which keys.
        number: usize,
    },
    /// EXEC.
    Exec,
    /// A watch.
    Look {
        /// Which one.
        watch: usize,
    },
}

/// A request that is not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) entry: Place,
    pub(crate) client: usize,
    pub(crate) purpose: Purpose,
    pub(crate) request: Request,
}

/// A command that asks several nodes, while it runs.
#[derive(Debug)]
pub(crate) enum Scattered {
    /// Rounds of requests.
    Rounds {
        entry: Place,
        client: usize,
        scatter: Box<Scatter>,
        answers: Vec<Option<Bytes>>,
    },
    /// WAIT: what was written, when it was asked for, and the least that any partition has reached.
    Wait {
        tokens: Vec<u64>,
        moment: Moment,
        wanted: u8,
        left: usize,
        least: u8,
    },
}

impl World {
    /// The moment that losses are counted from.
    fn moment(&self) -> Moment {
        Moment {
            disks_lost: self.losses_known(),
            step: self.sizes.len(),
        }
    }

    /// A client sends a command to a node.
    pub(crate) fn submit(&mut self, entry: Place, client: usize, action: Action) {
        let Some(node) = self.node(entry) else {
            return;
        };
        let partitions = self.empty_layout().partitions();
        let planned = match plan(action.args(), partitions) {
            Ok(planned) => planned,
            Err(error) => {
                self.report("workload", format!("{}: {error}", action.text()));
                return;
            }
        };
        if self.is_scattered(entry, &node, &planned) {
            self.scatter(entry, client, &node, &action, &planned);
            return;
        }
        let mut request = planned.request(action.args(), 0, Protocol::Resp2, 1);
        if planned.access() == Access::Read && planned.places.len() == 1 {
            if self.dice.chance(self.plan.quorums) {
                request.read_copies = self.dice.between(1, 3) as u8;
                request.pull = planned.pull(action.args(), 0);
            }
        } else if planned.access() == Access::Write
            && planned.asked.write_copies.is_none()
            && self.dice.chance(self.plan.quorums)
        {
            request.write_copies = self.dice.between(1, 3) as u8;
        }
        self.send_request(
            (entry, client, Purpose::Client),
            action,
            request,
            Some(&planned),
        );
    }

    /// Whether the keys are led by different nodes, as `entry` sees it.
    fn is_scattered(&mut self, entry: Place, node: &Node, planned: &Plan) -> bool {
        let now = self.clock_of(entry);
        let mut routes = planned.partitions.iter();
        let mut routes = routes.by_ref().map(|partition| node.route(*partition, now));
        let first = routes.next();
        routes.any(|route| Some(route) != first)
    }

    fn scatter(
        &mut self,
        entry: Place,
        client: usize,
        node: &Node,
        action: &Action,
        planned: &Plan,
    ) {
        if planned.command.spread == Spread::None {
            return;
        }
        let now = self.clock_of(entry);
        let node_of = |partition: PartitionId| match node.route(partition, now) {
            Route::Here => 0,
            Route::There(node) => self.places.get(&node).map_or(0, |place| *place as u64 + 1),
        };
        let partitions = self.empty_layout().partitions();
        let args = action.args();
        let begun = Scatter::begin(planned, args, 0, Protocol::Resp2, partitions, &node_of);
        let (scatter, requests) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.report("workload", format!("{}: {error}", action.text()));
                return;
            }
        };
        self.trace.line(self.now_ms, || {
            format!("client {client} at {entry}: {} in parts", action.text())
        });
        self.round(entry, client, Box::new(scatter), requests);
    }

    /// Sends the requests of a round.
    fn round(
        &mut self,
        entry: Place,
        client: usize,
        scatter: Box<Scatter>,
        requests: Vec<Request>,
    ) {
        if requests.is_empty() {
            return;
        }
        self.workload.values += 1;
        let number = self.workload.values;
        let round = Scattered::Rounds {
            entry,
            client,
            scatter,
            answers: vec![None; requests.len()],
        };
        self.workload.scattered.insert(number, round);
        for (at, request) in requests.into_iter().enumerate() {
            let action = Action::new(&request.args);
            let purpose = Purpose::Part { number, at };
            self.send_request((entry, client, purpose), action, request, None);
        }
    }

    /// A request of a round is answered.
    pub(crate) fn gather(&mut self, number: u64, at: usize, reply: &Reply) {
        let Some(Scattered::Rounds { answers, .. }) = self.workload.scattered.get_mut(&number)
        else {
            return;
        };
        answers[at] = Some(match reply {
            Reply::Done(bytes) => bytes.clone(),
            other => format!("-ERR {other:?}\r\n").into(),
        });
        if answers.iter().any(Option::is_none) {
            return;
        }
        let round = self.workload.scattered.remove(&number);
        if let Some(Scattered::Rounds {
            entry,
            client,
            mut scatter,
            answers,
        }) = round
        {
            let answers: Vec<Bytes> = answers.into_iter().flatten().collect();
            let mut reply = Written::new(Protocol::Resp2);
            let requests = scatter.gather(&answers, &mut reply);
            if self.members[entry].is_awake() {
                self.round(entry, client, scatter, requests);
            }
        }
    }

    /// Sends one request to the core of a node; gives its number.
    pub(crate) fn send_request(
        &mut self,
        (entry, client, purpose): (Place, usize, Purpose),
        action: Action,
        mut request: Request,
        planned: Option<&Plan>,
    ) {
        let Some(node) = self.node(entry) else {
            return;
        };
        let is_read = request.access == Access::Read;
        if !is_read && self.plan.durability == Durability::Always {
            request.write_copies = request.write_copies.max(1);
        }
        let moment = self.moment();
        let text = self.trace.is_verbose().then(|| action.text());
        let words = action.words.clone();
        let token = self.history.lock().begin_command(action, &request, moment);
        self.trace.line(self.now_ms, || {
            let copies = (request.read_copies, request.write_copies);
            let text = text.unwrap_or_default();
            format!("client {client} at {entry}: command {token} {text} copies {copies:?}")
        });
        let pending = Pending {
            entry,
            client,
            purpose,
            request: request.clone(),
        };
        self.workload.pending.insert(token, pending);
        self.tally.commands += 1;
        let failed_before = self.members[entry].disk_failed;
        let submitted = self.hand_in((entry, &node), token, request, planned, &words);
        self.settle(entry);
        if let Submitted::Done(reply) = submitted {
            let failed = self.members[entry].disk_failed;
            if failed && (!failed_before || matches!(reply, Reply::Done(_)) && !is_read) {
                // Its commit failed: the client is told of the disk instead.
                self.on_answer(token, &Reply::Unknown);
            } else {
                self.on_answer(token, &reply);
            }
        }
    }

    /// Runs a request here if that needs nobody else, or gives it to the core.
    fn hand_in(
        &mut self,
        (entry, node): (Place, &Node),
        token: u64,
        mut request: Request,
        planned: Option<&Plan>,
        words: &[Bytes],
    ) -> Submitted {
        let now = self.clock_of(entry);
        let is_simple = request.write_copies == 0 && request.read_copies == 1;
        if let Some(planned) = planned.filter(|_| is_simple)
            && self.dice.chance(0.7)
        {
            let settings = node.settings();
            let env = node.env(&settings, now);
            let call = LocalCall {
                partitions: &planned.partitions,
                access: planned.access(),
                grouped: planned.is_grouped(),
            };
            let executor = self.executor.clone();
            let ran = node.run_local(&env, &mut Output::default(), &call, |transaction| {
                executor.run_planned(transaction, token, planned, words)
            });
            match ran {
                Ok(reply) => return Submitted::Done(Reply::Done(reply.into())),
                Err(Reply::NotReady) => {}
                Err(other) => return Submitted::Done(other),
            }
        }
        request.args[0] = marked(&request.args[0], token);
        node.submit(token, request, now)
    }

    /// Sends a write again whose context is ahead of the node; says whether it did.
    pub(crate) fn fetch(&mut self, token: u64, pending: &Pending, reply: &Reply) -> bool {
        let is_wanted = match reply {
            Reply::Done(bytes) | Reply::Partial { reply: bytes, .. } => bytes == FETCH_FIRST,
            Reply::PartialRead { .. } => pending.request.access == Access::Write,
            _ => false,
        };
        if !is_wanted || !self.members[pending.entry].is_awake() {
            return is_wanted;
        }
        let action = self.history.lock().commands[token as usize].action.clone();
        let mut request = pending.request.clone();
        let owners = self.node(pending.entry).map_or(0, |node| {
            let first = request.partitions.first();
            first.map_or(0, |first| node.view().ownership.owners(*first).len())
        });
        if owners > 1 && !matches!(reply, Reply::PartialRead { .. }) {
            let partitions = self.empty_layout().partitions();
            request.read_copies = u8::try_from(owners).unwrap_or(u8::MAX);
            request.pull = plan(action.args(), partitions)
                .ok()
                .and_then(|plan| plan.pull(action.args(), 0));
        } else {
            request.read_copies = READ_COPIES_WAIVED;
            request.pull = None;
        }
        let to = (pending.entry, pending.client, pending.purpose);
        self.send_request(to, action, request, None);
        true
    }

    /// WAIT: everything that this connection has written is to be on some disks.
    pub(crate) fn wait(&mut self, entry: Place, client: usize) {
        let written = &self.workload.clients[client].written;
        let Some(written) = written.get(&entry).filter(|written| !written.is_empty()) else {
            return;
        };
        let written: BTreeMap<PartitionId, Vec<u64>> = written.clone();
        let wanted = self.dice.between(1, 3) as u8;
        self.workload.values += 1;
        let number = self.workload.values;
        let wait = Scattered::Wait {
            tokens: written.values().flatten().copied().collect(),
            moment: self.moment(),
            wanted,
            left: written.len(),
            least: wanted,
        };
        self.workload.scattered.insert(number, wait);
        for partition in written.into_keys() {
            let request = settle_request(partition, wanted);
            let action = Action::new(&request.args);
            self.send_request(
                (entry, client, Purpose::Wait { number }),
                action,
                request,
                None,
            );
        }
    }

    /// A partition that a WAIT asked about has answered: for what the copy had seen that was asked.
    pub(crate) fn waited(&mut self, number: u64, token: u64, reply: &Reply) {
        let settled = self.history.lock().commands[token as usize].settled.clone();
        let Some(Scattered::Wait {
            tokens,
            moment,
            wanted,
            left,
            least,
        }) = self.workload.scattered.get_mut(&number)
        else {
            return;
        };
        let reached = match reply {
            Reply::Done(_) => *wanted,
            Reply::Partial { reached, .. } => *reached,
            _ => 0,
        };
        *left -= 1;
        *least = (*least).min(reached);
        if let Some((partition, clock)) = settled {
            let history = self.history.lock();
            tokens.retain(|token| {
                let changes = history.commands[*token as usize].changes.iter();
                let mut changes = changes.map(|change| &history.changes[*change]);
                changes.all(|change| {
                    let mut dots = change.dots.iter();
                    change.partition != partition || dots.all(|dot| clock.contains(*dot))
                })
            });
        }
        if *left > 0 {
            return;
        }
        let promise = Promise {
            copies: usize::from(*least),
            disks_lost: moment.disks_lost,
            step: moment.step,
        };
        let tokens = std::mem::take(tokens);
        self.workload.scattered.remove(&number);
        for token in tokens {
            self.promise(token, promise);
        }
    }
}
