//! What EXEC runs: the queued commands as one batch, on rows that are locked for all of it.
//!
//! Commands of scope `Keys` run on their rows; SCAN, FLUSHALL and their like on all rows, for which
//! the batch must hold all partitions. A batch that runs on another node travels as one request:
//!
//! ```text
//! "\0exec"   watched*: database, version, key   command*: database, protocol, words   words…
//! answer     0: a watched key has changed       1: reply*
//! ```

mod whole;

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::limits::{ARGUMENTS_MAX, DATABASES_MAX, KEY_BYTES_MAX};
use larder_cluster::request::{Access, Request};
use larder_cluster::token::{KeyPlace, Partitions};
use larder_cluster::transaction::Transaction;
use larder_cluster::version::{Version, version};
use larder_crdt::context::ContextKey;
use larder_crdt::{DecodeError, Reader, Writer};

use crate::args::Args;
use crate::commands::run_planned;
use crate::error::CommandError;
use crate::internal;
use crate::limits::BATCH_REPLY_BYTES_MAX;
use crate::plan::{Plan, plan};
use crate::reply::{Protocol, Reply};
use crate::table::{Command, Scope};

/// A key that a client watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedKey {
    /// The database that was selected.
    pub database: u8,
    /// The key.
    pub key: Bytes,
    /// Its version when the client began to watch it.
    pub version: Version,
}

/// A command of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchCommand {
    /// The database that is selected when it runs.
    pub database: u8,
    /// The version of RESP of its reply.
    pub protocol: Protocol,
    /// The command and its arguments.
    pub words: Vec<Bytes>,
}

/// Commands that run together, if the keys that their client watches are as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The keys that must not have changed.
    pub watched: Vec<WatchedKey>,
    /// The commands, in order.
    pub commands: Vec<BatchCommand>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was done: a watched key has changed.
    Changed,
    /// The commands ran; these are their replies.
    Ran(Vec<Bytes>),
}

impl WatchedKey {
    /// The partition of the key.
    #[must_use]
    pub fn partition(&self, partitions: Partitions) -> PartitionId {
        KeyPlace::of(&self.key).partition(partitions)
    }
}

/// Whether a command speaks for all keys: in a batch it needs all of them.
#[must_use]
pub fn is_whole(command: &Command) -> bool {
    let name = command.name;
    matches!(
        name,
        "scan" | "keys" | "dbsize" | "randomkey" | "flushdb" | "flushall"
    )
}

/// Whether all keys are as they were. `transaction` must hold their partitions.
///
/// # Errors
/// What the disk says.
pub fn is_unchanged(
    transaction: &mut Transaction<'_, '_>,
    watched: &[WatchedKey],
) -> Result<bool, CommandError> {
    for key in watched {
        let place = transaction.place(key.database, &key.key, b"");
        if version(transaction, &place)? != key.version {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs one planned command of a batch and appends its reply.
pub(crate) fn run_one(
    contexts: &ContextKey,
    plan: &Plan,
    args: Args<'_>,
    database: u8,
    transaction: &mut Transaction<'_, '_>,
    reply: &mut Reply,
) {
    if is_whole(plan.command) {
        let before = reply.len();
        if let Err(error) = whole::run(plan, args, database, contexts, transaction, reply) {
            reply.truncate(before);
            error.write_to(reply);
        }
        return;
    }
    // Nothing is fetched for a batch: a write whose context is ahead runs on what is here.
    run_planned(contexts, plan, args, database, true, transaction, reply);
}

impl Batch {
    /// The request that runs the batch. `partitions` are those of all its keys, ascending, each
    /// once; `access` is that of its commands together.
    #[must_use]
    pub fn request(&self, partitions: Vec<PartitionId>, access: Access) -> Request {
        let mut writer = Writer::new();
        writer.length(self.watched.len());
        for watched in &self.watched {
            writer.u8(watched.database);
            writer.u128_be(watched.version.0);
            writer.bytes(&watched.key);
        }
        writer.length(self.commands.len());
        let mut args = vec![Bytes::from_static(internal::EXEC), Bytes::new()];
        for command in &self.commands {
            writer.u8(command.database);
            writer.u8(command.protocol.number());
            writer.length(command.words.len());
            args.extend(command.words.iter().cloned());
        }
        if let Some(header) = args.get_mut(1) {
            *header = writer.into_vec().into();
        }
        let mut request = Request::new(0, args, partitions, access);
        request.grouped = true;
        request
    }

    /// Whether a request is one of [`Batch::request`].
    #[must_use]
    pub fn is_in(request: &Request) -> bool {
        request
            .args
            .first()
            .is_some_and(|name| name == internal::EXEC)
    }

    /// Reads what [`Batch::request`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(request: &Request) -> Result<Self, DecodeError> {
        let [_, header, words @ ..] = &request.args[..] else {
            return Err(DecodeError::Truncated);
        };
        let (mut reader, mut words) = (Reader::new(header), words);
        let mut batch = Self::default();
        for _ in 0..reader.count(ARGUMENTS_MAX)? {
            batch.watched.push(WatchedKey {
                database: database(&mut reader)?,
                version: Version(reader.u128_be()?),
                key: Bytes::copy_from_slice(reader.bytes(KEY_BYTES_MAX)?),
            });
        }
        for _ in 0..reader.count(ARGUMENTS_MAX)? {
            let database = database(&mut reader)?;
            let protocol = Protocol::of_number(reader.u8()?);
            let count = reader.length(words.len())?;
            let (own, rest) = words
                .split_at_checked(count)
                .ok_or(DecodeError::Truncated)?;
            words = rest;
            batch.commands.push(BatchCommand {
                database,
                protocol,
                words: own.to_vec(),
            });
        }
        reader.finish()?;
        match words {
            [] => Ok(batch),
            _ => Err(DecodeError::Inconsistent),
        }
    }

    /// The plans of the commands.
    ///
    /// # Errors
    /// What no node of this release sends: commands that are none, or on partitions that the
    /// request does not name.
    pub fn plans(
        &self,
        request: &Request,
        partitions: Partitions,
    ) -> Result<Vec<Plan>, CommandError> {
        let holds = |partition: &PartitionId| request.partitions.contains(partition);
        let unnamed = CommandError::Fixed("ERR the request does not name its partitions");
        let mut watched = self.watched.iter().map(|key| key.partition(partitions));
        if !watched.all(|partition| holds(&partition)) {
            return Err(unnamed);
        }
        let mut plans = Vec::with_capacity(self.commands.len());
        for command in &self.commands {
            let plan = plan(Args::of_list(&command.words), partitions)?;
            let is_held = match plan.command.scope {
                Scope::Keys(_) => plan.partitions.iter().all(holds),
                _ if is_whole(plan.command) => request.partitions.len() == partitions.count(),
                Scope::Cluster | Scope::Connection | Scope::Node => false,
            };
            if !is_held {
                return Err(unnamed);
            }
            plans.push(plan);
        }
        Ok(plans)
    }
}

fn database(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let database = reader.u8()?;
    if usize::from(database) < DATABASES_MAX {
        Ok(database)
    } else {
        Err(DecodeError::Inconsistent)
    }
}

/// Runs a batch that another node sent, or this one for want of a shorter way.
pub(crate) fn run(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    contexts: &ContextKey,
    answer: &mut Writer,
) -> Result<(), CommandError> {
    let batch = Batch::decode(request).map_err(internal::malformed)?;
    let plans = batch.plans(request, transaction.env().view.layout.partitions())?;
    if !is_unchanged(transaction, &batch.watched)? {
        answer_changed(answer);
        return Ok(());
    }
    let commands = batch.commands.iter().zip(&plans);
    let replies = commands.map(|(command, plan)| {
        let mut reply = Reply::new(command.protocol);
        let args = Args::of_list(&command.words);
        run_one(
            contexts,
            plan,
            args,
            command.database,
            transaction,
            &mut reply,
        );
        reply.into_vec()
    });
    answer_ran(answer, replies);
    Ok(())
}

fn answer_changed(answer: &mut Writer) {
    answer.u8(0);
}

fn answer_ran(answer: &mut Writer, replies: impl ExactSizeIterator<Item = Vec<u8>>) {
    answer.u8(1);
    answer.length(replies.len());
    for reply in replies {
        if answer.len() + reply.len() > BATCH_REPLY_BYTES_MAX {
            let mut error = Reply::new(Protocol::Resp2);
            CommandError::BatchReplyTooLong.write_to(&mut error);
            answer.bytes(error.as_bytes());
        } else {
            answer.bytes(&reply);
        }
    }
}

/// The answer to [`Batch::request`], for those who run its commands themselves; `None` if a watched
/// key has changed.
#[must_use]
pub fn answer(replies: Option<Vec<Vec<u8>>>) -> Vec<u8> {
    let mut writer = internal::begin_answer();
    match replies {
        Some(replies) => answer_ran(&mut writer, replies.into_iter()),
        None => answer_changed(&mut writer),
    }
    writer.into_vec()
}

/// Reads the answer to [`Batch::request`].
///
/// # Errors
/// The error that was answered instead: nothing was done.
pub fn outcome(answer: &Bytes) -> Result<Outcome, CommandError> {
    let mut reader = internal::opened(answer)?;
    let mut read = || {
        if reader.u8()? == 0 {
            return Ok(Outcome::Changed);
        }
        let count = reader.count(ARGUMENTS_MAX)?;
        let replies = (0..count).map(|_| {
            let reply = reader.bytes(BATCH_REPLY_BYTES_MAX)?;
            Ok(answer.slice_ref(reply))
        });
        Ok(Outcome::Ran(replies.collect::<Result<_, DecodeError>>()?))
    };
    read().map_err(internal::malformed)
}

/// Asks for the versions of keys, all of whose partitions have the same leader.
#[must_use]
pub fn versions_request(database: u8, keys: &[Bytes], partitions: Partitions) -> Request {
    let mut args = vec![Bytes::from_static(internal::VERSIONS)];
    args.extend(keys.iter().cloned());
    let places = keys.iter().map(|key| KeyPlace::of(key));
    let mut ids: Vec<PartitionId> = places.map(|place| place.partition(partitions)).collect();
    ids.sort_unstable();
    ids.dedup();
    Request::new(database, args, ids, Access::Read)
}

/// Whether a request is one of [`versions_request`].
#[must_use]
pub fn is_versions(request: &Request) -> bool {
    request
        .args
        .first()
        .is_some_and(|name| name == internal::VERSIONS)
}

/// Reads the answer to [`versions_request`].
///
/// # Errors
/// The error that was answered instead.
pub fn versions(answer: &[u8]) -> Result<Vec<Version>, CommandError> {
    let mut reader = internal::opened(answer)?;
    let mut read = || {
        let count = reader.count(ARGUMENTS_MAX)?;
        let versions = (0..count).map(|_| Ok(Version(reader.u128_be()?)));
        versions.collect::<Result<_, DecodeError>>()
    };
    read().map_err(internal::malformed)
}

pub(crate) fn run_versions(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    keys: &[Bytes],
    answer: &mut Writer,
) -> Result<(), CommandError> {
    let partitions = transaction.env().view.layout.partitions();
    answer.length(keys.len());
    for key in keys {
        let partition = KeyPlace::of(key).partition(partitions);
        if key.len() > KEY_BYTES_MAX || !request.partitions.contains(&partition) {
            return Err(internal::malformed(DecodeError::Inconsistent));
        }
        let place = transaction.place(request.database, key, b"");
        answer.u128_be(version(transaction, &place)?.0);
    }
    Ok(())
}
