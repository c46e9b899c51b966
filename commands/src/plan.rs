//! From arguments to a plan: which command it is, which keys it names, and where they live.
//!
//! The same on every node: whoever receives a request plans it again.

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::limits::KEY_BYTES_MAX;
use larder_cluster::request::{Access, Request};
use larder_cluster::row_key::RowKey;
use larder_cluster::token::{KeyPlace, Partitions};
use smallvec::SmallVec;

use crate::args::Args;
use crate::error::CommandError;
use crate::reply::Protocol;
use crate::table::{self, Asked, Command, Found, Repeat};

/// What is known of a request before it runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The row of the command or subcommand.
    pub command: &'static Command,
    /// The row's number, for counters.
    pub number: usize,
    /// The partitions of its keys, ascending, each once.
    pub partitions: SmallVec<[PartitionId; 4]>,
    /// The positions and places of its keys.
    pub places: SmallVec<[(usize, KeyPlace); 1]>,
    /// What its arguments ask of replicas.
    pub asked: Asked,
}

/// Plans a request.
///
/// # Errors
/// No such command or subcommand, another number of arguments, a key that is too long, or what the
/// row finds wrong with the arguments.
#[inline]
pub fn plan(args: Args<'_>, partitions: Partitions) -> Result<Plan, CommandError> {
    let Found { command, number } = resolve(args)?;
    if !command.takes(args.len()) {
        return Err(CommandError::WrongArity(command.name));
    }
    let asked = match command.asked {
        Some(asked_of) => asked_of(args)?,
        None => Asked::default(),
    };
    let mut plan = Plan {
        command,
        number,
        partitions: SmallVec::new(),
        places: SmallVec::new(),
        asked,
    };
    for spec in command.keys {
        for position in spec.positions(args) {
            let key = args.at(position);
            if key.len() > KEY_BYTES_MAX {
                return Err(CommandError::KeyTooLong(KEY_BYTES_MAX));
            }
            let place = KeyPlace::of(key);
            plan.partitions.push(place.partition(partitions));
            plan.places.push((position, place));
        }
    }
    if plan.places.is_empty() && !command.keys.is_empty() {
        return Err(CommandError::Syntax);
    }
    if plan.partitions.len() > 1 {
        plan.partitions.sort_unstable();
        plan.partitions.dedup();
    }
    Ok(plan)
}

/// The row of a request, its subcommand's if it has one.
///
/// # Errors
/// No such command or subcommand.
#[inline]
pub fn resolve(args: Args<'_>) -> Result<Found, CommandError> {
    let name = args.at(0);
    let found = table::find(name).ok_or_else(|| CommandError::unknown_command(args))?;
    if found.command.subcommands.is_empty() || args.len() < 2 {
        return Ok(found);
    }
    table::find_subcommand(found, args.at(1))
        .ok_or_else(|| CommandError::unknown_subcommand(found.command.name, args.at(1)))
}

impl Plan {
    /// Whether the command only looks.
    #[must_use]
    #[inline]
    pub fn access(&self) -> Access {
        self.command.access()
    }

    /// Whether running it twice is the same as once.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match self.command.repeat {
            Repeat::IfRead => self.access() == Access::Read,
            Repeat::Always => true,
            Repeat::IfNamed => self.asked.is_named,
        }
    }

    /// Whether what it changes in a partition must arrive at every replica together.
    #[must_use]
    #[inline]
    pub fn is_grouped(&self) -> bool {
        self.places.len() > 1
    }

    /// The row of its first key: what other replicas are asked for.
    #[must_use]
    pub fn pull(&self, args: Args<'_>, database: u8) -> Option<RowKey> {
        let (position, place) = *self.places.first()?;
        Some(RowKey::new(
            place.key_hash,
            database,
            args.at(position),
            b"",
        ))
    }

    /// The request for [`larder_cluster::node::Node::submit`], its arguments copied. `read_copies`
    /// counts if the arguments say nothing.
    #[must_use]
    pub fn request(
        &self,
        args: Args<'_>,
        database: u8,
        protocol: Protocol,
        read_copies: u8,
    ) -> Request {
        let words = args.iter().map(Bytes::copy_from_slice).collect();
        let mut request = Request::new(database, words, self.partitions.to_vec(), self.access());
        request.protocol = protocol.number();
        request.repeatable = self.is_repeatable();
        request.grouped = self.is_grouped();
        request.write_copies = self.asked.write_copies.unwrap_or(0);
        let default = if self.access() == Access::Read {
            read_copies
        } else {
            1
        };
        request.read_copies = self.asked.read_copies.unwrap_or(default);
        if request.read_copies > 1 {
            request.pull = self.pull(args, database);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::OwnedArgs;

    fn planned(line: &str) -> Result<Plan, String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::new(&words);
        plan(args.as_args(), Partitions::DEFAULT).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_command_is_refused_as_redis_does() {
        for (line, text) in [
            (
                "foo a b",
                "ERR unknown command 'foo', with args beginning with: 'a' 'b' ",
            ),
            ("GET", "ERR wrong number of arguments for 'get' command"),
            ("set a", "ERR wrong number of arguments for 'set' command"),
            (
                "mset a 1 b",
                "ERR wrong number of arguments for 'mset' command",
            ),
            (
                "config",
                "ERR wrong number of arguments for 'config' command",
            ),
            (
                "CONFIG get",
                "ERR wrong number of arguments for 'config|get' command",
            ),
            (
                "config foo",
                "ERR unknown subcommand 'foo'. Try CONFIG HELP.",
            ),
        ] {
            assert_eq!(planned(line).expect_err(line), text);
        }
        let key = "k".repeat(KEY_BYTES_MAX + 1);
        let text = planned(&format!("get {key}")).expect_err("too long");
        assert_eq!(text, "ERR key is longer than 65535 bytes");
        assert!(planned(&format!("get {}", &key[1..])).is_ok());
    }

    #[test]
    fn partitions_are_ascending_and_each_there_once() {
        let plan = planned("del a b a {a}x c d e f g h").expect("valid");
        assert!(plan.partitions.is_sorted_by(|a, b| a < b));
        let alone = planned("DEL a {a}x").expect("valid");
        assert_eq!(alone.partitions.len(), 1);
        assert_eq!(alone.access(), Access::Write);
        assert!(planned("ping").expect("valid").partitions.is_empty());
    }

    #[test]
    fn only_commands_of_several_keys_are_groups() {
        for (line, grouped) in [
            ("RENAME a b", true),
            ("MSET a 1 b 2", true),
            ("DEL a b", true),
            ("DEL a", false),
            ("MSET a 1", false),
            ("SET a 1 EX 100", false),
        ] {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let args = OwnedArgs::new(&words);
            let plan = planned(line).expect("valid");
            let request = plan.request(args.as_args(), 0, Protocol::Resp2, 1);
            assert_eq!(request.grouped, grouped, "{line}");
        }
    }
}
