//! The sections that Redis has.

use std::sync::atomic::Ordering;

use larder_commands::table;

use super::super::connection::REDIS_VERSION;
use super::super::{counts, process};
use super::Lines;
use crate::runtime::clock_unix_ms;
use crate::server::Server;

pub(super) fn server(server: &Server, lines: &mut Lines) {
    let settings = server.settings();
    let node = &server.runtime.node;
    let uptime_s = server.runtime.clock.uptime_s();
    let port = server
        .addresses
        .first()
        .map_or(0, std::net::SocketAddr::port);
    let program = std::env::current_exe().unwrap_or_default();
    let mode = if settings.cluster_announce {
        "cluster"
    } else {
        "standalone"
    };
    lines.add("redis_version", REDIS_VERSION);
    lines.add("redis_git_sha1", "00000000");
    lines.add("redis_git_dirty", 0);
    lines.add("redis_build_id", env!("CARGO_PKG_VERSION"));
    lines.add("larder_version", env!("CARGO_PKG_VERSION"));
    lines.add("larder_node_id", node.id());
    lines.add("redis_mode", mode);
    lines.add("os", process::system());
    lines.add("arch_bits", usize::BITS);
    lines.add("monotonic_clock", "POSIX clock_gettime");
    lines.add("multiplexing_api", "epoll");
    lines.add("gcc_version", "0.0.0");
    lines.add("process_id", std::process::id());
    lines.add("process_supervised", "no");
    // Redis's run id has 40 digits.
    lines.add("run_id", format!("{:032x}00000000", node.run()));
    lines.add("tcp_port", port);
    lines.add("server_time_usec", u128::from(clock_unix_ms()) * 1000);
    lines.add("uptime_in_seconds", uptime_s);
    lines.add("uptime_in_days", uptime_s / 86_400);
    lines.add("hz", settings.hz);
    lines.add("configured_hz", settings.hz);
    lines.add("lru_clock", (clock_unix_ms() / 1000) & 0xff_ffff);
    lines.add("executable", program.display());
    let file = server
        .runtime
        .settings
        .file()
        .unwrap_or(std::path::Path::new(""));
    lines.add("config_file", file.display());
    lines.add("io_threads_active", 0);
    for (at, address) in server.addresses.iter().enumerate() {
        let place = format!("name=tcp,bind={},port={}", address.ip(), address.port());
        lines.add(&format!("listener{at}"), place);
    }
}

pub(super) fn clients(server: &Server, lines: &mut Lines) {
    let settings = server.settings();
    let clients = server.clients.all();
    let most = |number: fn(&crate::client::ClientInfo) -> u64| {
        clients
            .iter()
            .map(|client| number(client))
            .max()
            .unwrap_or(0)
    };
    lines.add("connected_clients", clients.len());
    lines.add("cluster_connections", server.links.list().len());
    lines.add("maxclients", settings.maxclients);
    lines.add(
        "client_recent_max_input_buffer",
        most(|client| client.input_bytes.load(Ordering::Relaxed)),
    );
    lines.add(
        "client_recent_max_output_buffer",
        most(|client| client.output_bytes.load(Ordering::Relaxed)),
    );
    lines.add("blocked_clients", server.queues.waiting());
    lines.add("tracking_clients", 0);
    lines.add("clients_in_timeout_table", 0);
    lines.add("total_blocking_keys", 0);
}

/// Bytes as people read them, as Redis writes them.
fn human(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    match units.into_iter().find(|(bits, _)| bytes >> bits > 0) {
        Some((bits, unit)) => format!("{:.2}{unit}", bytes as f64 / f64::from(2).powi(bits)),
        None => format!("{bytes}B"),
    }
}

pub(super) fn memory(server: &Server, lines: &mut Lines) {
    let memory = process::memory();
    let cached = server.runtime.node.cached_bytes() as u64;
    let peak = memory.peak_bytes.max(memory.resident_bytes);
    for (field, bytes) in [
        ("used_memory", memory.resident_bytes),
        ("used_memory_rss", memory.resident_bytes),
        ("used_memory_peak", peak),
    ] {
        lines.add(field, bytes);
        lines.add(&format!("{field}_human"), human(bytes));
    }
    let of_peak = memory.resident_bytes as f64 * 100.0 / peak.max(1) as f64;
    lines.add("used_memory_peak_perc", format!("{of_peak:.2}%"));
    lines.add(
        "used_memory_overhead",
        memory.resident_bytes.saturating_sub(cached),
    );
    lines.add("used_memory_startup", 0);
    lines.add("used_memory_dataset", cached);
    let of_all = cached as f64 * 100.0 / memory.resident_bytes.max(1) as f64;
    lines.add("used_memory_dataset_perc", format!("{of_all:.2}%"));
    lines.add("total_system_memory", memory.total_bytes);
    lines.add("total_system_memory_human", human(memory.total_bytes));
    lines.add("used_memory_lua", 0);
    lines.add("used_memory_scripts", 0);
    lines.add("maxmemory", 0);
    lines.add("maxmemory_human", "0B");
    lines.add("maxmemory_policy", "noeviction");
    lines.add("mem_fragmentation_ratio", "1.00");
    lines.add("mem_fragmentation_bytes", 0);
    lines.add("mem_not_counted_for_evict", 0);
    lines.add("mem_clients_normal", 0);
    lines.add("mem_aof_buffer", 0);
    lines.add("mem_allocator", "mimalloc");
    lines.add("active_defrag_running", 0);
    lines.add("lazyfree_pending_objects", 0);
}

pub(super) fn persistence(server: &Server, lines: &mut Lines) {
    let runtime = &server.runtime;
    let saved_s = runtime.last_checkpoint_ms.load(Ordering::Relaxed) / 1000;
    let refusal = runtime.node.refusal();
    let status = if refusal.is_some() { "err" } else { "ok" };
    lines.add("loading", 0);
    lines.add("async_loading", 0);
    lines.add("rdb_changes_since_last_save", runtime.store.redo_bytes());
    lines.add("rdb_bgsave_in_progress", 0);
    lines.add("rdb_last_save_time", saved_s);
    lines.add("rdb_last_bgsave_status", status);
    lines.add("rdb_last_bgsave_time_sec", -1);
    lines.add("rdb_current_bgsave_time_sec", -1);
    lines.add("rdb_saves", runtime.checkpoints.load(Ordering::Relaxed));
    lines.add("aof_enabled", 1);
    lines.add("aof_rewrite_in_progress", 0);
    lines.add("aof_rewrite_scheduled", 0);
    lines.add("aof_last_rewrite_time_sec", -1);
    lines.add("aof_current_rewrite_time_sec", -1);
    lines.add("aof_last_bgrewrite_status", status);
    lines.add("aof_last_write_status", status);
    lines.add("aof_current_size", runtime.store.redo_bytes());
    lines.add("aof_base_size", 0);
    lines.add("aof_pending_rewrite", 0);
    lines.add("aof_buffer_length", 0);
    lines.add("aof_pending_bio_fsync", 0);
    lines.add("aof_delayed_fsync", 0);
}

pub(super) fn stats(server: &Server, lines: &mut Lines) {
    let totals = server.stats.totals(&server.metrics);
    let rates = server.stats.rates();
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    lines.add("total_connections_received", totals.connections);
    lines.add("total_commands_processed", totals.commands);
    lines.add("instantaneous_ops_per_sec", rates.commands);
    lines.add("total_net_input_bytes", totals.received_bytes);
    lines.add("total_net_output_bytes", totals.sent_bytes);
    lines.add("instantaneous_input_kbps", kilobytes(rates.received_bytes));
    lines.add("instantaneous_output_kbps", kilobytes(rates.sent_bytes));
    lines.add("rejected_connections", totals.connections_refused);
    for field in ["sync_full", "sync_partial_ok", "sync_partial_err"] {
        lines.add(field, 0);
    }
    lines.add("expired_keys", server.runtime.node.counts().expired);
    for field in ["expired_stale_perc", "evicted_keys", "evicted_clients"] {
        lines.add(field, 0);
    }
    lines.add("keyspace_hits", totals.hits);
    lines.add("keyspace_misses", totals.misses);
    for field in [
        "pubsub_channels",
        "pubsub_patterns",
        "latest_fork_usec",
        "total_forks",
    ] {
        lines.add(field, 0);
    }
    lines.add("migrate_cached_sockets", 0);
    lines.add("tracking_total_keys", 0);
    lines.add("unexpected_error_replies", 0);
    lines.add("total_error_replies", totals.errors);
    lines.add("total_reads_processed", totals.commands);
    lines.add("total_writes_processed", totals.commands);
    lines.add("larder_forwarded_commands", totals.forwarded);
}

/// Every node is a master to clients: replication shows in a section of our own.
pub(super) fn replication(server: &Server, lines: &mut Lines) {
    let node = &server.runtime.node;
    lines.add("role", "master");
    lines.add("connected_slaves", 0);
    lines.add("master_failover_state", "no-failover");
    lines.add("master_replid", node.id().to_redis());
    lines.add("master_replid2", "0".repeat(40));
    lines.add("master_repl_offset", node.redo_end().0);
    lines.add("second_repl_offset", -1);
    lines.add("repl_backlog_active", 0);
    lines.add("repl_backlog_size", 0);
    lines.add("repl_backlog_first_byte_offset", 0);
    lines.add("repl_backlog_histlen", 0);
}

pub(super) fn cpu(_: &Server, lines: &mut Lines) {
    let (system, user) = process::cpu_seconds();
    lines.add("used_cpu_sys", format!("{system:.6}"));
    lines.add("used_cpu_user", format!("{user:.6}"));
    lines.add("used_cpu_sys_children", "0.000000");
    lines.add("used_cpu_user_children", "0.000000");
}

pub(super) fn command_stats(server: &Server, lines: &mut Lines) {
    for found in table::rows() {
        let Some(row) = server.stats.rows.get(found.number) else {
            continue;
        };
        let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        let (calls, rejected) = (load(&row.calls), load(&row.rejected));
        if calls == 0 && rejected == 0 {
            continue;
        }
        let microseconds = load(&row.nanoseconds) / 1000;
        let each = microseconds as f64 / calls.max(1) as f64;
        lines.add(
            &format!("cmdstat_{}", found.command.name),
            format!(
                "calls={calls},usec={microseconds},usec_per_call={each:.2},\
                 rejected_calls={rejected},failed_calls={}",
                load(&row.failed)
            ),
        );
    }
}

pub(super) fn error_stats(server: &Server, lines: &mut Lines) {
    for (prefix, count) in server.stats.errors() {
        lines.add(&format!("errorstat_{prefix}"), format!("count={count}"));
    }
}

pub(super) fn cluster(server: &Server, lines: &mut Lines) {
    lines.add(
        "cluster_enabled",
        u8::from(server.settings().cluster_announce),
    );
}

/// Keys of the partitions that this node leads: the sum over all nodes is the cluster's. DBSIZE
/// asks all of them.
pub(super) fn keyspace(server: &Server, lines: &mut Lines) {
    for (database, keys) in counts::led(server).iter().enumerate() {
        if *keys > 0 {
            let text = format!("keys={keys},expires=0,avg_ttl=0");
            lines.add(&format!("db{database}"), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_redis_does() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_572_864, "1.50M"),
            (1 << 31, "2.00G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
