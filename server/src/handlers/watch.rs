//! LWATCH and LUNWATCH, and LCONFLICTS.

use larder_commands::args::Args;
use larder_commands::error::CommandError;

use super::numbers::integer;
use super::{Answering, Outcome};
use crate::client::{Connection, Step};

pub(super) fn watch<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let state = connection.watch(args.to_bytes(1)).await?;
        let reply = &mut connection.reply;
        reply.array(3);
        reply.bulk(b"lwatch");
        reply.bulk(args.at(1));
        reply.raw(&state);
        Ok(Step::Done)
    })
}

pub(super) fn unwatch(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let left = connection.unwatch(args.at(1));
    let reply = &mut connection.reply;
    reply.array(3);
    reply.bulk(b"lunwatch");
    reply.bulk(args.at(1));
    reply.count(left);
    Ok(Step::Done)
}

/// `LCONFLICTS [key] [COUNT n]`. This release keeps no journal yet, so there is nothing to show.
pub(super) fn conflicts(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let has_key = args.len().is_multiple_of(2);
    let options = args.from(if has_key { 2 } else { 1 });
    match (options.get(0), options.get(1)) {
        (None, _) => {}
        (Some(word), Some(count)) if word.eq_ignore_ascii_case(b"count") && options.len() == 2 => {
            integer(count)?;
        }
        _ => return Err(CommandError::Syntax),
    }
    connection.reply.array(0);
    Ok(Step::Done)
}
