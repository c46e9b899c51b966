//! The families of commands, in the order of their numbers.

use crate::table::Command;

mod cluster;
mod connection;
mod copying;
mod counters;
pub(crate) mod documents;
mod expiry;
mod keys;
mod lcs;
mod server;
mod set;
mod strings;

/// All rows.
pub(crate) const ALL: &[&[Command]] = &[
    strings::ROWS,
    set::ROWS,
    counters::ROWS,
    lcs::ROWS,
    keys::ROWS,
    copying::ROWS,
    expiry::ROWS,
    documents::ROWS,
    connection::ROWS,
    server::ROWS,
    cluster::ROWS,
];
