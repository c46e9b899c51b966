//! Where a node listens, and where others are told to reach it.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::BootError;
use crate::peers::split;
use crate::settings::Settings;
use crate::settings::check::{BindAddress, bind_addresses, peer_port};

/// The ports of a node, all bound before anything else is touched: a second node on the same ports
/// ends here.
pub(super) struct Ports {
    pub(super) clients: Vec<TcpListener>,
    pub(super) peers: Vec<TcpListener>,
    pub(super) metrics: Vec<TcpListener>,
    /// Where peers reach this node.
    pub(super) announced: String,
    /// Where clients reach it.
    pub(super) clients_reach: String,
}

impl Ports {
    /// Binds all ports that the settings name. A node whose secret `is_own` has no peers to expect
    /// from outside, and listens for them on loopback only.
    pub(super) async fn open(settings: &Settings, is_own: bool) -> Result<Self, BootError> {
        let clients = bind(&settings.bind.0, settings.port).await?;
        let peer_words = match &settings.peer_bind {
            Some(words) => words.0.clone(),
            None if is_own => vec!["127.0.0.1".to_owned(), "-::1".to_owned()],
            None => settings.bind.0.clone(),
        };
        let port = peer_port(settings).map_err(BootError::Setting)?;
        let peers = bind(&peer_words, port).await?;
        let metrics = match settings.metrics_port {
            0 => Vec::new(),
            port => bind(&settings.metrics_bind.0, port).await?,
        };
        let announced = announced(settings, &addresses(&peers)?);
        let clients_reach = clients_reach(settings, &addresses(&clients)?, &announced);
        Ok(Self {
            clients,
            peers,
            metrics,
            announced,
            clients_reach,
        })
    }

    pub(super) fn client_addresses(&self) -> Result<Vec<SocketAddr>, BootError> {
        addresses(&self.clients)
    }

    pub(super) fn peer_addresses(&self) -> Result<Vec<SocketAddr>, BootError> {
        addresses(&self.peers)
    }
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
fn clients_reach(settings: &Settings, addresses: &[SocketAddr], announced: &str) -> String {
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
    match (&settings.announce_address, own) {
        (None, Some(address)) => address.to_string(),
        // A host that is announced is meant for all who come from elsewhere.
        _ => named(host),
    }
}
