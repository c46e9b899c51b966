//! The parser of requests: where each argument stands in the bytes that came in.
//!
//! ```text
//! *3\r\n $3\r\n SET \r\n $3\r\n key \r\n $5\r\n value \r\n
//! └ count └ length                └ a read may end anywhere: the parser goes on from here
//! ```
//!
//! Nothing is copied and nothing is read twice: between two reads the parser remembers its place. A
//! count or length that a client declares makes no room by itself. There is nothing to nest, so no
//! request can make the parser call itself. Errors and their order are those of Redis 7.2, but a
//! line that is too long is refused however it was cut into packets.

use bytes::Bytes;
use larder_commands::args::{ArgRange, Args, OwnedArgs};
use larder_commands::error::CommandError;
use thiserror::Error;

use super::inline;
use crate::limits::{
    ARG_BYTES_MAX, ARGS_KEPT_MAX, LINE_BYTES_MAX, READ_AHEAD_BYTES_MAX,
    UNAUTHENTICATED_ARG_BYTES_MAX, UNAUTHENTICATED_ARGS_MAX,
};

/// Why the bytes of a connection are no requests. The connection ends, as nobody can know where the
/// next request begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// The count of arguments is no number, or too large.
    #[error("Protocol error: invalid multibulk length")]
    ArgCount,
    /// More arguments than a client may send before AUTH.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedArgCount,
    /// The length of an argument is no number, or too large.
    #[error("Protocol error: invalid bulk length")]
    ArgLength,
    /// A longer argument than a client may send before AUTH.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedArgLength,
    /// Something else stands where an argument must begin.
    #[error("Protocol error: expected '$', got '{}'", shown(.0))]
    ExpectedArg(u8),
    /// The line of a count has no end.
    #[error("Protocol error: too big mbulk count string")]
    ArgCountLine,
    /// The line of a length has no end.
    #[error("Protocol error: too big bulk count string")]
    ArgLengthLine,
    /// A quote without its end.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// A request in one line has no end.
    #[error("Protocol error: too big inline request")]
    InlineLine,
    /// A request of 4 GiB and more.
    #[error("Protocol error: too big request")]
    Request,
}

fn shown(byte: &u8) -> char {
    if byte.is_ascii() {
        char::from(*byte)
    } else {
        char::REPLACEMENT_CHARACTER
    }
}

impl From<ProtocolError> for CommandError {
    fn from(error: ProtocolError) -> Self {
        Self::Text(format!("ERR {error}"))
    }
}

/// What a connection may send at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// The most arguments.
    pub args_max: usize,
    /// The longest argument, setting `proto-max-bulk-len`.
    pub arg_bytes_max: usize,
    /// Whether the client has said its password, or needs none.
    pub authenticated: bool,
}

/// The parser of one connection.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// The arguments found so far; places from the first byte of the request, or in `words`.
    ranges: Vec<ArgRange>,
    /// The words of a request in one line.
    words: Vec<u8>,
    /// Where parsing goes on, from the first byte of the request.
    position: usize,
    /// Up to where the end of the current line was looked for in vain.
    searched: usize,
    /// Arguments that have not begun.
    missing: usize,
    /// The length of the argument that has begun.
    arriving: Option<usize>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// Between requests.
    #[default]
    Start,
    /// Within an array of arguments.
    Array,
    /// An array is complete.
    ArrayDone,
    /// A line is complete.
    LineDone,
}

impl RequestParser {
    /// A parser at the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with `input`, which begins with the first byte of the current request and holds all
    /// that has come since. Returns the length of the request once it is complete: take its
    /// arguments from [`RequestParser::args`], and give what is behind it to the next call. A
    /// request without arguments is to be passed over.
    ///
    /// # Errors
    /// Any [`ProtocolError`]; the parser is of no use after it.
    #[inline]
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        if matches!(self.stage, Stage::ArrayDone | Stage::LineDone) {
            self.restart();
        }
        if self.stage == Stage::Start {
            match input.first() {
                None => return Ok(None),
                Some(b'*') => {
                    if !self.count(input, limits)? {
                        return Ok(None);
                    }
                }
                Some(_) => return self.line(input),
            }
        }
        self.arguments(input, limits)
    }

    /// The arguments of the request that is complete; `request` are the bytes given to
    /// [`RequestParser::parse`], or at least the request's own.
    #[inline]
    #[must_use]
    pub fn args<'a>(&'a self, request: &'a [u8]) -> Args<'a> {
        match self.stage {
            Stage::ArrayDone => Args::new(request, &self.ranges),
            Stage::LineDone => Args::new(&self.words, &self.ranges),
            Stage::Start | Stage::Array => Args::new(&[], &[]),
        }
    }

    /// Where the arguments of the complete request stand among its bytes; `None` if it was one in a
    /// line, as the words of that are the parser's.
    #[inline]
    #[must_use]
    pub fn ranges(&self) -> Option<&[ArgRange]> {
        (self.stage != Stage::LineDone).then_some(&self.ranges)
    }

    /// Forgets what it has read of requests that are to be parsed again.
    pub fn forget(&mut self) {
        self.restart();
        (self.searched, self.missing, self.arriving) = (0, 0, None);
    }

    /// As [`RequestParser::args`], taking over the bytes without copying them.
    #[must_use]
    pub fn take_args(&mut self, request: Bytes) -> OwnedArgs {
        let ranges = std::mem::take(&mut self.ranges);
        match self.stage {
            Stage::ArrayDone => OwnedArgs::from_parts(request, ranges),
            Stage::LineDone => {
                OwnedArgs::from_parts(std::mem::take(&mut self.words).into(), ranges)
            }
            Stage::Start | Stage::Array => OwnedArgs::default(),
        }
    }

    /// How many bytes behind the `received` ones belong to the current request for sure: make as
    /// much room before the next read. Bounded, whatever the client has declared.
    #[must_use]
    pub fn wanted(&self, received: usize) -> usize {
        let end = self
            .position
            .saturating_add(self.arriving.map_or(0, |length| length + 2));
        end.saturating_sub(received).min(READ_AHEAD_BYTES_MAX)
    }

    /// Whether a request has begun and is not complete.
    #[must_use]
    pub fn is_within_request(&self) -> bool {
        self.stage == Stage::Array || self.searched > 0
    }

    #[inline]
    fn restart(&mut self) {
        self.ranges.clear();
        if self.ranges.capacity() > ARGS_KEPT_MAX {
            self.ranges.shrink_to(ARGS_KEPT_MAX);
        }
        self.position = 0;
        self.stage = Stage::Start;
    }

    /// Reads the count of arguments; false if its line is not complete.
    #[inline]
    fn count(&mut self, input: &[u8], limits: &RequestLimits) -> Result<bool, ProtocolError> {
        let found = match short_number(input, 1) {
            Some((count, next)) => Some((Some(count as i64), next)),
            None => self.number_line(input, ProtocolError::ArgCountLine)?,
        };
        let Some((count, next)) = found else {
            return Ok(false);
        };
        let count = count.ok_or(ProtocolError::ArgCount)?;
        let count = usize::try_from(count).unwrap_or(0);
        if count > limits.args_max {
            return Err(ProtocolError::ArgCount);
        }
        if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedArgCount);
        }
        self.missing = count;
        self.position = next;
        self.searched = 0;
        self.stage = Stage::Array;
        Ok(true)
    }

    #[inline]
    fn arguments(
        &mut self,
        input: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        while self.missing > 0 {
            let length = match self.arriving {
                Some(length) => length,
                None => match self.length(input, limits)? {
                    Some(length) => length,
                    None => return Ok(None),
                },
            };
            let end = self.position + length;
            if input.len() < end + 2 {
                self.arriving = Some(length);
                return Ok(None);
            }
            let range = (u32::try_from(self.position), u32::try_from(end));
            let (Ok(start), Ok(end)) = range else {
                return Err(ProtocolError::Request);
            };
            self.ranges.push(ArgRange { start, end });
            self.position += length + 2;
            self.arriving = None;
            self.missing -= 1;
        }
        self.stage = Stage::ArrayDone;
        Ok(Some(self.position))
    }

    /// Reads the length of an argument and steps to its first byte.
    #[inline]
    fn length(
        &mut self,
        input: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        let short = match input.get(self.position) {
            Some(b'$') => short_number(input, self.position + 1),
            _ => None,
        };
        let (length, next) = match short {
            Some((length, next)) => (length, next),
            None => match self.length_line(input)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        if length > limits.arg_bytes_max.min(ARG_BYTES_MAX) {
            return Err(ProtocolError::ArgLength);
        }
        if length > UNAUTHENTICATED_ARG_BYTES_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedArgLength);
        }
        self.position = next;
        self.searched = 0;
        Ok(Some(length))
    }

    #[cold]
    fn length_line(&mut self, input: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some((length, next)) = self.number_line(input, ProtocolError::ArgLengthLine)? else {
            return Ok(None);
        };
        match input.get(self.position) {
            Some(b'$') => {}
            other => return Err(ProtocolError::ExpectedArg(*other.unwrap_or(&b'\r'))),
        }
        let length = length.and_then(|length| usize::try_from(length).ok());
        Ok(Some((length.ok_or(ProtocolError::ArgLength)?, next)))
    }

    /// The number of the line at the current place, behind its first byte, and where the next line
    /// begins; nothing if the line is not complete.
    #[cold]
    fn number_line(
        &mut self,
        input: &[u8],
        too_long: ProtocolError,
    ) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
        let Some(end) = self.line_end(b'\r', input, too_long)? else {
            return Ok(None);
        };
        // The line feed belongs to the line, whatever it is: Redis does not look at it.
        if input.len() < end + 2 {
            return Ok(None);
        }
        let digits = input.get(self.position + 1..end).unwrap_or_default();
        Ok(Some((strict_number(digits), end + 2)))
    }

    /// Where `last` ends the line at the current place.
    fn line_end(
        &mut self,
        last: u8,
        input: &[u8],
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let from = self.searched.max(self.position);
        let found = memchr::memchr(last, input.get(from..).unwrap_or_default());
        let end = found.map_or(input.len(), |at| from + at);
        if end - self.position.min(end) > LINE_BYTES_MAX {
            return Err(too_long);
        }
        self.searched = end;
        Ok(found.map(|_| end))
    }

    #[cold]
    fn line(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.line_end(b'\n', input, ProtocolError::InlineLine)? else {
            return Ok(None);
        };
        self.searched = 0;
        let line = input.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.words.clear();
        inline::split(line, &mut self.words, &mut self.ranges)
            .map_err(|inline::Unbalanced| ProtocolError::UnbalancedQuotes)?;
        self.stage = Stage::LineDone;
        Ok(Some(end + 1))
    }
}

/// A number of up to 9 digits in a line that is complete, and where the next line begins: all but
/// the strange and the broken ones.
#[inline]
fn short_number(input: &[u8], start: usize) -> Option<(usize, usize)> {
    let digits = input.get(start..)?;
    let first = digits.first()?.wrapping_sub(b'0');
    if first > 9 || (first == 0 && digits.get(1)?.is_ascii_digit()) {
        return None;
    }
    let mut value = u32::from(first);
    for (at, byte) in digits.iter().enumerate().take(10).skip(1) {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
        } else if *byte == b'\r' && digits.len() > at + 1 {
            return Some((value as usize, start + at + 2));
        } else {
            return None;
        }
    }
    None
}

/// A number as Redis takes it (`string2ll`): no sign but `-`, no leading zero, 64 bits.
fn strict_number(digits: &[u8]) -> Option<i64> {
    match digits {
        b"0" => Some(0),
        [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => {
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_many_arguments_is_given_back() {
        let limits = RequestLimits {
            args_max: 1 << 20,
            arg_bytes_max: 10,
            authenticated: true,
        };
        let count = ARGS_KEPT_MAX * 4;
        let many = format!("*{count}\r\n{}", "$0\r\n\r\n".repeat(count));
        let mut parser = RequestParser::new();
        assert_eq!(parser.parse(many.as_bytes(), &limits), Ok(Some(many.len())));
        assert_eq!(parser.args(many.as_bytes()).len(), count);
        assert_eq!(parser.parse(b"PING\n", &limits), Ok(Some(5)));
        assert!(parser.ranges.capacity() <= ARGS_KEPT_MAX);
    }

    #[test]
    fn an_argument_beyond_32_bits_is_refused_whatever_the_settings_say() {
        let limits = RequestLimits {
            args_max: 1 << 20,
            arg_bytes_max: usize::MAX,
            authenticated: true,
        };
        let input = format!("*1\r\n${}\r\n", ARG_BYTES_MAX + 1);
        let error = RequestParser::new().parse(input.as_bytes(), &limits);
        assert_eq!(error, Err(ProtocolError::ArgLength));
    }
}
