//! Commands that wait for what is not there yet: what they try at once, and for how long the server
//! tries again.
//!
//! The handler of such a row only tries: it takes what is there, or replies null. The server then
//! waits until one of the keys changes, and has it tried again.

use std::time::Duration;

use larder_crdt::types::register_lww::parse_float;

use crate::args::Args;
use crate::error::CommandError;
use crate::table::Command;

/// How long a blocking command is willing to wait; `None`: for ever.
///
/// # Errors
/// What is wrong with its timeout.
pub fn patience(command: &Command, args: Args<'_>) -> Result<Option<Duration>, CommandError> {
    timeout(match command.name {
        "blmpop" | "bzmpop" => args.at(1),
        _ => args.at(args.len() - 1),
    })
}

/// Reads a timeout in seconds.
pub(crate) fn timeout(text: &[u8]) -> Result<Option<Duration>, CommandError> {
    let seconds = parse_float(text).ok_or(CommandError::TimeoutNotFloat)?;
    let ms = (seconds * 1000.0).ceil();
    if ms < 0.0 {
        return Err(CommandError::TimeoutNegative);
    }
    // More than clocks can count.
    if ms >= i64::MAX as f64 / 2.0 {
        return Err(CommandError::TimeoutOutOfRange);
    }
    let ms = ms as u64;
    Ok((ms > 0).then(|| Duration::from_millis(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_double_of_seconds() {
        let ms = |ms| Ok(Some(Duration::from_millis(ms)));
        assert_eq!(timeout(b"0"), Ok(None));
        assert_eq!(timeout(b"1"), ms(1000));
        assert_eq!(timeout(b"0.0001"), ms(1));
        assert_eq!(timeout(b"1.5e1"), ms(15_000));
        assert_eq!(timeout(b"-1"), Err(CommandError::TimeoutNegative));
        assert_eq!(timeout(b"x"), Err(CommandError::TimeoutNotFloat));
        assert_eq!(timeout(b"1e300"), Err(CommandError::TimeoutOutOfRange));
    }
}
