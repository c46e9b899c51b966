//! The two halves as one [`Store`].

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use larder_cluster::row_key::RowKey;
use larder_cluster::store::{Checkpoint, Due, RedoPosition, Slot, Store, StoreError, Stored};

use parking_lot::Mutex;

use crate::directory::Directory;
use crate::open_error::OpenError;
use crate::redo::Redo;
use crate::tables::{Settings, Tables};
use crate::writes::Writes;

/// A directory of a node. Dropping it closes the directory; what was appended is synced then.
pub struct RocksStore {
    writes: Arc<Writes>,
    redo: Redo,
    tables: Tables,
    finishing: Mutex<()>,
    /// Last, so that nobody else opens the directory before all else is closed.
    directory: Directory,
}

impl RocksStore {
    /// Opens a directory, or makes a new one.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let directory = Directory::open(path)?;
        let failed = |error| OpenError::from_store(path, error);
        let tables = Tables::open(&directory.tables(), settings).map_err(failed)?;
        let forgotten = tables.forgotten().map_err(failed)?;
        let writes = Arc::new(Writes::default());
        let redo = Redo::open(directory.redo(), forgotten.0, Arc::clone(&writes));
        let redo = redo.map_err(failed)?;
        Ok(Self {
            writes,
            redo,
            tables,
            finishing: Mutex::new(()),
            directory,
        })
    }
}

impl Store for RocksStore {
    fn row(&self, slot: Slot, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.tables.row(slot, key)
    }

    fn rows(
        &self,
        slot: Slot,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        self.tables.rows(slot, after, rows_max)
    }

    fn rows_before(
        &self,
        slot: Slot,
        before: &RowKey,
        rows_max: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        self.tables.rows_before(slot, before, rows_max)
    }

    fn deadlines(
        &self,
        slot: Slot,
        after: Option<&Due>,
        max: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.tables.deadlines(slot, after, max)
    }

    fn append(&self, redo: &[u8]) -> Result<RedoPosition, StoreError> {
        self.redo.append(redo)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.redo.sync()
    }

    fn checkpoint(&self, part: &Checkpoint) -> Result<(), StoreError> {
        // RocksDB may write rows out whenever its buffer is full; they must not be found without
        // the redo that they came from.
        self.redo.sync()?;
        self.writes.note(self.tables.write(part))
    }

    fn finish_checkpoint(&self, position: RedoPosition) -> Result<(), StoreError> {
        let _one_at_a_time = self.finishing.lock();
        self.redo.sync()?;
        let position = self.redo.forgotten_with(position);
        self.writes.note(self.tables.finish(position))?;
        self.redo.forget(position)
    }

    fn stored(&self) -> Result<Stored, StoreError> {
        self.tables.stored()
    }

    fn replay(
        &self,
        each: &mut dyn FnMut(RedoPosition, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.redo.replay(each)
    }

    fn redo_bytes(&self) -> u64 {
        self.redo.bytes()
    }
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStore")
            .field("path", &self.directory.path)
            .finish_non_exhaustive()
    }
}
