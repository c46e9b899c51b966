//! Whether writes are still tried.
//!
//! After a failed write or fsync nobody knows what the disk holds: the system may have dropped the
//! pages it could not write and answer the next fsync with success. So the first failure stops all
//! writes until the directory is opened anew and read back.

use std::sync::OnceLock;

use larder_cluster::store::StoreError;

#[derive(Debug, Default)]
pub(crate) struct Writes {
    stopped: OnceLock<String>,
}

impl Writes {
    pub(crate) fn admit(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Stopped(reason.clone())),
        }
    }

    /// Hands a write's result on; a failure stops all later writes.
    pub(crate) fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.stopped.get_or_init(|| error.to_string());
        }
        result
    }
}
