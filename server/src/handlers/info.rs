//! INFO: the reached node, in the sections and words that Redis's tools read, and sections of our
//! own.
//!
//! A row holds a section's name and the function that writes its lines. What Redis has and Larder
//! has no part of is left out, unless tools cannot do without it.

mod larder;
mod redis;

use std::fmt::Display;

use larder_commands::args::Args;

use super::Outcome;
use crate::client::{Connection, Step};
use crate::server::Server;

/// Lines of `field:value`.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, field: &str, value: impl Display) {
        use std::fmt::Write as _;
        let _ = write!(self.0, "{field}:{value}\r\n");
    }
}

/// A section.
struct Section {
    /// In lower case.
    name: &'static str,
    /// As its heading shows it.
    title: &'static str,
    /// Whether it is shown unless others are asked for.
    is_default: bool,
    write: fn(&Server, &mut Lines),
}

const fn section(
    name: &'static str,
    title: &'static str,
    write: fn(&Server, &mut Lines),
) -> Section {
    Section {
        name,
        title,
        is_default: true,
        write,
    }
}

/// The sections, in the order in which they are shown.
static SECTIONS: &[Section] = &[
    section("server", "Server", redis::server),
    section("clients", "Clients", redis::clients),
    section("memory", "Memory", redis::memory),
    section("persistence", "Persistence", redis::persistence),
    section("stats", "Stats", redis::stats),
    section("replication", "Replication", redis::replication),
    section("cpu", "CPU", redis::cpu),
    section("modules", "Modules", |_, _| {}),
    Section {
        is_default: false,
        ..section("commandstats", "Commandstats", redis::command_stats)
    },
    section("errorstats", "Errorstats", redis::error_stats),
    section("cluster", "Cluster", redis::cluster),
    section("keyspace", "Keyspace", redis::keyspace),
    section("larder_ring", "Larder_ring", larder::ring),
    section(
        "larder_replication",
        "Larder_replication",
        larder::replication,
    ),
    section("larder_partitions", "Larder_partitions", larder::partitions),
    section("larder_conflicts", "Larder_conflicts", larder::conflicts),
    section("larder_cache", "Larder_cache", larder::cache),
    section("larder_storage", "Larder_storage", larder::storage),
];

/// Whether `args` ask for the section.
fn is_asked(section: &Section, args: Args<'_>) -> bool {
    if args.is_empty() {
        return section.is_default;
    }
    args.iter().any(|word| {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        is(section.name)
            || is("all")
            || is("everything")
            || (is("default") && section.is_default)
            || (is("larder") && section.name.starts_with("larder_"))
    })
}

pub(super) fn info(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let mut lines = Lines::default();
    for section in SECTIONS
        .iter()
        .filter(|section| is_asked(section, args.from(1)))
    {
        if !lines.0.is_empty() {
            lines.0.push_str("\r\n");
        }
        lines.0.push_str(&format!("# {}\r\n", section.title));
        (section.write)(&connection.server, &mut lines);
    }
    connection.reply.verbatim(*b"txt", lines.0.as_bytes());
    Ok(Step::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_commands::args::OwnedArgs;

    fn asked(line: &str) -> Vec<&'static str> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::new(&words);
        SECTIONS
            .iter()
            .filter(|section| is_asked(section, args.as_args().from(1)))
            .map(|section| section.name)
            .collect()
    }

    #[test]
    fn sections_are_asked_for_by_name_or_kind() {
        assert_eq!(asked("INFO Server KEYSPACE server"), ["server", "keyspace"]);
        assert_eq!(asked("INFO nonsense"), [""; 0]);
        assert_eq!(asked("INFO all").len(), SECTIONS.len());
        assert_eq!(asked("INFO"), asked("INFO default"));
        assert!(!asked("INFO").contains(&"commandstats"));
        assert!(
            asked("INFO larder")
                .iter()
                .all(|name| name.starts_with("larder_"))
        );
    }
}
