//! LWATCH: a document and its context now, and again after every change.
//!
//! A watch reads the state again whenever it may have changed, and sends it if it has: several
//! changes in a row may become one message, and a client that reads slowly gets the latest state
//! rather than all of them. A watch is woken by changes of copies on this node, and of keys that
//! other nodes lead by a word from there; when another node comes to lead a key, it is looked at
//! once more. That a key expires is found by looking.
//!
//! ```text
//! reply     *3 lwatch key [json, context]      state first, so that a reconnect loses nothing
//! message   >3 lwatch key [json, context]      in RESP2 an array, as a subscriber's
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use larder_cluster::node::Route;
use larder_cluster::request::Reply as CoreReply;
use larder_cluster::request::Request;
use larder_cluster::row_key::RowKey;
use larder_commands::args::OwnedArgs;
use larder_commands::error::CommandError;
use larder_commands::plan::{Plan, plan};
use larder_commands::reply::{Protocol, Reply};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::connection::Connection;
use super::step::write_core_reply;
use crate::limits::WATCHES_MAX;
use crate::server::Server;

/// How often a key is looked at that another node leads, in case it expires.
const LOOK_AWAY_EVERY: Duration = Duration::from_secs(3);
/// How often a key of this node is looked at, in case it expires.
const LOOK_HERE_EVERY: Duration = Duration::from_secs(1);
/// Messages that wait for the client; its watches wait then.
const MESSAGES_MAX: usize = 16;

/// The watches of one connection.
pub struct Watches {
    sender: mpsc::Sender<Bytes>,
    receiver: mpsc::Receiver<Bytes>,
    /// By database and key.
    tasks: BTreeMap<(u8, Bytes), Task>,
}

/// A watch at work; it ends when this is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watches {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        Self {
            sender,
            receiver,
            tasks: BTreeMap::new(),
        }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Bytes {
        match self.receiver.recv().await {
            Some(message) => message,
            // The sender is kept here, so there is always one.
            None => std::future::pending().await,
        }
    }

    /// A message that waits.
    pub(super) fn waiting(&mut self) -> Option<Bytes> {
        self.receiver.try_recv().ok()
    }
}

impl Connection {
    /// Begins to watch a key; gives its state.
    pub(crate) async fn watch(&mut self, key: Bytes) -> Result<Bytes, CommandError> {
        let watched = Watched::new(&self.server, self.database, self.reply.protocol(), &key)?;
        let watches = self.watches.get_or_insert_with(|| Box::new(Watches::new()));
        let name = (self.database, key);
        if watches.tasks.len() >= WATCHES_MAX && !watches.tasks.contains_key(&name) {
            return Err(CommandError::Text(format!(
                "ERR a connection watches at most {WATCHES_MAX} keys"
            )));
        }
        let sender = watches.sender.clone();
        // The waker is in its place before the first look, so no change is between them.
        let guard = watched.guard();
        let state = watched.state().await;
        if state.first() == Some(&b'-') {
            let text = String::from_utf8_lossy(&state);
            let text = text.trim_start_matches('-').trim_end().to_owned();
            return Err(CommandError::Text(text));
        }
        let first = state.clone();
        let task = Task(tokio::spawn(async move {
            guard.watched.follow(first, sender, &guard.waker).await;
        }));
        if let Some(watches) = &mut self.watches {
            watches.tasks.insert(name, task);
        }
        Ok(state)
    }

    /// Ends the watch of a key; says how many are left.
    pub(crate) fn unwatch(&mut self, key: &[u8]) -> usize {
        let Some(watches) = &mut self.watches else {
            return 0;
        };
        watches
            .tasks
            .remove(&(self.database, Bytes::copy_from_slice(key)));
        watches.tasks.len()
    }
}

/// A key that is watched, and how to look at it.
#[derive(Clone)]
struct Watched {
    server: Arc<Server>,
    key: Bytes,
    row: RowKey,
    protocol: Protocol,
    plan: Plan,
    request: Request,
}

/// Takes the waker away when the watch ends, however it does.
struct Guard {
    watched: Watched,
    waker: Arc<Notify>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Watched {
            server, row, plan, ..
        } = &self.watched;
        let (runtime, waker) = (&server.runtime, &self.waker);
        for partition in &plan.partitions {
            runtime
                .watchers
                .remove(&runtime.node, *partition, row, waker);
        }
    }
}

impl Watched {
    fn new(
        server: &Arc<Server>,
        database: u8,
        protocol: Protocol,
        key: &Bytes,
    ) -> Result<Self, CommandError> {
        let args = OwnedArgs::new(&[b"LGET", key]);
        let plan = plan(args.as_args(), server.partitions)?;
        let request = plan.request(args.as_args(), database, protocol, 1);
        let row = plan.pull(args.as_args(), database);
        let row = row.ok_or(CommandError::Syntax)?;
        Ok(Self {
            server: server.clone(),
            key: key.clone(),
            row,
            protocol,
            plan,
            request,
        })
    }

    fn guard(&self) -> Guard {
        let waker = Arc::new(Notify::new());
        let runtime = &self.server.runtime;
        for partition in &self.plan.partitions {
            runtime
                .watchers
                .add(runtime, *partition, &self.row, waker.clone());
        }
        Guard {
            watched: self.clone(),
            waker,
        }
    }

    /// What LGET answers now.
    async fn state(&self) -> Bytes {
        match self.server.runtime.run(self.request.clone()).await {
            CoreReply::Done(bytes) => bytes,
            other => {
                let mut error = Reply::new(self.protocol);
                write_core_reply(&mut error, other);
                error.into_vec().into()
            }
        }
    }

    /// Whether another node leads the key.
    fn is_away(&self) -> bool {
        let now = self.server.runtime.clock.now();
        let node = &self.server.runtime.node;
        self.plan
            .partitions
            .iter()
            .any(|partition| node.route(*partition, now) != Route::Here)
    }

    /// Sends every state that differs from the one before.
    async fn follow(&self, mut last: Bytes, sender: mpsc::Sender<Bytes>, waker: &Notify) {
        loop {
            let every = if self.is_away() {
                LOOK_AWAY_EVERY
            } else {
                LOOK_HERE_EVERY
            };
            // Whichever comes first: either is a reason to look.
            let _ = tokio::time::timeout(every, waker.notified()).await;
            let state = self.state().await;
            // An error passes; one that stays is told, as it is what LGET would say.
            let is_passing = state.first() == Some(&b'-') && !state.starts_with(b"-WRONGTYPE");
            if is_passing || state == last {
                continue;
            }
            last = state;
            if sender.send(self.message(&last)).await.is_err() {
                return;
            }
        }
    }

    fn message(&self, state: &[u8]) -> Bytes {
        let mut message = Reply::new(self.protocol);
        message.push(3);
        message.bulk(b"lwatch");
        message.bulk(&self.key);
        message.raw(state);
        message.into_vec().into()
    }
}
