//! LWATCH and LUNWATCH.

use larder_commands::args::Args;

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
