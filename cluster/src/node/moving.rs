//! A node that is alone takes what it holds to another cluster.
//!
//! Its copies become like any others that lack something. Of a partition that it is to own there,
//! its copy is that of an owner that returns: it fetches the whole from an owner that is ready, and
//! joins it. Any other copy is that of an old owner: it goes to the owners, and ends when all of
//! them have it. The dots of the two clusters have nothing in common, so nothing that is held on
//! either side is taken for removed, and conflicts are resolved as those of a cut are.

use std::sync::atomic::Ordering;

use super::Node;
use crate::env::Now;
use crate::id::NodeId;
use crate::layout::{Layout, LayoutError};

impl Node {
    /// Tells a peer that has just come up which layout this node has; but no stranger while this
    /// node may be about to leave that layout: whoever took it for a cluster to join would be left
    /// behind.
    pub(super) fn introduce(&self, peer: NodeId, layout: &Layout) {
        if layout.entry(peer).is_some() || !self.moving.load(Ordering::Acquire) {
            self.send_layout(peer, layout);
        }
    }

    /// Says whether this node is about to look for another cluster; `false` if it was already.
    pub fn set_moving(&self, moving: bool) -> bool {
        self.moving.swap(moving, Ordering::AcqRel) != moving
    }

    /// Joins the cluster of `theirs` with everything that this node holds. What that leaves to be
    /// persisted must be on the disk before [`Node::follow_layout`] lets the new peers know.
    ///
    /// # Errors
    /// As [`Layout::with_arriving`]; nothing has changed then.
    pub fn join_cluster(&self, theirs: &Layout, now: Now) -> Result<(), LayoutError> {
        let _changing = self.changing.lock();
        let layout = theirs.with_arriving(&self.view().layout, self.id)?;
        self.see(&layout);
        let settings = self.settings();
        let env = self.env(&settings, now);
        for partition in layout.partitions().iter() {
            self.act(&env, partition, |partition, env, out| {
                partition.arrive(env, out)
            });
        }
        // Behind the copies: until this is on the disk, the node is what it was.
        self.record_state();
        self.refresh_view();
        Ok(())
    }

    /// Lets the layers above see that the layout has changed.
    pub fn follow_layout(&self) {
        self.layout_version.fetch_add(1, Ordering::AcqRel);
    }
}
