//! A connection that sends many commands at once: what redis-benchmark cannot do, as it draws its
//! keys and does not tell its replies.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::servers::Server;

/// How long one batch may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commands of a batch while a server is being filled.
const FILL_BATCH: usize = 1_000;

/// A connection with a batch of commands that wait to be sent.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
    batch: Vec<u8>,
    commands: usize,
}

impl Wire {
    /// Connects.
    pub(crate) fn connect(server: &Server) -> Result<Self, String> {
        let lost = |error| format!("{}: {error}", server.name);
        let stream = TcpStream::connect(("127.0.0.1", server.port)).map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        Ok(Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            batch: Vec::new(),
            commands: 0,
        })
    }

    /// Adds a command to the batch.
    pub(crate) fn push<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        self.batch
            .extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            let word = word.as_ref();
            self.batch
                .extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.batch.extend_from_slice(word);
            self.batch.extend_from_slice(b"\r\n");
        }
        self.commands += 1;
    }

    /// Adds a command as people type it, with `n` for `{n}`.
    pub(crate) fn push_line(&mut self, line: &str, n: usize) {
        let line = line.replace("{n}", &format!("{n:08}"));
        self.push(&line.split(' ').collect::<Vec<_>>());
    }

    /// Sends the batch and reads its replies; says how long that took. An error is no reply.
    pub(crate) fn run(&mut self) -> Result<Duration, String> {
        let lost = |error: std::io::Error| format!("a connection is lost: {error}");
        let began = Instant::now();
        self.stream.get_mut().write_all(&self.batch).map_err(lost)?;
        for _ in 0..std::mem::take(&mut self.commands) {
            self.skip_reply()?;
        }
        self.batch.clear();
        Ok(began.elapsed())
    }

    /// Runs one command.
    pub(crate) fn ask(&mut self, line: &str) -> Result<Duration, String> {
        self.push_line(line, 0);
        self.run()
    }

    /// Runs `line` for every number below `count`, and `between` after each batch.
    pub(crate) fn fill(
        &mut self,
        line: &str,
        count: usize,
        mut between: impl FnMut(usize),
    ) -> Result<(), String> {
        for n in 0..count {
            self.push_line(line, n);
            if (n + 1) % FILL_BATCH == 0 || n + 1 == count {
                self.run()?;
                between(n + 1);
            }
        }
        Ok(())
    }

    fn skip_reply(&mut self) -> Result<(), String> {
        let lost = |error: std::io::Error| format!("a connection is lost: {error}");
        let mut parts = 1_usize;
        while parts > 0 {
            parts -= 1;
            let mut line = String::new();
            self.stream.read_line(&mut line).map_err(lost)?;
            let number = || line.get(1..).and_then(|text| text.trim().parse().ok());
            match line.bytes().next() {
                None => return Err("a connection was closed".to_owned()),
                Some(b'-') => return Err(line.trim().to_owned()),
                Some(b'*') => parts += number().unwrap_or(0),
                Some(b'$') => {
                    // A value that is not there has no bytes, and no end of line.
                    if let Some(bytes) = number() {
                        let whole = bytes as u64 + 2;
                        let mut value = self.stream.by_ref().take(whole);
                        std::io::copy(&mut value, &mut std::io::sink()).map_err(lost)?;
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
