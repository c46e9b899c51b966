//! Numbers in arguments, as Redis reads them.

use larder_commands::error::CommandError;
use larder_crdt::types::register_lww::parse_integer;

/// A 64-bit integer.
pub(super) fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_integer(text).ok_or(CommandError::NotInteger)
}

/// A number that is not negative.
pub(super) fn natural(text: &[u8]) -> Result<u64, CommandError> {
    u64::try_from(integer(text)?).map_err(|_| CommandError::NotPositive)
}

/// A number of milliseconds or seconds to wait; 0 is for ever.
pub(super) fn timeout(text: &[u8]) -> Result<u64, CommandError> {
    let number = parse_integer(text).ok_or(CommandError::TimeoutNotInteger)?;
    u64::try_from(number).map_err(|_| CommandError::TimeoutNegative)
}
