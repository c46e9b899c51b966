//! What all connections of a node share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use larder_cluster::token::Partitions;
use larder_commands::Commands;
use tokio::sync::watch;

use crate::client::Clients;
use crate::link::Links;
use crate::logging::LogControl;
use crate::runtime::Runtime;
use crate::settings::Settings;

/// What all connections of a node share.
pub struct Server {
    /// The core at work.
    pub runtime: Arc<Runtime>,
    /// The commands.
    pub commands: Arc<Commands>,
    /// The links to peers.
    pub links: Links,
    /// The log.
    pub log: LogControl,
    /// The clients.
    pub clients: Clients,
    /// Where clients are taken.
    pub addresses: Vec<SocketAddr>,
    /// Figures.
    pub stats: Stats,
    /// How many partitions the ring has.
    pub partitions: Partitions,
    /// Set when the process is to end; says whether what waits for other replicas is awaited.
    pub shutdown: watch::Sender<Option<Shutdown>>,
}

/// How a node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Whether to wait until the other replicas have what this node wrote.
    pub waits: bool,
}

/// Figures that connections count.
#[derive(Debug, Default)]
pub struct Stats {
    /// Commands run.
    pub commands: AtomicU64,
    /// Commands answered by an error.
    pub errors: AtomicU64,
    /// Reads that found their key.
    pub hits: AtomicU64,
    /// Reads that did not.
    pub misses: AtomicU64,
    /// Commands that other nodes ran for clients of this one.
    pub forwarded: AtomicU64,
    /// Bytes read from clients.
    pub input_bytes: AtomicU64,
    /// Bytes written to clients.
    pub output_bytes: AtomicU64,
}

impl Server {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        runtime: Arc<Runtime>,
        commands: Arc<Commands>,
        links: Links,
        log: LogControl,
        addresses: Vec<SocketAddr>,
    ) -> Self {
        let partitions = runtime.node.view().layout.partitions();
        Self {
            partitions,
            runtime,
            commands,
            links,
            log,
            clients: Clients::default(),
            addresses,
            stats: Stats::default(),
            shutdown: watch::Sender::new(None),
        }
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.runtime.settings.load_full()
    }
}
