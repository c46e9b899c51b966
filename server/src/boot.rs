//! From settings to a node at work: directory, identity, cluster, ports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use larder_cluster::id::NodeId;
use larder_cluster::layout::{Joiner, Layout, LayoutError};
use larder_cluster::node::{Node, NodeState};
use larder_cluster::store::{Store, StoreError};
use larder_cluster::token::Partitions;
use larder_commands::Commands;
use larder_crdt::context::ContextKey;
use larder_storage::RocksStore;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::bridge::{Bridge, LayoutWanted, LinkCarrier};
use crate::client::listen;
use crate::link::handshake::Identity;
use crate::link::{LinkError, LinkLimits, Links};
use crate::logging::LogControl;
use crate::peers::{About, Peers, split};
use crate::runtime::{Background, Runtime, SystemClock, clock_unix_ms, core_settings};
use crate::secret::{ClusterSecret, SecretError};
use crate::server::Server;
use crate::settings::Settings;
use crate::settings::check::{BindAddress, bind_addresses, peer_port};
use crate::settings::live::LiveSettings;
use crate::settings::source::Loaded;
use crate::stats;

/// How long a new node looks for the cluster that it is to join before it says so again.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);

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
    let variable = std::env::var(crate::secret::VARIABLE).ok();
    let secret = ClusterSecret::find(
        variable.as_deref(),
        &settings.cluster_secret_file,
        &settings.dir,
    )?;
    if secret.is_exposed() {
        tracing::warn!("the file of the cluster's secret can be read by other users");
    }
    let client_listeners = bind(&settings.bind.0, settings.port).await?;
    let peer_words = match &settings.peer_bind {
        Some(words) => words.0.clone(),
        None if secret.is_own() => vec!["127.0.0.1".to_owned(), "-::1".to_owned()],
        None => settings.bind.0.clone(),
    };
    let port = peer_port(&settings).map_err(BootError::Setting)?;
    let peer_listeners = bind(&peer_words, port).await?;
    let peers = addresses(&peer_listeners)?;
    let address = announced(&settings, &peers);

    let clock = SystemClock::start();
    let run = random()?;
    let fresh = match Node::stored_state(&*store)? {
        Some(_) => None,
        None => Some(first_state(&settings, &secret, &address).await?),
    };
    let commands = Arc::new(Commands::new(ContextKey::from_secret(secret.as_bytes())));
    let core = core_settings(&settings);
    let node = Node::open(
        store.clone(),
        commands.clone(),
        core,
        fresh,
        run,
        clock.now(),
    )?;
    let own = node
        .view()
        .layout
        .entry(node.id())
        .map(|entry| entry.address.clone());
    match own {
        Some(own) if own != address => {
            let id = node.id();
            node.change_layout(|layout| layout.with_address(id, &address))?;
        }
        Some(_) => {}
        None => tracing::warn!("this node has left its cluster; it only hands over what it has"),
    }

    let carrier = Arc::new(LinkCarrier::default());
    let known = Arc::new(Peers::default());
    let about = About {
        clients: clients_reach(&settings, &client_listeners, &address)?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    known.learn(node.id(), about.clone());
    let bridge = Arc::new(Bridge::new(known.clone()));
    let identity = Identity {
        node: node.id(),
        cluster: node.view().layout.cluster(),
        info: about.encode(),
    };
    let links = Links::new(secret, identity, LinkLimits::default(), bridge.clone())?;
    carrier.connect(links.clone());
    let runtime = Arc::new(Runtime::new(node, store, live, clock, carrier));
    bridge.connect(runtime.clone());
    runtime.commit()?;
    let background = Background::start(&runtime)?;
    for listener in peer_listeners {
        links.listen(listener);
    }
    let clients = addresses(&client_listeners)?;
    let server = Arc::new(Server::new(
        runtime,
        commands,
        links,
        log,
        known,
        clients.clone(),
    ));
    server.metrics.start_time.set(clock_unix_ms() / 1000);
    tokio::spawn(stats::sample(Arc::downgrade(&server)));
    for listener in client_listeners {
        tokio::spawn(listen(server.clone(), listener));
    }
    Ok(Booted {
        server,
        background,
        clients,
        peers,
    })
}

/// The state of a node whose directory is new: the first of a cluster, or one that joins.
async fn first_state(
    settings: &Settings,
    secret: &ClusterSecret,
    address: &str,
) -> Result<NodeState, BootError> {
    let id = NodeId(random()?);
    let joiner = Joiner {
        node: id,
        zone: settings.zone.clone(),
        weight: settings.weight as u32,
        address: address.to_owned(),
    };
    if settings.join.0.is_empty() {
        let partitions = Partitions::new(settings.partitions as usize)
            .ok_or_else(|| BootError::Setting("partitions must be a power of two".to_owned()))?;
        let layout = Layout::new(random()?, partitions, settings.replicas as usize);
        let layout = layout.with_joining(joiner)?.become_up(id)?;
        return Ok(NodeState { id, layout });
    }
    let layout = find_cluster(settings, secret, id).await?;
    Ok(NodeState {
        id,
        layout: layout.with_joining(joiner)?,
    })
}

/// Asks the nodes of the setting `join` for the layout of their cluster, until one answers.
async fn find_cluster(
    settings: &Settings,
    secret: &ClusterSecret,
    node: NodeId,
) -> Result<Layout, BootError> {
    let (wanted, mut found) = LayoutWanted::new();
    let identity = Identity {
        node,
        cluster: 0,
        info: Bytes::new(),
    };
    let links = Links::new(secret.clone(), identity, LinkLimits::default(), wanted)?;
    for address in &settings.join.0 {
        links.dial(address);
    }
    loop {
        match tokio::time::timeout(JOIN_PATIENCE, &mut found).await {
            Ok(Ok(layout)) => {
                links.close().await;
                return Ok(layout);
            }
            Ok(Err(_)) => return Err(BootError::Link(LinkError::Closed)),
            Err(_) => {
                tracing::warn!(join = ?settings.join.0, "no node of the cluster answers; trying on");
            }
        }
    }
}

fn random() -> Result<u128, BootError> {
    Ok(u128::from_be_bytes(crate::link::handshake::random()?))
}

async fn bind(words: &[String], port: u16) -> Result<Vec<TcpListener>, BootError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut port = port;
    for BindAddress {
        address,
        may_be_missing,
    } in bind_addresses(words).map_err(BootError::Setting)?
    {
        let address = SocketAddr::new(address, port);
        match TcpListener::bind(address).await {
            Ok(listener) => {
                // With port 0 all addresses share the port that the first one was given.
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            Err(source) if may_be_missing && !listeners.is_empty() => {
                tracing::debug!(%address, %source, "not listening there");
            }
            Err(source) => return Err(BootError::Listen { address, source }),
        }
    }
    Ok(listeners)
}

fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, BootError> {
    Ok(listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}

/// Where peers reach this node, as the layout tells them.
fn announced(settings: &Settings, peers: &[SocketAddr]) -> String {
    let port = peers.first().map_or(0, SocketAddr::port);
    match &settings.announce_address {
        Some(address)
            if address
                .rsplit_once(':')
                .is_some_and(|(_, p)| p.parse::<u16>().is_ok()) =>
        {
            address.clone()
        }
        Some(host) => format!("{host}:{port}"),
        None => peers
            .iter()
            .find(|address| !address.ip().is_unspecified())
            .map_or_else(|| format!("127.0.0.1:{port}"), ToString::to_string),
    }
}

/// Where clients reach this node, as it tells its peers: the first address that is not a wildcard,
/// or else the host that it announces to peers.
fn clients_reach(
    settings: &Settings,
    listeners: &[TcpListener],
    announced: &str,
) -> Result<String, BootError> {
    let addresses = addresses(listeners)?;
    let port = addresses.first().map_or(0, SocketAddr::port);
    let own = addresses
        .iter()
        .find(|address| !address.ip().is_unspecified());
    let host = split(announced).map_or("127.0.0.1", |(host, _)| host);
    let named = |host: &str| {
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    };
    Ok(match (&settings.announce_address, own) {
        (None, Some(address)) => address.to_string(),
        // A host that is announced is meant for all who come from elsewhere.
        _ => named(host),
    })
}
