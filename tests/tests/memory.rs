//! More data than the cache holds: nothing is lost or refused, and memory stays bounded.

use std::fs;

use larder_tests::Checked;
use larder_tests::failure::{Failure, ensure};
use larder_tests::node::{Node, NodePlan};
use larder_tests::wait::{PATIENCE, until};
use tempfile::TempDir;

const KEYS: u64 = 24_000;
const CACHE: u64 = 4 << 20;

/// A value of a kilobyte: every other one compresses well.
fn value(key: u64) -> Vec<u8> {
    let mut state = key;
    (0..1024)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if key.is_multiple_of(2) {
                b'a' + (key % 23) as u8
            } else {
                (state >> 56) as u8
            }
        })
        .collect()
}

fn bytes_of(node: &Node, field: &str) -> Checked<u64> {
    let info = node.ask("INFO larder_cache")?;
    let found = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        value.trim().parse().ok().filter(|_| name == field)
    });
    found.ok_or_else(|| Failure::new(format!("no {field} in {info}")))
}

#[test]
fn six_times_what_the_cache_holds_is_written_and_read_through_a_small_one() -> Checked {
    let root = TempDir::new()?;
    let secret = root.path().join("secret");
    fs::write(&secret, "a secret of sixteen bytes or more")?;
    let settings = [
        ("partitions", "64".to_owned()),
        ("cache-size", CACHE.to_string()),
    ];
    let mut node = Node::start(NodePlan {
        name: "n1".to_owned(),
        root: root.path().to_owned(),
        secret,
        join: Vec::new(),
        port: 0,
        settings: settings
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
    })?;
    let connect = |node: &Node| -> Checked<redis::Connection> {
        let url = format!("redis://127.0.0.1:{}", node.port());
        Ok(redis::Client::open(url)?.get_connection()?)
    };
    let mut connection = connect(&node)?;
    for first in (0..KEYS).step_by(200) {
        let mut pipe = redis::pipe();
        for key in first..first + 200 {
            pipe.set(key, value(key)).ignore();
        }
        pipe.query::<()>(&mut connection)?;
    }
    let check = |connection: &mut redis::Connection| -> Checked {
        for first in (0..KEYS).step_by(200) {
            let keys: Vec<u64> = (first..first + 200).collect();
            let found: Vec<Vec<u8>> = redis::cmd("MGET").arg(&keys).query(connection)?;
            for (key, found) in keys.iter().zip(found) {
                ensure(found == value(*key), || {
                    format!("key {key} is not what it was")
                })?;
            }
        }
        Ok(())
    };
    check(&mut connection)?;
    until("the cache is as small as it is to be", PATIENCE, || {
        let all = bytes_of(&node, "cache_bytes")?;
        let waiting = bytes_of(&node, "cache_dirty_bytes")?;
        ensure(all.saturating_sub(waiting) <= CACHE, || {
            format!("{all} bytes, of which {waiting} wait")
        })
    })?;
    node.kill()?;
    node.restart()?;
    check(&mut connect(&node)?)
}
