//! Reading strings, and writing parts of them.

use crate::call::Call;
use crate::error::CommandError;
use crate::key;
use crate::table::Flag::{DenyOom, Fast, ReadOnly, Write};
use crate::table::{Command, KeySpec, OnCollection, Scope, Spread};

/// What rows of string commands have in common.
pub(super) const STRING: Command = Command {
    group: "string",
    categories: &["string"],
    on_collection: OnCollection::Refused,
    ..Command::EMPTY
};

const READ: Command = Command {
    flags: &[ReadOnly],
    keys: &[KeySpec::at(1, &["RO", "access"])],
    ..STRING
};

pub(super) const ROWS: &[Command] = &[
    Command {
        name: "get",
        arity: 2,
        usage: "key:key",
        summary: "Returns the string value of a key.",
        flags: &[ReadOnly, Fast],
        scope: Scope::Keys(get),
        ..READ
    },
    Command {
        name: "mget",
        // A key of another type is as good as none to MGET.
        on_collection: OnCollection::Handled,
        arity: -2,
        usage: "key:key...",
        summary: "Atomically returns the string values of one or more keys.",
        complexity: "O(N) where N is the number of keys to retrieve.",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::all(&["RO", "access"])],
        tips: &["request_policy:multi_shard"],
        scope: Scope::Keys(mget),
        spread: Spread::Array,
        ..READ
    },
    Command {
        name: "strlen",
        arity: 2,
        usage: "key:key",
        summary: "Returns the length of a string value.",
        since: "2.2.0",
        flags: &[ReadOnly, Fast],
        keys: &[KeySpec::at(1, &["RO"])],
        scope: Scope::Keys(strlen),
        ..READ
    },
    Command {
        name: "getrange",
        arity: 4,
        usage: "key:key start:integer end:integer",
        summary: "Returns a substring of the string stored at a key.",
        since: "2.4.0",
        complexity: "O(N) where N is the length of the returned string.",
        scope: Scope::Keys(getrange),
        ..READ
    },
    Command {
        name: "substr",
        arity: 4,
        usage: "key:key start:integer end:integer",
        summary: "Returns a substring from a string value.",
        complexity: "O(N) where N is the length of the returned string.",
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        scope: Scope::Keys(getrange),
        ..READ
    },
    Command {
        name: "append",
        arity: 3,
        usage: "key:key value",
        summary: "Appends a string to the value of a key. Creates the key if it doesn't exist.",
        since: "2.0.0",
        flags: &[Write, DenyOom, Fast],
        keys: &[KeySpec::at(1, &["RW", "insert"])],
        scope: Scope::Keys(append),
        concurrent: "Writes the whole value: among concurrent writes the latest shows.",
        ..STRING
    },
    Command {
        name: "setrange",
        arity: 4,
        usage: "key:key offset:integer value",
        summary: "Overwrites a part of a string value with another by an offset. Creates the key \
            if \
                  it doesn't exist.",
        since: "2.2.0",
        complexity: "O(N) where N is the length of the value that results.",
        flags: &[Write, DenyOom],
        keys: &[KeySpec::at(1, &["RW", "update"])],
        scope: Scope::Keys(setrange),
        concurrent: "Writes the whole value: among concurrent writes the latest shows.",
        ..STRING
    },
];

fn get(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let place = call.place(1);
    let row = call.transaction.try_row(&place)?;
    call.reply
        .bulk_or_null(key::string(row, call.now_ms)?.as_deref());
    Ok(())
}

fn mget(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    call.reply.array(call.args.len() - 1);
    for index in 1..call.args.len() {
        let place = call.place(index);
        let row = call.transaction.try_row(&place)?;
        // A key of another type is as good as none to MGET.
        let value = key::string(row, call.now_ms).unwrap_or(None);
        call.reply.bulk_or_null(value.as_deref());
    }
    Ok(())
}

fn strlen(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let place = call.place(1);
    let row = call.transaction.try_row(&place)?;
    let length = key::string(row, call.now_ms)?.map_or(0, |value| value.len());
    call.reply.count(length);
    Ok(())
}

fn getrange(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let place = call.place(1);
    let row = call.transaction.try_row(&place)?;
    let value = key::string(row, call.now_ms)?.unwrap_or_default();
    call.reply.bulk(slice(&value, start, end));
    Ok(())
}

/// The bytes from `start` to `end`, both counted from the end if negative, `end` included.
fn slice(value: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let from_start = |at: i64| {
        if at < 0 {
            (length.saturating_add(at)).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_start(start), from_start(end).min(length - 1));
    if start > end {
        return &[];
    }
    let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
        return &[];
    };
    value.get(start..=end).unwrap_or_default()
}

fn append(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (place, tail, now_ms) = (call.place(1), call.arg(2), call.now_ms);
    let bytes_max = call.transaction.env().settings.value_bytes_max;
    let length = call.edit(&place, |edit| {
        let before = key::string(edit.row(), now_ms)?.unwrap_or_default();
        check_length(before.len(), tail.len(), bytes_max)?;
        let mut value = Vec::with_capacity(before.len() + tail.len());
        value.extend_from_slice(&before);
        value.extend_from_slice(tail);
        let deadline = key::deadline(edit.row(), now_ms);
        key::replace(edit, now_ms, &value, deadline);
        Ok(value.len())
    })?;
    call.reply.count(length);
    Ok(())
}

fn setrange(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let offset = call.integer(2)?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let (place, part, now_ms) = (call.place(1), call.arg(3), call.now_ms);
    let bytes_max = call.transaction.env().settings.value_bytes_max;
    let length = call.edit(&place, |edit| {
        let before = key::string(edit.row(), now_ms)?.unwrap_or_default();
        if part.is_empty() {
            return Ok(before.len());
        }
        check_length(offset, part.len(), bytes_max)?;
        let mut value = before.into_owned();
        let end = offset + part.len();
        if value.len() < end {
            value.resize(end, 0);
        }
        let place = value.get_mut(offset..end);
        place
            .expect("the value was made long enough")
            .copy_from_slice(part);
        let deadline = key::deadline(edit.row(), now_ms);
        key::replace(edit, now_ms, &value, deadline);
        Ok(value.len())
    })?;
    call.reply.count(length);
    Ok(())
}

fn check_length(before: usize, added: usize, bytes_max: usize) -> Result<(), CommandError> {
    match before.checked_add(added) {
        Some(length) if length <= bytes_max => Ok(()),
        _ => Err(CommandError::StringTooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_either_end() {
        for (start, end, part) in [
            (0, 3, "This"),
            (-3, -1, "ing"),
            (0, -1, "This is a string"),
            (10, 100, "string"),
            (-1, -5, ""),
            (5, 3, ""),
            (-100, 3, "This"),
            (16, 20, ""),
            (0, -100, "T"),
            (i64::MIN, i64::MAX, "This is a string"),
        ] {
            assert_eq!(
                slice(b"This is a string", start, end),
                part.as_bytes(),
                "{start} {end}"
            );
        }
        assert_eq!(slice(b"", 0, -1), b"");
    }

    #[test]
    fn a_value_may_not_grow_beyond_its_limit() {
        assert_eq!(check_length(99, 1, 100), Ok(()));
        for before in [100, usize::MAX] {
            let refused = check_length(before, 1, 100);
            assert_eq!(refused, Err(CommandError::StringTooLong));
        }
    }
}
