//! Looking at lists.

use larder_cluster::element::Family;
use larder_cluster::transaction::Place;
use larder_crdt::types::register_lww::parse_integer;

use super::walk::{self, End, Walk};
use crate::args::Args;
use crate::call::Call;
use crate::collection;
use crate::error::CommandError;

pub(super) fn llen(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let length = match call.collection(1, Family::LIST)? {
        Some(list) => walk::length(call.transaction, &list)?,
        None => 0,
    };
    call.reply
        .integer(i64::try_from(length).unwrap_or(i64::MAX));
    Ok(())
}

pub(super) fn lindex(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let Some(list) = call.collection(1, Family::LIST)? else {
        call.reply.null();
        return Ok(());
    };
    let index = call.integer(2)?;
    match walk::seek(call.transaction, &list, index)? {
        Some((_, row)) => walk::show(call, &row),
        None => call.reply.null(),
    }
    Ok(())
}

/// How many elements lie before, in and behind what two indices, both included, bound.
pub(super) fn parts(length: u64, start: i64, stop: i64) -> (u64, u64, u64) {
    let signed = i64::try_from(length).unwrap_or(i64::MAX);
    let from_head = |index: i64| {
        let index = if index < 0 {
            signed.saturating_add(index)
        } else {
            index
        };
        index.clamp(-1, signed)
    };
    let before = from_head(start).max(0);
    let end = from_head(stop).saturating_add(1).min(signed);
    if before >= end {
        return (length, 0, 0);
    }
    let (before, end) = (before.unsigned_abs(), end.unsigned_abs());
    (before, end - before, length - end)
}

pub(super) fn lrange(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (start, stop) = (call.integer(2)?, call.integer(3)?);
    let Some(list) = call.collection(1, Family::LIST)? else {
        call.reply.array(0);
        return Ok(());
    };
    let length = walk::length(call.transaction, &list)?;
    let (before, count, behind) = parts(length, start, stop);
    call.reply
        .array(usize::try_from(count).unwrap_or(usize::MAX));
    if before <= behind {
        show_some(call, &list, before, count)
    } else {
        show_backwards(call, &list, behind, count)
    }
}

fn show_some(
    call: &mut Call<'_, '_, '_>,
    list: &Place,
    before: u64,
    mut count: u64,
) -> Result<(), CommandError> {
    let mut walk = Walk::from(End::Left);
    walk.skip(call.transaction, list, before)?;
    while count > 0 {
        let page = walk.page(call.transaction, list, count)?;
        if page.is_empty() {
            break;
        }
        count -= page.len() as u64;
        page.iter().for_each(|(_, row)| walk::show(call, row));
    }
    Ok(())
}

/// The values are found from the tail on, and shown in the order of the list.
fn show_backwards(
    call: &mut Call<'_, '_, '_>,
    list: &Place,
    behind: u64,
    mut count: u64,
) -> Result<(), CommandError> {
    let mut walk = Walk::from(End::Right);
    walk.skip(call.transaction, list, behind)?;
    let mut values = Vec::new();
    while count > 0 {
        let page = walk.page(call.transaction, list, count)?;
        if page.is_empty() {
            break;
        }
        count -= page.len() as u64;
        let now_ms = call.now_ms;
        values.extend(page.iter().map(|(_, row)| collection::value(row, now_ms)));
    }
    for value in values.iter().rev() {
        call.reply.bulk(value.as_deref().unwrap_or_default());
    }
    Ok(())
}

/// The options of LPOS.
struct Search {
    rank: i64,
    count: Option<u64>,
    length_max: Option<u64>,
}

impl Search {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut search = Self {
            rank: 1,
            count: None,
            length_max: None,
        };
        let mut words = args.from(3).iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(CommandError::Syntax)?;
            if word.eq_ignore_ascii_case(b"rank") {
                search.rank = rank(value)?;
            } else if word.eq_ignore_ascii_case(b"count") {
                search.count = Some(natural(value, "ERR COUNT can't be negative")?);
            } else if word.eq_ignore_ascii_case(b"maxlen") {
                let most = natural(value, "ERR MAXLEN can't be negative")?;
                search.length_max = Some(most).filter(|most| *most > 0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(search)
    }
}

fn rank(value: &[u8]) -> Result<i64, CommandError> {
    match parse_integer(value).ok_or(CommandError::NotInteger)? {
        0 => Err(CommandError::Fixed(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        )),
        i64::MIN => Err(CommandError::Fixed(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        )),
        rank => Ok(rank),
    }
}

fn natural(value: &[u8], otherwise: &'static str) -> Result<u64, CommandError> {
    let number = parse_integer(value).and_then(|number| u64::try_from(number).ok());
    number.ok_or(CommandError::Fixed(otherwise))
}

pub(super) fn lpos(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let search = Search::parse(call.args)?;
    let found = match call.collection(1, Family::LIST)? {
        Some(list) => find(call, &list, &search)?,
        None => Vec::new(),
    };
    if search.count.is_some() {
        call.reply.array(found.len());
        found.iter().for_each(|index| call.reply.integer(*index));
    } else if let Some(index) = found.first() {
        call.reply.integer(*index);
    } else {
        call.reply.null();
    }
    Ok(())
}

fn find(
    call: &mut Call<'_, '_, '_>,
    list: &Place,
    search: &Search,
) -> Result<Vec<i64>, CommandError> {
    let length = walk::length(call.transaction, list)?;
    let mut walk = Walk::from(if search.rank > 0 {
        End::Left
    } else {
        End::Right
    });
    let wanted = match search.count.unwrap_or(1) {
        0 => usize::MAX,
        count => usize::try_from(count).unwrap_or(usize::MAX),
    };
    let mut to_pass = search.rank.unsigned_abs() - 1;
    let (mut seen, mut found) = (0, Vec::new());
    let looked_at = search.length_max.unwrap_or(u64::MAX);
    while seen < looked_at {
        let page = walk.page(call.transaction, list, looked_at - seen)?;
        if page.is_empty() {
            break;
        }
        for (_, row) in &page {
            if walk::is_value(row, call.now_ms, call.arg(2)) {
                if to_pass > 0 {
                    to_pass -= 1;
                } else {
                    let index = if search.rank > 0 {
                        seen
                    } else {
                        length.saturating_sub(seen + 1)
                    };
                    found.push(i64::try_from(index).unwrap_or(i64::MAX));
                    if found.len() >= wanted {
                        return Ok(found);
                    }
                }
            }
            seen += 1;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_bound_a_part_of_a_list() {
        assert_eq!(parts(5, 0, -1), (0, 5, 0));
        assert_eq!(parts(5, 1, 2), (1, 2, 2));
        assert_eq!(parts(5, -2, -1), (3, 2, 0));
        assert_eq!(parts(5, -100, 100), (0, 5, 0));
        assert_eq!(parts(5, i64::MIN, i64::MAX), (0, 5, 0));
        for (start, stop) in [(3, 2), (5, 9), (0, -6), (i64::MAX, i64::MIN), (0, i64::MIN)] {
            assert_eq!(parts(5, start, stop), (5, 0, 0), "{start} {stop}");
        }
    }
}
