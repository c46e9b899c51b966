//! A real Redis to compare with, where one is installed.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::binary::installed;
use crate::client::Client;
use crate::failure::Checked;
use crate::wait::{PATIENCE, until};

/// A `redis-server`, ended with the value.
pub struct RealRedis {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl RealRedis {
    /// Starts one on a free port; `None`, with a word about it, if it is not installed here.
    ///
    /// # Errors
    /// It does not answer.
    pub fn start() -> Checked<Option<Self>> {
        let Some(program) = installed("redis-server") else {
            eprintln!("skipped: redis-server is not installed");
            return Ok(None);
        };
        let directory = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--enable-debug-command", "yes"])
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()?;
        let redis = Self {
            process,
            port,
            _directory: directory,
        };
        until("redis-server answers", PATIENCE, || Client::connect(port))?;
        Ok(Some(redis))
    }

    /// Its port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
