//! Why a directory could not be opened. Nothing that was stored has changed then.

use std::io;
use std::path::{Path, PathBuf};

use larder_cluster::store::StoreError;
use thiserror::Error;

/// Why a directory could not be opened; nothing that was stored in it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The path names something else, or goes through something else.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// The directory cannot be created or written to.
    #[error("{path} cannot be written to: {reason}")]
    NotWritable {
        /// The directory or a file in it.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another process, or this one, has it open.
    #[error("{0} is in use by another node")]
    InUse(PathBuf),
    /// A newer release wrote it.
    #[error("{path} has format {found}, but this release knows none after {known}")]
    Newer {
        /// The directory.
        path: PathBuf,
        /// The number found.
        found: u32,
        /// The highest number that this release reads.
        known: u32,
    },
    /// No space is left to open it.
    #[error("no space is left on the disk of {0}")]
    Full(PathBuf),
    /// The system refused a read or write.
    #[error("{path} could not be opened: {reason}")]
    Failed {
        /// The directory or a file in it.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Stored bytes are not what their format says.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The directory or a file in it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn from_io(path: &Path, error: &io::Error) -> Self {
        let (path, reason) = (path.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::NotADirectory => Self::NotADirectory(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, reason }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Failed { path, reason },
        }
    }

    pub(crate) fn from_store(path: &Path, error: StoreError) -> Self {
        let path = path.to_owned();
        match error {
            StoreError::Full => Self::Full(path),
            StoreError::Damaged(reason) => Self::Damaged { path, reason },
            StoreError::Failed(reason) | StoreError::Stopped(reason) => {
                Self::Failed { path, reason }
            }
        }
    }
}

pub(crate) fn store_error(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Failed(format!("{}: {error}", path.display())),
    }
}
