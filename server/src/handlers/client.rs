//! CLIENT: what a connection tells of itself, and what is known of all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};

use super::Outcome;
use super::numbers::{integer, timeout};
use crate::client::{ClientInfo, Connection, Silence, Step};
use crate::pause::Held;

/// Whether a text may be a client's name: nothing that would break CLIENT LIST.
pub(super) fn is_name(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

pub(super) fn rename(connection: &mut Connection, name: &[u8]) {
    connection.info.words.lock().name = String::from_utf8_lossy(name).into_owned();
}

pub(super) fn id(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let id = i64::try_from(connection.info.id).unwrap_or(i64::MAX);
    connection.reply.integer(id);
    Ok(Step::Done)
}

pub(super) fn info(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let line = connection.info.line() + "\n";
    connection.reply.verbatim(*b"txt", line.as_bytes());
    Ok(Step::Done)
}

pub(super) fn set_name(connection: &mut Connection, args: Args<'_>) -> Outcome {
    if !is_name(args.at(2)) {
        return Err(CommandError::ClientName);
    }
    rename(connection, args.at(2));
    connection.reply.ok();
    Ok(Step::Done)
}

pub(super) fn name(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let name = connection.info.words.lock().name.clone();
    let name = (!name.is_empty()).then_some(name.as_bytes());
    connection.reply.bulk_or_null(name);
    Ok(Step::Done)
}

pub(super) fn set_info(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let (word, value) = (args.at(2), args.at(3));
    let attribute = ["lib-name", "lib-ver"]
        .into_iter()
        .find(|attribute| word.eq_ignore_ascii_case(attribute.as_bytes()))
        .ok_or_else(|| CommandError::UnrecognizedOption(echo(word)))?;
    if !is_name(value) {
        return Err(CommandError::ClientInfo(attribute));
    }
    let text = String::from_utf8_lossy(value).into_owned();
    {
        let mut words = connection.info.words.lock();
        match attribute {
            "lib-name" => words.lib_name = text,
            _ => words.lib_version = text,
        }
    }
    connection.reply.ok();
    Ok(Step::Done)
}

/// `ON` or `OFF`.
fn switch(word: &[u8]) -> Result<bool, CommandError> {
    if word.eq_ignore_ascii_case(b"ON") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"OFF") {
        Ok(false)
    } else {
        Err(CommandError::Syntax)
    }
}

pub(super) fn no_evict(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let is_on = switch(args.at(2))?;
    connection.info.no_evict.store(is_on, Ordering::Relaxed);
    connection.reply.ok();
    Ok(Step::Done)
}

pub(super) fn no_touch(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let is_on = switch(args.at(2))?;
    connection.info.no_touch.store(is_on, Ordering::Relaxed);
    connection.reply.ok();
    Ok(Step::Done)
}

pub(super) fn reply(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let word = args.at(2);
    if word.eq_ignore_ascii_case(b"SKIP") {
        if connection.silence == Silence::Off {
            connection.silence = Silence::AfterThis;
        }
    } else if switch(word)? {
        connection.silence = Silence::Off;
        connection.reply.ok();
    } else {
        connection.silence = Silence::On;
    }
    Ok(Step::Done)
}

/// The number of a client that exists or did.
pub(super) fn client_id(text: &[u8]) -> Option<u64> {
    integer(text)
        .ok()
        .and_then(|id| u64::try_from(id).ok())
        .filter(|id| *id > 0)
}

/// Which clients CLIENT LIST and CLIENT KILL mean by TYPE: here all are of one kind.
pub(super) fn is_type_of_all(word: &[u8]) -> Result<bool, CommandError> {
    if word.eq_ignore_ascii_case(b"normal") {
        return Ok(true);
    }
    let others: [&[u8]; 4] = [b"master", b"replica", b"slave", b"pubsub"];
    if others.iter().any(|other| word.eq_ignore_ascii_case(other)) {
        return Ok(false);
    }
    Err(CommandError::Text(format!(
        "ERR Unknown client type '{}'",
        echo(word)
    )))
}

pub(super) fn list(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let option = args.get(2);
    let is_option = |word: &[u8]| option.is_some_and(|option| option.eq_ignore_ascii_case(word));
    let clients = if option.is_none() {
        connection.server.clients.all()
    } else if is_option(b"TYPE") && args.len() == 4 {
        if is_type_of_all(args.at(3))? {
            connection.server.clients.all()
        } else {
            Vec::new()
        }
    } else if is_option(b"ID") && args.len() > 3 {
        let mut chosen: Vec<Arc<ClientInfo>> = Vec::new();
        for id in args.from(3).iter() {
            let id = integer(id).map_err(|_| CommandError::Fixed("ERR Invalid client ID"))?;
            let found = u64::try_from(id).map(|id| connection.server.clients.find(id));
            chosen.extend(found.ok().flatten());
        }
        chosen
    } else {
        return Err(CommandError::Syntax);
    };
    let mut text = String::new();
    for client in clients {
        text.push_str(&client.line());
        text.push('\n');
    }
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}

pub(super) fn redirection(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reply.integer(-1);
    Ok(Step::Done)
}

pub(super) fn unpause(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.server.pause.end();
    connection.reply.ok();
    Ok(Step::Done)
}

/// `CLIENT PAUSE ms [WRITE|ALL]`.
pub(super) fn pause(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let held = match args.get(3) {
        None => Held::All,
        Some(word) if word.eq_ignore_ascii_case(b"all") => Held::All,
        Some(word) if word.eq_ignore_ascii_case(b"write") => Held::Writes,
        Some(_) => {
            return Err(CommandError::Fixed(
                "ERR CLIENT PAUSE mode must be WRITE or ALL",
            ));
        }
    };
    if args.len() > 4 {
        return Err(CommandError::Syntax);
    }
    let duration = Duration::from_millis(timeout(args.at(2))?);
    connection.server.pause.begin(held, duration)?;
    connection.reply.ok();
    Ok(Step::Done)
}

pub(super) fn unblock(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let id = integer(args.at(2))?;
    let by_error = match args.get(3) {
        None => false,
        Some(how) if how.eq_ignore_ascii_case(b"TIMEOUT") => false,
        Some(how) if how.eq_ignore_ascii_case(b"ERROR") => true,
        Some(_) => {
            return Err(CommandError::Fixed(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let client = u64::try_from(id).ok();
    let client = client.and_then(|id| connection.server.clients.find(id));
    let was_waiting = client.is_some_and(|client| client.unblock.end(by_error));
    connection.reply.integer(was_waiting.into());
    Ok(Step::Done)
}

pub(super) fn tracking(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let is_on = switch_of_tracking(args)?;
    if is_on {
        return Err(CommandError::Fixed(
            "ERR CLIENT TRACKING is not supported: Larder tells clients of no invalidations",
        ));
    }
    connection.reply.ok();
    Ok(Step::Done)
}

/// Whether CLIENT TRACKING asks for it; finds what Redis would find wrong with the options.
fn switch_of_tracking(args: Args<'_>) -> Result<bool, CommandError> {
    let mut at = 3;
    while let Some(word) = args.get(at) {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is(b"redirect") && args.get(at + 1).is_some() {
            integer(args.at(at + 1))?;
            at += 1;
        } else if is(b"prefix") && args.get(at + 1).is_some() {
            at += 1;
        } else if ![&b"bcast"[..], b"optin", b"optout", b"noloop"]
            .into_iter()
            .any(is)
        {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    switch(args.at(2))
}

pub(super) fn caching(_: &mut Connection, _: Args<'_>) -> Outcome {
    Err(CommandError::Fixed(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
         OPTOUT mode enabled",
    ))
}

pub(super) fn tracking_info(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let reply = &mut connection.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.integer(-1);
    reply.bulk(b"prefixes");
    reply.array(0);
    Ok(Step::Done)
}
