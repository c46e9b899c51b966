//! CONFIG: the settings of the reached node.

use larder_commands::args::Args;
use larder_commands::error::CommandError;

use super::Outcome;
use crate::client::{Connection, Step};
use crate::server::Server;
use crate::settings::Settings;
use crate::settings::check::Refused;

pub(super) fn get(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = args.from(2).iter().collect();
    let found = connection
        .server
        .runtime
        .settings
        .get(patterns.iter().copied());
    let reply = &mut connection.reply;
    reply.map(found.len());
    for (name, text) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    Ok(Step::Done)
}

pub(super) fn set(connection: &mut Connection, args: Args<'_>) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let words: Vec<&[u8]> = args.from(2).iter().collect();
    let pairs: Vec<(&[u8], &[u8])> = words
        .chunks_exact(2)
        .filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
        .collect();
    let server = connection.server.clone();
    server.runtime.settings.set(&pairs, &mut |_, new| {
        apply(&server, new);
        Ok::<(), Refused>(())
    })?;
    connection.reply.ok();
    Ok(Step::Done)
}

/// Tells those parts of the node that keep settings of their own; all others look at each use.
fn apply(server: &Server, new: &Settings) {
    server
        .runtime
        .node
        .set_settings(crate::runtime::core_settings(new));
    server.log.set_level(new.loglevel);
}

pub(super) fn reset_statistics(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.server.stats.reset(&connection.server);
    connection.reply.ok();
    Ok(Step::Done)
}

pub(super) fn rewrite(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.server.runtime.settings.rewrite()?;
    connection.reply.ok();
    Ok(Step::Done)
}
