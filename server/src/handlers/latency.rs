//! LATENCY: no events are kept, so there is nothing to show; SLOWLOG and INFO commandstats tell
//! where the time goes.

use larder_commands::args::Args;

use super::Outcome;
use crate::client::{Connection, Step};

/// LATEST and HISTORY.
pub(super) fn nothing(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reply.array(0);
    Ok(Step::Done)
}

/// RESET: how many events were forgotten.
pub(super) fn reset(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.reply.integer(0);
    Ok(Step::Done)
}

pub(super) fn doctor(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let text = "Larder keeps no latency events. SLOWLOG GET shows slow commands, INFO commandstats \
                how long each kind takes.\n";
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}
