//! What all connections of a node share.

use std::net::SocketAddr;
use std::sync::Arc;

use larder_cluster::token::Partitions;
use larder_commands::Commands;
use tokio::sync::watch;

use crate::client::{Clients, Queues};
use crate::latency::LatencyLog;
use crate::link::Links;
use crate::logging::LogControl;
use crate::metrics::Metrics;
use crate::pause::Pause;
use crate::peers::Peers;
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::slow_log::SlowLog;
use crate::stats::Stats;

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
    /// What the other nodes tell of themselves.
    pub peers: Arc<Peers>,
    /// Totals.
    pub metrics: Arc<Metrics>,
    /// Figures that only INFO shows.
    pub stats: Stats,
    /// Commands that took long.
    pub slow_log: SlowLog,
    /// Moments at which something took long.
    pub latency: LatencyLog,
    /// Who waits for keys.
    pub queues: Queues,
    /// Whether commands are held up.
    pub pause: Pause,
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

impl Server {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        runtime: Arc<Runtime>,
        commands: Arc<Commands>,
        links: Links,
        log: LogControl,
        peers: Arc<Peers>,
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
            peers,
            metrics: Arc::default(),
            stats: Stats::default(),
            slow_log: SlowLog::default(),
            latency: LatencyLog::default(),
            queues: Queues::default(),
            pause: Pause::default(),
            shutdown: watch::Sender::new(None),
        }
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.runtime.settings.load_full()
    }
}
