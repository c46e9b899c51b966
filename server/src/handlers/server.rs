//! What the reached node itself is asked: the time, saving, ending, memory.

use std::sync::atomic::Ordering;

use larder_commands::args::Args;
use larder_commands::error::CommandError;

use super::numbers::integer;
use super::{Answering, Outcome, process};
use crate::client::{Connection, Step};
use crate::runtime::clock_unix_ms;
use crate::server::Shutdown;

pub(super) fn time(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    connection.reply.array(2);
    connection
        .reply
        .bulk(since.as_secs().to_string().as_bytes());
    connection
        .reply
        .bulk(since.subsec_micros().to_string().as_bytes());
    Ok(Step::Done)
}

pub(super) fn last_save(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let ms = connection
        .server
        .runtime
        .last_checkpoint_ms
        .load(Ordering::Relaxed);
    connection
        .reply
        .integer(i64::try_from(ms / 1000).unwrap_or(i64::MAX));
    Ok(Step::Done)
}

/// SAVE: what was committed is on disk anyway; this moves it from the redo to its place.
pub(super) fn save<'a>(connection: &'a mut Connection, _: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let runtime = connection.server.runtime.clone();
        let saved = tokio::task::spawn_blocking(move || runtime.checkpoint()).await;
        match saved {
            Ok(Ok(())) => connection.reply.ok(),
            Ok(Err(error)) => return Err(CommandError::DiskFailed(error.to_string())),
            Err(_) => return Err(CommandError::Fixed("ERR the checkpoint did not end well")),
        }
        Ok(Step::Done)
    })
}

fn save_soon(connection: &Connection) {
    let runtime = connection.server.runtime.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = runtime.checkpoint() {
            tracing::error!(%error, "a checkpoint failed; the redo holds what it lacks");
        }
    });
}

pub(super) fn background_save(connection: &mut Connection, args: Args<'_>) -> Outcome {
    match args.get(1) {
        None => {}
        Some(word) if word.eq_ignore_ascii_case(b"schedule") && args.len() == 2 => {}
        Some(_) => return Err(CommandError::Syntax),
    }
    save_soon(connection);
    connection.reply.simple("Background saving started");
    Ok(Step::Done)
}

pub(super) fn rewrite_log(connection: &mut Connection, _: Args<'_>) -> Outcome {
    save_soon(connection);
    connection
        .reply
        .simple("Background append only file rewriting started");
    Ok(Step::Done)
}

/// What SHUTDOWN is told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ending {
    saves: bool,
    saves_not: bool,
    is_now: bool,
    is_forced: bool,
    is_abort: bool,
}

impl Ending {
    fn read(args: Args<'_>) -> Result<Self, CommandError> {
        let mut ending = Self::default();
        for word in args.from(1).iter() {
            let flag = [
                (&b"save"[..], &mut ending.saves),
                (b"nosave", &mut ending.saves_not),
                (b"now", &mut ending.is_now),
                (b"force", &mut ending.is_forced),
                (b"abort", &mut ending.is_abort),
            ]
            .into_iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name));
            *flag.ok_or(CommandError::Syntax)?.1 = true;
        }
        let others = ending.saves || ending.saves_not || ending.is_now || ending.is_forced;
        if (ending.is_abort && others) || (ending.saves && ending.saves_not) {
            return Err(CommandError::Syntax);
        }
        Ok(ending)
    }
}

/// SHUTDOWN: with or without SAVE nothing is lost; NOW does not wait for the other replicas.
pub(super) fn shutdown(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let ending = Ending::read(args)?;
    if ending.is_abort {
        return Err(CommandError::Fixed("ERR No shutdown in progress."));
    }
    let how = Shutdown {
        waits: !ending.is_now,
    };
    connection.server.shutdown.send_replace(Some(how));
    Ok(Step::Close)
}

pub(super) fn memory_stats(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let server = connection.server.clone();
    let resident = process::memory().resident_bytes;
    let cached = server.runtime.node.cached_bytes() as u64;
    let keys: u64 = super::counts::led(&server).iter().sum();
    let bytes_per_key = resident.checked_div(keys).unwrap_or(0);
    let rows = [
        ("peak.allocated", process::memory().peak_bytes),
        ("total.allocated", resident),
        ("startup.allocated", 0),
        (
            "clients.normal",
            server.clients.count() as u64 * CLIENT_BYTES,
        ),
        ("keys.count", keys),
        ("keys.bytes-per-key", bytes_per_key),
        ("dataset.bytes", cached),
        ("larder.cache.limit", server.settings().cache_size.0),
    ];
    let reply = &mut connection.reply;
    reply.map(rows.len());
    for (name, value) in rows {
        reply.bulk(name.as_bytes());
        reply.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }
    Ok(Step::Done)
}

/// About what an idle client costs.
const CLIENT_BYTES: u64 = 20 * 1024;

pub(super) fn memory_doctor(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let limit = connection.server.settings().cache_size.0;
    let cached = connection.server.runtime.node.cached_bytes() as u64;
    let text = if cached > limit + limit / 2 {
        "Decoded rows take more than the setting 'cache-size' allows, as they wait for the disk. \
         If that stays so, the disk is too slow for the writes that come in."
    } else {
        "Hi, all is well: memory is a cache here, bounded by the setting 'cache-size', and every \
         value is on disk."
    };
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}

pub(super) fn memory_allocator(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let text = "Stats not supported for the current allocator (mimalloc)";
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}

/// The allocator gives back by itself.
pub(super) fn memory_purge(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reply.ok();
    Ok(Step::Done)
}

/// READONLY and READWRITE: every replica takes reads and writes.
pub(super) fn fine(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reply.ok();
    Ok(Step::Done)
}

/// ROLE: to clients every node is a master without replicas.
pub(super) fn role(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let offset = connection.server.runtime.node.redo_end().0;
    connection.reply.array(3);
    connection.reply.bulk(b"master");
    connection
        .reply
        .integer(i64::try_from(offset).unwrap_or(i64::MAX));
    connection.reply.array(0);
    Ok(Step::Done)
}

pub(super) fn modules(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reply.array(0);
    Ok(Step::Done)
}

/// LOLWUT: today's shelf.
pub(super) fn lolwut(connection: &mut Connection, args: Args<'_>) -> Outcome {
    if args.len() > 2 && args.at(1).eq_ignore_ascii_case(b"version") {
        integer(args.at(2))?;
    }
    let mut seed = clock_unix_ms() / 86_400_000;
    let jars = [
        "(__)", "[==]", "{~~}", "|##|", "<@@>", "(oo)", "[::]", " () ",
    ];
    let mut text = String::new();
    for _ in 0..4 {
        for _ in 0..10 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963);
            text.push_str(jars.get((seed >> 33) as usize % jars.len()).unwrap_or(&""));
            text.push(' ');
        }
        text.push_str("\n=================================================\n");
    }
    text.push_str("\nA larder keeps what you put in. Larder ver. ");
    text.push_str(env!("CARGO_PKG_VERSION"));
    text.push('\n');
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_commands::args::OwnedArgs;

    #[test]
    fn shutdown_refuses_words_that_exclude_each_other() {
        let read = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            Ending::read(OwnedArgs::new(&words).as_args())
        };
        for line in [
            "SHUTDOWN SAVE NOSAVE",
            "SHUTDOWN ABORT NOW",
            "SHUTDOWN soon",
        ] {
            assert_eq!(read(line), Err(CommandError::Syntax), "{line}");
        }
        assert!(read("SHUTDOWN nosave NOW force").is_ok_and(|ending| ending.is_now));
    }
}
