//! Slots: how clients of Redis clusters divide the keys, which no data here depends on.
//!
//! The 16,384 slots are handed evenly to the nodes in reach, so that such clients spread their
//! load; any node serves any key.

use larder_cluster::id::NodeId;
use larder_cluster::token::hash_tag;
use larder_commands::args::Args;
use larder_commands::error::CommandError;

use super::Outcome;
use super::numbers::integer;
use crate::client::{Connection, Step};
use crate::peers::split;
use crate::server::Server;

/// All slots.
pub(super) const SLOTS: usize = 16_384;

/// A node with its slots, and where clients reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) node: NodeId,
    pub(super) host: String,
    pub(super) port: u16,
    /// The first and the last slot.
    pub(super) slots: (usize, usize),
}

/// The nodes in reach that have told where clients reach them, each with its part of the slots.
pub(super) fn holders(server: &Server) -> Vec<Holder> {
    let view = server.runtime.node.view();
    let reached: Vec<(NodeId, String)> = view
        .layout
        .nodes()
        .filter(|(node, _)| view.up.contains(node))
        .filter_map(|(node, _)| Some((node, server.peers.client_address(node)?)))
        .collect();
    let count = reached.len();
    reached
        .into_iter()
        .enumerate()
        .filter_map(|(at, (node, address))| {
            let (host, port) = split(&address)?;
            let (host, slots) = (host.to_owned(), part(at, count));
            Some(Holder {
                node,
                host,
                port,
                slots,
            })
        })
        .collect()
}

/// The first and the last slot of the node at `at` among `count`.
fn part(at: usize, count: usize) -> (usize, usize) {
    (at * SLOTS / count, (at + 1) * SLOTS / count - 1)
}

/// CRC-16 (XMODEM) of what Redis hashes of a key.
fn slot_of(key: &[u8]) -> usize {
    let mut crc: u16 = 0;
    for byte in hash_tag(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
        }
    }
    usize::from(crc) % SLOTS
}

pub(super) fn of_key(connection: &mut Connection, args: Args<'_>) -> Outcome {
    connection.reply.count(slot_of(args.at(2)));
    Ok(Step::Done)
}

fn slot(text: &[u8]) -> Result<usize, CommandError> {
    let slot = usize::try_from(integer(text)?)
        .ok()
        .filter(|slot| *slot < SLOTS);
    slot.ok_or(CommandError::Fixed("ERR Invalid slot"))
}

/// Keys are not kept by slot: to count them would mean to read them all.
const NO_SLOTS: CommandError = CommandError::Fixed(
    "ERR Larder places keys by MD5 and keeps none by slot; SCAN and DBSIZE see all keys of the \
     cluster from any node",
);

pub(super) fn count_keys(_: &mut Connection, args: Args<'_>) -> Outcome {
    slot(args.at(2))?;
    Err(NO_SLOTS)
}

pub(super) fn keys(_: &mut Connection, args: Args<'_>) -> Outcome {
    slot(args.at(2))?;
    integer(args.at(3))?;
    Err(NO_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        for (key, slot) in [("foo", 12182), ("bar", 5061), ("", 0), ("x{foo}y", 12182)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn every_slot_has_one_holder() {
        for count in 1..=64 {
            let mut next = 0;
            for at in 0..count {
                let (first, last) = part(at, count);
                assert_eq!(first, next);
                assert!(last >= first && last - first <= SLOTS / count);
                next = last + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }
}
