//! One request: planned, run where its keys are, answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::BytesMut;
use larder_cluster::env::{Env, Now};
use larder_cluster::id::PartitionId;
use larder_cluster::node::{LocalCall, Route};
use larder_cluster::partition::Output;
use larder_cluster::request::{Access, Reply as CoreReply};
use larder_cluster::token::Partitions;
use larder_cluster::transaction::Transaction;
use larder_commands::args::{Args, OwnedArgs};
use larder_commands::commands::FETCH_FIRST;
use larder_commands::error::CommandError;
use larder_commands::plan::{Plan, plan};
use larder_commands::reply::Reply;
use larder_commands::resp;
use larder_commands::table::{Flag, Scope, Spread};
use tokio::net::TcpStream;

use super::connection::Connection;
use super::fetch;
use super::replies::Awaited;
use crate::handlers;
use crate::latency::Sample;
use crate::runtime::clock_unix_ms;
use crate::server::Server;
use crate::settings::Settings;
use crate::settings::value::ReadsWithoutReplica;
use crate::slow_log::{self, SlowCommand};
use crate::stats::Tally;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is answered.
    Done,
    /// Its answer comes from another node and has its place among the replies.
    Pending,
    /// It takes its time: everything before it is to be answered first, then it runs alone.
    Alone,
    /// It is answered, and the connection ends.
    Close,
    /// CLIENT PAUSE holds it up: nothing has happened, it is to be stepped again later.
    Held,
}

/// What the requests of one read share.
pub(crate) struct Batch<'a> {
    /// The settings as they were at its start.
    pub settings: Arc<Settings>,
    /// Whether anything may have been changed.
    pub wrote: bool,
    server: &'a Server,
    env: &'a Env<'a>,
    out: Output,
    /// How many commands there were.
    commands: u64,
    /// Reads that found their key, and those that did not.
    hits: u64,
    misses: u64,
    /// What they were, and how long they took.
    tally: Tally,
    /// When the last one ended.
    lap: Instant,
}

impl<'a> Batch<'a> {
    pub(super) fn new(server: &'a Server, env: &'a Env<'a>) -> Self {
        Self {
            settings: server.settings(),
            wrote: false,
            server,
            env,
            out: Output::default(),
            commands: 0,
            hits: 0,
            misses: 0,
            tally: Tally::default(),
            lap: Instant::now(),
        }
    }

    /// When it began.
    pub(super) fn now(&self) -> Now {
        self.env.now
    }

    /// Runs at once on the rows of this node; see [`Node::run_local`].
    ///
    /// [`Node::run_local`]: larder_cluster::node::Node::run_local
    pub(crate) fn run_local<T>(
        &mut self,
        call: &LocalCall<'_>,
        run: impl FnOnce(&mut Transaction<'_, '_>) -> T,
    ) -> Result<T, CoreReply> {
        let node = &self.server.runtime.node;
        node.run_local(self.env, &mut self.out, call, run)
    }

    /// Nanoseconds since the last call.
    fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let took = now.duration_since(std::mem::replace(&mut self.lap, now));
        took.as_nanos() as u64
    }

    /// Adds what was counted to the node's figures.
    pub(super) fn finish(mut self) {
        self.tally.flush(&self.server.stats);
        let metrics = &self.server.metrics;
        metrics.commands.add(self.commands);
        if self.hits > 0 {
            metrics.hits.add(self.hits);
        }
        if self.misses > 0 {
            metrics.misses.add(self.misses);
        }
    }

    /// The next command begins now: what was read before is nobody's time.
    pub(super) fn begin_group(&mut self) {
        self.lap = Instant::now();
    }
}

impl Connection {
    /// Runs one request. `args` is not empty.
    pub(super) fn step(
        &mut self,
        args: Args<'_>,
        planned: Result<Plan, CommandError>,
        batch: &mut Batch<'_>,
    ) -> Step {
        batch.commands += 1;
        let planned = match planned {
            Ok(planned) => planned,
            Err(error) => return self.refuse_request(&error),
        };
        if !self.authenticated && !planned.command.is(Flag::NoAuth) {
            self.reject(planned.number);
            return self.fail(&CommandError::NoAuth);
        }
        if batch.server.pause.holds(self.may_write(&planned)) {
            batch.commands -= 1;
            return Step::Held;
        }
        if self.is_to_queue(&planned) {
            return self.queue(args, planned, batch);
        }
        self.info.command.store(planned.number, Ordering::Relaxed);
        let before = self.reply.len();
        let step = match planned.command.scope {
            Scope::Keys(_) => self.step_keys(args, &planned, batch),
            Scope::Connection | Scope::Node | Scope::Cluster => {
                match handlers::quick(self, args, planned.number, batch) {
                    Ok(step) => step,
                    Err(error) => self.fail(&error),
                }
            }
        };
        if step != Step::Alone {
            self.note(args, &planned, batch, before);
        }
        step
    }

    /// Counts a command that ran: how long it took, and whether its reply is an error.
    fn note(&self, args: Args<'_>, planned: &Plan, batch: &mut Batch<'_>, before: usize) {
        let took = batch.lap();
        let server = &self.server;
        let is_error = self.reply.as_bytes().get(before) == Some(&b'-');
        batch
            .tally
            .note(&server.stats, planned.number, took, is_error);
        let slower_than = batch.settings.slowlog_log_slower_than;
        if slower_than >= 0 && took / 1000 >= slower_than.unsigned_abs() {
            self.note_slow(args, planned, took / 1000);
        }
        note_latency(server, &batch.settings, planned, took);
    }

    fn note_slow(&self, args: Args<'_>, planned: &Plan, microseconds: u64) {
        if planned.command.is(Flag::SkipSlowlog) {
            return;
        }
        let command = SlowCommand {
            id: 0,
            unix_s: clock_unix_ms() / 1000,
            microseconds,
            args: slow_log::cut(args),
            address: self.info.address.to_string(),
            name: self.info.words.lock().name.clone(),
        };
        let length = self.server.settings().slowlog_max_len;
        self.server
            .slow_log
            .note(command, usize::try_from(length).unwrap_or(usize::MAX));
    }

    fn reject(&self, number: usize) {
        if let Some(row) = self.server.stats.rows.get(number) {
            row.rejected.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn partitions(&self) -> Partitions {
        self.server.partitions
    }

    /// Answers by an error.
    pub fn fail(&mut self, error: &CommandError) -> Step {
        self.count_error(&error.prefix());
        error.write_to(&mut self.reply);
        Step::Done
    }

    fn count_error(&self, prefix: &str) {
        self.server.metrics.errors.add(1);
        self.server.stats.count_error(prefix);
    }

    /// Counts the error that a command has written behind `before`, if it is one.
    pub(crate) fn count_written_error(&self, before: usize) {
        let written = self.reply.as_bytes().get(before..).unwrap_or_default();
        if let [b'-', text @ ..] = written {
            let word = text
                .split(|byte| byte.is_ascii_whitespace())
                .next()
                .unwrap_or_default();
            self.count_error(&String::from_utf8_lossy(word));
        }
    }

    /// A command on keys: here if they are here, else where they are.
    fn step_keys(&mut self, args: Args<'_>, planned: &Plan, batch: &mut Batch<'_>) -> Step {
        let access = planned.access();
        // Who comes later waits behind those who wait already.
        if planned.command.is(Flag::Blocking) && self.server.queues.waiting() > 0 {
            return Step::Alone;
        }
        if is_simple(planned, &batch.settings) {
            let node = &batch.server.runtime.node;
            let call = LocalCall {
                partitions: &planned.partitions,
                access,
                grouped: planned.is_grouped(),
            };
            let (commands, reply, database) =
                (&self.server.commands, &mut self.reply, self.database);
            let before = reply.len();
            let ran = node.run_local(batch.env, &mut batch.out, &call, |transaction| {
                commands.run(planned, args, database, false, transaction, reply);
            });
            match ran {
                Ok(()) => return self.finish_local(planned, batch, before),
                Err(CoreReply::NotReady) => self.reply.truncate(before),
                Err(other) => {
                    write_core_reply(&mut self.reply, other);
                    return Step::Done;
                }
            }
        }
        self.step_away(args, planned, batch)
    }

    /// What remains to be done after a command ran here.
    fn finish_local(&mut self, planned: &Plan, batch: &mut Batch<'_>, before: usize) -> Step {
        let written = self.reply.as_bytes().get(before..).unwrap_or_default();
        let is_waiting = planned.command.is(Flag::Blocking) && resp::is_null(written);
        if written == FETCH_FIRST || is_waiting {
            self.reply.truncate(before);
            return Step::Alone;
        }
        if planned.access() == Access::Write {
            batch.wrote = true;
            self.written.insert(&planned.partitions);
        } else if is_missing(written) {
            batch.misses += 1;
        } else {
            batch.hits += 1;
        }
        self.count_written_error(before);
        Step::Done
    }

    /// A command whose keys are not all ready here, or that waits for other replicas.
    fn step_away(&mut self, args: Args<'_>, planned: &Plan, batch: &mut Batch<'_>) -> Step {
        let waits = planned.command.is(Flag::Blocking);
        if waits || self.is_scattered(&planned.partitions, batch.env.now) {
            return Step::Alone;
        }
        let request = self.request(args, planned, &batch.settings);
        self.server.metrics.forwarded.add(1);
        if planned.access() == Access::Write {
            self.written.insert(&planned.partitions);
        }
        // What is sent, here or to another node, leaves with the commit of this batch.
        batch.wrote = true;
        match self.server.runtime.submit(request) {
            Ok(reply) if fetch::is_wanted(&reply) => Step::Alone,
            Ok(reply) => {
                write_core_reply(&mut self.reply, reply);
                Step::Done
            }
            Err(receiver) => {
                // Only writes that name what they have seen can be ahead of a node.
                let may_fetch =
                    planned.access() == Access::Write && planned.command.asked.is_some();
                self.pending.push_back(Awaited {
                    at: self.reply.len(),
                    receiver,
                    is_silent: false,
                    is_read: planned.access() == Access::Read,
                    again: may_fetch.then(|| args.to_owned()),
                });
                Step::Pending
            }
        }
    }

    fn request(
        &self,
        args: Args<'_>,
        planned: &Plan,
        settings: &Settings,
    ) -> larder_cluster::request::Request {
        let read_copies = settings.read_quorum as u8;
        let protocol = self.reply.protocol();
        let mut request = planned.request(args, self.database, protocol, read_copies);
        request.blind = settings.reads_without_replica == ReadsWithoutReplica::Nil;
        request
    }

    /// Whether the partitions are led by different nodes.
    pub(crate) fn is_scattered(&self, partitions: &[PartitionId], now: Now) -> bool {
        let node = &self.server.runtime.node;
        let mut routes = partitions
            .iter()
            .map(|partition| node.route(*partition, now));
        let first: Option<Route> = routes.next();
        routes.any(|route| Some(route) != first)
    }

    /// Runs a command that takes its time; says whether the connection ends after it.
    pub(super) async fn run_alone(
        &mut self,
        args: OwnedArgs,
        stream: &mut TcpStream,
        input: &mut BytesMut,
    ) -> bool {
        let planned = match plan(args.as_args(), self.partitions()) {
            Ok(planned) => planned,
            Err(error) => {
                self.fail(&error);
                return false;
            }
        };
        let (before, began) = (self.reply.len(), Instant::now());
        let outcome = match planned.command.scope {
            Scope::Keys(_) if planned.command.is(Flag::Blocking) => {
                self.block(&args, &planned, stream, input).await
            }
            Scope::Keys(_) if planned.command.spread != Spread::None => {
                handlers::spread(self, &args, &planned).await
            }
            // One key, and no need to ask others but that its writer has seen more than this node.
            Scope::Keys(_) if planned.partitions.len() == 1 => {
                let reply = self.run_fetched(&args).await;
                reply.map(|reply| {
                    write_core_reply(&mut self.reply, reply);
                    Step::Done
                })
            }
            _ => handlers::alone(self, &args, &planned).await,
        };
        let closes = match outcome {
            Ok(step) => step == Step::Close,
            Err(error) => {
                self.fail(&error);
                false
            }
        };
        let took = began.elapsed().as_nanos() as u64;
        let is_error = self.reply.as_bytes().get(before) == Some(&b'-');
        let mut tally = Tally::default();
        tally.note(&self.server.stats, planned.number, took, is_error);
        tally.flush(&self.server.stats);
        note_latency(&self.server, &self.server.settings(), &planned, took);
        closes
    }
}

/// Notes a command that took as long as the setting says.
fn note_latency(server: &Server, settings: &Settings, planned: &Plan, nanoseconds: u64) {
    let (ms, threshold_ms) = (nanoseconds / 1_000_000, settings.latency_monitor_threshold);
    if threshold_ms > 0 && ms >= threshold_ms {
        let event = if planned.command.is(Flag::Fast) {
            "fast-command"
        } else {
            "command"
        };
        let unix_s = clock_unix_ms() / 1000;
        server.latency.note(event, Sample { unix_s, ms });
    }
}

/// Whether a command asks nobody but the node that runs it.
fn is_simple(planned: &Plan, settings: &Settings) -> bool {
    let default = match planned.access() {
        Access::Read => settings.read_quorum as u8,
        Access::Write => 1,
    };
    planned.asked.write_copies.unwrap_or(0) == 0
        && planned.asked.read_copies.unwrap_or(default) <= 1
}

/// Whether the reply of a read says that there is no such key.
pub(crate) fn is_missing(reply: &[u8]) -> bool {
    reply.starts_with(b"$-1") || reply.starts_with(b"_") || reply.starts_with(b"*-1")
}

/// Writes what the core says became of a request.
pub(crate) fn write_core_reply(reply: &mut Reply, outcome: CoreReply) {
    match outcome {
        CoreReply::Done(bytes) => reply.raw(&bytes),
        CoreReply::Partial {
            reached, wanted, ..
        } => {
            CommandError::Partial {
                done: reached.into(),
                wanted: wanted.into(),
            }
            .write_to(reply);
        }
        CoreReply::PartialRead { reached, wanted } => {
            CommandError::PartialRead {
                done: reached.into(),
                wanted: wanted.into(),
            }
            .write_to(reply);
        }
        CoreReply::NoReplica | CoreReply::NotReady => CommandError::NoReplica.write_to(reply),
        CoreReply::Unknown => CommandError::OutcomeUnknown.write_to(reply),
        CoreReply::Refused(reason) => CommandError::DiskFailed(reason).write_to(reply),
    }
}
