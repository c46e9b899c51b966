//! Servers under load: started on free ports with fresh directories, ended by their process ids.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::wire::Wire;

/// How long a server may take to answer its first PING.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// What a node of Larder is called in the tables.
const LARDER: &str = "larder";

/// A running server.
pub(crate) struct Server {
    /// Shown in the table.
    pub(crate) name: String,
    /// Its port for clients.
    pub(crate) port: u16,
    child: Child,
    directory: TempDir,
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port())
}

fn directory() -> Result<TempDir, String> {
    tempfile::Builder::new()
        .prefix("larder-bench-")
        .tempdir()
        .map_err(|error| format!("no directory for a server: {error}"))
}

impl Server {
    fn start(
        name: &str,
        mut command: Command,
        port: u16,
        directory: TempDir,
    ) -> Result<Self, String> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{name} does not start: {error}"))?;
        let mut server = Self {
            name: name.to_owned(),
            port,
            child,
            directory,
        };
        server.await_ping()?;
        Ok(server)
    }

    /// A redis-server with an append-only file.
    pub(crate) fn redis(appendfsync: &str) -> Result<Self, String> {
        let (port, directory) = (free_port()?, directory()?);
        let mut command = Command::new("redis-server");
        command.current_dir(directory.path()).args([
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            appendfsync,
        ]);
        Self::start("redis", command, port, directory)
    }

    /// A node of Larder.
    pub(crate) fn larder(
        binary: &Path,
        durability: &str,
        more: &[(&str, String)],
    ) -> Result<Self, String> {
        let directory = directory()?;
        Self::larder_in(binary, durability, more, directory)
    }

    fn larder_in(
        binary: &Path,
        durability: &str,
        more: &[(&str, String)],
        directory: TempDir,
    ) -> Result<Self, String> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        command.current_dir(directory.path());
        command.args(["--port", &port.to_string(), "--peer-port", "0"]);
        command.args(["--durability", durability]);
        command.arg("--dir").arg(directory.path().join("data"));
        for (name, value) in more {
            command.args([*name, value]);
        }
        Self::start(LARDER, command, port, directory)
    }

    /// Ends the server gently and starts it anew on the same directory; says how long the first
    /// reply took.
    pub(crate) fn restart_larder(mut self, binary: &Path) -> Result<(Self, Duration), String> {
        self.signal("TERM")?;
        self.child.wait().map_err(|error| error.to_string())?;
        let directory = std::mem::replace(&mut self.directory, directory()?);
        let began = Instant::now();
        let server = Self::larder_in(binary, "everysec", &[], directory)?;
        Ok((server, began.elapsed()))
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let pid = self.child.id().to_string();
        let done = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        done.map(|_| ())
            .map_err(|error| format!("a server cannot be ended: {error}"))
    }

    fn await_ping(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended at once: {status}", self.name));
            }
            if self
                .ask(b"PING\r\n")
                .is_ok_and(|reply| reply.starts_with(b"+PONG"))
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(format!("{} does not answer", self.name))
    }

    /// Sends one inline command and reads the first part of its reply.
    pub(crate) fn ask(&self, line: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(line)?;
        let mut reply = vec![0; 64 << 10];
        let count = stream.read(&mut reply)?;
        reply.truncate(count);
        Ok(reply)
    }

    /// User and system time so far, in seconds: fields 14 and 15 of `/proc/PID/stat`.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let behind_name = stat.rsplit(") ").next().unwrap_or_default();
        let fields: Vec<&str> = behind_name.split(' ').collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Whether it is a node of Larder.
    pub(crate) fn is_larder(&self) -> bool {
        self.name == LARDER
    }

    /// Whether it knows a command.
    pub(crate) fn has(&self, command: &str) -> Result<bool, String> {
        let reply = self.ask(format!("COMMAND INFO {command}\r\n").as_bytes());
        let reply = reply.map_err(|error| format!("{} does not answer: {error}", self.name))?;
        Ok(!reply.starts_with(b"*1\r\n*-1") && !reply.starts_with(b"*1\r\n$-1"))
    }

    /// A number of INFO.
    pub(crate) fn info(&self, field: &str) -> Result<u64, String> {
        let reply = self.ask(b"INFO everything\r\n").unwrap_or_default();
        let text = String::from_utf8_lossy(&reply).into_owned();
        let of_field = |line: &str| line.strip_prefix(field)?.strip_prefix(':')?.parse().ok();
        let missing = || format!("INFO of {} has no {field}", self.name);
        text.lines().find_map(of_field).ok_or_else(missing)
    }

    /// Waits until its files hold the data and no longer the way to it.
    pub(crate) fn checkpoint(&self) -> Result<(), String> {
        if self.is_larder() {
            return Wire::connect(self)?.ask("SAVE").map(|_| ());
        }
        Wire::connect(self)?.ask("BGREWRITEAOF")?;
        while self.info("aof_rewrite_in_progress")? + self.info("aof_rewrite_scheduled")? > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Bytes of the data in memory: of Larder what its cache holds, of Redis all that it uses.
    pub(crate) fn data_bytes(&self) -> Result<u64, String> {
        self.info(if self.is_larder() {
            "cache_bytes"
        } else {
            "used_memory"
        })
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        kilobytes
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    }

    /// Bytes of its files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        bytes_below(self.directory.path())
    }

    /// Its directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
