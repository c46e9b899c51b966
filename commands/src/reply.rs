//! The writer of replies: RESP2 or RESP3 bytes appended to one buffer, as Redis 7.2 would write
//! them.
//!
//! ```text
//! value      RESP2              RESP3
//! null       $-1                _
//! map of n   *2n                %n
//! set of n   *n                 ~n
//! push of n  *n                 >n
//! double     bulk string        ,1.5
//! boolean    :1 or :0           #t or #f
//! big number bulk string        (12345
//! verbatim   bulk string        =15 txt:…
//! ```
//!
//! A reply costs no allocation beyond the growth of the buffer. Whoever announces an array of n
//! appends n values after it.

use std::fmt;

use crate::double::DoubleText;

/// The version of the protocol that a connection has chosen with HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }

    /// The protocol of a number; the first one for those that are none.
    #[must_use]
    pub fn of_number(number: u8) -> Self {
        if number == 3 {
            Self::Resp3
        } else {
            Self::Resp2
        }
    }
}

/// `+OK`.
pub const OK: &[u8] = b"+OK\r\n";
/// `+PONG`.
pub const PONG: &[u8] = b"+PONG\r\n";
/// `+QUEUED`.
pub const QUEUED: &[u8] = b"+QUEUED\r\n";
/// The integer 0.
pub const ZERO: &[u8] = b":0\r\n";
/// The integer 1.
pub const ONE: &[u8] = b":1\r\n";
/// The empty array.
pub const EMPTY_ARRAY: &[u8] = b"*0\r\n";
/// The empty bulk string.
pub const EMPTY_BULK: &[u8] = b"$0\r\n\r\n";

const CRLF: &[u8] = b"\r\n";

/// Replies on their way to one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    bytes: Vec<u8>,
    protocol: Protocol,
}

/// Where a header will stand whose length is not known yet; see [`Reply::later`].
#[derive(Debug, Clone, Copy)]
#[must_use = "a header that was put off must be written"]
pub struct Later(usize);

impl Reply {
    /// An empty buffer.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self::with_buffer(Vec::new(), protocol)
    }

    /// Appends to `bytes`.
    #[must_use]
    pub fn with_buffer(bytes: Vec<u8>, protocol: Protocol) -> Self {
        Self { bytes, protocol }
    }

    /// The version that is written.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the version for what is appended from now on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// How many bytes wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What waits.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer itself, for whoever writes it to a socket.
    #[inline]
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The buffer, given away.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// Forgets what waits and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Forgets what was appended since the buffer had `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Appends bytes that are replies already, such as [`OK`].
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// Appends `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.raw(OK);
    }

    /// Appends a status. Line breaks become spaces.
    pub fn simple(&mut self, status: &str) {
        self.line(b'+', status.as_bytes());
    }

    /// Appends an error: its prefix, a space and its text. Line breaks become spaces.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    /// Appends an error from what displays as its prefix, a space and its text.
    pub fn error_from(&mut self, error: &dyn fmt::Display) {
        self.bytes.push(b'-');
        let mut lines = OneLine(&mut self.bytes);
        fmt::write(&mut lines, format_args!("{error}")).expect("an error's text can be written");
        self.bytes.extend_from_slice(CRLF);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.bytes.push(kind);
        push_one_line(&mut self.bytes, text);
        self.bytes.extend_from_slice(CRLF);
    }

    /// Appends an integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        match value {
            0 => self.raw(ZERO),
            1 => self.raw(ONE),
            _ => self.number(b':', value),
        }
    }

    /// Appends the length of something as an integer.
    #[inline]
    pub fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    #[inline]
    fn number(&mut self, kind: u8, value: impl itoa::Integer) {
        let mut digits = itoa::Buffer::new();
        self.bytes.push(kind);
        self.bytes
            .extend_from_slice(digits.format(value).as_bytes());
        self.bytes.extend_from_slice(CRLF);
    }

    /// Appends a bulk string.
    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        self.bytes.reserve(value.len() + 16);
        self.number(b'$', value.len());
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(CRLF);
    }

    /// Appends a bulk string, or null.
    pub fn bulk_or_null(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.null(),
        }
    }

    /// Appends a bulk string with the digits of an integer.
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Appends null where a value is missing.
    #[inline]
    pub fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"$-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// Appends null where an array is missing.
    pub fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"*-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// Announces `length` values.
    #[inline]
    pub fn array(&mut self, length: usize) {
        self.number(b'*', length);
    }

    /// Announces `length` pairs of a key and a value.
    pub fn map(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', length * 2),
            Protocol::Resp3 => self.number(b'%', length),
        }
    }

    /// Announces `length` distinct values without order.
    pub fn set(&mut self, length: usize) {
        self.aggregate(b'~', length);
    }

    /// Announces a message of `length` values that answers no request.
    pub fn push(&mut self, length: usize) {
        self.aggregate(b'>', length);
    }

    /// Announces `length` pairs that say something of the value behind them; RESP3 only.
    pub fn attribute(&mut self, length: usize) {
        self.number(b'|', length);
    }

    fn aggregate(&mut self, kind: u8, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', length),
            Protocol::Resp3 => self.number(kind, length),
        }
    }

    /// Puts off the header of an array, map or set until its length is known. Give the mark to
    /// [`Reply::array_at`], [`Reply::map_at`] or [`Reply::set_at`] when its values are appended.
    pub fn later(&self) -> Later {
        Later(self.bytes.len())
    }

    /// Announces an array of `length` before what was appended since `mark`.
    pub fn array_at(&mut self, mark: Later, length: usize) {
        self.header_at(mark, |reply| reply.array(length));
    }

    /// Announces a map of `length` pairs before what was appended since `mark`.
    pub fn map_at(&mut self, mark: Later, length: usize) {
        self.header_at(mark, |reply| reply.map(length));
    }

    /// Announces a set of `length` before what was appended since `mark`.
    pub fn set_at(&mut self, mark: Later, length: usize) {
        self.header_at(mark, |reply| reply.set(length));
    }

    fn header_at(&mut self, mark: Later, write: impl FnOnce(&mut Self)) {
        let before = self.bytes.len();
        write(self);
        let header = self.bytes.len() - before;
        let tail = self.bytes.get_mut(mark.0..);
        tail.expect("a mark is of this reply, and nothing before it was forgotten")
            .rotate_right(header);
    }

    /// Appends a double.
    pub fn double(&mut self, value: f64) {
        let text = DoubleText::new(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// Appends a truth value.
    pub fn boolean(&mut self, value: bool) {
        match (self.protocol, value) {
            (Protocol::Resp2, _) => self.integer(i64::from(value)),
            (Protocol::Resp3, true) => self.raw(b"#t\r\n"),
            (Protocol::Resp3, false) => self.raw(b"#f\r\n"),
        }
    }

    /// Appends an integer of any size from its digits.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// Appends a text for people. `format` says how to show it: `txt` or `mkd`.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.number(b'=', text.len() + 4);
                self.bytes.extend_from_slice(&format);
                self.bytes.push(b':');
                self.bytes.extend_from_slice(text);
                self.bytes.extend_from_slice(CRLF);
            }
        }
    }
}

/// Text that must not end its line early.
struct OneLine<'a>(&'a mut Vec<u8>);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_one_line(self.0, text.as_bytes());
        Ok(())
    }
}

fn push_one_line(bytes: &mut Vec<u8>, text: &[u8]) {
    let plain = |byte: &u8| match byte {
        b'\r' | b'\n' => b' ',
        other => *other,
    };
    bytes.extend(text.iter().map(plain));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Reply)) -> (String, String) {
        let text = |protocol| {
            let mut reply = Reply::new(protocol);
            write(&mut reply);
            String::from_utf8(reply.into_vec()).expect("these replies are text")
        };
        (text(Protocol::Resp2), text(Protocol::Resp3))
    }

    #[test]
    fn each_kind_of_value_is_written_in_its_version() {
        type Case = (fn(&mut Reply), &'static str, &'static str);
        let cases: &[Case] = &[
            (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
            (|r| r.simple("a\r\nb"), "+a  b\r\n", "+a  b\r\n"),
            (|r| r.error("ERR x\ny"), "-ERR x y\r\n", "-ERR x y\r\n"),
            (|r| r.integer(0), ":0\r\n", ":0\r\n"),
            (|r| r.integer(-12), ":-12\r\n", ":-12\r\n"),
            (|r| r.count(7), ":7\r\n", ":7\r\n"),
            (|r| r.bulk(b"hi"), "$2\r\nhi\r\n", "$2\r\nhi\r\n"),
            (|r| r.bulk_integer(-1), "$2\r\n-1\r\n", "$2\r\n-1\r\n"),
            (|r| r.bulk_or_null(None), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.array(2), "*2\r\n", "*2\r\n"),
            (|r| r.map(2), "*4\r\n", "%2\r\n"),
            (|r| r.set(2), "*2\r\n", "~2\r\n"),
            (|r| r.push(2), "*2\r\n", ">2\r\n"),
            (|r| r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.boolean(false), ":0\r\n", "#f\r\n"),
            (|r| r.big_number("123"), "$3\r\n123\r\n", "(123\r\n"),
            (
                |r| r.verbatim(*b"txt", b"hi"),
                "$2\r\nhi\r\n",
                "=6\r\ntxt:hi\r\n",
            ),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(both(write), ((*resp2).to_owned(), (*resp3).to_owned()));
        }
    }

    #[test]
    fn a_header_that_was_put_off_stands_before_its_values() {
        let (resp2, resp3) = both(|reply| {
            reply.integer(7);
            let outer = reply.later();
            reply.bulk(b"field");
            let inner = reply.later();
            reply.integer(1);
            reply.integer(2);
            reply.array_at(inner, 2);
            reply.map_at(outer, 1);
        });
        assert_eq!(resp2, ":7\r\n*2\r\n$5\r\nfield\r\n*2\r\n:1\r\n:2\r\n");
        assert_eq!(resp3, ":7\r\n%1\r\n$5\r\nfield\r\n*2\r\n:1\r\n:2\r\n");
    }

    #[test]
    fn a_reply_can_be_taken_back() {
        let mut reply = Reply::default();
        reply.ok();
        let before = reply.len();
        reply.array(3);
        reply.truncate(before);
        assert_eq!(reply.as_bytes(), OK);
    }
}
