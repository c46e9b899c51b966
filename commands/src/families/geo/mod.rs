//! Places on the earth: members of sorted sets whose scores are positions.

mod hash;
mod points;
mod search;

use crate::error::CommandError;
use crate::reply::{Protocol, Reply};
use crate::table::{Command, OnCollection};

use hash::Point;

pub(crate) use points::ROWS as POINTS;
pub(crate) use search::ROWS as SEARCH;

/// What rows of places have in common.
const GEO: Command = Command {
    group: "geo",
    categories: &["geo"],
    on_collection: OnCollection::Handled,
    ..Command::EMPTY
};

/// Metres of a unit of length.
fn unit(word: &[u8]) -> Result<f64, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(CommandError::Fixed(
            "ERR unsupported unit provided. please use M, KM, FT, MI",
        )),
    }
}

/// A distance as Redis shows it.
fn distance_text(distance: f64) -> String {
    format!("{distance:.4}")
}

/// Appends a position: two numbers of up to 17 decimals.
fn write_point(reply: &mut Reply, point: Point) {
    reply.array(2);
    for degrees in [point.longitude, point.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        match reply.protocol() {
            Protocol::Resp2 => reply.bulk(text.as_bytes()),
            Protocol::Resp3 => reply.raw(format!(",{text}\r\n").as_bytes()),
        }
    }
}
