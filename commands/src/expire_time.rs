//! Times at which keys end, as commands give them.

use std::num::NonZeroU64;

use crate::call::Call;
use crate::error::CommandError;
use crate::numbers;

/// How a time is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// From now.
    Seconds,
    /// From now.
    Milliseconds,
    /// Unix time.
    UnixSeconds,
    /// Unix time.
    UnixMilliseconds,
}

impl Unit {
    /// The unit behind an option of SET and GETEX.
    pub(crate) fn named(word: &[u8]) -> Option<Self> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("ex") {
            Some(Self::Seconds)
        } else if is("px") {
            Some(Self::Milliseconds)
        } else if is("exat") {
            Some(Self::UnixSeconds)
        } else if is("pxat") {
            Some(Self::UnixMilliseconds)
        } else {
            None
        }
    }

    fn factor(self) -> i64 {
        match self {
            Self::Seconds | Self::UnixSeconds => 1000,
            Self::Milliseconds | Self::UnixMilliseconds => 1,
        }
    }

    fn base(self, now_ms: u64) -> i64 {
        match self {
            Self::Seconds | Self::Milliseconds => i64::try_from(now_ms).unwrap_or(i64::MAX),
            Self::UnixSeconds | Self::UnixMilliseconds => 0,
        }
    }
}

/// Unix milliseconds of any time, past ones included; an error if that cannot be counted.
pub(crate) fn any(text: &[u8], unit: Unit, call: &Call<'_, '_, '_>) -> Result<i64, CommandError> {
    let given = numbers::integer(text)?;
    let base = unit.base(call.now_ms);
    let time = given
        .checked_mul(unit.factor())
        .and_then(|ms| ms.checked_add(base));
    time.ok_or(CommandError::InvalidExpire(call.name))
}

/// Unix milliseconds of a time given as a positive number, as SET and GETEX want.
pub(crate) fn positive(
    text: &[u8],
    unit: Unit,
    call: &Call<'_, '_, '_>,
) -> Result<NonZeroU64, CommandError> {
    let invalid = || CommandError::InvalidExpire(call.name);
    if numbers::integer(text)? <= 0 {
        return Err(invalid());
    }
    let time = u64::try_from(any(text, unit, call)?).ok();
    time.and_then(NonZeroU64::new).ok_or_else(invalid)
}
