//! From settings to a node at work: directory, identity, cluster, ports.

mod cluster;
mod ports;

use std::net::SocketAddr;
use std::sync::Arc;

use larder_cluster::layout::LayoutError;
use larder_cluster::node::Node;
use larder_cluster::store::{Store, StoreError};
use larder_commands::Commands;
use larder_crdt::context::ContextKey;
use larder_storage::RocksStore;
use prometheus_client::registry::Registry;
use thiserror::Error;

use self::ports::Ports;
use crate::bridge::{Bridge, LinkCarrier};
use crate::client::listen;
use crate::link::handshake::Identity;
use crate::link::{LinkError, LinkLimits, Links};
use crate::logging::LogControl;
use crate::metrics::{self, Source, page};
use crate::node_file::NodeFile;
use crate::peers::{About, Peers};
use crate::runtime::{Background, Runtime, SystemClock, clock_unix_ms, core_settings};
use crate::secret::{ClusterSecret, SecretError};
use crate::server::Server;
use crate::settings::Settings;
use crate::settings::live::LiveSettings;
use crate::settings::source::Loaded;
use crate::stats;

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum BootError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] larder_storage::OpenError),
    /// The stored data.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node in the directory.
    #[error(transparent)]
    Node(#[from] larder_cluster::node::OpenError),
    /// The cluster's secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The links.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The cluster does not take this node.
    #[error("cannot join the cluster: {0}")]
    Join(#[from] LayoutError),
    /// A setting.
    #[error("{0}")]
    Setting(String),
    /// A port.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A node at work, with everything that ends with it.
pub struct Booted {
    /// The server.
    pub server: Arc<Server>,
    /// Its threads.
    pub background: Background,
    /// Where it listens for clients.
    pub clients: Vec<SocketAddr>,
    /// Where it listens for peers.
    pub peers: Vec<SocketAddr>,
    /// What tells others so.
    pub file: NodeFile,
}

/// Starts a node.
///
/// # Errors
/// [`BootError`].
pub async fn boot(loaded: Loaded, log: LogControl) -> Result<Booted, BootError> {
    let live = Arc::new(LiveSettings::new(loaded));
    let settings = live.load_full();
    let store_settings = larder_storage::Settings::default();
    let store: Arc<dyn Store> = Arc::new(RocksStore::open(&settings.dir, &store_settings)?);
    let secret = secret(&settings)?;
    let ports = Ports::open(&settings, secret.is_own()).await?;
    let clock = SystemClock::start();
    let commands = Arc::new(Commands::new(ContextKey::from_secret(secret.as_bytes())));
    let fresh = match Node::stored_state(&*store)? {
        Some(_) => None,
        None => Some(cluster::first_state(&settings, &secret, &ports.announced).await?),
    };
    let (core, run) = (core_settings(&settings), random()?);
    let node = Node::open(
        store.clone(),
        commands.clone(),
        core,
        fresh,
        run,
        clock.now(),
    )?;
    announce(&node, &ports.announced)?;

    let carrier = Arc::new(LinkCarrier::default());
    let known = Arc::new(Peers::default());
    let bridge = Arc::new(Bridge::new(known.clone()));
    let links = Links::new(
        secret,
        identity(&node, &ports, &known),
        LinkLimits::default(),
        bridge.clone(),
    )?;
    carrier.connect(links.clone());
    let runtime = Arc::new(Runtime::new(node, store, live, clock, carrier));
    bridge.connect(runtime.clone());
    runtime.commit()?;
    let background = Background::start(&runtime)?;
    let (clients, peers) = (ports.client_addresses()?, ports.peer_addresses()?);
    let file = NodeFile::write(&settings.dir, runtime.node.id(), &clients, &peers)?;
    let server = Arc::new(Server::new(
        runtime,
        commands,
        links,
        log,
        known,
        clients.clone(),
    ));
    serve(&server, ports);
    Ok(Booted {
        server,
        background,
        clients,
        peers,
        file,
    })
}

/// The cluster's secret, from wherever it is kept.
fn secret(settings: &Settings) -> Result<ClusterSecret, BootError> {
    let variable = std::env::var(crate::secret::VARIABLE).ok();
    let secret = ClusterSecret::find(
        variable.as_deref(),
        &settings.cluster_secret_file,
        &settings.dir,
    )?;
    if secret.is_exposed() {
        tracing::warn!("the file of the cluster's secret can be read by other users");
    }
    Ok(secret)
}

/// Tells the layout where peers reach this node now.
fn announce(node: &Node, address: &str) -> Result<(), BootError> {
    let own = node
        .view()
        .layout
        .entry(node.id())
        .map(|entry| entry.address.clone());
    match own {
        Some(own) if own != address => {
            let id = node.id();
            node.change_layout(|layout| layout.with_address(id, address))?;
        }
        Some(_) => {}
        None => tracing::warn!("this node has left its cluster; it only hands over what it has"),
    }
    Ok(())
}

/// What this node says of itself on every link, and knows of itself.
fn identity(node: &Node, ports: &Ports, known: &Peers) -> Identity {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let about = About {
        clients: ports.clients_reach.clone(),
        version,
    };
    let info = about.encode();
    known.learn(node.id(), about);
    Identity {
        node: node.id(),
        cluster: node.view().layout.cluster(),
        info,
    }
}

/// Takes peers, clients and readers of metrics from here on.
fn serve(server: &Arc<Server>, ports: Ports) {
    server.metrics.start_time.set(clock_unix_ms() / 1000);
    tokio::spawn(stats::sample(Arc::downgrade(server)));
    for listener in ports.peers {
        server.links.listen(listener);
    }
    if !ports.metrics.is_empty() {
        let registry = Arc::new(registry(server));
        for listener in ports.metrics {
            tokio::spawn(page::serve(listener, registry.clone(), page::PATIENCE));
        }
    }
    for listener in ports.clients {
        tokio::spawn(listen(server.clone(), listener));
    }
}

fn registry(server: &Server) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Source {
        rows: metrics::ROWS,
        values: server.metrics.clone(),
    }));
    registry.register_collector(Box::new(Source {
        rows: metrics::LINK_ROWS,
        values: server.links.clone(),
    }));
    registry.register_collector(Box::new(Source {
        rows: metrics::NODE_ROWS,
        values: server.runtime.clone(),
    }));
    registry
}

fn random() -> Result<u128, BootError> {
    Ok(u128::from_be_bytes(crate::link::handshake::random()?))
}
