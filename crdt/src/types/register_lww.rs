//! The register whose latest value shows, and the string that it makes with a counter beside it.
//!
//! A string key's row holds registers (from SET, APPEND, …) and counters (from INCR, …) as
//! siblings. An increment replaces only the counters it observed and leaves the register alone, so
//! that an increment concurrent with DEL or SET keeps exactly its own amount. Readers see the
//! register with the latest stamp plus the sum of all counters.

use std::borrow::Cow;
use std::num::NonZeroU64;

use crate::row::{Row, Sibling};
use crate::stamp::Stamp;
use crate::types::counter_dotted::{Counter, Sum};
use crate::types::hyperloglog::{HyperLogLog, HyperLogLogError};
use crate::value::Value;

/// Which of two registers shows: the later stamp, then the longer life, then the greater bytes.
/// Equal ones show the same. Dots take no part: their numbers differ between replicas.
fn shows_over(candidate: (&Sibling, &[u8]), other: (&Sibling, &[u8])) -> bool {
    let life = |sibling: &Sibling| sibling.deadline.map_or(u64::MAX, NonZeroU64::get);
    let rank = |pair: (&Sibling, &[u8])| (pair.0.stamp, life(pair.0));
    (rank(candidate), candidate.1) > (rank(other), other.1)
}

/// The sibling whose register shows at `now_ms`, with its bytes.
#[must_use]
pub fn visible_register(row: &Row, now_ms: u64) -> Option<(&Sibling, &[u8])> {
    let mut shown: Option<(&Sibling, &[u8])> = None;
    for sibling in row.siblings() {
        if let Value::Register(bytes) = &sibling.value
            && !sibling.is_expired(now_ms)
            && shown.is_none_or(|other| shows_over((sibling, bytes), other))
        {
            shown = Some((sibling, bytes));
        }
    }
    shown
}

/// The join of the row's counters at `now_ms`; `None` if it has none.
#[must_use]
pub fn joined_counter(row: &Row, now_ms: u64) -> Option<Counter> {
    let mut joined: Option<Counter> = None;
    for sibling in row.siblings() {
        if let Value::Counter(counter) = &sibling.value
            && !sibling.is_expired(now_ms)
        {
            match &mut joined {
                Some(sum) => sum.join(counter),
                None => joined = Some((**counter).clone()),
            }
        }
    }
    joined
}

/// The join of the row's HyperLogLogs at `now_ms` and their latest stamp; `None` if it has none.
fn joined_hyperloglog(row: &Row, now_ms: u64) -> Option<(HyperLogLog, Stamp)> {
    let mut joined: Option<(HyperLogLog, Stamp)> = None;
    for sibling in row.siblings() {
        if let Value::HyperLogLog(log) = &sibling.value
            && !sibling.is_expired(now_ms)
        {
            match &mut joined {
                Some((sum, stamp)) => {
                    sum.join(log);
                    *stamp = sibling.stamp.max(*stamp);
                }
                None => joined = Some(((**log).clone(), sibling.stamp)),
            }
        }
    }
    joined
}

/// A HyperLogLog with the register that was written beside it. One that SET wrote joins; of
/// another string and the HyperLogLog the later shows.
fn beside<'a>(
    mut log: HyperLogLog,
    stamp: Stamp,
    register: Option<(&Sibling, &'a [u8])>,
) -> Result<HyperLogLog, &'a [u8]> {
    let Some((sibling, bytes)) = register else {
        return Ok(log);
    };
    match HyperLogLog::from_bytes(bytes) {
        Ok(other) => {
            log.join(&other);
            Ok(log)
        }
        Err(_) if sibling.stamp > stamp => Err(bytes),
        Err(_) => Ok(log),
    }
}

/// The HyperLogLog that the string is at `now_ms`: what PFADD adds to; `None` if there is no
/// string.
///
/// # Errors
/// [`HyperLogLogError`] if the string is another.
pub fn visible_hyperloglog(
    row: &Row,
    now_ms: u64,
) -> Result<Option<HyperLogLog>, HyperLogLogError> {
    if let Some((log, stamp)) = joined_hyperloglog(row, now_ms) {
        let shown = beside(log, stamp, visible_register(row, now_ms));
        return shown.map(Some).map_err(|_| HyperLogLogError::Foreign);
    }
    let string = visible_string(row, now_ms);
    string
        .map(|bytes| HyperLogLog::from_bytes(&bytes))
        .transpose()
}

/// Whether a sibling is a string that is written as a whole: what SET and DEL take away. Counters
/// they reset.
#[must_use]
pub fn is_whole_string(sibling: &Sibling) -> bool {
    matches!(sibling.value, Value::Register(_) | Value::HyperLogLog(_))
}

/// What a reader of the string sees at `now_ms`; `None` if there is no string.
///
/// Where a text that is no number meets concurrent increments, the text shows.
#[must_use]
pub fn visible_string(row: &Row, now_ms: u64) -> Option<Cow<'_, [u8]>> {
    if let [only] = row.siblings()
        && let Value::Register(bytes) = &only.value
    {
        return (!only.is_expired(now_ms)).then_some(Cow::Borrowed(bytes));
    }
    let visible = visible_register(row, now_ms);
    if let Some((log, stamp)) = joined_hyperloglog(row, now_ms) {
        return Some(match beside(log, stamp, visible) {
            Ok(log) => Cow::Owned(log.to_bytes()),
            Err(bytes) => Cow::Borrowed(bytes),
        });
    }
    let register = visible.map(|(_, bytes)| bytes);
    let counter = joined_counter(row, now_ms).filter(|counter| !counter.is_reset());
    match (register, counter) {
        (register, None) => register.map(Cow::Borrowed),
        (None, Some(counter)) => Some(Cow::Owned(sum_text(0, counter.sum()))),
        (Some(bytes), Some(counter)) => Some(match (parse_integer(bytes), counter.sum()) {
            (Some(base), sum) => Cow::Owned(sum_text(base, sum)),
            (None, sum) => match (parse_float(bytes), sum) {
                (Some(base), Sum::Integer(sum)) => Cow::Owned(float_text(base + sum as f64)),
                (Some(base), Sum::Float(sum)) => Cow::Owned(float_text(base + sum)),
                (None, _) => Cow::Borrowed(bytes),
            },
        }),
    }
}

/// Whether the row shows a string at `now_ms`.
#[must_use]
pub fn has_string(row: &Row, now_ms: u64) -> bool {
    row.siblings().iter().any(|sibling| {
        !sibling.is_expired(now_ms)
            && match &sibling.value {
                Value::Register(_) | Value::HyperLogLog(_) => true,
                Value::Counter(counter) => !counter.is_reset(),
                Value::Document(_) | Value::Score(_) | Value::Mask(_) => false,
            }
    }) && visible_string(row, now_ms).is_some()
}

pub(crate) fn sum_text(base: i64, sum: Sum) -> Vec<u8> {
    match sum {
        Sum::Integer(sum) => {
            let total =
                (i128::from(base) + sum).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
            itoa::Buffer::new().format(total).as_bytes().to_vec()
        }
        Sum::Float(sum) => float_text(base as f64 + sum),
    }
}

/// A float as Redis prints it after INCRBYFLOAT: the shortest digits that read back the same,
/// without an exponent.
#[must_use]
pub fn float_text(value: f64) -> Vec<u8> {
    if value == 0.0 {
        b"0".to_vec()
    } else {
        format!("{value}").into_bytes()
    }
}

/// A whole number exactly as Redis writes one: no spaces, no plus, no leading zeros, 64 bits.
#[must_use]
pub fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    match digits {
        [] => return None,
        [b'0'] => return if bytes.len() == 1 { Some(0) } else { None },
        [b'0', ..] => return None,
        _ => {}
    }
    if digits.len() > 19 {
        return None;
    }
    let mut value = 0i128;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i128::from(digit - b'0');
    }
    i64::try_from(if digits.len() == bytes.len() {
        value
    } else {
        -value
    })
    .ok()
}

/// A finite or infinite float as Redis reads one: no spaces, not empty, no NaN.
#[must_use]
pub fn parse_float(bytes: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = text.parse::<f64>().ok()?;
    if value.is_nan() { None } else { Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_redis_reads_them() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-0", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("", None),
            ("-", None),
            ("1a", None),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), value, "{text:?}");
        }
    }
}
