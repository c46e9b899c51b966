//! What a handler works with: the arguments and rows of one command, and where its reply goes.

use larder_cluster::copy::Edit;
use larder_cluster::limits::KEY_BYTES_MAX;
use larder_cluster::store::StoreError;
use larder_cluster::token::KeyPlace;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::Row;
use larder_crdt::context::{ContextKey, ContextSeal};

use crate::args::Args;
use crate::error::CommandError;
use crate::numbers;
use crate::plan::Plan;
use crate::reply::Reply;

/// Runs one command. What it returns as an error is written in place of what it has replied; it
/// checks everything before its first edit.
pub type Handler = fn(&mut Call<'_, '_, '_>) -> Result<(), CommandError>;

/// One command while it runs.
pub struct Call<'c, 'a, 'b> {
    /// The command and its arguments.
    pub args: Args<'c>,
    /// The name of the row, for errors.
    pub name: &'static str,
    /// The selected database.
    pub database: u8,
    /// Unix time in milliseconds.
    pub now_ms: u64,
    /// The rows.
    pub transaction: &'c mut Transaction<'a, 'b>,
    /// The reply.
    pub reply: &'c mut Reply,
    /// What makes and reads contexts.
    pub contexts: &'c ContextKey,
    /// Whether the states of other replicas were asked for before.
    pub has_pulled: bool,
    /// The places of the keys by their positions, which the plan has computed.
    pub places: &'c [(usize, KeyPlace)],
}

impl<'c, 'a, 'b> Call<'c, 'a, 'b> {
    /// A call of what was planned. `transaction` must hold the plan's partitions.
    pub(crate) fn new(
        plan: &'c Plan,
        args: Args<'c>,
        transaction: &'c mut Transaction<'a, 'b>,
        reply: &'c mut Reply,
        contexts: &'c ContextKey,
    ) -> Self {
        Self {
            args,
            name: plan.command.name,
            database: 0,
            now_ms: transaction.now_ms(),
            transaction,
            reply,
            contexts,
            has_pulled: false,
            places: &plan.places,
        }
    }

    /// The argument at `index`.
    #[inline]
    pub fn arg(&self, index: usize) -> &'c [u8] {
        self.args.at(index)
    }

    /// The argument at `index` as an integer.
    pub fn integer(&self, index: usize) -> Result<i64, CommandError> {
        numbers::integer(self.arg(index))
    }

    /// Where the key at `index` stands in the selected database.
    #[inline]
    pub fn place(&self, index: usize) -> Place {
        self.place_in(index, self.database)
    }

    /// Where the key at `index` stands in another database.
    pub fn place_in(&self, index: usize, database: u8) -> Place {
        let key = self.arg(index);
        assert!(key.len() <= KEY_BYTES_MAX, "the plan refuses longer keys");
        let known = self
            .places
            .binary_search_by_key(&index, |(position, _)| *position);
        let token = match known.ok().and_then(|at| self.places.get(at)) {
            Some((_, token)) => *token,
            None => KeyPlace::of(key),
        };
        self.transaction.place_of(token, database, key)
    }

    /// The row of an element, expired siblings included.
    #[inline]
    pub fn row(&mut self, place: &Place) -> Result<&Row, CommandError> {
        Ok(self.transaction.try_row(place)?)
    }

    /// Changes an element, all or nothing.
    #[inline]
    pub fn edit<T>(
        &mut self,
        place: &Place,
        change: impl FnOnce(&mut Edit<'_>) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        self.transaction.edit(place, change)?
    }

    /// What makes and reads the contexts of a key in a database.
    pub fn seal(&self, database: u8, key: &[u8]) -> ContextSeal {
        let mut identity = Vec::with_capacity(1 + key.len());
        identity.push(database);
        identity.extend_from_slice(key);
        self.contexts.for_key(&identity)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::DiskFailed("no space is left".to_owned()),
            StoreError::Failed(reason) | StoreError::Stopped(reason) => Self::DiskFailed(reason),
            StoreError::Damaged(reason) => {
                Self::DiskFailed(format!("stored data is damaged: {reason}"))
            }
        }
    }
}
