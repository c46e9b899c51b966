//! The table of commands: one row holds all that is known of one.
//!
//! Rows stand in the files of their families, beside their handlers. From a row follow the arity
//! and the keys by which a request is routed, COMMAND and its subcommands, and `docs/commands.md`.
//! Adding a command is one row and its handler.

mod row;

pub use row::{
    Asked, AskedOf, CATEGORIES, Command, Find, Flag, KeySpec, OnCollection, Positions, Repeat,
    Scope, Spread,
};

use crate::families;

/// A row and its number: dense, from 0, the same for all of a release; subcommands have their own.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The row.
    pub command: &'static Command,
    /// Its number, for counters.
    pub number: usize,
}

const FAMILIES: &[&[Command]] = families::ALL;

const fn count_of(families: &[&[Command]]) -> (usize, usize) {
    let (mut commands, mut rows, mut family) = (0, 0, 0);
    while family < families.len() {
        let mut at = 0;
        while at < families[family].len() {
            commands += 1;
            rows += 1 + families[family][at].subcommands.len();
            at += 1;
        }
        family += 1;
    }
    (commands, rows)
}

/// How many commands there are, subcommands aside.
pub const COMMANDS: usize = count_of(FAMILIES).0;
/// How many rows there are: the numbers of [`Found`] end before it.
pub const ROWS: usize = count_of(FAMILIES).1;

static TABLE: [Found; COMMANDS] = collect();

const fn collect() -> [Found; COMMANDS] {
    let mut table = [Found {
        command: &Command::EMPTY,
        number: 0,
    }; COMMANDS];
    let (mut next, mut number, mut family) = (0, 0, 0);
    while family < FAMILIES.len() {
        let mut at = 0;
        while at < FAMILIES[family].len() {
            table[next] = Found {
                command: &FAMILIES[family][at],
                number,
            };
            number += 1 + FAMILIES[family][at].subcommands.len();
            next += 1;
            at += 1;
        }
        family += 1;
    }
    table
}

/// Slots of the index: a power of two, several times the number of commands.
const SLOTS: usize = 1024;
const FREE: u16 = u16::MAX;

/// Where in the table a name is: the first free slot at or after its hash.
static INDEX: [u16; SLOTS] = index();

const fn index() -> [u16; SLOTS] {
    const {
        assert!(
            COMMANDS * 2 < SLOTS,
            "the index of commands needs free slots"
        )
    };
    let table = collect();
    let mut slots = [FREE; SLOTS];
    let mut at = 0;
    while at < COMMANDS {
        let mut slot = hash(table[at].command.name.as_bytes());
        while slots[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = at as u16;
        at += 1;
    }
    slots
}

/// FNV-1a over the letters without their case.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ (name[at] | 0x20) as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    ((hash ^ (hash >> 15)) as usize) % SLOTS
}

/// The longest name: a longer one is unknown without a look.
const NAME_BYTES_MAX: usize = 32;

/// The command of this name, in either case.
#[must_use]
#[inline]
pub fn find(name: &[u8]) -> Option<Found> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut slot = hash(name);
    loop {
        let found = TABLE.get(usize::from(*INDEX.get(slot)?))?;
        if found.command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(*found);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// The subcommand of this name, in either case.
#[must_use]
pub fn find_subcommand(command: Found, name: &[u8]) -> Option<Found> {
    let subcommands = command.command.subcommands;
    let at = subcommands
        .iter()
        .position(|row| row.last_word().as_bytes().eq_ignore_ascii_case(name))?;
    Some(Found {
        command: subcommands.get(at)?,
        number: command.number + 1 + at,
    })
}

/// The command or, behind a `|`, subcommand of this full name, in either case.
#[must_use]
pub fn find_full(name: &[u8]) -> Option<Found> {
    let mut words = name.splitn(2, |byte| *byte == b'|');
    let command = find(words.next()?)?;
    match words.next() {
        Some(subcommand) => find_subcommand(command, subcommand),
        None => Some(command),
    }
}

/// All commands, in the order of their families.
pub fn commands() -> impl ExactSizeIterator<Item = Found> + Clone {
    TABLE.iter().copied()
}

/// All rows, each command followed by its subcommands, in the order of their numbers.
pub fn rows() -> impl Iterator<Item = Found> {
    commands().flat_map(|found| {
        let numbers = found.number + 1..;
        let subcommands = found.command.subcommands.iter().zip(numbers);
        std::iter::once(found).chain(subcommands.map(|(command, number)| Found { command, number }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::OwnedArgs;

    #[test]
    fn every_name_finds_its_row_in_either_case() {
        for found in commands() {
            for name in [
                found.command.name.to_owned(),
                found.command.name.to_uppercase(),
            ] {
                let again = find(name.as_bytes()).expect("a row of the table");
                assert_eq!(again.number, found.number, "{name}");
            }
        }
        for name in [&b""[..], b"nosuch", b"g", b"gets", &[b'g'; 100], b"\0scan"] {
            assert!(find(name).is_none(), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_dense() {
        let numbers: Vec<usize> = rows().map(|found| found.number).collect();
        assert_eq!(numbers, (0..ROWS).collect::<Vec<_>>());
    }

    #[test]
    fn rows_are_whole() {
        for Found { command, .. } in rows() {
            let name = command.name;
            assert!(
                name.len() <= NAME_BYTES_MAX && !command.summary.is_empty(),
                "{name}"
            );
            assert!(
                command.summary.ends_with('.'),
                "{name}: a summary is a sentence"
            );
            let is_keyed = !command.keys.is_empty();
            assert!(
                command.keys.iter().all(|spec| !spec.flags.is_empty()),
                "{name}"
            );
            assert!(
                !(command.is(Flag::Write) && command.is(Flag::ReadOnly)),
                "{name}"
            );
            let writes = command.is(Flag::Write);
            assert_eq!(
                writes,
                !command.concurrent.is_empty(),
                "{name}: concurrent use"
            );
            for category in command.categories {
                assert!(CATEGORIES.contains(category), "{name}: {category}");
            }
            if let Scope::Keys(_) = command.scope {
                assert!(command.subcommands.is_empty(), "{name}");
                assert!(is_keyed, "{name}");
            }
            assert!(command.flags.is_sorted(), "{name}: flags in Redis's order");
        }
    }

    #[test]
    fn keys_are_found_from_either_end() {
        assert_eq!(positions(KeySpec::at(1, &[]), "a b c"), [1]);
        assert_eq!(positions(KeySpec::at(2, &[]), "a b"), [0; 0]);
        assert_eq!(positions(KeySpec::all(&[]), "a b c d"), [1, 2, 3]);
        assert_eq!(positions(KeySpec::with_values(&[]), "a b c d e"), [1, 3]);
    }

    fn positions(spec: KeySpec, line: &str) -> Vec<usize> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        spec.positions(OwnedArgs::new(&words).as_args()).collect()
    }

    #[test]
    fn keys_are_found_behind_their_number_or_a_word() {
        let counted = KeySpec::counted(1, &[]);
        assert_eq!(positions(counted, "zunion 2 a b WEIGHTS 1 2"), [2, 3]);
        assert_eq!(positions(counted, "zunion 2 a b"), [2, 3]);
        for none in [
            "zunion 3 a b",
            "zunion 0 a",
            "zunion -1 a",
            "zunion x a",
            "zunion",
        ] {
            assert_eq!(positions(counted, none), [0; 0], "{none}");
        }
        let stored = KeySpec::behind("STORE", 2, &[]);
        assert_eq!(positions(stored, "g k store a STORE b"), [5]);
        for none in ["g STORE a b", "g k x STORE", "g k x y"] {
            assert_eq!(positions(stored, none), [0; 0], "{none}");
        }
    }
}
