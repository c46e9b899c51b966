//! LCONFLICTS: the journal of values that lost, of this node or of the owner of a key.

use larder_commands::args::Args;
use larder_commands::error::CommandError;
use larder_commands::internal::conflicts::{list_request, listed, write_to};

use super::Answering;
use super::across::gather;
use super::keyspace::answered;
use super::numbers::integer;
use crate::client::{Connection, Step};

/// Entries that are shown if the client does not say how many.
const SHOWN: usize = 100;

/// The key and the number of entries of `LCONFLICTS [key] [COUNT n]`.
fn options<'a>(args: Args<'a>) -> Result<(Option<&'a [u8]>, usize), CommandError> {
    let has_key = args.len().is_multiple_of(2);
    let options = args.from(if has_key { 2 } else { 1 });
    let count = match (options.get(0), options.get(1)) {
        (None, _) => SHOWN,
        (Some(word), Some(count)) if word.eq_ignore_ascii_case(b"count") && options.len() == 2 => {
            match usize::try_from(integer(count)?) {
                Ok(count) if count > 0 => count,
                _ => return Err(CommandError::Fixed("ERR COUNT must be > 0")),
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    Ok((has_key.then(|| args.at(1)), count))
}

pub(super) fn conflicts<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let (key, count) = options(args)?;
        let server = connection.server.clone();
        let entries = match key {
            None => server.runtime.node.journal().latest(None, count),
            Some(key) => {
                let request = list_request(server.partitions, connection.database, key, count);
                let mut entries = Vec::new();
                for reply in gather(&server.runtime, [request]).await? {
                    entries.extend(listed(&answered(reply)?)?);
                }
                entries
            }
        };
        write_to(&mut connection.reply, &entries);
        Ok(Step::Done)
    })
}
