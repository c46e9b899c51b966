//! What the node counts, for Prometheus.
//!
//! A row of a table holds the name, the meaning and where the number is; the page `/metrics` and
//! `docs/metrics.md` are made from the rows. Numbers of other parts, such as the links, have tables
//! of their own over what those parts count themselves.

mod node;
pub mod page;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::link::Links;

pub use node::NODE_ROWS;

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A row: one number of a `T`.
pub struct Row<T: 'static> {
    /// The name.
    pub name: &'static str,
    /// The meaning.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// The number.
    pub read: fn(&T) -> u64,
}

/// A number that many threads change. A thread that counts much adds up for itself first.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Takes `less` away.
    pub fn subtract(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares [`Metrics`]: a row is the meaning, the field, its kind and its name.
macro_rules! metrics {
    ($( $(#[doc = $doc:literal])+ $field:ident: $kind:ident = $name:literal; )+) => {
        /// What the node itself counts.
        #[derive(Debug, Default)]
        pub struct Metrics { $( $(#[doc = $doc])+ pub $field: Number, )+ }

        /// The rows of [`Metrics`].
        pub static ROWS: &[Row<Metrics>] = &[ $( Row {
            name: $name,
            help: concat!($($doc),+),
            kind: Kind::$kind,
            read: |metrics| metrics.$field.get(),
        }, )+ ];
    };
}

metrics! {
    /// Clients that are connected.
    clients: Gauge = "larder_clients";
    /// Connections of clients that were accepted.
    connections: Counter = "larder_connections_total";
    /// Connections of clients that were refused: too many, or from outside in protected mode.
    connections_refused: Counter = "larder_connections_refused_total";
    /// Clients that were cut off because they did not read their replies.
    slow_clients: Counter = "larder_slow_clients_total";
    /// Clients that were cut off because what they sent is no request.
    protocol_errors: Counter = "larder_protocol_errors_total";
    /// Wrong passwords.
    wrong_passwords: Counter = "larder_wrong_passwords_total";
    /// Commands of clients.
    commands: Counter = "larder_commands_total";
    /// Commands of clients that were answered with an error.
    errors: Counter = "larder_errors_total";
    /// Commands of clients of this node that other nodes ran.
    forwarded: Counter = "larder_forwarded_commands_total";
    /// Reads that found their key.
    hits: Counter = "larder_hits_total";
    /// Reads that did not find their key.
    misses: Counter = "larder_misses_total";
    /// Bytes that clients sent.
    received_bytes: Counter = "larder_received_bytes_total";
    /// Bytes that clients were sent.
    sent_bytes: Counter = "larder_sent_bytes_total";
    /// Seconds since 1970 at which the node started.
    start_time: Gauge = "larder_start_time_seconds";
}

fn load(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

/// The rows of the links with other nodes.
pub static LINK_ROWS: &[Row<Links>] = &[
    Row {
        name: "larder_links",
        help: " Links with other nodes that are up.",
        kind: Kind::Gauge,
        read: |links| links.list().len() as u64,
    },
    Row {
        name: "larder_link_queued_bytes",
        help: " Bytes of messages that wait for other nodes.",
        kind: Kind::Gauge,
        read: |links| {
            links
                .list()
                .iter()
                .map(|link| link.queued_bytes as u64)
                .sum()
        },
    },
    Row {
        name: "larder_link_round_trip_microseconds",
        help: "How long a ping and its answer take on the slowest link.",
        kind: Kind::Gauge,
        read: |links| {
            let links = links.list().into_iter();
            links.map(|link| link.round_trip_us).max().unwrap_or(0)
        },
    },
    Row {
        name: "larder_links_started_total",
        help: " Links with other nodes that came up.",
        kind: Kind::Counter,
        read: |links| load(&links.stats().links),
    },
    Row {
        name: "larder_link_handshakes_failed_total",
        help: " Handshakes with other nodes, or strangers, that failed.",
        kind: Kind::Counter,
        read: |links| load(&links.stats().handshakes_failed),
    },
    Row {
        name: "larder_link_queues_full_total",
        help: " Links that were dropped because the other node did not read.",
        kind: Kind::Counter,
        read: |links| load(&links.stats().queues_full),
    },
    Row {
        name: "larder_link_received_messages_total",
        help: " Messages from other nodes.",
        kind: Kind::Counter,
        read: |links| load(&links.stats().received_messages),
    },
    Row {
        name: "larder_link_received_bytes_total",
        help: " Bytes of messages from other nodes.",
        kind: Kind::Counter,
        read: |links| load(&links.stats().received_bytes),
    },
    Row {
        name: "larder_link_sent_messages_total",
        help: " Messages to other nodes.",
        kind: Kind::Counter,
        read: |links| load(&links.stats().sent_messages),
    },
    Row {
        name: "larder_link_sent_bytes_total",
        help: " Bytes of messages to other nodes, with their frames.",
        kind: Kind::Counter,
        read: |links| load(&links.stats().sent_bytes),
    },
];

/// A table and where its numbers are, for a registry.
pub struct Source<S, T: 'static> {
    /// The rows.
    pub rows: &'static [Row<T>],
    /// The numbers.
    pub values: S,
}

impl<S, T> fmt::Debug for Source<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.rows.iter().map(|row| row.name))
            .finish()
    }
}

impl<S, T> Collector for Source<S, T>
where
    S: std::borrow::Borrow<T> + Send + Sync + 'static,
    T: 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for row in self.rows {
            let value = (row.read)(self.values.borrow());
            let help = row.help.trim();
            match row.kind {
                Kind::Counter => {
                    // The encoder puts the suffix back.
                    let name = row.name.strip_suffix("_total").unwrap_or(row.name);
                    let place = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                    ConstCounter::new(value).encode(place)?;
                }
                Kind::Gauge => {
                    let place =
                        encoder.encode_descriptor(row.name, help, None, MetricType::Gauge)?;
                    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(place)?;
                }
            }
        }
        Ok(())
    }
}

/// The text of `docs/metrics.md`, from the lines of all tables.
#[must_use]
pub fn docs(lines: &[String]) -> String {
    format!(
        "# Metrics\n\nMade from the tables in `server/src/metrics.rs`; edit those.\n\nThe page \
         `/metrics` on `metrics-port` (off by default) shows them to Prometheus.\n\n\
         | metric | kind | meaning |\n| --- | --- | --- |\n{}",
        lines.concat()
    )
}

/// The lines of one table for [`docs`].
pub fn docs_lines<T>(rows: &'static [Row<T>]) -> impl Iterator<Item = String> {
    rows.iter().map(|row| {
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        format!("| `{}` | {kind} | {} |\n", row.name, row.help.trim())
    })
}
