//! Numbers in arguments, as Redis reads them.

use larder_crdt::types::register_lww::{parse_float, parse_integer};

use crate::error::CommandError;

/// A 64-bit integer.
pub(crate) fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_integer(text).ok_or(CommandError::NotInteger)
}

/// An integer of at least 1 that fits a byte: a number of replicas.
pub(crate) fn copies(text: &[u8]) -> Result<u8, CommandError> {
    match integer(text)? {
        0 => Err(CommandError::NotPositive),
        copies => u8::try_from(copies).map_err(|_| CommandError::OutOfRange),
    }
}

/// How many members at random, or below 0 how many that may be the same.
pub(crate) fn signed_count(text: &[u8]) -> Result<i64, CommandError> {
    match integer(text)? {
        i64::MIN => Err(CommandError::Fixed(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        )),
        count => Ok(count),
    }
}

/// The number of a database.
pub(crate) fn database(text: &[u8]) -> Result<u8, CommandError> {
    let number = integer(text)?;
    if i32::try_from(number).is_err() {
        return Err(CommandError::Fixed(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    u8::try_from(number)
        .ok()
        .filter(|number| usize::from(*number) < larder_cluster::limits::DATABASES_MAX)
        .ok_or(CommandError::DatabaseIndex)
}

/// A float.
pub(crate) fn float(text: &[u8]) -> Result<f64, CommandError> {
    parse_float(text).ok_or(CommandError::NotFloat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_databases_and_copies_have_bounds() {
        assert_eq!(database(b"15"), Ok(15));
        assert_eq!(database(b"16"), Err(CommandError::DatabaseIndex));
        assert_eq!(database(b"-1"), Err(CommandError::DatabaseIndex));
        assert_eq!(database(b"x"), Err(CommandError::NotInteger));
        assert!(database(b"4294967296").is_err_and(|error| error != CommandError::DatabaseIndex));
        assert_eq!(copies(b"3"), Ok(3));
        assert_eq!(copies(b"0"), Err(CommandError::NotPositive));
        assert_eq!(copies(b"-1"), Err(CommandError::OutOfRange));
        assert_eq!(copies(b"256"), Err(CommandError::OutOfRange));
    }
}
