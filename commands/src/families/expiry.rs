//! When keys end.

use std::num::NonZeroU64;

use crate::args::Args;
use crate::call::Call;
use crate::collection;
use crate::error::{self, CommandError};
use crate::expire_time::{self, Unit};
use crate::key::Kind;
use crate::table::Flag::{Fast, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope};

use super::keys::KEYSPACE;

const CHANGE: Command = Command {
    arity: -3,
    flags: &[Write, Fast],
    keys: &[KeySpec::at(1, &["RW", "update"])],
    concurrent: "Among concurrent deadlines the longest holds; a concurrent PERSIST, or a write of \
                 the value that saw no deadline (SET, INCR, APPEND, …), holds over any.",
    ..KEYSPACE
};

const LOOK: Command = Command {
    arity: 2,
    usage: "key:key",
    flags: &[ReadOnly, Fast],
    keys: &[KeySpec::at(1, &["RO", "access"])],
    ..KEYSPACE
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "expire",
        usage: "key:key seconds:integer [NX | XX | GT | LT]",
        summary: "Sets the expiration time of a key in seconds.",
        scope: Scope::Keys(expire),
        ..CHANGE
    },
    Command {
        name: "expireat",
        usage: "key:key unix-time-seconds:unix-time [NX | XX | GT | LT]",
        summary: "Sets the expiration time of a key to a Unix timestamp.",
        since: "1.2.0",
        scope: Scope::Keys(expireat),
        ..CHANGE
    },
    Command {
        name: "pexpire",
        usage: "key:key milliseconds:integer [NX | XX | GT | LT]",
        summary: "Sets the expiration time of a key in milliseconds.",
        since: "2.6.0",
        scope: Scope::Keys(pexpire),
        ..CHANGE
    },
    Command {
        name: "pexpireat",
        usage: "key:key unix-time-milliseconds:unix-time [NX | XX | GT | LT]",
        summary: "Sets the expiration time of a key to a Unix milliseconds timestamp.",
        since: "2.6.0",
        scope: Scope::Keys(pexpireat),
        ..CHANGE
    },
    Command {
        name: "persist",
        arity: 2,
        usage: "key:key",
        summary: "Removes the expiration time of a key.",
        since: "2.2.0",
        scope: Scope::Keys(persist),
        concurrent: "Holds over any concurrent deadline.",
        ..CHANGE
    },
    Command {
        name: "ttl",
        summary: "Returns the expiration time in seconds of a key.",
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(ttl),
        ..LOOK
    },
    Command {
        name: "pttl",
        summary: "Returns the expiration time in milliseconds of a key.",
        since: "2.6.0",
        tips: &["nondeterministic_output"],
        scope: Scope::Keys(pttl),
        ..LOOK
    },
    Command {
        name: "expiretime",
        summary: "Returns the expiration time of a key as a Unix timestamp.",
        since: "7.0.0",
        scope: Scope::Keys(expiretime),
        ..LOOK
    },
    Command {
        name: "pexpiretime",
        summary: "Returns the expiration time of a key as a Unix milliseconds timestamp.",
        since: "7.0.0",
        scope: Scope::Keys(pexpiretime),
        ..LOOK
    },
];

/// When EXPIRE is to do something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Conditions {
    without_deadline: bool,
    with_deadline: bool,
    later: bool,
    sooner: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut conditions = Self::default();
        for word in args.iter() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("nx") {
                conditions.without_deadline = true;
            } else if is("xx") {
                conditions.with_deadline = true;
            } else if is("gt") {
                conditions.later = true;
            } else if is("lt") {
                conditions.sooner = true;
            } else {
                let text = format!("ERR Unsupported option {}", error::echo(word));
                return Err(CommandError::Text(text));
            }
        }
        let others = conditions.with_deadline || conditions.later || conditions.sooner;
        if conditions.without_deadline && others {
            return Err(CommandError::ExpireOptions);
        }
        if conditions.later && conditions.sooner {
            return Err(CommandError::ExpireGtLt);
        }
        Ok(conditions)
    }

    /// Whether the deadline may become `time`; no deadline is later than any.
    fn allow(self, before: Option<NonZeroU64>, time: i64) -> bool {
        let before = before.map_or(i64::MAX, |ms| i64::try_from(ms.get()).unwrap_or(i64::MAX));
        let has_deadline = before != i64::MAX;
        !(self.without_deadline && has_deadline
            || self.with_deadline && !has_deadline
            || self.later && time <= before
            || self.sooner && time >= before)
    }
}

fn expire(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    change(call, Unit::Seconds)
}

fn expireat(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    change(call, Unit::UnixSeconds)
}

fn pexpire(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    change(call, Unit::Milliseconds)
}

fn pexpireat(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    change(call, Unit::UnixMilliseconds)
}

fn change(call: &mut Call<'_, '_, '_>, unit: Unit) -> Result<(), CommandError> {
    let conditions = Conditions::parse(call.args.from(3))?;
    let time = expire_time::any(call.arg(2), unit, call)?;
    let (place, now_ms) = (call.place(1), call.now_ms);
    let (kind, before) = collection::shown(call.transaction, &place, now_ms)?;
    let is_done = kind != Kind::Missing && conditions.allow(before, time);
    if is_done {
        let deadline = u64::try_from(time).ok().and_then(NonZeroU64::new);
        let deadline = deadline.filter(|deadline| deadline.get() > now_ms);
        if deadline.is_some() {
            collection::change_deadline(call.transaction, &place, now_ms, deadline)?;
        } else {
            collection::remove(call.transaction, &place, now_ms)?;
        }
    }
    call.reply.integer(i64::from(is_done));
    Ok(())
}

fn persist(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (place, now_ms) = (call.place(1), call.now_ms);
    let (_, deadline) = collection::shown(call.transaction, &place, now_ms)?;
    let is_done = deadline.is_some();
    if is_done {
        collection::change_deadline(call.transaction, &place, now_ms, None)?;
    }
    call.reply.integer(i64::from(is_done));
    Ok(())
}

fn ttl(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, |deadline, now_ms| {
        (deadline.saturating_sub(now_ms) + 500) / 1000
    })
}

fn pttl(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, u64::saturating_sub)
}

fn expiretime(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, |deadline, _| deadline.saturating_add(500) / 1000)
}

fn pexpiretime(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    answer(call, |deadline, _| deadline)
}

/// -2 for no key, -1 for no deadline, else what `show` makes of the deadline and now.
fn answer(call: &mut Call<'_, '_, '_>, show: fn(u64, u64) -> u64) -> Result<(), CommandError> {
    let (place, now_ms) = (call.place(1), call.now_ms);
    let (kind, deadline) = collection::shown(call.transaction, &place, now_ms)?;
    let answer = match deadline {
        Some(deadline) => i64::try_from(show(deadline.get(), now_ms)).unwrap_or(i64::MAX),
        None if kind == Kind::Missing => -2,
        None => -1,
    };
    call.reply.integer(answer);
    Ok(())
}
