//! The settings: one table, and everything else follows from its rows.
//!
//! ```text
//! defaults  <  the file of `config`  <  environment LARDER_…  <  command line  <  CONFIG SET
//! ```
//!
//! A row holds the name, type, default and meaning of a setting, and when it may change. The file,
//! the environment, the flags with `--help`, CONFIG GET, SET and REWRITE, `docs/settings.md` and
//! `docs/larder.toml` are made from the rows: to add a setting, add a row. What Redis has and
//! Larder answers in another way stands in [`foreign`].

pub mod check;
pub mod docs;
pub mod foreign;
pub mod live;
pub mod rewrite;
pub mod row;
pub mod source;
pub mod value;

use std::path::PathBuf;

use row::{Row, When};
use value::{
    BufferLimits, Bytes, DebugAccess, Durability, KeyspaceEvents, LogLevel, ReadsWithoutReplica,
    Seconds, Secret, SettingValue, Words,
};

/// The settings table. A row is `field: type = "name" "default", when`, then perhaps its bounds and
/// the older names that Redis gave it.
macro_rules! settings {
    ($($group:literal { $(
        $(#[doc = $doc:literal])+
        $field:ident: $type:ty = $name:literal $default:literal, $when:ident
        $(, $min:literal ..= $max:literal)? $(, alias $alias:literal)*;
    )+ })+) => {
        /// The values of all settings.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings { $($( $(#[doc = $doc])+ pub $field: $type, )+)+ }

        impl Settings {
            /// Values that no default has touched yet.
            fn blank() -> Self {
                Self { $($( $field: <$type>::default(), )+)+ }
            }
        }

        /// The rows of Larder's own settings and of those of Redis that mean the same here.
        pub static ROWS: &[Row] = &[ $($( Row {
            group: $group,
            name: $name,
            aliases: &[$($alias),*],
            doc: concat!($($doc, "\n"),+),
            default: $default,
            when: When::$when,
            kind: <$type as SettingValue>::KIND,
            bounds: ($($min..=$max,)? i64::MIN..=i64::MAX,).0,
            read: |_, settings| settings.$field.text(),
            write: |row, settings, text| settings.$field.assign(text, &row.bounds),
        }, )+)+ ];
    };
}

settings! {
"Clients" {
    /// Port for clients; 0 takes a free one.
    port: u16 = "port" "6379", Start, 0..=65535;
    /// Addresses to listen on for clients. `*` is every IPv4 address, `::*` every IPv6 address; one
    /// behind `-` may be missing.
    bind: Words = "bind" "127.0.0.1 -::1", Start;
    /// Refuse clients from other machines as long as no password is set.
    protected_mode: bool = "protected-mode" "yes", Live;
    /// The password that AUTH and HELLO ask for; none if empty. Not a flag, as others can see
    /// flags.
    requirepass: Secret = "requirepass" "", Live;
    /// Connections of clients at a time.
    maxclients: u64 = "maxclients" "10000", Live, 1..=4294967295;
    /// Seconds after which an idle client is cut off; 0 is never.
    timeout: u64 = "timeout" "0", Live, 0..=2147483647;
    /// Seconds between probes of a silent connection; 0 sends none.
    tcp_keepalive: u64 = "tcp-keepalive" "300", Live, 0..=2147483647;
    /// Connections that the system holds until they are accepted.
    tcp_backlog: u64 = "tcp-backlog" "511", Start, 0..=2147483647;
    /// The longest argument and the longest value.
    proto_max_bulk_len: Bytes = "proto-max-bulk-len" "512mb", Live, 1048576..=536870912;
    /// Bytes of one client's request that may wait for the rest of it; beyond, the client is cut
    /// off.
    client_query_buffer_limit: Bytes = "client-query-buffer-limit" "1gb", Live,
        1048576..=4294967295;
    /// Bytes of replies that may wait for one client, by class: hard limit, soft limit, and seconds
    /// that the soft one may be passed. Larder has no clients of class `slave`.
    client_output_buffer_limit: BufferLimits = "client-output-buffer-limit"
        "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60", Live;
    /// Databases that SELECT can reach.
    databases: u64 = "databases" "16", Start, 1..=16;
    /// Threads that serve clients; auto takes one less than there are processors, as checkpoints
    /// and the system's share of the network need theirs, and one at least.
    io_threads: Option<u16> = "io-threads" "auto", Start, 1..=128;
    /// Who may use DEBUG: nobody, clients on this machine (`local`), or everybody.
    enable_debug_command: DebugAccess = "enable-debug-command" "no", Start;
}
"Cluster" {
    /// Peer addresses (host:port) of nodes whose cluster this node joins.
    join: Words = "join" "", Start;
    /// Port for peers; auto is port + 10000, 0 takes a free one.
    peer_port: Option<u16> = "peer-port" "auto", Start, 0..=65535;
    /// Addresses to listen on for peers; auto is as `bind`, or loopback only while the node has a
    /// cluster secret of its own making.
    peer_bind: Option<Words> = "peer-bind" "auto", Start;
    /// The address (host or host:port) under which peers reach this node; auto is the first address
    /// of `peer-bind` that is not a wildcard.
    announce_address: Option<String> = "announce-address" "auto", Start;
    /// File with the secret that all nodes of the cluster share, if the environment has none in
    /// LARDER_CLUSTER_SECRET. Empty: `cluster-secret` in `dir`, made on first start.
    cluster_secret_file: PathBuf = "cluster-secret-file" "", Start;
    /// Replicas of each partition, when a cluster is created.
    replicas: u64 = "replicas" "3", Creation, 1..=16;
    /// Partitions of the ring, a power of two, when a cluster is created.
    partitions: u64 = "partitions" "1024", Creation, 1..=65536;
    /// Nodes of one zone are likely to fail together: replicas go to distinct zones if they can.
    zone: String = "zone" "", Start;
    /// Share of this node in relation to the others.
    weight: u64 = "weight" "1", Start, 1..=1000;
    /// Replicas whose states a read joins unless the command says another number.
    read_quorum: u64 = "read-quorum" "1", Live, 1..=16;
    /// What a read answers that reaches no copy of its key: an error, or a nil that may be false.
    reads_without_replica: ReadsWithoutReplica = "reads-without-replica" "error", Live;
    /// Milliseconds that a request to another node may take, and one more for each 16 KB of it.
    request_timeout_ms: u64 = "request-timeout-ms" "2000", Live, 10..=3600000;
    /// How far ahead a time from elsewhere may be, in milliseconds.
    max_clock_drift_ms: u64 = "max-clock-drift-ms" "60000", Live, 0..=86400000;
    /// How long a removed document keeps its context, so that late retries cannot bring it back.
    document_forget_after: Seconds = "document-forget-after" "400d", Live, 3600..=31536000000;
    /// Milliseconds between batches of changes to the other replicas.
    replication_interval_ms: u64 = "replication-interval-ms" "5", Live, 1..=60000;
    /// Milliseconds between comparisons of clocks.
    anti_entropy_interval_ms: u64 = "anti-entropy-interval-ms" "1000", Live, 10..=86400000;
    /// Milliseconds that a replica may lack a change before all that it lacks is sent again.
    resend_after_ms: u64 = "resend-after-ms" "3000", Live, 10..=3600000;
    /// Milliseconds that the transfer of a partition may make no progress.
    transfer_timeout_ms: u64 = "transfer-timeout-ms" "5000", Live, 10..=3600000;
    /// Partitions that a node fetches as a whole at a time, while it joins or after it lost much.
    bootstrap_partitions: u64 = "bootstrap-partitions" "4", Live, 1..=1024;
    /// Bytes per second of whole partitions that a node hands over to others; 0 is no limit.
    handoff_rate: Bytes = "handoff-rate" "0", Live, 0..=1099511627776;
    /// Values that lost a conflict and are kept for LCONFLICTS.
    conflict_journal_size: u64 = "conflict-journal-size" "1000", Live, 0..=1000000;
    /// Say `cluster_enabled:1`, for clients that insist on a Redis cluster.
    cluster_announce: bool = "cluster-announce" "no", Start;
}
"Storage" {
    /// Directory of the data.
    dir: PathBuf = "dir" "./larder-data", Start;
    /// When a write is safe from a power cut: before its reply (`always`), within a second
    /// (`everysec`), or when the system gets to it (`os`). A killed process loses nothing in any.
    durability: Durability = "durability" "everysec", Live;
    /// Memory for decoded objects and blocks of the disk.
    cache_size: Bytes = "cache-size" "256mb", Live, 1048576..=1099511627776;
}
"Operation" {
    /// File of settings (TOML) to read on start; CONFIG REWRITE writes it.
    config: PathBuf = "config" "", Start;
    /// Port of the HTTP page `/metrics`; 0 is off.
    metrics_port: u16 = "metrics-port" "0", Start, 0..=65535;
    /// Addresses to listen on for metrics.
    metrics_bind: Words = "metrics-bind" "127.0.0.1", Start;
    /// How much is logged.
    loglevel: LogLevel = "loglevel" "notice", Live;
    /// File of the log; empty is standard error.
    logfile: PathBuf = "logfile" "", Start;
    /// Seconds that a shutdown waits for changes to reach the other replicas.
    shutdown_timeout: u64 = "shutdown-timeout" "10", Live, 0..=2147483647;
    /// Microseconds from which on a command is noted in SLOWLOG; -1 notes none.
    slowlog_log_slower_than: i64 = "slowlog-log-slower-than" "10000", Live,
        -1..=9223372036854775807;
    /// Commands that SLOWLOG holds.
    slowlog_max_len: u64 = "slowlog-max-len" "128", Live, 0..=1000000;
    /// Milliseconds from which on an event is noted in LATENCY; 0 notes none.
    latency_monitor_threshold: u64 = "latency-monitor-threshold" "0", Live, 0..=9223372036854775807;
}
"Words of Redis" {
    /// Which changes of keys are published, by Redis's letters. Kept, but nothing is published yet.
    notify_keyspace_events: KeyspaceEvents = "notify-keyspace-events" "", Live;
    /// Milliseconds from which on a script counts as slow. Kept, but there are no scripts yet.
    busy_reply_threshold: i64 = "busy-reply-threshold" "5000", Live, 0..=9223372036854775807,
        alias "lua-time-limit";
    /// Without effect: Larder's background work has no single beat.
    hz: u64 = "hz" "10", Live, 1..=500;
    /// The encoding that OBJECT ENCODING names; what is stored does not depend on it.
    hash_max_listpack_entries: u64 = "hash-max-listpack-entries" "512", Live,
        0..=9223372036854775807, alias "hash-max-ziplist-entries";
    /// As hash-max-listpack-entries, for the longest field and value.
    hash_max_listpack_value: u64 = "hash-max-listpack-value" "64", Live,
        0..=9223372036854775807, alias "hash-max-ziplist-value";
    /// As hash-max-listpack-entries, for lists.
    list_max_listpack_size: i64 = "list-max-listpack-size" "-2", Live,
        -2147483648..=2147483647, alias "list-max-ziplist-size";
    /// As hash-max-listpack-entries, for lists. Without effect.
    list_compress_depth: u64 = "list-compress-depth" "0", Live, 0..=2147483647;
    /// As hash-max-listpack-entries, for sets of integers.
    set_max_intset_entries: u64 = "set-max-intset-entries" "512", Live, 0..=9223372036854775807;
    /// As hash-max-listpack-entries, for other sets.
    set_max_listpack_entries: u64 = "set-max-listpack-entries" "128", Live,
        0..=9223372036854775807;
    /// As set-max-listpack-entries, for the longest member.
    set_max_listpack_value: u64 = "set-max-listpack-value" "64", Live, 0..=9223372036854775807;
    /// As hash-max-listpack-entries, for sorted sets.
    zset_max_listpack_entries: u64 = "zset-max-listpack-entries" "128", Live,
        0..=9223372036854775807, alias "zset-max-ziplist-entries";
    /// As zset-max-listpack-entries, for the longest member.
    zset_max_listpack_value: u64 = "zset-max-listpack-value" "64", Live,
        0..=9223372036854775807, alias "zset-max-ziplist-value";
}
}

impl Default for Settings {
    fn default() -> Self {
        let mut settings = Self::blank();
        for row in ROWS {
            row.set(&mut settings, row.default)
                .expect("every default is valid");
        }
        settings
    }
}

/// All rows: Larder's own, then those that only Redis has.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(foreign::ROWS)
}

/// The row of a setting, by its name or an older one, in letters of either case.
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.names().any(|own| own.eq_ignore_ascii_case(name)))
}
