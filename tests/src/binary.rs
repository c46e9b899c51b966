//! Where the programs are.

use std::path::PathBuf;

use crate::failure::{Checked, Failure};

/// The variable that names the node's program.
pub const SERVER_VARIABLE: &str = "TEST_LARDER_SERVER";

/// The program of a node: the one that the environment names, or the one that was built beside this
/// program. Cargo tells a package only of its own programs, so `./x` builds it before.
///
/// # Errors
/// It is not there.
pub fn server() -> Checked<PathBuf> {
    if let Some(path) = std::env::var_os(SERVER_VARIABLE) {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("larder-server"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Failure::new(
                "there is no larder-server to test: cargo build --release -p larder-server",
            )
        })
}

/// The first directory of PATH that has `program`.
#[must_use]
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}
