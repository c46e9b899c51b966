//! Sets: members without order.

mod algebra;
mod rows;

use larder_cluster::element::Family;
use larder_cluster::limits::REPLY_BYTES_MAX;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::Value;

use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::members::{self, Member, Walk, random, scan};
use crate::numbers;
use crate::scan::cursor;

pub(super) use rows::ROWS;

/// Adds a member; says whether it was not there. One that is there is added anew, so that a removal
/// at the same time elsewhere, which has not seen that, leaves it.
fn add(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    member: &[u8],
) -> Result<bool, CommandError> {
    let now_ms = transaction.now_ms();
    members::write_text(transaction, key, Family::SET, member, None)?;
    let place = members::place(transaction, key, Family::SET, member);
    let is_new = transaction.edit(&place, |edit| {
        let is_new = !members::shows(edit.row(), now_ms);
        edit.remove(|_| true);
        edit.insert(edit.stamp(), None, |_| {
            Value::Register(b"".as_slice().into())
        });
        is_new
    })?;
    Ok(is_new)
}

/// Removes a member; says whether it was there.
fn remove(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    member: &[u8],
) -> Result<bool, CommandError> {
    if !contains(transaction, key, member)? {
        return Ok(false);
    }
    members::remove_text(transaction, key, Family::SET, member)?;
    let place = members::place(transaction, key, Family::SET, member);
    transaction.edit(&place, |edit| edit.remove(|_| true))?;
    Ok(true)
}

fn contains(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    member: &[u8],
) -> Result<bool, CommandError> {
    let now_ms = transaction.now_ms();
    let place = members::place(transaction, key, Family::SET, member);
    Ok(members::shows(transaction.try_row(&place)?, now_ms))
}

fn sadd(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    if call.args.len() > 3 {
        call.transaction.group();
    }
    let key = call.collection_to_write(1, Family::SET)?;
    let mut added = 0;
    for member in call.args.from(2).iter() {
        added += usize::from(add(call.transaction, &key, member)?);
    }
    call.reply.count(added);
    Ok(())
}

fn srem(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let Some(key) = call.collection_to_change(1, Family::SET)? else {
        call.reply.integer(0);
        return Ok(());
    };
    if call.args.len() > 3 {
        call.transaction.group();
    }
    let mut removed = 0;
    for member in call.args.from(2).iter() {
        removed += usize::from(remove(call.transaction, &key, member)?);
    }
    collection::end_if_empty(call.transaction, &key, Family::SET)?;
    call.reply.count(removed);
    Ok(())
}

fn sismember(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let found = match call.collection(1, Family::SET)? {
        Some(key) => contains(call.transaction, &key, call.arg(2))?,
        None => false,
    };
    call.reply.integer(i64::from(found));
    Ok(())
}

fn smismember(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let key = call.collection(1, Family::SET)?;
    call.reply.array(call.args.len().saturating_sub(2));
    for member in call.args.from(2).iter() {
        let found = match &key {
            Some(key) => contains(call.transaction, key, member)?,
            None => false,
        };
        call.reply.integer(i64::from(found));
    }
    Ok(())
}

fn scard(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let members = match call.collection(1, Family::SET)? {
        Some(key) => call.transaction.members(&key, Family::SET)?,
        None => 0,
    };
    call.reply
        .integer(i64::try_from(members).unwrap_or(i64::MAX));
    Ok(())
}

fn smembers(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let Some(key) = call.collection(1, Family::SET)? else {
        call.reply.set(0);
        return Ok(());
    };
    let (mark, mut count) = (call.reply.later(), 0);
    let mut walk = Walk::new(Family::SET);
    while let Some(member) = walk.next(call.transaction, &key)? {
        call.reply.bulk(&member.text(call.transaction, &key)?);
        count += 1;
    }
    call.reply.set_at(mark, count);
    Ok(())
}

fn spop(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    match call.args.len() {
        2 => {
            let popped = match call.collection(1, Family::SET)? {
                Some(key) => match random::one(call.transaction, &key, Family::SET)? {
                    Some(member) => Some(pop(call, &key, &member)?),
                    None => None,
                },
                None => None,
            };
            call.reply.bulk_or_null(popped.as_deref());
            Ok(())
        }
        3 => pop_several(call),
        _ => Err(CommandError::Syntax),
    }
}

fn pop_several(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let count = usize::try_from(call.integer(2).map_err(|_| CommandError::NotPositive)?);
    let count = count.map_err(|_| CommandError::NotPositive)?;
    let key = call.collection(1, Family::SET)?;
    let Some(key) = key.filter(|_| count > 0) else {
        call.reply.set(0);
        return Ok(());
    };
    let members = call.transaction.members(&key, Family::SET)?;
    if members <= count as u64 {
        smembers(call)?;
        collection::remove(call.transaction, &key, call.now_ms)?;
        return Ok(());
    }
    call.transaction.group();
    let chosen = random::several(call.transaction, &key, Family::SET, count)?;
    call.reply.set(chosen.len());
    for member in chosen {
        let text = pop(call, &key, &member)?;
        call.reply.bulk(&text);
    }
    Ok(())
}

fn pop(call: &mut Call<'_, '_, '_>, key: &Place, member: &Member) -> Result<Vec<u8>, CommandError> {
    let text = member.text(call.transaction, key)?.into_owned();
    remove(call.transaction, key, &text)?;
    collection::end_if_empty(call.transaction, key, Family::SET)?;
    Ok(text)
}

fn srandmember(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    if call.args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    if call.args.len() == 2 {
        let Some(key) = call.collection(1, Family::SET)? else {
            call.reply.null();
            return Ok(());
        };
        match random::one(call.transaction, &key, Family::SET)? {
            Some(member) => call.reply.bulk(&member.text(call.transaction, &key)?),
            None => call.reply.null(),
        }
        return Ok(());
    }
    let count = numbers::signed_count(call.arg(2))?;
    let Some(key) = call.collection(1, Family::SET)? else {
        call.reply.array(0);
        return Ok(());
    };
    let (mark, mut written) = (call.reply.later(), 0);
    draw(call, &key, Family::SET, count, |call, text, _| {
        call.reply.bulk(text);
        written += 1;
        Ok(())
    })?;
    call.reply.array_at(mark, written);
    Ok(())
}

/// Hands `count` different members at random to `take`, or as many as it is below 0, which may be
/// the same ones.
pub(super) fn draw<'c, 'a, 'b>(
    call: &mut Call<'c, 'a, 'b>,
    key: &Place,
    family: Family,
    count: i64,
    mut take: impl FnMut(&mut Call<'c, 'a, 'b>, &[u8], &Member) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count >= 0 {
        for member in random::several(call.transaction, key, family, wanted)? {
            let text = member.text(call.transaction, key)?;
            take(call, &text, &member)?;
        }
        return Ok(());
    }
    for _ in 0..wanted {
        let Some(member) = random::one(call.transaction, key, family)? else {
            break;
        };
        let text = member.text(call.transaction, key)?;
        take(call, &text, &member)?;
        if call.reply.len() > REPLY_BYTES_MAX {
            return Err(CommandError::Fixed("ERR the reply would be too large"));
        }
    }
    Ok(())
}

fn sscan(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let cursor = cursor(call.arg(2))?;
    let key = call.collection(1, Family::SET)?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = match key {
        Some(key) => {
            let options = scan::Options::parse(call.args)?;
            let take = |_: &mut Transaction<'_, '_>, text: &[u8], _: &Member| {
                found.push(text.to_vec());
                Ok(())
            };
            scan::page(call.transaction, &key, Family::SET, cursor, options, take)?
        }
        None => 0,
    };
    call.reply.array(2);
    call.reply.bulk(next.to_string().as_bytes());
    call.reply.array(found.len());
    found.iter().for_each(|member| call.reply.bulk(member));
    Ok(())
}
