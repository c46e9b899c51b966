//! Settings that only Redis has, with what is true of Larder in Redis's words.
//!
//! Programs ask for them (redis-benchmark begins with `save` and `appendonly`). Setting one to what
//! it is already does no harm; anything else is refused, as it would promise what is not there.

use super::row::{Row, When};
use super::value::Kind::{Memory, Number, Text, YesNo};
use super::value::{Durability, Kind, SettingValue as _, not_one_of};

const GROUP: &str = "Words of Redis";
const NO_BOUNDS: std::ops::RangeInclusive<i64> = i64::MIN..=i64::MAX;
const FSYNC_WORDS: &[&str] = &["everysec", "always", "no"];

/// A setting that always has its default.
const fn fixed(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Row {
    Row {
        group: GROUP,
        name,
        aliases: &[],
        doc,
        default,
        when: When::Never,
        kind,
        bounds: NO_BOUNDS,
        read: |row, _| row.default.to_owned(),
        write: |row, _, text| unchanged(text, row.default),
    }
}

/// The rows of this module.
pub static ROWS: &[Row] = &[
    Row {
        group: GROUP,
        name: "appendfsync",
        aliases: &[],
        doc: "`durability` in Redis's words: `no` is `os`.",
        default: "everysec",
        when: When::Live,
        kind: Kind::Word(FSYNC_WORDS),
        bounds: NO_BOUNDS,
        read: |_, settings| match settings.durability {
            Durability::Os => "no".to_owned(),
            other => other.text(),
        },
        write: |row, settings, text| {
            let durability = match text.to_ascii_lowercase().as_str() {
                "no" => "os",
                "os" => "",
                _ => text,
            };
            let taken = settings.durability.assign(durability, &row.bounds);
            taken.map_err(|_| not_one_of(FSYNC_WORDS))
        },
    },
    Row {
        group: GROUP,
        name: "cluster-enabled",
        aliases: &[],
        doc: "`cluster-announce` in Redis's words.",
        default: "no",
        when: When::Never,
        kind: YesNo,
        bounds: NO_BOUNDS,
        read: |_, settings| settings.cluster_announce.text(),
        write: |_, settings, text| unchanged(text, &settings.cluster_announce.text()),
    },
    fixed(
        "save",
        Text,
        "",
        "No snapshots at intervals: every write is in the log before its reply.",
    ),
    fixed(
        "appendonly",
        YesNo,
        "yes",
        "Every write is in the log before its reply.",
    ),
    fixed(
        "maxmemory",
        Memory,
        "0",
        "Memory is a cache (`cache-size`); what does not fit is on disk.",
    ),
    fixed(
        "maxmemory-policy",
        Text,
        "noeviction",
        "No key is ever evicted.",
    ),
    fixed(
        "maxmemory-clients",
        Memory,
        "0",
        "Buffers of clients are limited one by one.",
    ),
    fixed("daemonize", YesNo, "no", "The node runs in the foreground."),
    fixed("unixsocket", Text, "", "No socket in the file system."),
    fixed("tls-port", Number, "0", "No TLS yet."),
    fixed("activedefrag", YesNo, "no", "The allocator needs none."),
    fixed(
        "replica-read-only",
        YesNo,
        "no",
        "Every replica takes writes.",
    ),
];

fn unchanged(text: &str, current: &str) -> Result<(), String> {
    if text.eq_ignore_ascii_case(current) {
        Ok(())
    } else {
        Err("can't set immutable config".to_owned())
    }
}
