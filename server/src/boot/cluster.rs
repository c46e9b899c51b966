//! The cluster that a new node begins or joins.

use std::time::Duration;

use bytes::Bytes;
use larder_cluster::id::NodeId;
use larder_cluster::layout::{Joiner, Layout};
use larder_cluster::node::NodeState;
use larder_cluster::token::Partitions;

use super::{BootError, random};
use crate::bridge::LayoutWanted;
use crate::link::handshake::Identity;
use crate::link::{LinkError, LinkLimits, Links};
use crate::secret::ClusterSecret;
use crate::settings::Settings;

/// How long a new node looks for the cluster that it is to join before it says so again.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);

/// The state of a node whose directory is new: the first of a cluster, or one that joins.
pub(super) async fn first_state(
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
                let join = settings.join.0.join(" ");
                tracing::warn!(join, "no node of the cluster answers; trying on");
            }
        }
    }
}
