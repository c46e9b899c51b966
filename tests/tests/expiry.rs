//! Expired keys leave DBSIZE and the disk of a real node, untouched, also after a restart.

use larder_cluster::id::PartitionId;
use larder_cluster::store::{Slot, Store};
use larder_storage::{RocksStore, Settings};
use larder_tests::failure::{Failure, ensure};
use larder_tests::{Checked, Cluster};

/// How many rows and deadlines the tables of a stopped node hold.
fn on_disk(cluster: &Cluster, node: usize) -> Checked<(usize, usize)> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let directory = cluster.node(node).directory();
    let store = RocksStore::open(&directory, &Settings::default()).map_err(|e| failed(&e))?;
    let (mut rows, mut deadlines) = (0, 0);
    for (slot, _) in store.stored().map_err(|e| failed(&e))?.copies {
        rows += store
            .rows(slot, None, 10_000)
            .map_err(|e| failed(&e))?
            .len();
        let found = store.deadlines(slot, None, 10_000);
        deadlines += found.map_err(|e| failed(&e))?.len();
    }
    let nowhere = Slot {
        partition: PartitionId(u16::MAX),
        number: u32::MAX,
    };
    let beyond = store.rows(nowhere, None, 1).map_err(|e| failed(&e))?;
    ensure(beyond.is_empty(), || "rows of no copy".to_owned())?;
    Ok((rows, deadlines))
}

fn set(cluster: &Cluster, prefix: &str, count: usize, options: &str) -> Checked {
    let mut client = cluster.client(0)?;
    (0..count).try_for_each(|key| client.says(&format!("SET {prefix}{key} v{options}"), "+OK"))
}

#[test]
fn expired_keys_leave_every_replica_and_its_disk_although_nobody_asks() -> Checked {
    let mut cluster = Cluster::of(3)?;
    set(&cluster, "kept", 20, "")?;
    set(&cluster, "later", 30, " EX 10000")?;
    set(&cluster, "soon", 200, " PX 3000")?;
    cluster.level()?;
    // Some are on the disk when their time comes, some in the redo alone.
    cluster.node(1).says("SAVE", "+OK")?;
    cluster.all_come_to_say("DBSIZE", ":50")?;
    for node in 0..3 {
        cluster.node(node).says("SAVE", "+OK")?;
        let info = cluster.node(node).ask("INFO stats")?;
        ensure(info.contains("expired_keys:200"), || info.clone())?;
        cluster.node_mut(node).stop()?;
        let found = on_disk(&cluster, node)?;
        ensure(found == (50, 30), || format!("node {node}: {found:?}"))?;
    }
    Ok(())
}

#[test]
fn keys_that_expire_while_their_node_is_away_are_gone_when_it_is_back() -> Checked {
    let mut cluster = Cluster::of(1)?;
    set(&cluster, "stored", 100, " PX 3000")?;
    cluster.node(0).says("SAVE", "+OK")?;
    set(&cluster, "redo", 100, " PX 3000")?;
    set(&cluster, "kept", 10, "")?;
    cluster.node_mut(0).kill()?;
    cluster.node_mut(0).restart()?;
    cluster.node(0).comes_to_say("DBSIZE", ":10")?;
    cluster.node_mut(0).stop()?;
    let found = on_disk(&cluster, 0)?;
    ensure(found == (10, 0), || format!("{found:?}"))
}
