//! Frames: RESP arrays of bulk strings, in both directions.

use bytes::{Buf as _, BytesMut};
use larder_commands::args::OwnedArgs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::LinkError;
use crate::limits::{HANDSHAKE_FIELD_BYTES_MAX, LINE_BYTES_MAX, VERB_BYTES_MAX};
use crate::resp::request::{RequestLimits, RequestParser};

/// A piece of a message that is longer than a frame; the first one says how long the message is.
pub(super) const PART: &str = "PART";
/// The verb and the last piece of such a message. Whole messages may stand between its pieces.
pub(super) const LAST: &str = "LAST";
/// Says that this side is still here, and at which of its microseconds.
pub(super) const PING: &str = "PING";
/// The answer: the number of the PING.
pub(super) const PONG: &str = "PONG";

/// Fields of a frame: more than any frame has.
const FIELDS_MAX: usize = 8;
/// Room that is made for a read at least.
const READ_BYTES: usize = 16 * 1024;

/// Whether `verb` can stand in a frame.
pub(super) fn is_verb(verb: &[u8]) -> bool {
    (1..=VERB_BYTES_MAX).contains(&verb.len()) && verb.iter().all(u8::is_ascii_uppercase)
}

/// Whether `verb` belongs to the links themselves.
pub(super) fn is_own_verb(verb: &str) -> bool {
    matches!(verb, PART | LAST | PING | PONG | "HELLO" | "PROOF")
}

/// Appends a frame.
pub(super) fn encode(fields: &[&[u8]], buffer: &mut Vec<u8>) {
    header(b'*', fields.len(), buffer);
    for field in fields {
        header(b'$', field.len(), buffer);
        buffer.extend_from_slice(field);
        buffer.extend_from_slice(b"\r\n");
    }
}

fn header(kind: u8, number: usize, buffer: &mut Vec<u8>) {
    buffer.push(kind);
    buffer.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    buffer.extend_from_slice(b"\r\n");
}

/// Writes one frame of a handshake.
pub(super) async fn write_frame(
    half: &mut OwnedWriteHalf,
    fields: &[&[u8]],
) -> Result<(), LinkError> {
    let mut buffer = Vec::new();
    encode(fields, &mut buffer);
    Ok(half.write_all(&buffer).await?)
}

/// Tells the peer why there will be no link.
pub(super) async fn write_refusal(half: &mut OwnedWriteHalf, error: &LinkError) {
    // The peer may be gone already.
    let _ = half.write_all(format!("-ERR {error}\r\n").as_bytes()).await;
}

/// Reads frames from one connection.
pub(super) struct FrameReader {
    half: OwnedReadHalf,
    buffer: BytesMut,
    parser: RequestParser,
    limits: RequestLimits,
}

impl FrameReader {
    /// For a handshake: fields are short.
    pub(super) fn new(half: OwnedReadHalf) -> Self {
        let limits = RequestLimits {
            args_max: FIELDS_MAX,
            arg_bytes_max: HANDSHAKE_FIELD_BYTES_MAX,
            authenticated: true,
        };
        Self {
            half,
            buffer: BytesMut::new(),
            parser: RequestParser::new(),
            limits,
        }
    }

    /// From now on the peer may send as much as `bytes_max` in one field.
    pub(super) fn trust(&mut self, bytes_max: usize) {
        self.limits.arg_bytes_max = bytes_max;
    }

    /// The next frame, if it has come.
    pub(super) fn buffered(&mut self) -> Result<Option<OwnedArgs>, LinkError> {
        match self.buffer.first() {
            None => return Ok(None),
            Some(b'*') => {}
            Some(b'-') => return self.refusal(),
            Some(_) => return Err(LinkError::Unexpected("bytes that are no frame")),
        }
        let Some(length) = self.parser.parse(&self.buffer, &self.limits)? else {
            return Ok(None);
        };
        let frame = self.buffer.split_to(length).freeze();
        Ok(Some(self.parser.take_args(frame)))
    }

    /// Waits for more bytes.
    pub(super) async fn fill(&mut self) -> Result<(), LinkError> {
        let wanted = self.parser.wanted(self.buffer.len());
        self.buffer.reserve(wanted.max(READ_BYTES));
        match self.half.read_buf(&mut self.buffer).await? {
            0 => Err(LinkError::Closed),
            _ => Ok(()),
        }
    }

    /// Waits for the next frame. May be called again after it was given up.
    pub(super) async fn next(&mut self) -> Result<OwnedArgs, LinkError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The line in which the peer says why there will be no link.
    fn refusal(&mut self) -> Result<Option<OwnedArgs>, LinkError> {
        let end = memchr::memchr(b'\n', &self.buffer);
        match end {
            None if self.buffer.len() > LINE_BYTES_MAX => {
                Err(LinkError::Unexpected("an error without end"))
            }
            None => Ok(None),
            Some(end) => {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                let text = line.trim_ascii_end();
                let text = text.strip_prefix(b"-ERR ").unwrap_or(text);
                // It goes into a log: as one line, and not a long one.
                let text = text.get(..200).unwrap_or(text).escape_ascii().to_string();
                Err(LinkError::Refused(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_a_short_word_in_capitals() {
        assert!(is_verb(b"DELTA"));
        assert!(is_verb(&[b'X'; VERB_BYTES_MAX]));
        for wrong in [
            &b""[..],
            b"delta",
            b"A B",
            b"\xff",
            &[b'X'; VERB_BYTES_MAX + 1],
        ] {
            assert!(!is_verb(wrong), "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn a_frame_is_a_request_in_resp() {
        let mut buffer = Vec::new();
        encode(&[b"ACK", b"\r\n"], &mut buffer);
        encode(&[PING.as_bytes()], &mut buffer);
        assert_eq!(
            buffer,
            b"*2\r\n$3\r\nACK\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n"
        );
    }
}
