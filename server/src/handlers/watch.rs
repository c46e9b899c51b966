//! LWATCH and LUNWATCH, and LCONFLICTS.

use larder_commands::args::Args;
use larder_commands::error::CommandError;

use super::{Answering, Outcome};
use crate::client::{Connection, Step};

pub(super) fn watch<'a>(_: &'a mut Connection, _: Args<'a>) -> Answering<'a> {
    Box::pin(async { Err(CommandError::Fixed("ERR LWATCH is not served yet")) })
}

pub(super) fn unwatch(_: &mut Connection, _: Args<'_>) -> Outcome {
    Err(CommandError::Fixed("ERR LUNWATCH is not served yet"))
}

/// This release keeps no journal yet, so there is nothing to show.
pub(super) fn conflicts(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reply.array(0);
    Ok(Step::Done)
}
