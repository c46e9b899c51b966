//! What the core asks of a disk.
//!
//! A change reaches the disk twice. At once, as part of a **redo** record: the bytes of everything
//! that one commit changed, appended under one ascending position. Later, in a **checkpoint**: the
//! rows and copies as they are then, written in order of their keys, however often they had changed
//! since the last one. A redo record may be forgotten when every copy was in a checkpoint after it.
//!
//! ```text
//! append ── append ── append ── append ── append        redo, replayed on opening
//!              └ position P          └ sync: all before is durable
//! checkpoint(rows, copies)* ── finish_checkpoint(P): durable, redo up to P forgotten
//! ```
//!
//! Replaying a record whose effects a checkpoint already holds changes nothing, so a crash between
//! any two of these steps is harmless.

use thiserror::Error;

use crate::id::PartitionId;
use crate::row_key::RowKey;

/// Where a copy keeps its rows: each copy of a partition that a node ever begins has a number of
/// its own, so that dropping one never touches another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The partition.
    pub partition: PartitionId,
    /// The copy's number within it on this node.
    pub number: u32,
}

/// A place in the redo: records have ascending positions, the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RedoPosition(pub u64);

/// Why the disk did not do what it was asked. After a failed write the store refuses all further
/// writes until it is opened anew.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The system refused a read or write; nothing of the call was kept.
    #[error("the disk failed: {0}")]
    Failed(String),
    /// No space is left; nothing of the call was kept.
    #[error("no space is left on the disk")]
    Full,
    /// Stored bytes are not what their format says.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// An earlier write failed, so this one was not tried.
    #[error("writes stopped after an earlier failure: {0}")]
    Stopped(String),
}

/// A second in unix time by whose beginning a sibling of the row has expired.
pub type Due = (u64, RowKey);

/// Rows and copies on their way to the disk, in one atomic batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Rows by slot and key, ascending; `None` removes one.
    pub rows: Vec<(Slot, RowKey, Option<Vec<u8>>)>,
    /// Which rows of a slot end by when, for [`Store::deadlines`]; `false` removes an entry. An
    /// entry may come up more than once: the last one holds.
    pub deadlines: Vec<(Slot, Due, bool)>,
    /// What is known of a copy beside its rows; `None` removes the copy with its rows and
    /// deadlines.
    pub copies: Vec<(Slot, Option<Vec<u8>>)>,
    /// What the node knows beside its copies, if that changed.
    pub node: Option<Vec<u8>>,
}

/// What a node finds on its disk when it opens it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// As the last checkpoint that had one left it.
    pub node: Option<Vec<u8>>,
    /// All copies, ascending by slot.
    pub copies: Vec<(Slot, Vec<u8>)>,
}

/// A disk. All methods may be called from several threads; positions of redo follow the order of
/// the calls of [`Store::append`].
pub trait Store: Send + Sync {
    /// The encoded row as of the last checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Failed`] or [`StoreError::Damaged`].
    fn row(&self, slot: Slot, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Encoded rows as of the last checkpoint, ascending from the first one after `after` (from the
    /// first one at all if `None`), at most `rows_max` and about 1 MiB; none if there are no more.
    ///
    /// # Errors
    /// [`StoreError::Failed`] or [`StoreError::Damaged`].
    fn rows(
        &self,
        slot: Slot,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError>;

    /// Encoded rows as of the last checkpoint, descending from the last one before `before`, at
    /// most `rows_max` and about 1 MiB; none if there are no more.
    ///
    /// # Errors
    /// [`StoreError::Failed`] or [`StoreError::Damaged`].
    fn rows_before(
        &self,
        slot: Slot,
        before: &RowKey,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError>;

    /// Entries of a slot's index of deadlines as of the last checkpoint, ascending from the first
    /// one after `after` (from the first one at all if `None`), at most `max` of them and about
    /// 1 MiB; none if there are no more.
    ///
    /// # Errors
    /// [`StoreError::Failed`] or [`StoreError::Damaged`].
    fn deadlines(
        &self,
        slot: Slot,
        after: Option<&Due>,
        max: usize,
    ) -> Result<Vec<Due>, StoreError>;

    /// Appends one redo record. When it returns, the record survives the end of the process.
    ///
    /// # Errors
    /// Any [`StoreError`]; the record is not there then.
    fn append(&self, redo: &[u8]) -> Result<RedoPosition, StoreError>;

    /// Makes everything appended before the call survive a power cut.
    ///
    /// # Errors
    /// Any [`StoreError`]; writes stop then.
    fn sync(&self) -> Result<(), StoreError>;

    /// Writes a part of a checkpoint. It may be lost until [`Store::finish_checkpoint`].
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn checkpoint(&self, part: &Checkpoint) -> Result<(), StoreError>;

    /// Makes all parts durable, then forgets the redo up to `position`.
    ///
    /// # Errors
    /// Any [`StoreError`]; the redo is still there then.
    fn finish_checkpoint(&self, position: RedoPosition) -> Result<(), StoreError>;

    /// What the last checkpoints left. Called on opening, before any write.
    ///
    /// # Errors
    /// [`StoreError::Failed`] or [`StoreError::Damaged`].
    fn stored(&self) -> Result<Stored, StoreError>;

    /// Calls `each` with every redo record that was not forgotten, in order. Called on opening,
    /// before any write.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Damaged`], or the first error of `each`.
    #[expect(
        clippy::type_complexity,
        reason = "an alias would need a lifetime that no caller has"
    )]
    fn replay(
        &self,
        each: &mut dyn FnMut(RedoPosition, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;

    /// About how many bytes of redo would be replayed on opening now.
    fn redo_bytes(&self) -> u64;
}
