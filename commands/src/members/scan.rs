//! HSCAN, SSCAN and ZSCAN: a walk over one collection, page by page.
//!
//! A cursor is the upper bits of the hash of the next member, as many as a double holds exactly
//! (see `scan.rs`), so it needs no memory and holds on any node. A member that is there all the
//! while is returned once; 0 begins and ends the walk.

use larder_cluster::element::Family;
use larder_cluster::transaction::{Place, Transaction};

use super::{Member, Walk};
use crate::args::Args;
use crate::error::CommandError;
use crate::internal::walk::matches;
use crate::numbers;
use crate::scan::{COUNT_DEFAULT, POSITION_BITS};

/// What a page is to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    /// HSCAN: the fields without their values.
    pub(crate) without_values: bool,
}

impl<'a> Options<'a> {
    /// Reads the options of a whole request behind its cursor.
    ///
    /// # Errors
    /// As Redis.
    pub(crate) fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = Self {
            pattern: None,
            count: COUNT_DEFAULT,
            without_values: false,
        };
        let mut words = args.from(3).iter();
        while let Some(word) = words.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("novalues") {
                if !args.at(0).eq_ignore_ascii_case(b"hscan") {
                    return Err(CommandError::Fixed(
                        "ERR NOVALUES option can only be used in HSCAN",
                    ));
                }
                options.without_values = true;
            } else if is("match") {
                options.pattern = Some(words.next().ok_or(CommandError::Syntax)?);
            } else if is("count") {
                let count = numbers::integer(words.next().ok_or(CommandError::Syntax)?)?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                options.count = count.ok_or(CommandError::Syntax)?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

fn position(hash: u64) -> u64 {
    hash >> (64 - POSITION_BITS)
}

/// Hands the wanted members of one page to `take`, and gives the cursor of the next one.
///
/// # Errors
/// What the disk says, or `take`.
pub(crate) fn page<'a, 'b>(
    transaction: &mut Transaction<'a, 'b>,
    key: &Place,
    family: Family,
    cursor: u64,
    options: Options<'_>,
    mut take: impl FnMut(&mut Transaction<'a, 'b>, &[u8], &Member) -> Result<(), CommandError>,
) -> Result<u64, CommandError> {
    let begin = cursor << (64 - POSITION_BITS);
    let at_once = options.count.saturating_add(1);
    let mut walk = Walk::from_hash(family, begin, at_once);
    let (mut visited, mut last) = (0, None);
    while let Some(member) = walk.next(transaction, key)? {
        let here = position(member.hash());
        // A cursor names all members of its position, so a page ends between two positions.
        if visited >= options.count && last != Some(here) {
            return Ok(here);
        }
        (visited, last) = (visited + 1, Some(here));
        let text = member.text(transaction, key)?;
        if options
            .pattern
            .is_none_or(|pattern| matches(pattern, &text))
        {
            take(transaction, &text, &member)?;
        }
    }
    Ok(0)
}
