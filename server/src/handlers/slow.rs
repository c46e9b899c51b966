//! SLOWLOG: the commands that took long on the reached node.

use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};

use super::Outcome;
use super::numbers::integer;
use crate::client::{Connection, Step};

/// How many SLOWLOG GET shows unless told otherwise.
const SHOWN: usize = 10;

pub(super) fn get(connection: &mut Connection, args: Args<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(CommandError::Text(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try SLOWLOG HELP.",
            echo(args.at(1))
        )));
    }
    let count = match args.get(2).map(|text| integer(text).unwrap_or(i64::MIN)) {
        None => SHOWN,
        Some(-1) => usize::MAX,
        Some(count) => usize::try_from(count)
            .map_err(|_| CommandError::Fixed("ERR count should be greater than or equal to -1"))?,
    };
    let commands = connection.server.slow_log.latest(count);
    let reply = &mut connection.reply;
    reply.array(commands.len());
    for command in commands {
        reply.array(6);
        for number in [command.id, command.unix_s, command.microseconds] {
            reply.integer(i64::try_from(number).unwrap_or(i64::MAX));
        }
        reply.array(command.args.len());
        for arg in &command.args {
            reply.bulk(arg);
        }
        reply.bulk(command.address.as_bytes());
        reply.bulk(command.name.as_bytes());
    }
    Ok(Step::Done)
}

pub(super) fn len(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let length = connection.server.slow_log.len();
    connection.reply.count(length);
    Ok(Step::Done)
}

pub(super) fn reset(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.server.slow_log.clear();
    connection.reply.ok();
    Ok(Step::Done)
}
