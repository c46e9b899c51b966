//! What a client has said for its next EXEC: commands since MULTI, and the keys that it watches.

use std::sync::atomic::Ordering;

use larder_cluster::request::Access;
use larder_commands::args::{Args, OwnedArgs};
use larder_commands::batch::{WatchedKey, is_whole};
use larder_commands::error::CommandError;
use larder_commands::plan::Plan;
use larder_commands::table::Flag;

use super::connection::Connection;
use super::info::NO_TRANSACTION;
use super::step::{Batch, Step};
use crate::limits::{ARGS_MAX, QUEUED_BYTES_MAX, QUEUED_WORDS_MAX};

const _: () = assert!(
    QUEUED_WORDS_MAX < ARGS_MAX,
    "a batch travels as one request"
);

/// A command that waits for EXEC.
pub(crate) struct Queued {
    pub(crate) args: OwnedArgs,
    pub(crate) plan: Plan,
}

/// The commands since MULTI.
#[derive(Default)]
pub struct Multi {
    /// In order.
    pub(crate) queued: Vec<Queued>,
    /// About how much memory they take.
    bytes: usize,
    words: usize,
    /// Whether one of them could not be queued, so that EXEC must not run the others.
    pub(crate) is_aborted: bool,
}

impl Multi {
    /// Whether it may change something.
    pub(crate) fn access(&self) -> Access {
        let mut queued = self.queued.iter();
        if queued.any(|queued| queued.plan.access() == Access::Write) {
            Access::Write
        } else {
            Access::Read
        }
    }

    /// About how much memory the commands take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn take_in(&mut self, args: Args<'_>, plan: Plan) -> Result<(), CommandError> {
        let own: usize = args.iter().map(<[u8]>::len).sum();
        self.bytes += own + size_of::<Queued>();
        self.words += args.len();
        if self.words > QUEUED_WORDS_MAX {
            return Err(CommandError::TransactionWords(QUEUED_WORDS_MAX));
        }
        if self.bytes > QUEUED_BYTES_MAX {
            return Err(CommandError::TransactionBytes(QUEUED_BYTES_MAX));
        }
        let args = args.to_owned();
        self.queued.push(Queued { args, plan });
        Ok(())
    }

    /// Nothing of it will run: what has been queued may go.
    fn abort(&mut self) {
        self.is_aborted = true;
        (self.queued, self.bytes) = (Vec::new(), 0);
    }
}

/// Commands that are never queued.
fn runs_at_once(name: &str) -> bool {
    matches!(
        name,
        "multi" | "exec" | "discard" | "watch" | "quit" | "reset"
    )
}

impl Connection {
    /// Whether CLIENT PAUSE counts a command among those that write.
    pub(super) fn may_write(&self, plan: &Plan) -> bool {
        let queued = || {
            self.multi
                .as_ref()
                .is_some_and(|multi| multi.access() == Access::Write)
        };
        plan.command.is(Flag::Write) || plan.command.name == "exec" && queued()
    }

    /// A request that is none of the table's, or has too few or too many arguments.
    pub(super) fn refuse_request(&mut self, error: &CommandError) -> Step {
        if *error == CommandError::WrongArity("exec") {
            self.end_transaction();
            return self.fail(&error.aborted_by());
        }
        self.abort_transaction();
        self.fail(error)
    }

    fn abort_transaction(&mut self) {
        if let Some(multi) = &mut self.multi {
            multi.abort();
        }
    }

    /// Whether a command is to wait for EXEC.
    pub(super) fn is_to_queue(&self, plan: &Plan) -> bool {
        self.multi.is_some() && !runs_at_once(plan.command.name)
    }

    /// Keeps a command for EXEC.
    pub(super) fn queue(&mut self, args: Args<'_>, plan: Plan, batch: &Batch<'_>) -> Step {
        let checked = self.check_queued(args, &plan, batch);
        let queued = checked.and_then(|()| match &mut self.multi {
            // What is queued behind an error will not run.
            Some(multi) if !multi.is_aborted => multi.take_in(args, plan),
            _ => Ok(()),
        });
        if let Err(error) = queued {
            self.abort_transaction();
            return self.fail(&error);
        }
        self.show_transaction();
        let bytes = self.multi.as_ref().map_or(0, |multi| multi.bytes());
        if bytes as u64 > batch.settings.client_query_buffer_limit.0 {
            // As Redis does: what waits here counts as if it waited in the socket.
            return Step::Close;
        }
        self.reply.raw(b"+QUEUED\r\n");
        Step::Done
    }

    fn check_queued(
        &self,
        args: Args<'_>,
        plan: &Plan,
        batch: &Batch<'_>,
    ) -> Result<(), CommandError> {
        let command = plan.command;
        // Whether its password is right, and so which protocol is spoken behind it, shows only when
        // it runs.
        let is_greeting = command.name == "hello" && args.len() > 2;
        if command.is(Flag::NoMulti) || is_greeting {
            return Err(CommandError::NotInTransaction);
        }
        if plan.asked.read_copies.unwrap_or(1) > 1 {
            return Err(CommandError::ReadCopiesInTransaction);
        }
        if is_whole(command) {
            let all: Vec<_> = self.partitions().iter().collect();
            if self.is_scattered(&all, batch.now()) {
                return Err(CommandError::WholeInTransaction(command.name));
            }
        }
        Ok(())
    }

    /// MULTI.
    pub(crate) fn begin_transaction(&mut self) {
        self.multi = Some(Box::default());
        self.show_transaction();
    }

    /// The transaction is over, and with it all watches.
    pub(crate) fn end_transaction(&mut self) {
        self.multi = None;
        self.watched = Vec::new();
        self.show_transaction();
    }

    /// The keys that are watched.
    pub(crate) fn watched(&self) -> &[WatchedKey] {
        &self.watched
    }

    /// Tells others what is queued.
    fn show_transaction(&self) {
        let multi = self.multi.as_ref();
        let queued = multi.map_or(NO_TRANSACTION, |multi| multi.queued.len() as u64);
        self.info.queued.store(queued, Ordering::Relaxed);
        let bytes = multi.map_or(0, |multi| multi.bytes() as u64);
        self.info.queued_bytes.store(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_cluster::token::Partitions;
    use larder_commands::plan::plan;

    fn take_in(multi: &mut Multi, words: &[&[u8]]) -> Result<(), String> {
        let args = OwnedArgs::new(words);
        let planned = plan(args.as_args(), Partitions::DEFAULT).expect("a command");
        let taken = multi.take_in(args.as_args(), planned);
        taken.map_err(|error| error.to_string())
    }

    #[test]
    fn words_and_bytes_of_a_queue_are_bounded() {
        let mut multi = Multi {
            words: QUEUED_WORDS_MAX - 2,
            ..Multi::default()
        };
        assert_eq!(take_in(&mut multi, &[b"GET", b"a"]), Ok(()));
        let error = take_in(&mut multi, &[b"PING"]).expect_err("one more");
        assert_eq!(error, "ERR a transaction has at most 1000000 words");
        let mut multi = Multi {
            bytes: QUEUED_BYTES_MAX - size_of::<Queued>() - 5,
            ..Multi::default()
        };
        assert_eq!(take_in(&mut multi, &[b"GET", b"ab"]), Ok(()));
        let error = take_in(&mut multi, &[b"PING"]).expect_err("one more");
        assert_eq!(error, "ERR a transaction has at most 536870912 bytes");
    }
}
