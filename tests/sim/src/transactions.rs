//! WATCH, MULTI and EXEC: versions are asked for, and some time later commands run as one batch.
//!
//! The executor holds a batch against what it saw when the versions were asked for: it must not run
//! if a watched key has changed since. What it changed in a partition is one group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use larder_cluster::id::{NodeId, PartitionId};
use larder_cluster::request::{Access, Reply, Request};
use larder_cluster::transaction::Transaction;
use larder_cluster::version::Version;
use larder_commands::args::Args;
use larder_commands::batch::{
    self, Batch, BatchCommand, WatchedKey, is_unchanged, versions, versions_request,
};
use larder_commands::plan::plan;
use larder_commands::reply::{Protocol, Reply as Written};
use larder_crdt::Dot;

use crate::action::{Action, Key};
use crate::execute::{Executor, copy_of, marked, unmark};
use crate::history::Moment;
use crate::network::Place;
use crate::submit::{Pending, Purpose};
use crate::world::World;

/// What a client watches until its EXEC.
#[derive(Debug, Clone)]
pub(crate) struct Watching {
    entry: Place,
    client: usize,
    /// Which keys its commands are about.
    number: usize,
    watched: Vec<WatchedKey>,
}

/// A key as it was when its version was told.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The dots that showed.
    dots: BTreeSet<Dot>,
    /// How many changes there had been of all keys.
    changes: usize,
    /// Where.
    node: NodeId,
}

/// All that was told of versions.
pub type SeenVersions = BTreeMap<(Key, Version), Seen>;

impl World {
    /// The next step of some transaction; false if there is none to take.
    pub(crate) fn transact(&mut self, entry: Place, client: usize) {
        let number = self.dice.below(self.plan.keys);
        if !self.workload.watching.is_empty() && self.dice.chance(0.5) {
            let at = self.dice.below(self.workload.watching.len());
            let watching = self.workload.watching.swap_remove(at);
            self.exec(watching);
        } else if self.dice.chance(0.3) {
            self.exec(Watching {
                entry,
                client,
                number,
                watched: Vec::new(),
            });
        } else {
            let key = Bytes::from(format!("{{g{number}}}w"));
            let partitions = self.empty_layout().partitions();
            let request = versions_request(0, &[key], partitions);
            let purpose = Purpose::Watch { number };
            let action = Action::new(&request.args);
            self.send_request((entry, client, purpose), action, request, None);
        }
    }

    /// A client is told the version of the key that it is to watch.
    pub(crate) fn told_version(&mut self, number: usize, pending: &Pending, reply: &Reply) {
        let Reply::Done(answer) = reply else {
            return;
        };
        let Ok(&[version]) = versions(answer).as_deref() else {
            self.report("updates", "an answer without a version".to_owned());
            return;
        };
        let watched = WatchedKey {
            database: 0,
            key: format!("{{g{number}}}w").into(),
            version,
        };
        self.workload.watching.push(Watching {
            entry: pending.entry,
            client: pending.client,
            number,
            watched: vec![watched],
        });
    }

    /// EXEC: the watched key is written, and so are others beside it.
    fn exec(&mut self, watching: Watching) {
        let Watching {
            entry,
            client,
            number,
            watched,
        } = watching;
        if !self.members[entry].is_awake() {
            return;
        }
        let mut lines = vec![match self.dice.below(4) {
            0 => format!("DEL {{g{number}}}w"),
            1 => format!("INCRBY {{g{number}}}w 1"),
            _ => format!("SET {{g{number}}}w {}", self.workload.next_value()),
        }];
        for _ in 0..self.dice.below(4) {
            let letter = self.dice.pick(&['w', 'x', 'y', 'z']).unwrap_or('x');
            lines.push(match self.dice.below(5) {
                0 => format!("GET {{g{number}}}{letter}"),
                1 => format!("APPEND {{g{number}}}{letter} 1"),
                2 => format!("MSET {{g{number}}}x 1 {{g{number}}}y 2"),
                3 => format!("RENAME {{g{number}}}x {{g{number}}}{letter}"),
                _ => format!("SET {{g{number}}}{letter} {}", self.workload.next_value()),
            });
        }
        let partition = self.partition_of(format!("{{g{number}}}").as_bytes());
        let mut batch = Batch {
            watched,
            commands: Vec::new(),
        };
        for line in lines {
            let action = Action::of(&line);
            let mut words = action.words.clone();
            let access = Access::Write;
            let own = Request::new(0, words.clone(), vec![partition], access);
            let moment = Moment::default();
            let token = self.history.lock().begin_command(action, &own, moment);
            words[0] = marked(&words[0], token);
            batch.commands.push(BatchCommand {
                database: 0,
                protocol: Protocol::Resp2,
                words,
            });
        }
        let mut request = batch.request(vec![partition], Access::Write);
        if self.dice.chance(self.plan.quorums) {
            request.write_copies = self.dice.between(1, 3) as u8;
        }
        let action = Action::new(&request.args);
        self.send_request((entry, client, Purpose::Exec), action, request, None);
    }
}

impl Executor {
    /// Notes what is seen of the keys whose versions are told.
    pub(crate) fn note_versions(
        &self,
        transaction: &mut Transaction<'_, '_>,
        keys: &[Bytes],
        answer: &[u8],
    ) {
        let Ok(versions) = versions(answer) else {
            return;
        };
        for (key, version) in keys.iter().zip(versions) {
            let seen = self.seen(transaction, key);
            let mut history = self.history.lock();
            history
                .versions
                .entry((key.to_vec(), version))
                .or_insert(seen);
        }
    }

    fn seen(&self, transaction: &mut Transaction<'_, '_>, key: &[u8]) -> Seen {
        let place = transaction.place(0, key, b"");
        let (now_ms, node) = (transaction.now_ms(), transaction.env().node);
        let mut row = transaction.row(&place).clone();
        row.drop_expired(now_ms);
        let mut history = self.history.lock();
        let dots = match copy_of(transaction, place.partition) {
            Some(copy) => {
                let translation = history.translation(&copy.actors);
                let dots = row.siblings().iter();
                let dots = dots.map(|sibling| sibling.dot.translate(&translation));
                dots.collect::<Result<_, _>>().expect("its own actors")
            }
            None => BTreeSet::new(),
        };
        Seen {
            dots,
            changes: history.changes.len(),
            node,
        }
    }

    /// Runs a batch as the real commands do, and notes what each command does.
    pub(crate) fn run_batch(
        &self,
        transaction: &mut Transaction<'_, '_>,
        token: u64,
        request: &Request,
    ) -> Vec<u8> {
        let mut batch = Batch::decode(request).expect("the simulator has made it");
        let tokens: Vec<u64> = batch
            .commands
            .iter_mut()
            .map(|command| {
                let (token, name) = unmark(&command.words[0]);
                command.words[0] = name;
                token
            })
            .collect();
        let node = transaction.env().node;
        let unchanged = is_unchanged(transaction, &batch.watched);
        if !unchanged.expect("its rows were there before") {
            let mut history = self.history.lock();
            history.begin_execution(token);
            history.commands[token as usize].idle.push(node);
            return batch::answer(None);
        }
        for watched in &batch.watched {
            self.check_unchanged(transaction, token, watched);
        }
        let first = self.history.lock().changes.len();
        let partitions = transaction.env().view.layout.partitions();
        let mut replies = Vec::with_capacity(tokens.len());
        for (command, token) in batch.commands.iter().zip(tokens) {
            let words = &command.words;
            let planned = plan(Args::of_list(words), partitions).expect("a command");
            let commands = Arc::clone(&self.commands);
            replies.push(self.watch(transaction, token, words, None, |transaction| {
                let mut reply = Written::new(command.protocol);
                let args = Args::of_list(words);
                commands.run_in_batch(&planned, args, 0, transaction, &mut reply);
                reply.into_vec()
            }));
        }
        self.note_batch(token, first, node);
        batch::answer(Some(replies))
    }

    /// What the commands of a batch have changed is the batch's doing, and one group.
    fn note_batch(&self, token: u64, first: usize, node: NodeId) {
        let mut history = self.history.lock();
        history.begin_execution(token);
        let mut groups: BTreeMap<PartitionId, Vec<usize>> = BTreeMap::new();
        for at in first..history.changes.len() {
            let partition = history.changes[at].partition;
            groups.entry(partition).or_default().push(at);
            history.commands[token as usize].changes.push(at);
        }
        if groups.is_empty() {
            history.commands[token as usize].idle.push(node);
        }
        for (partition, changes) in groups {
            history.note_group(partition, changes);
        }
    }

    /// A watched key is as it was when its version was told, and nobody has touched it here.
    fn check_unchanged(
        &self,
        transaction: &mut Transaction<'_, '_>,
        token: u64,
        watched: &WatchedKey,
    ) {
        let now = self.seen(transaction, &watched.key);
        let mut history = self.history.lock();
        let name = (watched.key.to_vec(), watched.version);
        let Some(then) = history.versions.get(&name).cloned() else {
            history.complain(|| format!("batch {token} has a version that nobody was told"));
            return;
        };
        let place = transaction.place(0, &watched.key, b"");
        let element = history.known_element(&place.key);
        let mut since = history.changes[then.changes..].iter();
        let touched = since.any(|change| {
            Some(change.element) == element && change.node == now.node && now.node == then.node
        });
        if then.dots != now.dots || (now.dots.is_empty() && touched) {
            history.complain(|| format!("batch {token} ran, but what it watched has changed"));
        }
    }
}
