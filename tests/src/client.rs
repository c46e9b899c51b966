//! A client that sends what it is told, also what no client should.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use redis::{Parser, Value};

use crate::failure::{Checked, Failure, ensure};
use crate::value::text;
use crate::wait::PATIENCE;
use crate::words::split;

/// One connection to one node.
pub struct Client {
    stream: TcpStream,
    parser: Parser,
}

impl Client {
    /// Connects to a client port of this machine.
    ///
    /// # Errors
    /// The port and what the system says.
    pub fn connect(port: u16) -> Checked<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .map_err(|error| Failure::new(format!("connecting to port {port}: {error}")))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            parser: Parser::new(),
        })
    }

    /// Gives up on a reply, or on room for a request, after `patience`.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_patience(&self, patience: Duration) -> Checked {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))?;
        Ok(())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the system says.
    pub fn send(&mut self, bytes: &[u8]) -> Checked {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Sends a command without waiting for its reply.
    ///
    /// # Errors
    /// What the system says.
    pub fn send_words<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Checked {
        self.send(&request(words))
    }

    /// The next reply. An error of the server is a reply too.
    ///
    /// # Errors
    /// There is none.
    pub fn reply(&mut self) -> Checked<Value> {
        Ok(self.parser.parse_value(&mut self.stream)?)
    }

    /// Runs a command.
    ///
    /// # Errors
    /// There is no reply.
    pub fn run<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Checked<Value> {
        self.send_words(words)?;
        self.reply()
    }

    /// Runs a command as people type it, and gives its reply as [`text`].
    ///
    /// # Errors
    /// There is no reply.
    pub fn ask(&mut self, line: &str) -> Checked<String> {
        let reply = self
            .run(&split(line))
            .map_err(|failure| failure.during(line))?;
        Ok(text(&reply))
    }

    /// Runs a command and holds if its reply is `wanted`.
    ///
    /// # Errors
    /// The command, what was expected and what came.
    pub fn says(&mut self, line: &str, wanted: &str) -> Checked {
        let seen = self.ask(line)?;
        ensure(seen == wanted, || {
            format!("{line}: expected {wanted}, saw {seen}")
        })
    }

    /// Runs a command and holds if its reply begins with `wanted`.
    ///
    /// # Errors
    /// The command, what was expected and what came.
    pub fn begins(&mut self, line: &str, wanted: &str) -> Checked<String> {
        let seen = self.ask(line)?;
        ensure(seen.starts_with(wanted), || {
            format!("{line}: expected {wanted}…, saw {seen}")
        })?;
        Ok(seen)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(&self) -> Checked {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// What the server sends until it closes the connection.
    ///
    /// # Errors
    /// It does not close it in time.
    pub fn rest(&mut self) -> Checked<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            // Closing with unread input is a reset for the other side.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(bytes),
            Err(error) => Err(Failure::new(format!("the connection stayed open: {error}"))),
        }
    }
}

/// A command as a RESP array.
#[must_use]
pub fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
