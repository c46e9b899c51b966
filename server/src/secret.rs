//! The secret that all nodes of a cluster share.
//!
//! It comes from the environment, from the file that `cluster-secret-file` names, or from
//! `cluster-secret` in the data directory, which a node makes for itself on its first start. A
//! secret of a node's own making is known to nobody else, so such a node has no peers to expect
//! from outside and listens on loopback only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use rand::rngs::SysRng;
use thiserror::Error;

/// The variable that holds the secret itself.
pub const VARIABLE: &str = "LARDER_CLUSTER_SECRET";
/// The file in the data directory.
pub const FILE: &str = "cluster-secret";
/// The shortest secret.
pub const SECRET_BYTES_MIN: usize = 16;
/// The longest secret.
pub const SECRET_BYTES_MAX: usize = 4096;
/// Random bytes of a secret that a node makes.
const OWN_BYTES: usize = 32;

/// A cluster's secret and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret {
    bytes: Vec<u8>,
    is_own: bool,
    is_exposed: bool,
}

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterSecret")
            .field("is_own", &self.is_own)
            .finish_non_exhaustive()
    }
}

/// Why there is no secret to start with.
#[derive(Debug, Error)]
pub enum SecretError {
    /// A file cannot be read or written.
    #[error("cannot use the cluster secret in {file}: {source}")]
    File {
        /// Its path.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// Too little to be a secret, or far too much.
    #[error("the cluster secret in {0} must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")]
    Length(String),
}

impl ClusterSecret {
    /// A secret that was given, for tests and tools.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            is_own: false,
            is_exposed: false,
        }
    }

    /// Finds the secret, or makes one in `directory`, which must be there.
    ///
    /// # Errors
    /// Any [`SecretError`].
    pub fn find(
        variable: Option<&str>,
        file: &Path,
        directory: &Path,
    ) -> Result<Self, SecretError> {
        if let Some(text) = variable {
            return Self::checked(text.as_bytes(), VARIABLE.to_owned(), false);
        }
        if !file.as_os_str().is_empty() {
            return Self::read(file, false);
        }
        let own = directory.join(FILE);
        match make(&own) {
            Ok(()) => Self::read(&own, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::read(&own, true),
            Err(source) => Err(SecretError::File {
                file: own.display().to_string(),
                source,
            }),
        }
    }

    fn read(file: &Path, is_own: bool) -> Result<Self, SecretError> {
        let shown = file.display().to_string();
        let (bytes, is_exposed) = match read_bounded(file) {
            Ok(read) => read,
            Err(source) => {
                return Err(SecretError::File {
                    file: shown,
                    source,
                });
            }
        };
        Ok(Self {
            is_exposed,
            ..Self::checked(&bytes, shown, is_own)?
        })
    }

    fn checked(bytes: &[u8], place: String, is_own: bool) -> Result<Self, SecretError> {
        let bytes = bytes.trim_ascii();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err(SecretError::Length(place));
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            is_own,
            is_exposed: false,
        })
    }

    /// The secret itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the node made it itself: then it listens for peers on loopback only.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Whether everybody on this machine may read its file: worth a warning, but containers mount
    /// secrets that way.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.is_exposed
    }
}

/// The bytes of a file, and whether everybody may read them.
fn read_bounded(file: &Path) -> io::Result<(Vec<u8>, bool)> {
    let opened = File::open(file)?;
    let is_exposed = opened.metadata()?.permissions().mode() & 0o004 != 0;
    let mut bytes = Vec::new();
    opened
        .take(SECRET_BYTES_MAX as u64 + 2)
        .read_to_end(&mut bytes)?;
    Ok((bytes, is_exposed))
}

/// Makes a secret in `file`, which appears with all of it or not at all.
fn make(file: &Path) -> io::Result<()> {
    let mut random = [0; OWN_BYTES];
    SysRng
        .try_fill_bytes(&mut random)
        .map_err(io::Error::other)?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = PathBuf::from(format!("{}.{}.new", file.display(), std::process::id()));
    let mut written = create_private(&draft)?;
    written.write_all(text.as_bytes())?;
    written.write_all(b"\n")?;
    written.sync_all()?;
    // Unlike a rename, a link never replaces the secret that another start has made meanwhile.
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    linked?;
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Creates a file that only its owner may read; one that is there already is emptied.
pub(crate) fn create_private(file: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(file: &Path) -> u32 {
        fs::metadata(file)
            .expect("the file is there")
            .permissions()
            .mode()
            & 0o777
    }

    #[test]
    fn a_node_without_a_secret_makes_one_and_keeps_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let find = || ClusterSecret::find(None, Path::new(""), directory.path()).expect("a secret");
        let first = find();
        assert!(first.is_own() && !first.is_exposed());
        assert_eq!(first.as_bytes().len(), 2 * OWN_BYTES);
        assert_eq!(find(), first);
        assert_eq!(mode(&directory.path().join(FILE)), 0o600);
        let names: Vec<_> = fs::read_dir(&directory).expect("readable").collect();
        assert_eq!(names.len(), 1, "no draft is left");
        assert!(
            !format!("{first:?}").contains(std::str::from_utf8(first.as_bytes()).expect("hex"))
        );
    }

    #[test]
    fn the_environment_wins_over_the_file_and_both_over_an_own_secret() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("given");
        fs::write(&file, "from the file, for all nodes\n").expect("writable");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
        let secret = ClusterSecret::find(None, &file, directory.path()).expect("a secret");
        assert_eq!(secret.as_bytes(), b"from the file, for all nodes");
        assert!(!secret.is_own() && secret.is_exposed());
        let variable = Some("from the environment");
        let secret = ClusterSecret::find(variable, &file, directory.path()).expect("a secret");
        assert_eq!(secret.as_bytes(), b"from the environment");
        assert!(!directory.path().join(FILE).exists());
    }

    #[test]
    fn a_secret_has_a_sensible_length() {
        let directory = tempfile::tempdir().expect("a directory");
        let find = |text: &str| ClusterSecret::find(Some(text), Path::new(""), directory.path());
        assert!(find(&"x".repeat(SECRET_BYTES_MIN)).is_ok());
        assert!(find(&"x".repeat(SECRET_BYTES_MAX)).is_ok());
        for length in [0, SECRET_BYTES_MIN - 1, SECRET_BYTES_MAX + 1] {
            assert!(matches!(
                find(&"x".repeat(length)),
                Err(SecretError::Length(_))
            ));
        }
        let missing = ClusterSecret::find(None, Path::new("/no/such/file"), directory.path());
        let text = missing.expect_err("no file").to_string();
        assert!(
            text.starts_with("cannot use the cluster secret in /no/such/file: "),
            "{text}"
        );
    }
}
