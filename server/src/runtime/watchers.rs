//! Who is to be told when a row changes here.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_cluster::id::PartitionId;
use larder_cluster::node::Node;
use larder_cluster::row_key::RowKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Runtime;

type Row = (PartitionId, RowKey);

/// Those who wait for changes of rows, by row.
#[derive(Debug, Default)]
pub struct Watchers {
    rows: Mutex<BTreeMap<Row, Vec<Arc<Notify>>>>,
}

impl Watchers {
    /// From here on `waker` is woken when the row changes in a copy of this node or at the node
    /// that leads it.
    pub fn add(&self, runtime: &Runtime, partition: PartitionId, row: &RowKey, waker: Arc<Notify>) {
        let mut rows = self.rows.lock();
        rows.entry((partition, row.clone()))
            .or_default()
            .push(waker);
        runtime.node.watch(partition, row, runtime.clock.now());
    }

    /// `waker` is woken no more.
    pub fn remove(&self, node: &Node, partition: PartitionId, row: &RowKey, waker: &Arc<Notify>) {
        let mut rows = self.rows.lock();
        let key = (partition, row.clone());
        let Some(wakers) = rows.get_mut(&key) else {
            return;
        };
        wakers.retain(|other| !Arc::ptr_eq(other, waker));
        if wakers.is_empty() {
            rows.remove(&key);
            node.unwatch(partition, row);
        }
    }

    /// The row has changed.
    pub(super) fn wake(&self, partition: PartitionId, row: RowKey) {
        if let Some(wakers) = self.rows.lock().get(&(partition, row)) {
            wakers.iter().for_each(|waker| waker.notify_one());
        }
    }
}
