//! Keys under other names and in other databases.

use larder_cluster::transaction::Place;

use crate::args::Args;
use crate::call::Call;
use crate::collection;
use crate::content::Content;
use crate::error::CommandError;
use crate::numbers;
use crate::table::Flag::{DenyOom, Fast, Write};
use crate::table::{Command, KeySpec, Scope, Spread};

use super::keys::KEYSPACE;

const RENAME: Command = Command {
    arity: 3,
    usage: "key:key newkey:key",
    spread: Spread::Steps,
    concurrent: "Writes what the source shows to the target, then removes what it has seen of the \
                 source: writes to the source that it had not seen stay there.",
    ..KEYSPACE
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "rename",
        summary: "Renames a key and overwrites the destination.",
        flags: &[Write],
        keys: &[
            KeySpec::at(1, &["RW", "access", "delete"]),
            KeySpec::at(2, &["OW", "update"]),
        ],
        scope: Scope::Keys(rename),
        ..RENAME
    },
    Command {
        name: "renamenx",
        summary: "Renames a key only when the target key name doesn't exist.",
        flags: &[Write, Fast],
        keys: &[
            KeySpec::at(1, &["RW", "access", "delete"]),
            KeySpec::at(2, &["OW", "insert"]),
        ],
        scope: Scope::Keys(renamenx),
        ..RENAME
    },
    Command {
        name: "copy",
        arity: -3,
        usage: "source:key destination:key [DB destination-db:integer] [REPLACE]",
        summary: "Copies the value of a key to a new key.",
        since: "6.2.0",
        complexity: "O(N) worst case for collections, where N is the number of nested items. O(1) \
                     for string values.",
        flags: &[Write, DenyOom],
        keys: &[
            KeySpec::at(1, &["RO", "access"]),
            KeySpec::at(2, &["OW", "update"]),
        ],
        scope: Scope::Keys(copy),
        concurrent: "Writes what the source shows to the target, as SET and LPUT do.",
        ..RENAME
    },
    Command {
        name: "move",
        arity: 3,
        usage: "key:key db:integer",
        summary: "Moves a key to another database.",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "access", "update"])],
        scope: Scope::Keys(move_key),
        spread: Spread::None,
        ..RENAME
    },
];

fn rename(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    rename_to(call, true)?;
    call.reply.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let is_done = rename_to(call, false)?;
    call.reply.integer(i64::from(is_done));
    Ok(())
}

fn rename_to(call: &mut Call<'_, '_, '_>, replaces: bool) -> Result<bool, CommandError> {
    let (source, target, now_ms) = (call.place(1), call.place(2), call.now_ms);
    let content = Content::read(call.transaction, &source)?.ok_or(CommandError::NoSuchKey)?;
    if source == target || !replaces && collection::exists(call.transaction, &target, now_ms)? {
        return Ok(false);
    }
    let database = call.database;
    put(call, &content, &target, (database, call.arg(2)))?;
    collection::remove(call.transaction, &source, now_ms)?;
    Ok(true)
}

fn put(
    call: &mut Call<'_, '_, '_>,
    content: &Content,
    target: &Place,
    (database, key): (u8, &[u8]),
) -> Result<(), CommandError> {
    let seal = call.seal(database, key);
    content.write(call.transaction, target, &seal)
}

/// The options of COPY.
pub(crate) struct CopyOptions {
    /// The database of the target, if it is another.
    pub(crate) database: u8,
    /// Whether a target that exists is replaced.
    pub(crate) replaces: bool,
}

impl CopyOptions {
    /// Reads the options of a whole request in `database`.
    pub(crate) fn parse(args: Args<'_>, database: u8) -> Result<Self, CommandError> {
        let mut options = Self {
            database,
            replaces: false,
        };
        let mut words = args.from(3).iter();
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"replace") {
                options.replaces = true;
            } else if word.eq_ignore_ascii_case(b"db") {
                options.database = numbers::database(words.next().ok_or(CommandError::Syntax)?)?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.database == database && args.at(1) == args.at(2) {
            return Err(CommandError::SameObject);
        }
        Ok(options)
    }
}

fn copy(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let options = CopyOptions::parse(call.args, call.database)?;
    let (source, now_ms) = (call.place(1), call.now_ms);
    let target = call.place_in(2, options.database);
    let content = Content::read(call.transaction, &source)?;
    let is_free = options.replaces || !collection::exists(call.transaction, &target, now_ms)?;
    match content.filter(|_| is_free) {
        Some(content) => {
            put(call, &content, &target, (options.database, call.arg(2)))?;
            call.reply.integer(1);
        }
        None => call.reply.integer(0),
    }
    Ok(())
}

fn move_key(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let database = numbers::database(call.arg(2))?;
    if database == call.database {
        return Err(CommandError::SameObject);
    }
    let (source, now_ms) = (call.place(1), call.now_ms);
    let target = call.place_in(1, database);
    let content = Content::read(call.transaction, &source)?;
    let is_free = !collection::exists(call.transaction, &target, now_ms)?;
    match content.filter(|_| is_free) {
        Some(content) => {
            put(call, &content, &target, (database, call.arg(1)))?;
            collection::remove(call.transaction, &source, now_ms)?;
            call.reply.integer(1);
        }
        None => call.reply.integer(0),
    }
    Ok(())
}
