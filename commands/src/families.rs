//! The families of commands, in the order of their numbers.

use crate::table::Command;

mod cluster;
mod connection;
pub(crate) mod copying;
mod counters;
pub(crate) mod documents;
mod dumping;
mod expiry;
mod geo;
mod hashes;
mod keys;
pub(crate) mod lcs;
mod lists;
mod operation;
mod server;
mod set;
mod sets;
mod sorted_sets;
mod strings;
mod transactions;

/// All rows.
pub(crate) const ALL: &[&[Command]] = &[
    strings::ROWS,
    set::ROWS,
    counters::ROWS,
    lcs::ROWS,
    lists::ROWS,
    keys::ROWS,
    copying::ROWS,
    dumping::ROWS,
    expiry::ROWS,
    hashes::ROWS,
    sets::ROWS,
    documents::ROWS,
    sorted_sets::SCORES,
    sorted_sets::RANGES,
    sorted_sets::TAKE,
    sorted_sets::RANDOM,
    sorted_sets::COMBINE,
    geo::POINTS,
    geo::SEARCH,
    connection::ROWS,
    server::ROWS,
    operation::ROWS,
    cluster::ROWS,
    transactions::ROWS,
];
