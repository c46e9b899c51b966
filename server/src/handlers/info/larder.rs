//! The sections that only Larder has.

use std::sync::atomic::Ordering;

use larder_crdt::ConflictKind;

use super::super::ring::members;
use super::super::{counts, lag};
use super::Lines;
use crate::server::Server;

pub(super) fn ring(server: &Server, lines: &mut Lines) {
    let node = &server.runtime.node;
    let view = node.view();
    let members = members(server);
    let reach = |word: &str| members.iter().filter(|member| member.reach == word).count();
    lines.add("ring_cluster_id", format!("{:032x}", view.layout.cluster()));
    lines.add("ring_node_id", node.id());
    lines.add("ring_partitions", server.partitions.count());
    lines.add("ring_replicas", view.layout.replicas());
    lines.add("ring_layout_version", node.layout_version());
    lines.add("ring_nodes", members.len());
    lines.add("ring_nodes_up", reach("up"));
    lines.add("ring_nodes_suspect", reach("suspect"));
    lines.add("ring_nodes_down", reach("down"));
    for (at, member) in members.iter().enumerate() {
        lines.add(
            &format!("ring_node{at}"),
            format!(
                "id={},address={},clients={},state={},reach={},zone={},weight={},primaries={},\
                 copies={},share={:.4}",
                member.node,
                member.address,
                member.clients,
                member.state,
                member.reach,
                member.zone,
                member.weight,
                member.primaries,
                member.copies,
                member.share,
            ),
        );
    }
}

pub(super) fn replication(server: &Server, lines: &mut Lines) {
    let lags = lag::of_peers(server);
    let view = server.runtime.node.view();
    let links = server.links.list();
    lines.add(
        "lag_partitions",
        lags.values().map(|lag| lag.partitions).sum::<u64>(),
    );
    lines.add(
        "lag_changes",
        lags.values().map(|lag| lag.dots).sum::<u64>(),
    );
    lines.add(
        "lag_ms",
        lags.values().map(|lag| lag.for_ms).max().unwrap_or(0),
    );
    let stats = server.links.stats();
    for (field, number) in [
        ("link_received_bytes", &stats.received_bytes),
        ("link_sent_bytes", &stats.sent_bytes),
        ("link_received_messages", &stats.received_messages),
        ("link_sent_messages", &stats.sent_messages),
        ("link_queues_full", &stats.queues_full),
    ] {
        lines.add(field, number.load(Ordering::Relaxed));
    }
    for (at, (node, lag)) in lags.iter().enumerate() {
        let link = links.iter().find(|link| link.peer == *node);
        lines.add(
            &format!("peer{at}"),
            format!(
                "id={node},reach={},link={},queued_bytes={},lag_partitions={},lag_changes={},\
                 lag_ms={}",
                if view.up.contains(node) { "up" } else { "down" },
                if link.is_some() { "up" } else { "down" },
                link.map_or(0, |link| link.queued_bytes),
                lag.partitions,
                lag.dots,
                lag.for_ms,
            ),
        );
    }
}

pub(super) fn partitions(server: &Server, lines: &mut Lines) {
    let copies = counts::copies(server);
    let counts = server.runtime.node.counts();
    for (field, number) in [
        ("partitions_led", copies.led),
        ("partitions_main_copies", copies.mains),
        ("partitions_missing_copies", copies.missing),
        ("partitions_fallback_copies", copies.fallbacks),
        ("partitions_being_filled", copies.staged),
        ("partitions_being_sent", copies.feeds),
        ("log_entries", copies.log),
        ("resets", copies.resets),
        ("deltas_joined", counts.deltas_joined),
        ("deltas_refused", counts.deltas_refused),
        ("deltas_sent", counts.deltas_sent),
        ("elements_sent", counts.elements_sent),
        ("transfers_begun", counts.transfers_begun),
        ("transfers_done", counts.transfers_done),
        ("fallbacks_handed_over", counts.fallbacks_dropped),
        ("mains_handed_over", counts.mains_dropped),
    ] {
        lines.add(field, number);
    }
}

pub(super) fn conflicts(server: &Server, lines: &mut Lines) {
    let journal = server.runtime.node.journal();
    for kind in ConflictKind::ALL {
        let field = format!("conflicts_{}", kind.word());
        lines.add(&field, journal.noted(kind));
    }
    let (entries, bytes) = journal.size();
    lines.add("conflict_journal_entries", entries);
    lines.add("conflict_journal_bytes", bytes);
    lines.add("stamps_ahead", counts::copies(server).drifted);
    lines.add(
        "conflict_journal_size",
        server.settings().conflict_journal_size,
    );
}

pub(super) fn cache(server: &Server, lines: &mut Lines) {
    let node = &server.runtime.node;
    lines.add("cache_bytes", node.cached_bytes());
    lines.add("cache_bytes_max", server.settings().cache_size.0);
    lines.add("cache_dirty_bytes", node.dirty_bytes());
}

pub(super) fn storage(server: &Server, lines: &mut Lines) {
    let runtime = &server.runtime;
    lines.add("storage_redo_bytes", runtime.store.redo_bytes());
    lines.add("storage_redo_end", runtime.node.redo_end().0);
    lines.add(
        "storage_checkpoints",
        runtime.checkpoints.load(Ordering::Relaxed),
    );
    lines.add(
        "storage_last_checkpoint",
        runtime.last_checkpoint_ms.load(Ordering::Relaxed) / 1000,
    );
    let refusal = runtime.node.refusal();
    lines.add(
        "storage_writes",
        if refusal.is_some() {
            "refused"
        } else {
            "taken"
        },
    );
    if let Some(reason) = refusal {
        lines.add(
            "storage_refusal",
            reason.to_string().replace(['\r', '\n'], " "),
        );
    }
}
