//! What a node stores beside its copies: who it is, and the cluster as it knows it.
//!
//! ```text
//! version (1)  node id (16 bytes)  layout
//! ```

use larder_crdt::{DecodeError, Reader, Writer};

use super::Node;
use crate::id::NodeId;
use crate::layout::Layout;
use crate::limits::NODE_STATE_BYTES_MAX;

const VERSION: u8 = 1;

/// Identity and layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The node that the directory belongs to.
    pub id: NodeId,
    /// The cluster.
    pub layout: Layout,
}

impl NodeState {
    /// The bytes of the state.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.u128_be(self.id.0);
        writer.bytes(&self.layout.encode());
        writer.into_vec()
    }

    /// Reads what [`NodeState::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(DecodeError::UnknownTag);
        }
        let id = NodeId(reader.u128_be()?);
        let layout = Layout::decode(reader.bytes(NODE_STATE_BYTES_MAX)?)?;
        reader.finish()?;
        Ok(Self { id, layout })
    }
}

impl Node {
    /// What the node stores beside its copies.
    #[must_use]
    pub fn state(&self) -> NodeState {
        NodeState {
            id: self.id,
            layout: (*self.view().layout).clone(),
        }
    }
}
