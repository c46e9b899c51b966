//! Values carried to a Redis and from one.

use std::num::NonZeroU64;

use crate::args::Args;
use crate::call::Call;
use crate::collection;
use crate::content::{Content, Shown};
use crate::dump;
use crate::error::CommandError;
use crate::numbers;
use crate::table::Flag::{Asking, DenyOom, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope};

use super::keys::KEYSPACE;

const RESTORE: Command = Command {
    arity: -4,
    usage: "key:key ttl:integer serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds:integer] \
            [FREQ frequency:integer]",
    complexity: "O(1) to create the new key and additional O(N*M) to reconstruct the serialized \
                 value, where N is the number of Redis objects composing the value and M their \
                 average size. For small string values the time complexity is thus O(1)+O(1*M) \
                 where M is small, so simply O(1). However for sorted set values the complexity is \
                 O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).",
    categories: &["keyspace", "dangerous"],
    keys: &[KeySpec::at(1, &["OW", "update"])],
    scope: Scope::Keys(restore),
    concurrent: "Writes the value as SET does.",
    ..KEYSPACE
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "dump",
        arity: 2,
        usage: "key:key",
        summary: "Returns a serialized representation of the value stored at a key.",
        since: "2.6.0",
        complexity: "O(1) to access the key and additional O(N*M) to serialize it, where N is the \
                     number of Redis objects composing the value and M their average size. For \
                     small string values the time complexity is thus O(1)+O(1*M) where M is small, \
                     so simply O(1).",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(dump),
        ..KEYSPACE
    },
    Command {
        name: "restore",
        summary: "Creates a key from the serialized representation of a value.",
        since: "2.6.0",
        flags: &[Write, DenyOom],
        ..RESTORE
    },
    // What MIGRATE of a Redis sends that is a node of a cluster.
    Command {
        name: "restore-asking",
        summary: "An internal command for migrating keys in a cluster.",
        since: "3.0.0",
        group: "server",
        flags: &[Write, DenyOom, Asking],
        ..RESTORE
    },
];

fn dump(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let place = call.place(1);
    match Content::read(call.transaction, &place)? {
        None => call.reply.null(),
        Some(content) => {
            let value = content.value.into_dump()?;
            call.reply.bulk(&dump::encode(&value));
        }
    }
    Ok(())
}

/// The options of RESTORE. How often and when a key was used is not known here, so what they say
/// of it is checked and not kept.
struct Options {
    replaces: bool,
    is_absolute: bool,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self {
            replaces: false,
            is_absolute: false,
        };
        let (mut has_idle, mut has_freq) = (false, false);
        let mut words = args.from(4).iter();
        while let Some(word) = words.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("replace") {
                options.replaces = true;
            } else if is("absttl") {
                options.is_absolute = true;
            } else if is("idletime") && words.len() > 0 && !has_freq {
                has_idle = true;
                if numbers::integer(words.next().unwrap_or_default())? < 0 {
                    return Err(CommandError::Fixed(
                        "ERR Invalid IDLETIME value, must be >= 0",
                    ));
                }
            } else if is("freq") && words.len() > 0 && !has_idle {
                has_freq = true;
                let freq = numbers::integer(words.next().unwrap_or_default())?;
                if !(0..=255).contains(&freq) {
                    return Err(CommandError::Fixed(
                        "ERR Invalid FREQ value, must be >= 0 and <= 255",
                    ));
                }
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// When the key is to end: never, at a time, or before now.
fn deadline(
    call: &Call<'_, '_, '_>,
    options: &Options,
) -> Result<Option<NonZeroU64>, CommandError> {
    let given = u64::try_from(call.integer(2)?)
        .map_err(|_| CommandError::Fixed("ERR Invalid TTL value, must be >= 0"))?;
    if given == 0 || options.is_absolute {
        return Ok(NonZeroU64::new(given));
    }
    let time = given
        .checked_add(call.now_ms)
        .filter(|time| i64::try_from(*time).is_ok());
    let time = time.and_then(NonZeroU64::new);
    time.map(Some).ok_or(CommandError::InvalidExpire(call.name))
}

fn restore(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let options = Options::parse(call.args)?;
    let (place, now_ms) = (call.place(1), call.now_ms);
    if !options.replaces && collection::exists(call.transaction, &place, now_ms)? {
        return Err(CommandError::BusyKey);
    }
    let content = Content {
        deadline: deadline(call, &options)?,
        value: Shown::of_dump(dump::decode(call.arg(3))?)?,
    };
    let seal = call.seal(call.database, call.arg(1));
    content.write(call.transaction, &place, &seal)?;
    call.reply.ok();
    Ok(())
}
