//! The layer above the core: runs what was planned on the rows that the core has locked.

use larder_cluster::limits::DATABASES_MAX;
use larder_cluster::request::Request;
use larder_cluster::transaction::{Execute, Transaction};
use larder_crdt::context::ContextKey;

use crate::args::Args;
use crate::batch;
use crate::call::Call;
use crate::error::CommandError;
use crate::internal;
use crate::plan::{self, Plan};
use crate::reply::{Protocol, Reply};
use crate::table::{Command, Flag, OnCollection, Scope};

/// In place of a reply: nothing was done, because the writer's context is ahead of this node. No
/// reply begins so. The request is to be submitted anew with the states of all owners joined first
/// (`read_copies`, [`Plan::pull`]); if too few of them answer, once more with
/// [`READ_COPIES_WAIVED`]. Then it is done, whatever came in.
pub const FETCH_FIRST: &[u8] = b"\0fetch first\r\n";

/// For `read_copies` of a request: what other replicas have was asked for before, and the command
/// is to run on what is here.
pub const READ_COPIES_WAIVED: u8 = 0;

/// Runs commands on rows.
#[derive(Debug, Clone)]
pub struct Commands {
    contexts: ContextKey,
}

impl Commands {
    /// Commands whose contexts are bound to the cluster by this key.
    #[must_use]
    pub fn new(contexts: ContextKey) -> Self {
        Self { contexts }
    }

    /// Runs a planned command of scope `Keys` in `database` and appends its reply. `transaction`
    /// must hold all partitions of the plan. `has_pulled` says that other replicas' states were
    /// asked for before.
    #[inline]
    pub fn run(
        &self,
        plan: &Plan,
        args: Args<'_>,
        database: u8,
        has_pulled: bool,
        transaction: &mut Transaction<'_, '_>,
        reply: &mut Reply,
    ) {
        run_planned(
            &self.contexts,
            plan,
            args,
            database,
            has_pulled,
            transaction,
            reply,
        );
    }

    /// Runs a planned command of a batch in `database` and appends its reply: of scope `Keys`, or
    /// one that speaks for all keys if `transaction` holds all partitions.
    pub fn run_in_batch(
        &self,
        plan: &Plan,
        args: Args<'_>,
        database: u8,
        transaction: &mut Transaction<'_, '_>,
        reply: &mut Reply,
    ) {
        batch::run_one(&self.contexts, plan, args, database, transaction, reply);
    }

    fn execute_planned(
        &self,
        transaction: &mut Transaction<'_, '_>,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<(), CommandError> {
        let args = Args::of_list(&request.args);
        if usize::from(request.database) >= DATABASES_MAX {
            return Err(CommandError::DatabaseIndex);
        }
        if internal::is_internal(args.at(0)) {
            reply.raw(&internal::run(transaction, request, &self.contexts)?);
            return Ok(());
        }
        let plan = plan::plan(args, transaction.env().view.layout.partitions())?;
        // What another node sends is checked before it is believed.
        if !plan
            .partitions
            .iter()
            .all(|partition| request.partitions.contains(partition))
        {
            return Err(CommandError::Fixed(
                "ERR the request does not name its partitions",
            ));
        }
        let has_pulled = request.read_copies != 1;
        self.run(
            &plan,
            args,
            request.database,
            has_pulled,
            transaction,
            reply,
        );
        Ok(())
    }
}

/// Refuses collections to commands that are not for them, or removes those that are overwritten.
#[inline]
fn check_collections(call: &mut Call<'_, '_, '_>, command: &Command) -> Result<(), CommandError> {
    if command.on_collection == OnCollection::Handled {
        return Ok(());
    }
    for (index, _) in call.places {
        if command.on_collection == OnCollection::Refused {
            call.refuse_collection(*index, command.is(Flag::Write))?;
        } else {
            let place = call.place(*index);
            call.overwrite_collections(&place)?;
        }
    }
    Ok(())
}

/// Runs a planned command of scope `Keys`; see [`Commands::run`].
#[inline]
pub(crate) fn run_planned(
    contexts: &ContextKey,
    plan: &Plan,
    args: Args<'_>,
    database: u8,
    has_pulled: bool,
    transaction: &mut Transaction<'_, '_>,
    reply: &mut Reply,
) {
    let before = reply.len();
    let Scope::Keys(handler) = plan.command.scope else {
        CommandError::unknown_command(args).write_to(reply);
        return;
    };
    let mut call = Call::new(plan, args, transaction, reply, contexts);
    call.database = database;
    call.has_pulled = has_pulled;
    let checked = check_collections(&mut call, plan.command);
    if let Err(error) = checked.and_then(|()| handler(&mut call)) {
        reply.truncate(before);
        error.write_to(reply);
    }
}

impl Execute for Commands {
    fn execute(
        &self,
        transaction: &mut Transaction<'_, '_>,
        request: &Request,
        reply: &mut Vec<u8>,
    ) {
        let protocol = Protocol::of_number(request.protocol);
        let mut writer = Reply::with_buffer(std::mem::take(reply), protocol);
        if let Err(error) = self.execute_planned(transaction, request, &mut writer) {
            error.write_to(&mut writer);
        }
        *reply = writer.into_vec();
    }
}
