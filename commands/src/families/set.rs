//! Writing whole strings: SET and its kin.

use std::num::NonZeroU64;

use crate::args::Args;
use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::expire_time::{self, Unit};
use crate::key::{self, Kind};
use crate::table::Flag::{DenyOom, Fast, Write};
use crate::table::{Asked, Command, KeySpec, OnCollection, Scope, Spread};

use super::strings::STRING;

const LATEST: &str = "Among concurrent writes the latest stamp shows, and the others can be \
    found by LCONFLICTS; \
     increments that it had not seen add up with it, those that it had seen are gone.";

const WRITE: Command = Command {
    flags: &[Write, DenyOom],
    keys: &[KeySpec::at(1, &["OW", "update"])],
    concurrent: LATEST,
    ..STRING
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "set",
        on_collection: OnCollection::Handled,
        arity: -3,
        usage: "key:key value [NX | XX] [GET] [EX seconds:integer | PX milliseconds:integer | \
                EXAT unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | \
                KEEPTTL]",
        summary: "Sets the string value of a key, ignoring its type. The key is created if it \
                  doesn't exist.",
        keys: &[
            KeySpec::at(1, &["RW", "access", "update", "variable_flags"])
                .with_notes("RW and ACCESS due to the optional `GET` argument"),
        ],
        scope: Scope::Keys(set),
        ..WRITE
    },
    Command {
        name: "setnx",
        on_collection: OnCollection::Handled,
        arity: 3,
        usage: "key:key value",
        summary: "Set the string value of a key only when the key doesn't exist.",
        deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
        flags: &[Write, DenyOom, Fast],
        keys: &[KeySpec::at(1, &["OW", "insert"])],
        scope: Scope::Keys(setnx),
        ..WRITE
    },
    Command {
        name: "setex",
        on_collection: OnCollection::Replaced,
        arity: 4,
        usage: "key:key seconds:integer value",
        summary: "Sets the string value and expiration time of a key. Creates the key if it \
                  doesn't exist.",
        since: "2.0.0",
        deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
        scope: Scope::Keys(setex),
        ..WRITE
    },
    Command {
        name: "psetex",
        on_collection: OnCollection::Replaced,
        arity: 4,
        usage: "key:key milliseconds:integer value",
        summary: "Sets both string value and expiration time in milliseconds of a key. The key is \
                  created if it doesn't exist.",
        since: "2.6.0",
        deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
        scope: Scope::Keys(psetex),
        ..WRITE
    },
    Command {
        name: "getset",
        arity: 3,
        usage: "key:key value",
        summary: "Returns the previous string value of a key after setting it to a new value.",
        deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
        flags: &[Write, DenyOom, Fast],
        keys: &[KeySpec::at(1, &["RW", "access", "update"])],
        scope: Scope::Keys(getset),
        ..WRITE
    },
    Command {
        name: "getdel",
        arity: 2,
        usage: "key:key",
        summary: "Returns the string value of a key after deleting the key.",
        since: "6.2.0",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "access", "delete"])],
        scope: Scope::Keys(getdel),
        concurrent: "Removes what it returned; concurrent writes and increments stay.",
        ..WRITE
    },
    Command {
        name: "getex",
        arity: -2,
        usage: "key:key [EX seconds:integer | PX milliseconds:integer | \
                EXAT unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | \
                PERSIST]",
        summary: "Returns the string value of a key after setting its expiration time.",
        since: "6.2.0",
        flags: &[Write, Fast],
        keys: &[KeySpec::at(1, &["RW", "access", "update"])
            .with_notes("RW and UPDATE because it changes the TTL")],
        scope: Scope::Keys(getex),
        concurrent: "As EXPIRE and PERSIST.",
        ..WRITE
    },
    Command {
        name: "mset",
        on_collection: OnCollection::Handled,
        arity: -3,
        usage: "(key:key value)...",
        summary: "Atomically creates or modifies the string values of one or more keys.",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set.",
        keys: &[KeySpec::with_values(&["OW", "update"])],
        tips: &[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ],
        scope: Scope::Keys(mset),
        spread: Spread::Ok,
        asked: Some(check_pairs),
        ..WRITE
    },
    Command {
        name: "msetnx",
        on_collection: OnCollection::Handled,
        arity: -3,
        usage: "(key:key value)...",
        summary: "Atomically modifies the string values of one or more keys only when all keys \
                  don't exist.",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set.",
        keys: &[KeySpec::with_values(&["OW", "insert"])],
        scope: Scope::Keys(msetnx),
        spread: Spread::Steps,
        asked: Some(check_pairs),
        concurrent: "As SET. It looks at the keys on the nodes that it reaches: two of them that \
                     cannot see each other may both succeed.",
        ..WRITE
    },
];

fn check_pairs(args: Args<'_>) -> Result<Asked, CommandError> {
    if args.len().is_multiple_of(2) {
        let name = args.at(0);
        let is_nx = name.eq_ignore_ascii_case(b"msetnx");
        return Err(CommandError::WrongArity(if is_nx {
            "msetnx"
        } else {
            "mset"
        }));
    }
    Ok(Asked::default())
}

/// The options of SET and GETEX.
#[derive(Default)]
struct Options<'c> {
    only_new: bool,
    only_old: bool,
    returns_old: bool,
    keeps_deadline: bool,
    persists: bool,
    expire: Option<(Unit, &'c [u8])>,
}

impl<'c> Options<'c> {
    /// Reads the options behind the `first` arguments; `is_set` tells SET from GETEX.
    fn parse(args: Args<'c>, first: usize, is_set: bool) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = args.from(first).iter();
        while let Some(word) = words.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is_set && is("nx") && !options.only_old {
                options.only_new = true;
            } else if is_set && is("xx") && !options.only_new {
                options.only_old = true;
            } else if is_set && is("get") {
                options.returns_old = true;
            } else if is_set && is("keepttl") && options.expire.is_none() {
                options.keeps_deadline = true;
            } else if !is_set && is("persist") && options.expire.is_none() {
                options.persists = true;
            } else {
                let unit = Unit::named(word).ok_or(CommandError::Syntax)?;
                let others = options.expire.is_some_and(|(other, _)| other != unit);
                if options.keeps_deadline || options.persists || others {
                    return Err(CommandError::Syntax);
                }
                options.expire = Some((unit, words.next().ok_or(CommandError::Syntax)?));
            }
        }
        Ok(options)
    }

    fn deadline(&self, call: &Call<'_, '_, '_>) -> Result<Option<NonZeroU64>, CommandError> {
        match self.expire {
            Some((unit, text)) => expire_time::positive(text, unit, call).map(Some),
            None => Ok(None),
        }
    }
}

fn set(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (place, value, now_ms) = (call.place(1), call.arg(2), call.now_ms);
    if call.args.len() == 3 {
        call.overwrite_collections(&place)?;
        call.transaction
            .edit(&place, |edit| key::replace(edit, now_ms, value, None))?;
        call.reply.ok();
        return Ok(());
    }
    let options = Options::parse(call.args, 3, true)?;
    let deadline = options.deadline(call)?;
    let returns_old = options.returns_old;
    let (kind, before) = collection::shown(call.transaction, &place, now_ms)?;
    if returns_old && matches!(kind, Kind::Collection(_)) {
        return Err(CommandError::WrongType);
    }
    let is_there = kind != Kind::Missing;
    if (options.only_new && is_there) || (options.only_old && !is_there) {
        let row = call.transaction.try_row(&place)?;
        match key::string(row, now_ms)? {
            Some(old) if returns_old => call.reply.bulk(&old),
            _ => call.reply.null(),
        }
        return Ok(());
    }
    let kept = before.filter(|_| options.keeps_deadline);
    let old = call.edit(&place, |edit| {
        let row = edit.row();
        let old = if returns_old {
            key::string(row, now_ms)?.map(|old| old.into_owned())
        } else {
            None
        };
        key::replace(edit, now_ms, value, deadline.or(kept));
        Ok(old)
    })?;
    call.overwrite_collections(&place)?;
    if returns_old {
        call.reply.bulk_or_null(old.as_deref());
    } else {
        call.reply.ok();
    }
    Ok(())
}

fn setnx(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (place, value, now_ms) = (call.place(1), call.arg(2), call.now_ms);
    let is_new = !collection::exists(call.transaction, &place, now_ms)?;
    if is_new {
        call.overwrite_collections(&place)?;
        call.transaction
            .edit(&place, |edit| key::replace(edit, now_ms, value, None))?;
    }
    call.reply.integer(i64::from(is_new));
    Ok(())
}

fn setex(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    set_for(call, Unit::Seconds)
}

fn psetex(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    set_for(call, Unit::Milliseconds)
}

fn set_for(call: &mut Call<'_, '_, '_>, unit: Unit) -> Result<(), CommandError> {
    let deadline = expire_time::positive(call.arg(2), unit, call)?;
    let (place, value, now_ms) = (call.place(1), call.arg(3), call.now_ms);
    call.transaction.edit(&place, |edit| {
        key::replace(edit, now_ms, value, Some(deadline))
    })?;
    call.reply.ok();
    Ok(())
}

fn getset(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (place, value, now_ms) = (call.place(1), call.arg(2), call.now_ms);
    let old = call.edit(&place, |edit| {
        let old = key::string(edit.row(), now_ms)?.map(|old| old.into_owned());
        key::replace(edit, now_ms, value, None);
        Ok(old)
    })?;
    call.reply.bulk_or_null(old.as_deref());
    Ok(())
}

fn getdel(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (place, now_ms) = (call.place(1), call.now_ms);
    let old = call.edit(&place, |edit| {
        let old = key::string(edit.row(), now_ms)?.map(|old| old.into_owned());
        if old.is_some() {
            key::remove(edit, now_ms);
        }
        Ok(old)
    })?;
    call.reply.bulk_or_null(old.as_deref());
    Ok(())
}

fn getex(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let options = Options::parse(call.args, 2, false)?;
    let (place, now_ms) = (call.place(1), call.now_ms);
    let row = call.transaction.try_row(&place)?;
    let Some(value) = key::string(row, now_ms)? else {
        call.reply.null();
        return Ok(());
    };
    call.reply.bulk(&value);
    let before = key::deadline(row, now_ms);
    let deadline = options.deadline(call)?;
    if deadline.is_some_and(|deadline| deadline.get() <= now_ms) {
        call.transaction
            .edit(&place, |edit| key::remove(edit, now_ms))?;
    } else if deadline.is_some() || (options.persists && before.is_some()) {
        call.transaction
            .edit(&place, |edit| key::change_deadline(edit, now_ms, deadline))?;
    }
    Ok(())
}

fn mset(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let now_ms = call.now_ms;
    for index in (1..call.args.len()).step_by(2) {
        let (place, value) = (call.place(index), call.arg(index + 1));
        call.overwrite_collections(&place)?;
        call.transaction
            .edit(&place, |edit| key::replace(edit, now_ms, value, None))?;
    }
    call.reply.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    for index in (1..call.args.len()).step_by(2) {
        let (place, now_ms) = (call.place(index), call.now_ms);
        if collection::exists(call.transaction, &place, now_ms)? {
            call.reply.integer(0);
            return Ok(());
        }
    }
    mset(call)?;
    call.reply.clear();
    call.reply.integer(1);
    Ok(())
}
