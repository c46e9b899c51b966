//! Sorted sets: their members by name and, through the rows that each copy derives, by score.
//!
//! ```text
//! member   03 10 hash kind text     what ZADD and ZINCRBY write (crdt/src/types/score.rs)
//! place    03 80 score kind text    derived: the order of ZRANGE
//! ```
//!
//! A member longer than 1,024 bytes has its digest in the place of its text: among members of one
//! score it stands behind all shorter ones.

use std::ops::Bound;

use larder_cluster::copy::Edit;
use larder_cluster::element::{self, Family, HASH_BYTES, Role};
use larder_cluster::rows::Span;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::Value;
use larder_crdt::types::score::{
    self, Increment, NotANumber, Score, Update, from_sortable, sortable, visible_score,
};

use crate::collection;
use crate::error::CommandError;
use crate::key;
use crate::texts;

/// The family of all of this.
pub(crate) const FAMILY: Family = Family::SORTED_SET;
/// Places that are read at a time.
pub(crate) const PAGE: usize = 512;
/// Where the score begins in the element of a place, and where it ends.
const SCORE_AT: usize = 2;
const TEXT_AT: usize = SCORE_AT + HASH_BYTES;

/// A member with its score.
pub(crate) type Scored = (Vec<u8>, f64);

impl From<NotANumber> for CommandError {
    fn from(_: NotANumber) -> Self {
        Self::Fixed("ERR resulting score is not a number (NaN)")
    }
}

/// The score of a member.
pub(crate) fn score_of(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    member: &[u8],
) -> Result<Option<f64>, CommandError> {
    let place = transaction.element(key, &texts::element_of(FAMILY, member));
    Ok(visible_score(transaction.try_row(&place)?))
}

/// What becomes of a member.
pub(crate) enum Change {
    /// Nothing.
    None,
    /// It has this score.
    Set(Update, f64),
    /// So much is added to its score.
    Add(f64),
}

/// The score of a member before and after a change.
pub(crate) struct Changed {
    pub(crate) before: Option<f64>,
    pub(crate) after: Option<f64>,
}

/// Changes a member as `decide` says, who is told its score.
pub(crate) fn change(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    member: &[u8],
    decide: impl FnOnce(Option<f64>) -> Change,
) -> Result<Changed, CommandError> {
    let place = transaction.element(key, &texts::element_of(FAMILY, member));
    let is_long = member.len() > element::MEMBER_BYTES_MAX;
    if is_long {
        transaction.group();
    }
    let now_ms = transaction.now_ms();
    let (changed, wrote) = transaction.edit(&place, |edit| {
        let before = visible_score(edit.row());
        let wrote = match decide(before) {
            Change::None => false,
            Change::Set(update, value) => {
                // There is one zero only, as in the order.
                set(edit, Score::new(update, value + 0.0)?, now_ms);
                true
            }
            Change::Add(amount) => {
                add(edit, amount, now_ms)?;
                true
            }
        };
        let after = visible_score(edit.row());
        Ok::<_, CommandError>((Changed { before, after }, wrote))
    })??;
    if wrote {
        texts::keep_text(transaction, key, FAMILY, member)?;
    }
    Ok(changed)
}

/// A base in the place of the bases that were observed; the increments observed are reset.
fn set(edit: &mut Edit<'_>, score: Score, now_ms: u64) {
    edit.remove(score::is_base);
    key::reset_counters(edit, now_ms);
    edit.insert(edit.stamp(), None, |_| Value::Score(score));
}

fn add(edit: &mut Edit<'_>, amount: f64, now_ms: u64) -> Result<(), NotANumber> {
    match score::increment(edit.row(), amount)? {
        Increment::Set(score) => set(edit, score, now_ms),
        Increment::Count => {
            let observed = edit.row().clone();
            key::replace_counter(edit, None, |dot| score::counted(&observed, amount, dot));
        }
    }
    Ok(())
}

/// Removes a member by its element; says whether it was there.
pub(crate) fn remove(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    element: &[u8],
) -> Result<bool, CommandError> {
    let place = transaction.element(key, element);
    let now_ms = transaction.now_ms();
    if visible_score(transaction.try_row(&place)?).is_none() {
        return Ok(false);
    }
    texts::drop_text(transaction, key, element)?;
    transaction.edit(&place, |edit| {
        edit.remove(score::is_base);
        key::reset_counters(edit, now_ms);
    })?;
    Ok(true)
}

/// Removes the member at a place.
pub(crate) fn remove_at(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    place: &[u8],
) -> Result<bool, CommandError> {
    match element::derived_from(place) {
        Some(element) => remove(transaction, key, &element),
        None => Ok(false),
    }
}

/// Puts a sorted set in the place of all that a key shows.
pub(crate) fn replace(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    members: &[Scored],
) -> Result<(), CommandError> {
    let now_ms = transaction.now_ms();
    transaction.group();
    collection::remove(transaction, key, now_ms)?;
    for (member, score) in members {
        change(transaction, key, member, |_| {
            Change::Set(Update::Set, *score)
        })?;
    }
    Ok(())
}

/// The score in the element of a place.
pub(crate) fn score_at(place: &[u8]) -> f64 {
    let bytes = place.get(SCORE_AT..TEXT_AT).unwrap_or_default();
    bytes.try_into().map_or(0.0, from_sortable)
}

/// The kind of a name and its text, in the element of a place: what members of one score are
/// ordered by.
fn text_at(place: &[u8]) -> (u8, &[u8]) {
    match place.get(TEXT_AT..) {
        Some([kind, text @ ..]) => (*kind, text),
        _ => (0, &[]),
    }
}

/// The member at a place.
pub(crate) fn member_at(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    place: &[u8],
) -> Result<Vec<u8>, CommandError> {
    match text_at(place) {
        (0, text) => Ok(text.to_vec()),
        _ => match element::derived_from(place) {
            Some(element) => texts::text_of(transaction, key, &element),
            None => Ok(Vec::new()),
        },
    }
}

fn place_from(rest: &[&[u8]]) -> Vec<u8> {
    FAMILY.element(Role::BY_SCORE, &rest.concat())
}

/// All places.
pub(crate) fn all() -> Span {
    Span::of_prefix(&place_from(&[]))
}

/// Places, page by page.
pub(crate) struct Walk {
    span: Option<Span>,
    size: usize,
    page: std::vec::IntoIter<Box<[u8]>>,
}

impl Walk {
    /// Those of a span, of which about so many are wanted.
    pub(crate) fn new(span: Span, wanted: usize) -> Self {
        Self {
            span: Some(span),
            size: wanted.clamp(1, PAGE),
            page: Vec::new().into_iter(),
        }
    }

    /// The next one.
    pub(crate) fn next(
        &mut self,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
    ) -> Result<Option<Box<[u8]>>, CommandError> {
        if self.page.len() == 0
            && let Some(span) = self.span.take()
        {
            let found = transaction.range(key, &span, self.size)?;
            let names: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
            if let Some(last) = names.last().filter(|_| names.len() == self.size) {
                self.span = Some(span.behind(last));
            }
            self.size = PAGE;
            self.page = names.into_iter();
        }
        Ok(self.page.next())
    }
}

/// The last of the first `count` places of a span, if it has as many.
fn nth(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    span: Span,
    count: u64,
) -> Result<Option<Box<[u8]>>, CommandError> {
    let mut walk = Walk::new(span, usize::try_from(count).unwrap_or(PAGE));
    let mut last = None;
    for _ in 0..count {
        last = walk.next(transaction, key)?;
        if last.is_none() {
            break;
        }
    }
    Ok(last)
}

/// The places from a rank on, in either direction; it is counted from the nearer end. `members` is
/// how many there are.
pub(crate) fn from_rank(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    rank: u64,
    members: u64,
    backwards: bool,
) -> Result<Option<Span>, CommandError> {
    let span = if backwards { all().reversed() } else { all() };
    if rank >= members {
        return Ok(None);
    }
    if rank == 0 {
        return Ok(Some(span));
    }
    if rank <= members / 2 {
        let last = nth(transaction, key, span.clone(), rank)?;
        return Ok(last.map(|last| span.behind(&last)));
    }
    let first = nth(transaction, key, span.clone().reversed(), members - rank)?;
    Ok(first.map(|first| {
        let first = Bound::Included(first.into_vec());
        let mut span = span;
        if backwards {
            span.to = first;
        } else {
            span.from = first;
        }
        span
    }))
}

/// How many members stand before one of this score, from the low end, counted from the nearer one.
pub(crate) fn rank_of(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    member: &[u8],
    score: f64,
    members: u64,
) -> Result<u64, CommandError> {
    let name = element::member_name(member);
    let text = name.get(HASH_BYTES..).unwrap_or_default();
    let target = place_from(&[&sortable(score), text]);
    let mut low = all();
    low.to = Bound::Excluded(target.clone());
    let mut high = all().reversed();
    high.from = Bound::Excluded(target);
    let (mut below, mut above, mut size) = (0, 0, 16);
    loop {
        let page = transaction.range(key, &low, size)?;
        below += page.len() as u64;
        match page.last() {
            Some((last, _)) if page.len() == size => low = low.behind(last),
            _ => return Ok(below),
        }
        let page = transaction.range(key, &high, size)?;
        above += page.len() as u64;
        match page.last() {
            Some((last, _)) if page.len() == size => high = high.behind(last),
            _ => return Ok(members.saturating_sub(1 + above)),
        }
        size = (size * 2).min(PAGE);
    }
}

/// Bounds of scores, each with whether it is itself left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scores {
    min: (f64, bool),
    max: (f64, bool),
}

impl Scores {
    /// As Redis reads them: `(` before a bound leaves it out.
    pub(crate) fn parse(min: &[u8], max: &[u8]) -> Result<Self, CommandError> {
        let bound = |text: &[u8]| {
            let (text, is_out) = match text {
                [b'(', rest @ ..] => (rest, true),
                _ => (text, false),
            };
            if text.is_empty() {
                return Ok::<_, CommandError>((0.0, is_out));
            }
            let value = crate::numbers::float(text).map_err(|_| CommandError::RangeNotFloat)?;
            Ok((value, is_out))
        };
        Ok(Self {
            min: bound(min)?,
            max: bound(max)?,
        })
    }

    /// From one score to below another.
    pub(crate) fn half_open(min: f64, max: f64) -> Self {
        Self {
            min: (min, false),
            max: (max, true),
        }
    }

    /// Whether every score is within.
    pub(crate) fn is_all(&self) -> bool {
        *self
            == Self {
                min: (f64::NEG_INFINITY, false),
                max: (f64::INFINITY, false),
            }
    }

    /// The places within.
    pub(crate) fn span(&self) -> Span {
        // Behind all places of a score begin those of the next one.
        let edge = |score: f64, is_behind: bool| {
            let bytes = u64::from_be_bytes(sortable(score)) + u64::from(is_behind);
            place_from(&[&bytes.to_be_bytes()])
        };
        Span {
            from: Bound::Included(edge(self.min.0, self.min.1)),
            to: Bound::Excluded(edge(self.max.0, !self.max.1)),
            backwards: false,
        }
    }
}

/// One end of a range of members of one score.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Edge {
    Lowest,
    Highest,
    Member(Vec<u8>, bool),
}

/// Bounds of members of one score, by their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    min: Edge,
    max: Edge,
}

impl Names {
    /// As Redis reads them: `[` or `(` before a bound, `-`, or `+`.
    pub(crate) fn parse(min: &[u8], max: &[u8]) -> Result<Self, CommandError> {
        let edge = |text: &[u8]| match text {
            b"-" => Ok(Edge::Lowest),
            b"+" => Ok(Edge::Highest),
            [b'[', rest @ ..] => Ok(Edge::Member(rest.to_vec(), false)),
            [b'(', rest @ ..] => Ok(Edge::Member(rest.to_vec(), true)),
            _ => Err(CommandError::RangeNotString),
        };
        Ok(Self {
            min: edge(min)?,
            max: edge(max)?,
        })
    }

    /// The places within, if all members have one score; else those that Redis would begin with are
    /// not defined, and here they are those of the lowest score.
    pub(crate) fn span(
        &self,
        transaction: &mut Transaction<'_, '_>,
        key: &Place,
    ) -> Result<Option<Span>, CommandError> {
        let lowest = nth(transaction, key, all(), 1)?;
        let highest = nth(transaction, key, all().reversed(), 1)?;
        let (Some(lowest), Some(highest)) = (lowest, highest) else {
            return Ok(None);
        };
        let at = |place: &[u8], edge: &Edge, is_max: bool| {
            let score = u64::from_be_bytes(sortable(score_at(place)));
            let (text, is_behind): (&[u8], bool) = match edge {
                Edge::Lowest => return place_from(&[&score.to_be_bytes()]),
                Edge::Highest => return place_from(&[&(score + 1).to_be_bytes()]),
                Edge::Member(text, is_out) => (text, *is_out != is_max),
            };
            // Behind a text comes what is longer by one zero byte.
            let end: &[u8] = if is_behind { &[0] } else { &[] };
            place_from(&[&score.to_be_bytes(), &[0], text, end])
        };
        Ok(Some(Span {
            from: Bound::Included(at(&lowest, &self.min, false)),
            to: Bound::Excluded(at(&highest, &self.max, true)),
            backwards: false,
        }))
    }
}

/// How many places a span has.
pub(crate) fn count(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    span: Span,
) -> Result<u64, CommandError> {
    let mut walk = Walk::new(span, PAGE);
    let mut count = 0;
    while walk.next(transaction, key)?.is_some() {
        count += 1;
    }
    Ok(count)
}
