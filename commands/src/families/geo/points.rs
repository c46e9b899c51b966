//! Places on the earth, as scores of a sorted set.

use crate::args::Args;
use crate::call::Call;
use crate::error::CommandError;
use crate::families::sorted_sets::add_all;
use crate::numbers;
use crate::sorted_set::{self, FAMILY};
use crate::table::Flag::{DenyOom, ReadOnly, Write};
use crate::table::{Command, KeySpec, Scope};

use super::hash::{self, Point};
use super::{GEO, distance_text, unit, write_point};

pub(crate) const ROWS: &[Command] = &[
    Command {
        name: "geoadd",
        arity: -5,
        usage: "key:key [NX | XX] [CH] (longitude:double latitude:double member)...",
        summary: "Adds one or more members to a geospatial index. The key is created if it \
                  doesn't exist.",
        since: "3.2.0",
        complexity: "O(log(N)) for each item added, where N is the number of elements in \
                  the sorted \
                  set.",
        flags: &[Write, DenyOom],
        keys: &[KeySpec::at(1, &["RW", "update"])],
        scope: Scope::Keys(geoadd),
        concurrent: "Writes the positions as scores, as ZADD does: of concurrent ones the latest \
                  shows.",
        ..GEO
    },
    Command {
        name: "geodist",
        arity: -4,
        usage: "key:key member1 member2 [M | KM | FT | MI]",
        summary: "Returns the distance between two members of a geospatial index.",
        since: "3.2.0",
        complexity: "O(log(N)).",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(geodist),
        ..GEO
    },
    Command {
        name: "geohash",
        arity: -2,
        usage: "key:key [member...]",
        summary: "Returns members from a geospatial index as geohash strings.",
        since: "3.2.0",
        complexity: "O(log(N)) for each member requested, where N is the number of elements in the \
                  sorted set.",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(geohash),
        ..GEO
    },
    Command {
        name: "geopos",
        arity: -2,
        usage: "key:key [member...]",
        summary: "Returns the longitude and latitude of members from a geospatial index.",
        since: "3.2.0",
        complexity: "O(N) where N is the number of members requested.",
        flags: &[ReadOnly],
        keys: &[KeySpec::at(1, &["RO", "access"])],
        scope: Scope::Keys(geopos),
        ..GEO
    },
];

/// A position at `at`, if the map has it.
pub(super) fn position(args: Args<'_>, at: usize) -> Result<Point, CommandError> {
    let point = Point {
        longitude: numbers::float(args.at(at))?,
        latitude: numbers::float(args.at(at + 1))?,
    };
    if point.longitude.abs() > hash::LONGITUDE_MAX || point.latitude.abs() > hash::LATITUDE_MAX {
        let (longitude, latitude) = (point.longitude, point.latitude);
        return Err(CommandError::Text(format!(
            "ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
        )));
    }
    Ok(point)
}

fn geoadd(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (mut only_new, mut only_old, mut counts_changed) = (false, false, false);
    let mut at = 2;
    while let Some(word) = call.args.get(at) {
        match () {
            () if word.eq_ignore_ascii_case(b"nx") => only_new = true,
            () if word.eq_ignore_ascii_case(b"xx") => only_old = true,
            () if word.eq_ignore_ascii_case(b"ch") => counts_changed = true,
            () => break,
        }
        at += 1;
    }
    let places = call.args.from(at);
    if !places.len().is_multiple_of(3) || only_new && only_old {
        return Err(CommandError::Syntax);
    }
    let mut pairs = Vec::with_capacity(places.len() / 3);
    for at in (0..places.len()).step_by(3) {
        let score = hash::score(position(places, at)?);
        pairs.push((score, places.at(at + 2)));
    }
    if pairs.is_empty() {
        return Err(CommandError::Syntax);
    }
    let options = (only_new, only_old, counts_changed);
    add_all(call, options, pairs.into_iter())
}

/// Where a member is.
fn place_of(call: &mut Call<'_, '_, '_>, member: &[u8]) -> Result<Option<f64>, CommandError> {
    match call.collection(1, FAMILY)? {
        Some(key) => sorted_set::score_of(call.transaction, &key, member),
        None => Ok(None),
    }
}

fn geodist(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let metres = match call.args.len() {
        4 => 1.0,
        5 => unit(call.arg(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let one = place_of(call, call.args.at(2))?;
    let other = place_of(call, call.args.at(3))?;
    match one.zip(other) {
        None => call.reply.null(),
        Some((one, other)) => {
            let found = hash::distance(hash::point(one), hash::point(other));
            call.reply.bulk(distance_text(found / metres).as_bytes());
        }
    }
    Ok(())
}

fn geohash(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let members = call.args.from(2);
    call.collection(1, FAMILY)?;
    call.reply.array(members.len());
    for member in members.iter() {
        match place_of(call, member)? {
            Some(score) => call.reply.bulk(&hash::letters(score)),
            None => call.reply.null(),
        }
    }
    Ok(())
}

fn geopos(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let members = call.args.from(2);
    call.collection(1, FAMILY)?;
    call.reply.array(members.len());
    for member in members.iter() {
        match place_of(call, member)? {
            Some(score) => write_point(call.reply, hash::point(score)),
            None => call.reply.null_array(),
        }
    }
    Ok(())
}
