//! Commands that wait for what is not there yet: BLPOP and its kin.
//!
//! The command is tried where its keys are; while it finds nothing, it is tried again whenever one
//! of the keys has changed, wherever that is led (`cluster/src/node/watches.rs`). Clients that wait
//! for one key on this node are served in the order in which they came: who is not the first of any
//! of its keys lets the others try.
//!
//! Whatever ends the waiting, the client's place in the queues and its wakers go with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use larder_cluster::id::PartitionId;
use larder_cluster::request::Access;
use larder_cluster::row_key::RowKey;
use larder_cluster::token::KeyPlace;
use larder_commands::args::OwnedArgs;
use larder_commands::blocking::patience;
use larder_commands::error::CommandError;
use larder_commands::plan::Plan;
use larder_commands::reply::Reply;
use larder_commands::resp;
use larder_commands::table::Spread;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::{Connection, read};
use super::step::{Step, write_core_reply};
use crate::handlers;
use crate::limits::INPUT_BYTES_KEPT;
use crate::runtime::Runtime;
use crate::server::Server;

/// How often a command is tried without a reason, in case another node has come to lead a key.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A key and the group of the commands that wait for it: who waits for a list is in nobody's way
/// who waits for a sorted set.
type Key = (&'static str, PartitionId, RowKey);

/// Who waits for a key, in the order of arrival.
#[derive(Debug, Default)]
pub struct Queues {
    keys: Mutex<BTreeMap<Key, Vec<Arc<Notify>>>>,
    waiting: AtomicUsize,
}

impl Queues {
    /// How many clients wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn is_first(&self, key: &Key, waker: &Arc<Notify>) -> bool {
        let keys = self.keys.lock();
        let first = keys.get(key).and_then(|queue| queue.first());
        first.is_some_and(|first| Arc::ptr_eq(first, waker))
    }

    fn leave(&self, key: &Key, waker: &Arc<Notify>) {
        let mut keys = self.keys.lock();
        let Some(queue) = keys.get_mut(key) else {
            return;
        };
        queue.retain(|other| !Arc::ptr_eq(other, waker));
        match queue.first() {
            // There may be more than this one has taken.
            Some(next) => next.notify_one(),
            None => {
                keys.remove(key);
            }
        }
    }
}

/// What CLIENT UNBLOCK says to a client.
#[derive(Debug, Default)]
pub struct Unblock {
    state: AtomicU8,
    woken: Notify,
}

const FREE: u8 = 0;
const WAITING: u8 = 1;
const TIMED_OUT: u8 = 2;
const REFUSED: u8 = 3;

impl Unblock {
    /// Ends the waiting of the client, as if its time were over or by an error; says whether it
    /// did wait.
    pub fn end(&self, by_error: bool) -> bool {
        let state = if by_error { REFUSED } else { TIMED_OUT };
        let swapped =
            self.state
                .compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_ok() {
            self.woken.notify_one();
        }
        swapped.is_ok()
    }

    /// Whether the client waits.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WAITING
    }
}

/// A client's places in the queues; left when this is dropped.
struct Waiting {
    server: Arc<Server>,
    info: Arc<super::info::ClientInfo>,
    keys: Vec<Key>,
    waker: Arc<Notify>,
}

impl Waiting {
    fn new(connection: &Connection, args: &OwnedArgs, plan: &Plan) -> Self {
        let server = connection.server.clone();
        let partitions = server.partitions;
        // The first kind of keys is what it waits for, others are where it puts something.
        let sources = plan.command.keys.first();
        let positions = sources.map(|sources| sources.positions(args.as_args()));
        let key = |position: usize| {
            let name = args.as_args().at(position);
            let place = KeyPlace::of(name);
            let row = RowKey::new(place.key_hash, connection.database, name, b"");
            (plan.command.group, place.partition(partitions), row)
        };
        let mut keys: Vec<Key> = positions.into_iter().flatten().map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        let waker = Arc::new(Notify::new());
        for key in &keys {
            let mut queues = server.queues.keys.lock();
            queues.entry(key.clone()).or_default().push(waker.clone());
        }
        let runtime: &Runtime = &server.runtime;
        for (_, partition, row) in &keys {
            runtime
                .watchers
                .add(runtime, *partition, row, waker.clone());
        }
        server.queues.waiting.fetch_add(1, Ordering::Relaxed);
        let info = connection.info.clone();
        info.unblock.state.store(WAITING, Ordering::Release);
        Self {
            server,
            info,
            keys,
            waker,
        }
    }

    fn may_try(&self) -> bool {
        let queues = &self.server.queues;
        self.keys
            .iter()
            .any(|key| queues.is_first(key, &self.waker))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let runtime = &self.server.runtime;
        for key in &self.keys {
            runtime
                .watchers
                .remove(&runtime.node, key.1, &key.2, &self.waker);
            self.server.queues.leave(key, &self.waker);
        }
        self.server.queues.waiting.fetch_sub(1, Ordering::Relaxed);
        self.info.unblock.state.store(FREE, Ordering::Release);
    }
}

/// Why a client does not wait any more.
enum Woken {
    /// Something may be there.
    Look,
    TimeIsOver,
    /// It has gone.
    Gone,
}

impl Connection {
    /// Runs a command that waits until it finds something.
    pub(super) async fn block(
        &mut self,
        args: &OwnedArgs,
        plan: &Plan,
        stream: &mut TcpStream,
        input: &mut BytesMut,
    ) -> Result<Step, CommandError> {
        let patience = patience(plan.command, args.as_args())?;
        // Some timeouts are beyond what this clock can count.
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        let waiting = Waiting::new(self, args, plan);
        let mut is_again = false;
        loop {
            let is_held = is_again && self.server.pause.holds(plan.access() == Access::Write);
            if !is_held && waiting.may_try() && self.tries(args, plan, is_again).await? {
                return Ok(Step::Done);
            }
            is_again = true;
            match self.wait(&waiting, deadline, stream, input).await? {
                Woken::Look => {}
                Woken::TimeIsOver => {
                    self.reply.null_array();
                    return Ok(Step::Done);
                }
                Woken::Gone => return Ok(Step::Close),
            }
        }
    }

    /// Tries once; says whether that is the end of it.
    async fn tries(
        &mut self,
        args: &OwnedArgs,
        plan: &Plan,
        is_again: bool,
    ) -> Result<bool, CommandError> {
        let before = self.reply.len();
        let now = self.server.runtime.clock.now();
        if plan.access() == Access::Write {
            self.written.insert(&plan.partitions);
        }
        if self.is_scattered(&plan.partitions, now) {
            if plan.command.spread == Spread::None {
                return Err(CommandError::CrossSlot);
            }
            handlers::spread(self, args, plan).await?;
        } else {
            let protocol = self.reply.protocol();
            let request = plan.request(args.as_args(), self.database, protocol, 1);
            let outcome = self.server.runtime.run(request).await;
            let mut reply = Reply::new(protocol);
            write_core_reply(&mut reply, outcome);
            self.reply.raw(reply.as_bytes());
            if !resp::is_null(reply.as_bytes()) {
                self.synced().await?;
            }
        }
        let written = self.reply.as_bytes().get(before..).unwrap_or_default();
        // Who waits already goes on when a key becomes of another type, or out of reach.
        let is_passing = written.starts_with(b"-WRONGTYPE") || written.starts_with(b"-NOREPLICA");
        if resp::is_null(written) || is_again && is_passing {
            self.reply.truncate(before);
            return Ok(false);
        }
        Ok(true)
    }

    async fn wait(
        &self,
        waiting: &Waiting,
        deadline: Option<Instant>,
        stream: &mut TcpStream,
        input: &mut BytesMut,
    ) -> Result<Woken, CommandError> {
        let look = Instant::now() + LOOK_EVERY;
        let limit = self.server.settings().client_query_buffer_limit.0;
        loop {
            let has_room = (input.len() as u64) < limit;
            input.reserve(INPUT_BYTES_KEPT / 2);
            tokio::select! {
                biased;
                () = self.info.unblock.woken.notified() => {
                    return match self.info.unblock.state.load(Ordering::Acquire) {
                        REFUSED => Err(CommandError::Unblocked),
                        TIMED_OUT => Ok(Woken::TimeIsOver),
                        // Said to a command before this one.
                        _ => continue,
                    };
                }
                () = waiting.waker.notified() => return Ok(Woken::Look),
                () = tokio::time::sleep_until(deadline.unwrap_or(look)), if deadline.is_some() => {
                    return Ok(Woken::TimeIsOver);
                }
                () = tokio::time::sleep_until(look) => return Ok(Woken::Look),
                // What the client sends meanwhile waits its turn.
                more = read(stream, input, &self.info), if has_room => {
                    if !more.unwrap_or(false) {
                        return Ok(Woken::Gone);
                    }
                }
            }
        }
    }
}
