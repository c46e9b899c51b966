//! Writes of documents whose context is ahead of the node: what it lacks is fetched first.
//!
//! The command itself finds that out, changes nothing, and says [`FETCH_FIRST`] in place of a
//! reply. Then it is submitted anew, to run when the states of all owners are joined. If some of
//! them are out of reach, it runs on what is here: a write is always taken.

use larder_cluster::request::Reply as CoreReply;
use larder_commands::args::OwnedArgs;
use larder_commands::commands::{FETCH_FIRST, READ_COPIES_WAIVED};
use larder_commands::error::CommandError;
use larder_commands::plan::plan;

use super::connection::Connection;

/// Whether a reply says that something must be fetched first.
pub(super) fn is_wanted(reply: &CoreReply) -> bool {
    match reply {
        CoreReply::Done(bytes) | CoreReply::Partial { reply: bytes, .. } => bytes == FETCH_FIRST,
        _ => false,
    }
}

impl Connection {
    /// Runs a command on one key after joining what its other owners have.
    pub(super) async fn run_fetched(&self, args: &OwnedArgs) -> Result<CoreReply, CommandError> {
        let planned = plan(args.as_args(), self.partitions())?;
        let runtime = &self.server.runtime;
        let view = runtime.node.view();
        let owners = planned
            .partitions
            .first()
            .map_or(0, |partition| view.ownership.owners(*partition).len());
        let protocol = self.reply.protocol();
        let mut request = planned.request(args.as_args(), self.database, protocol, 1);
        if owners > 1 {
            request.read_copies = u8::try_from(owners).unwrap_or(u8::MAX);
            request.pull = planned.pull(args.as_args(), self.database);
            match runtime.run(request.clone()).await {
                CoreReply::PartialRead { .. } => {}
                reply => return Ok(reply),
            }
        }
        request.read_copies = READ_COPIES_WAIVED;
        request.pull = None;
        Ok(runtime.run(request).await)
    }
}
