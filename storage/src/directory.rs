//! The directory itself: one owner at a time, and a number that says what may be in it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::open_error::OpenError;

/// The number of the format that this release writes. Numbers are never reused.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_BYTES_MAX: u64 = 64;

/// A directory that nobody else can open while this exists.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Opens the directory, or makes a new one.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => OpenError::NotADirectory(path.to_owned()),
            _ => OpenError::from_io(path, &error),
        })?;
        let lock = lock(path)?;
        match read_format(path)? {
            Some(FORMAT_VERSION) => {}
            Some(found) if found > FORMAT_VERSION => {
                return Err(OpenError::Newer {
                    path: path.to_owned(),
                    found,
                    known: FORMAT_VERSION,
                });
            }
            Some(found) => return Err(damaged(path, format!("there is no format {found}"))),
            None => create(path)?,
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn redo(&self) -> PathBuf {
        self.path.join("redo")
    }

    pub(crate) fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }
}

/// Makes names that were created, renamed or removed in `path` survive a power cut.
pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn damaged(path: &Path, reason: String) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        reason,
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let name = path.join("LOCK");
    let file = File::options().create(true).append(true).open(&name);
    let file = file.map_err(|error| OpenError::from_io(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::from_io(&name, &error)),
    }
}

fn read_format(path: &Path) -> Result<Option<u32>, OpenError> {
    let name = path.join(FORMAT_FILE);
    let text = match fs::metadata(&name) {
        Ok(file) if file.len() > FORMAT_BYTES_MAX => String::new(),
        Ok(_) => fs::read(&name)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| OpenError::from_io(&name, &error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::from_io(&name, &error)),
    };
    match text
        .strip_prefix("larder ")
        .and_then(|number| number.trim_end().parse().ok())
    {
        Some(number) => Ok(Some(number)),
        None => Err(damaged(
            &name,
            "it does not hold a format's number".to_owned(),
        )),
    }
}

/// A new directory gets its number last, so that one without a number was never used.
fn create(path: &Path) -> Result<(), OpenError> {
    for part in ["redo", "tables"] {
        let part = path.join(part);
        let used = fs::read_dir(&part).is_ok_and(|mut entries| entries.next().is_some());
        if used {
            return Err(damaged(
                path,
                format!("it has {} but no FORMAT", part.display()),
            ));
        }
        fs::create_dir_all(&part).map_err(|error| OpenError::from_io(&part, &error))?;
    }
    let (name, new) = (path.join(FORMAT_FILE), path.join("FORMAT.new"));
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(format!("larder {FORMAT_VERSION}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &name)?;
        sync_names(path)
    };
    write().map_err(|error| OpenError::from_io(&name, &error))
}
