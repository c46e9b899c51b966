//! Changing lists elsewhere than at their ends.

use larder_cluster::element::Family;

use super::read::parts;
use super::walk::{self, End, Walk};
use crate::call::Call;
use crate::collection;
use crate::error::CommandError;

pub(super) fn lset(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let list = call
        .collection(1, Family::LIST)?
        .ok_or(CommandError::NoSuchKey)?;
    let index = call.integer(2)?;
    let (name, _) =
        walk::seek(call.transaction, &list, index)?.ok_or(CommandError::IndexOutOfRange)?;
    call.collection_to_change(1, Family::LIST)?;
    walk::set(call.transaction, &list, &name, call.arg(3))?;
    call.reply.ok();
    Ok(())
}

pub(super) fn linsert(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let is_before = call.arg(2).eq_ignore_ascii_case(b"before");
    if !is_before && !call.arg(2).eq_ignore_ascii_case(b"after") {
        return Err(CommandError::Syntax);
    }
    let Some(list) = call.collection(1, Family::LIST)? else {
        call.reply.integer(0);
        return Ok(());
    };
    let mut walk = Walk::from(End::Left);
    let pivot = loop {
        let page = walk.page(call.transaction, &list, u64::MAX)?;
        if page.is_empty() {
            call.reply.integer(-1);
            return Ok(());
        }
        let (now_ms, wanted) = (call.now_ms, call.arg(3));
        let mut page = page.into_iter();
        if let Some((name, _)) = page.find(|(_, row)| walk::is_value(row, now_ms, wanted)) {
            break name;
        }
    };
    call.collection_to_change(1, Family::LIST)?;
    let towards = if is_before { End::Right } else { End::Left };
    let next = Walk::behind(towards, &pivot).page(call.transaction, &list, 1)?;
    let next = next.first().map(|(name, _)| &**name);
    let (left, right) = if is_before {
        (next, Some(&*pivot))
    } else {
        (Some(&*pivot), next)
    };
    walk::insert(call.transaction, &list, left, right, call.arg(4))?;
    let length = walk::length(call.transaction, &list)?;
    call.reply
        .integer(i64::try_from(length).unwrap_or(i64::MAX));
    Ok(())
}

pub(super) fn lrem(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let count = call.integer(2)?;
    let Some(list) = call.collection_to_change(1, Family::LIST)? else {
        call.reply.integer(0);
        return Ok(());
    };
    let most = match count.unsigned_abs() {
        0 => u64::MAX,
        count => count,
    };
    if most > 1 {
        call.transaction.group();
    }
    let mut walk = Walk::from(if count < 0 { End::Right } else { End::Left });
    let mut removed = 0u64;
    while removed < most {
        let page = walk.page(call.transaction, &list, u64::MAX)?;
        if page.is_empty() {
            break;
        }
        for (name, row) in page {
            if removed < most && walk::is_value(&row, call.now_ms, call.arg(3)) {
                walk::remove(call.transaction, &list, &name)?;
                removed += 1;
            }
        }
    }
    collection::end_if_empty(call.transaction, &list, Family::LIST)?;
    call.reply
        .integer(i64::try_from(removed).unwrap_or(i64::MAX));
    Ok(())
}

pub(super) fn ltrim(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (start, stop) = (call.integer(2)?, call.integer(3)?);
    if let Some(list) = call.collection_to_change(1, Family::LIST)? {
        let length = walk::length(call.transaction, &list)?;
        let (before, _, behind) = parts(length, start, stop);
        if before > 0 && behind > 0 {
            call.transaction.group();
        }
        walk::take(call, &list, End::Left, before, |_, _| {})?;
        walk::take(call, &list, End::Right, behind, |_, _| {})?;
    }
    call.reply.ok();
    Ok(())
}
