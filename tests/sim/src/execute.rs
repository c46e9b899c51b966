//! Runs the real commands inside the nodes, and notes what they did.
//!
//! What a command has changed is read from the redo that it leaves: every element with its fresh
//! dots and its row afterwards. What it was to do is known from its name, and so is what the rows
//! must hold by then: the checkers hold replicas against that, not against what handlers say.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use larder_cluster::copy::Copy;
use larder_cluster::id::{NodeId, PartitionId};
use larder_cluster::partition::Target;
use larder_cluster::record::Entry;
use larder_cluster::request::Request;
use larder_cluster::row_key::RowKey;
use larder_cluster::transaction::{Execute, Place, Transaction};
use larder_commands::Commands;
use larder_commands::args::Args;
use larder_commands::batch::{Batch, is_versions};
use larder_commands::commands::FETCH_FIRST;
use larder_commands::internal::settle_request;
use larder_commands::plan::{Plan, plan};
use larder_commands::reply::{Protocol, Reply};
use larder_crdt::context::ContextKey;
use larder_crdt::{Dot, Reader, Row};

use crate::action::Meaning;
use crate::documents;
use crate::history::{Change, History, SharedHistory};
use crate::truth::{self, Edited};

/// The layer of commands: the real one, watched.
pub struct Executor {
    pub(crate) history: Arc<SharedHistory>,
    pub(crate) commands: Arc<Commands>,
}

/// What authenticates contexts in every run.
#[must_use]
pub fn context_key() -> ContextKey {
    ContextKey::from_secret(b"simulated")
}

/// The name of a request's command with the number behind it by which the history knows it.
#[must_use]
pub fn marked(name: &[u8], command: u64) -> Bytes {
    [name, &command.to_be_bytes()].concat().into()
}

/// The number in a marked name, and the name alone.
pub(crate) fn unmark(name: &Bytes) -> (u64, Bytes) {
    let at = name.len() - size_of::<u64>();
    let number = name[at..].try_into().expect("that many bytes are left");
    (u64::from_be_bytes(number), name.slice(..at))
}

impl Executor {
    /// An executor that writes to `history`.
    #[must_use]
    pub fn new(history: Arc<SharedHistory>) -> Self {
        Self {
            history,
            commands: Arc::new(Commands::new(context_key())),
        }
    }

    /// Runs a planned command as the server does with one whose keys are all here.
    pub fn run_planned(
        &self,
        transaction: &mut Transaction<'_, '_>,
        command: u64,
        planned: &Plan,
        args: &[Bytes],
    ) -> Vec<u8> {
        self.watch(transaction, command, args, None, |transaction| {
            let mut reply = Reply::new(Protocol::Resp2);
            let args = Args::of_list(args);
            self.commands
                .run(planned, args, 0, false, transaction, &mut reply);
            reply.into_vec()
        })
    }

    /// Runs a command and notes what it does.
    pub(crate) fn watch(
        &self,
        transaction: &mut Transaction<'_, '_>,
        command: u64,
        args: &[Bytes],
        settled: Option<PartitionId>,
        run: impl FnOnce(&mut Transaction<'_, '_>) -> Vec<u8>,
    ) -> Vec<u8> {
        let mut before = Before::look(transaction, args);
        let from = transaction.redo().len();
        let reply = run(transaction);
        let mut reader = Reader::new(&transaction.redo()[from..]);
        let mut edits: Vec<Edit> = Vec::new();
        while !reader.is_empty() {
            let entry = Entry::decode(&mut reader).expect("a command has written it");
            if let Entry::Change {
                slot,
                key,
                dots,
                row,
            } = entry
            {
                let dots = dots.into_iter().map(|(dot, _)| dot).collect();
                edits.push((slot.partition, key, dots, row));
            }
        }
        let mut history = self.history.lock();
        if reply == FETCH_FIRST {
            // It is to be asked again, and has changed nothing.
            history.commands[command as usize].fetches += 1;
            if edits.iter().any(|(_, _, dots, _)| !dots.is_empty()) {
                history.complain(|| format!("command {command} changed something and did not run"));
            }
            return reply;
        }
        if let Some(partition) = settled {
            let copy = copy_of(transaction, partition);
            let clock = copy.map(|copy| history.clock(&copy.actors, &copy.clock));
            let clock = clock.unwrap_or_default();
            let settled = &mut history.commands[command as usize].settled;
            // Sent to two nodes, it may be answered by either.
            let clock = settled
                .take()
                .map_or(clock.clone(), |(_, other)| other.meet(&clock));
            *settled = Some((partition, clock));
        }
        let mut notes = Notes {
            history: &mut history,
            command,
            args,
            reply: &reply,
        };
        notes.note(transaction, &mut before, edits);
        reply
    }
}

impl Execute for Executor {
    fn execute(
        &self,
        transaction: &mut Transaction<'_, '_>,
        request: &Request,
        reply: &mut Vec<u8>,
    ) {
        let (command, name) = unmark(&request.args[0]);
        let mut request = request.clone();
        request.args[0] = name;
        if Batch::is_in(&request) {
            reply.extend_from_slice(&self.run_batch(transaction, command, &request));
            return;
        }
        if is_versions(&request) {
            self.commands.execute(transaction, &request, reply);
            self.history.lock().begin_execution(command);
            self.note_versions(transaction, &request.args[1..], reply);
            return;
        }
        let is_settle = request.args[0] == settle_request(PartitionId(0), 1).args[0];
        let settled = request.partitions.first().copied().filter(|_| is_settle);
        let run = |transaction: &mut Transaction<'_, '_>| {
            let mut reply = Vec::new();
            self.commands.execute(transaction, &request, &mut reply);
            reply
        };
        let said = self.watch(transaction, command, &request.args, settled, run);
        reply.extend_from_slice(&said);
    }
}

/// An element that a command has changed: its dots and its row afterwards, in its copy's numbers.
type Edit = (PartitionId, RowKey, Vec<Dot>, Row);

/// The elements of a command's keys before it ran.
struct Before {
    rows: BTreeMap<RowKey, Row>,
    /// How many actors each copy knew.
    actors: BTreeMap<PartitionId, usize>,
}

impl Before {
    fn look(transaction: &mut Transaction<'_, '_>, args: &[Bytes]) -> Self {
        let mut before = Self {
            rows: BTreeMap::new(),
            actors: BTreeMap::new(),
        };
        let now_ms = transaction.now_ms();
        for place in places(transaction, args) {
            let mut row = transaction.row(&place).clone();
            row.drop_expired(now_ms);
            before.rows.insert(place.key, row);
            let known = copy_of(transaction, place.partition).map_or(0, |copy| copy.actors.len());
            before.actors.insert(place.partition, known);
        }
        before
    }
}

/// Where the keys of a command stand.
fn places(transaction: &Transaction<'_, '_>, args: &[Bytes]) -> Vec<Place> {
    if args[0].first() == Some(&0) {
        let key = args.get(1).into_iter();
        return key.map(|key| transaction.place(0, key, b"")).collect();
    }
    let words = Args::of_list(args);
    let partitions = transaction.env().view.layout.partitions();
    match plan(words, partitions) {
        Ok(plan) => {
            let keys = plan.places.iter();
            keys.map(|(at, place)| transaction.place_of(*place, 0, words.at(*at)))
                .collect()
        }
        Err(_) => Vec::new(),
    }
}

/// The copy that takes a command.
pub(crate) fn copy_of<'t>(
    transaction: &'t mut Transaction<'_, '_>,
    partition: PartitionId,
) -> Option<&'t Copy> {
    let (partition, target) = transaction.partition(partition);
    match target {
        Target::Main => partition.main.as_ref(),
        Target::Fallback => partition.fallback.as_ref(),
    }
}

/// Takes what a command did into the history.
struct Notes<'h> {
    history: &'h mut History,
    command: u64,
    args: &'h [Bytes],
    reply: &'h [u8],
}

impl Notes<'_> {
    fn note(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        before: &mut Before,
        edits: Vec<Edit>,
    ) {
        let node = transaction.env().node;
        let execution = self.history.begin_execution(self.command);
        let first = self.history.changes.len();
        let meaning = Meaning::of(self.args);
        let observed = before.rows.values().next().cloned().unwrap_or_default();
        let mut left = observed.clone();
        if let Some((.., row)) = edits.first() {
            left.clone_from(row);
        }
        let key = before.rows.keys().next();
        let element = key.and_then(|key| self.history.known_element(key));
        let rows = (&observed, &left);
        documents::check_write(self.history, self.command, self.reply, element, rows);
        for edit in edits {
            self.note_edit(transaction, before, (node, execution, meaning), edit);
        }
        let last = self.history.changes.len();
        if first == last {
            self.history.commands[self.command as usize].idle.push(node);
        }
        truth::check_reply(self.history, self.command, self.args, self.reply, first);
        let mut groups: BTreeMap<PartitionId, Vec<usize>> = BTreeMap::new();
        for at in first..last {
            let partition = self.history.changes[at].partition;
            groups.entry(partition).or_default().push(at);
        }
        for (partition, changes) in groups {
            self.history.note_group(partition, changes);
        }
    }
    fn note_edit(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        before: &mut Before,
        (node, execution, meaning): (NodeId, usize, Meaning),
        (partition, key, dots, after): Edit,
    ) {
        let command = self.command;
        let Some(observed) = before.rows.insert(key.clone(), after.clone()) else {
            self.history
                .complain(|| format!("command {command} changed {key:?}, which is not its key"));
            return;
        };
        if dots.is_empty() {
            // Something has expired, and that is all.
            return;
        }
        let copy = copy_of(transaction, partition).expect("it was changed just now");
        let translation = self.history.translation(&copy.actors);
        let global = |row: Row| row.translate(&translation).expect("its own actors");
        let dots = dots.into_iter().map(|dot| dot.translate(&translation));
        let dots: Result<Vec<Dot>, _> = dots.collect();
        let dots = dots.expect("the table has their actors");
        let (observed, after) = (global(observed), global(after));
        let element = self.history.element(partition, &key);
        let taken = if meaning == Meaning::Take {
            let known = before.actors.get(&partition).copied().unwrap_or_default();
            truth::handed_over(self.history, element, self.args, (copy, known))
        } else {
            None
        };
        let edited = Edited {
            element,
            observed: &observed,
            after: &after,
            taken,
        };
        let inserted = truth::inserted(self.history, meaning, &edited);
        documents::note_leaves(self.history, command, &edited);
        let gone = observed.siblings().iter();
        let gone = gone.filter(|sibling| !after.contains(sibling.dot));
        let removed = gone.map(|sibling| sibling.dot).collect();
        self.history.note(Change {
            command,
            execution,
            node,
            partition,
            element,
            dots,
            inserted,
            removed,
            committed: false,
        });
    }
}
