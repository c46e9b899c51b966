//! What is known of every connected client: CLIENT LIST, KILL and the limits read it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use larder_commands::table;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::block::Unblock;
use crate::runtime::clock_unix_ms;

/// In place of a row's number.
const NO_COMMAND: usize = usize::MAX;

/// In place of a number of queued commands.
pub(crate) const NO_TRANSACTION: u64 = u64::MAX;

/// One client.
#[derive(Debug)]
pub struct ClientInfo {
    /// Its number, never given twice by one process.
    pub id: u64,
    /// Where it comes from.
    pub address: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// When it came, in unix milliseconds.
    pub since_ms: u64,
    /// When it last sent a command, in unix milliseconds.
    pub active_ms: AtomicU64,
    /// The selected database.
    pub database: AtomicU8,
    /// The version of RESP.
    pub protocol: AtomicU8,
    /// The number of the row of its last command; [`NO_COMMAND`] if it sent none.
    pub command: AtomicUsize,
    /// What it tells of itself: name, library, version of the library.
    pub words: Mutex<ClientWords>,
    /// Bytes of replies that wait to be written.
    pub output_bytes: AtomicU64,
    /// Bytes of a request that is not complete.
    pub input_bytes: AtomicU64,
    /// Commands that wait for EXEC; all ones where there was no MULTI.
    pub queued: AtomicU64,
    /// About how much memory they take.
    pub queued_bytes: AtomicU64,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// Whether the connection is to end.
    pub is_killed: AtomicBool,
    /// Wakes the connection to end.
    pub kill: Notify,
    /// CLIENT UNBLOCK.
    pub unblock: Unblock,
}

/// What a client tells of itself.
#[derive(Debug, Clone, Default)]
pub struct ClientWords {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: String,
}

impl ClientInfo {
    /// Ends the connection as soon as it looks.
    pub fn end(&self) {
        self.is_killed.store(true, Ordering::Release);
        self.kill.notify_one();
    }

    /// Whether the connection is about to end: for others it is gone.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.is_killed.load(Ordering::Acquire)
    }

    /// How many commands wait for EXEC, if there was a MULTI.
    #[must_use]
    pub fn queued(&self) -> Option<u64> {
        let queued = self.queued.load(Ordering::Relaxed);
        (queued != NO_TRANSACTION).then_some(queued)
    }

    fn command_name(&self) -> &'static str {
        let number = self.command.load(Ordering::Relaxed);
        let found = table::rows().find(|found| found.number == number);
        found.map_or("NULL", |found| found.command.name)
    }

    /// The line of CLIENT LIST.
    #[must_use]
    pub fn line(&self) -> String {
        let words = self.words.lock().clone();
        let now = clock_unix_ms();
        let seconds = |since: u64| now.saturating_sub(since) / 1000;
        let mut flags = String::new();
        let queued = self.queued();
        if queued.is_some() {
            flags.push('x');
        }
        if self.no_evict.load(Ordering::Relaxed) {
            flags.push('e');
        }
        if self.no_touch.load(Ordering::Relaxed) {
            flags.push('T');
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let input = self.input_bytes.load(Ordering::Relaxed);
        let output = self.output_bytes.load(Ordering::Relaxed);
        let queued_bytes = self.queued_bytes.load(Ordering::Relaxed);
        format!(
            "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={flags} db={} sub=0 psub=0 \
             ssub=0 multi={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0 oll=0 \
             omem={} tot-mem={} events=r cmd={} user=default redir=-1 resp={} lib-name={} \
             lib-ver={}",
            self.id,
            self.address,
            self.local,
            words.name,
            seconds(self.since_ms),
            seconds(self.active_ms.load(Ordering::Relaxed)),
            self.database.load(Ordering::Relaxed),
            queued.map_or(-1, |queued| i64::try_from(queued).unwrap_or(i64::MAX)),
            input,
            queued_bytes,
            output,
            input + output + queued_bytes,
            self.command_name(),
            self.protocol.load(Ordering::Relaxed),
            words.lib_name,
            words.lib_version,
        )
    }
}

/// All connected clients.
#[derive(Debug, Default)]
pub struct Clients {
    next: AtomicU64,
    connected: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
}

impl Clients {
    /// Takes a client in, unless there are `limit` already.
    pub fn admit(
        &self,
        address: SocketAddr,
        local: SocketAddr,
        limit: u64,
    ) -> Option<Arc<ClientInfo>> {
        let mut connected = self.connected.lock();
        if connected.len() as u64 >= limit {
            return None;
        }
        let now = clock_unix_ms();
        let info = Arc::new(ClientInfo {
            id: self.next.fetch_add(1, Ordering::Relaxed) + 1,
            address,
            local,
            since_ms: now,
            active_ms: AtomicU64::new(now),
            database: AtomicU8::new(0),
            protocol: AtomicU8::new(2),
            command: AtomicUsize::new(NO_COMMAND),
            words: Mutex::default(),
            output_bytes: AtomicU64::new(0),
            input_bytes: AtomicU64::new(0),
            queued: AtomicU64::new(NO_TRANSACTION),
            queued_bytes: AtomicU64::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            is_killed: AtomicBool::new(false),
            kill: Notify::new(),
            unblock: Unblock::default(),
        });
        connected.insert(info.id, info.clone());
        Some(info)
    }

    /// Forgets a client that has gone.
    pub fn dismiss(&self, id: u64) {
        self.connected.lock().remove(&id);
    }

    /// The client of that number, while it is connected.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.connected.lock().get(&id).cloned()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.connected.lock().len()
    }

    /// All of them, by number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ClientInfo>> {
        self.connected.lock().values().cloned().collect()
    }
}
