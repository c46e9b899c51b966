//! Pops and moves that wait for an element. The handlers only try: see `crate::blocking`.

use larder_cluster::element::Family;

use super::ends::{self, Pops};
use super::walk::{self, End};
use crate::args::Args;
use crate::blocking::timeout;
use crate::call::Call;
use crate::error::CommandError;
use crate::table::Asked;

pub(super) fn blpop(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    pop(call, End::Left)
}

pub(super) fn brpop(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    pop(call, End::Right)
}

fn pop(call: &mut Call<'_, '_, '_>, end: End) -> Result<(), CommandError> {
    let last = call.args.len() - 1;
    timeout(call.arg(last))?;
    for index in 1..last {
        if let Some(list) = call.collection_to_change(index, Family::LIST)? {
            call.reply.array(2);
            call.reply.bulk(call.arg(index));
            return walk::take(call, &list, end, 1, walk::show);
        }
    }
    call.reply.null_array();
    Ok(())
}

/// Finds errors in the arguments before the keys are counted by them.
pub(super) fn check_blmpop(args: Args<'_>) -> Result<Asked, CommandError> {
    timeout(args.at(1))?;
    Pops::parse(args, 2).map(|_| Asked::default())
}

pub(super) fn blmpop(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    ends::pop_first(call, 2)
}

pub(super) fn blmove(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let (from, to) = (End::parse(call.arg(3))?, End::parse(call.arg(4))?);
    timeout(call.arg(5))?;
    ends::move_element(call, from, to)
}

pub(super) fn brpoplpush(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    timeout(call.arg(3))?;
    ends::move_element(call, End::Right, End::Left)
}
