//! EXEC: the queued commands on keys as one batch where the keys are, and then those about the
//! connection or the node; the replies in the order in which all of them were queued.

use std::time::Instant;

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::node::LocalCall;
use larder_cluster::request::{Access, Reply as CoreReply};
use larder_cluster::transaction::Transaction;
use larder_commands::args::Args;
use larder_commands::batch::{self, Batch as Commands, BatchCommand, is_unchanged, is_whole};
use larder_commands::error::CommandError;
use larder_commands::reply::{Protocol, Reply};
use larder_commands::table::Scope;

use super::super::{Answering, Outcome, alone, at_once, connection, is_slow};
use crate::client::{Batch, Connection, Multi, Queued, Step, is_missing};
use crate::runtime::aside;
use crate::settings::value::ReadsWithoutReplica;
use crate::stats::Tally;

/// Where a queued command runs.
#[derive(Clone, Copy)]
enum Where {
    /// On the rows, for a client of this database and protocol.
    Rows(u8, Protocol),
    /// Here, beside the rows.
    Beside,
}

/// A transaction that may run.
struct Ready {
    multi: Box<Multi>,
    places: Vec<Where>,
    /// The partitions of all its keys and of the watched ones, ascending, each once.
    partitions: Vec<PartitionId>,
    access: Access,
}

impl Ready {
    fn new(connection: &Connection, multi: Box<Multi>) -> Self {
        let all = connection.server.partitions;
        let mut partitions: Vec<PartitionId> = Vec::new();
        if multi
            .queued
            .iter()
            .any(|queued| is_whole(queued.plan.command))
        {
            partitions.extend(all.iter());
        } else {
            let watched = connection.watched().iter();
            partitions.extend(watched.map(|watched| watched.partition(all)));
            for queued in &multi.queued {
                partitions.extend(&queued.plan.partitions);
            }
            partitions.sort_unstable();
            partitions.dedup();
        }
        Self {
            places: places(connection, &multi.queued),
            access: multi.access(),
            multi,
            partitions,
        }
    }

    fn commands(&self) -> impl Iterator<Item = (&Queued, Where)> {
        self.multi.queued.iter().zip(self.places.iter().copied())
    }

    /// Whether it asks nobody but the node that runs it, and nothing in it takes its time.
    fn is_simple(&self) -> bool {
        self.commands().all(|(queued, place)| match place {
            Where::Rows(..) => queued.plan.asked.write_copies.unwrap_or(0) == 0,
            Where::Beside => !is_slow(queued.plan.number),
        })
    }

    /// Whether running it twice is the same as once: its replies, too.
    fn is_repeatable(&self, connection: &Connection) -> bool {
        let mut queued = self.multi.queued.iter();
        let is_one =
            queued.all(|queued| queued.plan.is_repeatable() && queued.plan.access() == self.access);
        is_one && connection.watched().is_empty()
    }

    /// The part that runs on rows, as it travels to another node.
    fn batch(&self, connection: &Connection) -> Commands {
        let mut batch = Commands {
            watched: connection.watched().to_vec(),
            commands: Vec::new(),
        };
        for (queued, place) in self.commands() {
            if let Where::Rows(database, protocol) = place {
                let count = queued.args.as_args().len();
                batch.commands.push(BatchCommand {
                    database,
                    protocol,
                    words: (0..count).map(|at| queued.args.share(at)).collect(),
                });
            }
        }
        batch
    }

    /// Runs that part on the rows that this node has locked; `None` if a watched key has changed.
    fn run(
        &self,
        connection: &Connection,
        transaction: &mut Transaction<'_, '_>,
    ) -> Result<Option<Vec<Bytes>>, CommandError> {
        if !is_unchanged(transaction, connection.watched())? {
            return Ok(None);
        }
        let mut replies = Vec::with_capacity(self.multi.queued.len());
        for (queued, place) in self.commands() {
            if let Where::Rows(database, protocol) = place {
                let mut reply = Reply::new(protocol);
                connection.server.commands.run_in_batch(
                    &queued.plan,
                    queued.args.as_args(),
                    database,
                    transaction,
                    &mut reply,
                );
                replies.push(reply.into_vec().into());
            }
        }
        Ok(Some(replies))
    }
}

/// Where each command runs: SELECT and HELLO speak for those behind them.
fn places(connection: &Connection, queued: &[Queued]) -> Vec<Where> {
    let (mut database, mut protocol) = (connection.database, connection.reply.protocol());
    let place = |queued: &Queued| {
        let args = queued.args.as_args();
        match (queued.plan.command.scope, queued.plan.command.name) {
            (Scope::Keys(_), _) => return Where::Rows(database, protocol),
            _ if is_whole(queued.plan.command) => return Where::Rows(database, protocol),
            (_, "select") => {
                database = connection::selected(connection, args).unwrap_or(database);
            }
            (_, "hello") => protocol = connection::greeted(args).unwrap_or(protocol),
            _ => {}
        }
        Where::Beside
    };
    queued.iter().map(place).collect()
}

/// What is to run, or the error that EXEC answers instead; then the transaction is over.
fn ready(connection: &mut Connection) -> Result<Ready, CommandError> {
    let Some(multi) = connection.multi.take() else {
        return Err(CommandError::WithoutMulti("EXEC"));
    };
    if multi.is_aborted {
        return Err(CommandError::ExecAbort);
    }
    Ok(Ready::new(connection, multi))
}

/// Why the core did not run a batch, in Redis's words.
fn refused(reply: CoreReply) -> CommandError {
    match reply {
        CoreReply::Unknown => CommandError::OutcomeUnknown,
        CoreReply::Refused(reason) => CommandError::DiskFailed(reason).aborted_by(),
        _ => CommandError::NoReplica.aborted_by(),
    }
}

/// EXEC where this node leads all keys and nothing takes its time.
pub(in crate::handlers) fn exec_here(
    connection: &mut Connection,
    _: Args<'_>,
    batch: &mut Batch<'_>,
) -> Outcome {
    let ready = match ready(connection) {
        Ok(ready) => ready,
        Err(error) => {
            connection.end_transaction();
            return Err(error);
        }
    };
    let call = LocalCall {
        partitions: &ready.partitions,
        access: ready.access,
        grouped: true,
    };
    let began = Instant::now();
    let ran = if !ready.is_simple() {
        Err(CoreReply::NotReady)
    } else if ready.multi.bytes() < aside::LARGE_BYTES {
        batch.run_local(&call, |transaction| ready.run(connection, transaction))
    } else {
        aside::run(|| batch.run_local(&call, |transaction| ready.run(connection, transaction)))
    };
    let ran = match ran {
        Ok(ran) => ran,
        Err(CoreReply::NotReady) => {
            connection.multi = Some(ready.multi);
            return Ok(Step::Alone);
        }
        Err(other) => Err(refused(other)),
    };
    let step = match ran {
        Ok(Some(replies)) => {
            batch.wrote |= ready.access == Access::Write;
            Ok(answer(connection, &ready, replies, began))
        }
        Ok(None) => {
            connection.reply.null_array();
            Ok(Step::Done)
        }
        Err(error) => Err(error),
    };
    connection.end_transaction();
    step
}

/// Appends the replies, and runs what is not about rows.
fn answer(connection: &mut Connection, ready: &Ready, replies: Vec<Bytes>, began: Instant) -> Step {
    let mut gathered = Gathered::begin(connection, ready, replies, began);
    for (queued, place) in ready.commands() {
        let before = connection.reply.len();
        let outcome = match place {
            Where::Rows(..) => gathered.next(connection),
            Where::Beside => at_once(connection, &queued.args, &queued.plan),
        };
        gathered.note(connection, queued, before, outcome);
    }
    gathered.tally.flush(&connection.server.stats);
    gathered.step
}

/// EXEC wherever the keys are.
pub(in crate::handlers) fn exec_away<'a>(
    connection: &'a mut Connection,
    _: Args<'a>,
) -> Answering<'a> {
    Box::pin(async move {
        let outcome = match ready(connection) {
            Ok(ready) => run_away(connection, &ready).await,
            Err(error) => Err(error),
        };
        connection.end_transaction();
        outcome
    })
}

async fn run_away(connection: &mut Connection, ready: &Ready) -> Outcome {
    let began = Instant::now();
    let Some(replies) = submit(connection, ready).await? else {
        connection.reply.null_array();
        return Ok(Step::Done);
    };
    let mut gathered = Gathered::begin(connection, ready, replies, began);
    for (queued, place) in ready.commands() {
        let before = connection.reply.len();
        let outcome = match place {
            Where::Rows(..) => gathered.next(connection),
            Where::Beside => alone(connection, &queued.args, &queued.plan).await,
        };
        gathered.note(connection, queued, before, outcome);
    }
    gathered.tally.flush(&connection.server.stats);
    Ok(gathered.step)
}

/// Runs the part on rows; `None` if a watched key has changed.
async fn submit(
    connection: &mut Connection,
    ready: &Ready,
) -> Result<Option<Vec<Bytes>>, CommandError> {
    if ready.partitions.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let server = connection.server.clone();
    if connection.is_scattered(&ready.partitions, server.runtime.clock.now()) {
        return Err(CommandError::CrossSlot);
    }
    let mut request = ready
        .batch(connection)
        .request(ready.partitions.clone(), ready.access);
    let queued = || ready.multi.queued.iter();
    let wanted = |queued: &Queued| queued.plan.asked.write_copies.unwrap_or(0);
    request.write_copies = queued().map(wanted).max().unwrap_or(0);
    request.repeatable = ready.is_repeatable(connection);
    request.blind = server.settings().reads_without_replica == ReadsWithoutReplica::Nil;
    server.metrics.forwarded.add(1);
    let (answer, reached) = match server.runtime.run(request).await {
        CoreReply::Done(answer) => (answer, u8::MAX),
        CoreReply::Partial { reply, reached, .. } => (reply, reached),
        other => return Err(refused(other)),
    };
    if ready.access == Access::Write {
        connection.synced().await?;
    }
    let batch::Outcome::Ran(mut replies) =
        batch::outcome(&answer).map_err(|error| error.aborted_by())?
    else {
        return Ok(None);
    };
    let on_rows = ready
        .commands()
        .filter(|(_, place)| matches!(place, Where::Rows(..)));
    for (reply, (queued, _)) in replies.iter_mut().zip(on_rows) {
        if wanted(queued) > reached {
            let mut error = Reply::default();
            CommandError::Partial {
                done: reached.into(),
                wanted: wanted(queued).into(),
            }
            .write_to(&mut error);
            *reply = error.into_vec().into();
        }
    }
    Ok(Some(replies))
}

/// The reply of EXEC while it is put together.
struct Gathered {
    /// What the commands on rows have replied.
    replies: std::vec::IntoIter<Bytes>,
    /// How long each of them took: nobody has measured them one by one.
    each_ns: u64,
    tally: Tally,
    step: Step,
}

impl Gathered {
    /// All commands on rows have run since `began`.
    fn begin(
        connection: &mut Connection,
        ready: &Ready,
        replies: Vec<Bytes>,
        began: Instant,
    ) -> Self {
        for queued in &ready.multi.queued {
            if is_whole(queued.plan.command) && queued.plan.access() == Access::Write {
                connection.written.insert(&ready.partitions);
            } else if queued.plan.access() == Access::Write {
                connection.written.insert(&queued.plan.partitions);
            }
        }
        connection.reply.array(ready.multi.queued.len());
        let took = began.elapsed().as_nanos() as u64;
        Self {
            each_ns: took / (replies.len() as u64).max(1),
            replies: replies.into_iter(),
            tally: Tally::default(),
            step: Step::Done,
        }
    }

    /// Appends the reply of the next command on rows.
    fn next(&mut self, connection: &mut Connection) -> Outcome {
        let before = connection.reply.len();
        connection
            .reply
            .raw(&self.replies.next().unwrap_or_default());
        connection.count_written_error(before);
        Ok(Step::Done)
    }

    /// Notes a command that has answered behind `before`, or is to answer by an error.
    fn note(
        &mut self,
        connection: &mut Connection,
        queued: &Queued,
        before: usize,
        outcome: Outcome,
    ) {
        match outcome {
            Ok(Step::Close) => self.step = Step::Close,
            Ok(_) => {}
            Err(error) => {
                connection.fail(&error);
            }
        }
        let written = connection.reply.as_bytes().get(before..);
        let written = written.unwrap_or_default();
        let is_error = written.first() == Some(&b'-');
        let server = &connection.server;
        let is_keyed = !queued.plan.places.is_empty();
        if is_keyed && queued.plan.access() == Access::Read {
            if is_missing(written) {
                server.metrics.misses.add(1);
            } else {
                server.metrics.hits.add(1);
            }
        }
        server.metrics.commands.add(1);
        let took = if is_keyed { self.each_ns } else { 0 };
        self.tally
            .note(&server.stats, queued.plan.number, took, is_error);
    }
}
