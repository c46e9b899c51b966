//! The families of commands, in the order of their numbers.

use crate::table::Command;

mod connection;
mod counters;
mod expiry;
mod keys;
mod server;
mod set;
mod strings;

/// All rows.
pub(crate) const ALL: &[&[Command]] =
    &[strings::ROWS, set::ROWS, counters::ROWS, keys::ROWS, expiry::ROWS, connection::ROWS, server::ROWS];
