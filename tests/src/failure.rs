//! What a test or a step of the demo says when it does not hold.

use std::fmt;

/// A sentence that says what was expected and what was seen.
pub struct Failure(String);

/// What a check gives.
pub type Checked<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with its sentence.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same, with what was being done before it.
    #[must_use]
    pub fn during(self, what: &str) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The test runner prints errors by `Debug`; the sentence is all there is to print.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// Holds if `seen` is `wanted`.
///
/// # Errors
/// Says what was expected and what was seen.
pub fn expect<T: PartialEq + fmt::Debug>(what: &str, seen: &T, wanted: &T) -> Checked {
    if seen == wanted {
        return Ok(());
    }
    Err(Failure(format!(
        "{what}: expected {wanted:?}, saw {seen:?}"
    )))
}

/// Holds if `condition` does.
///
/// # Errors
/// The sentence that `otherwise` makes.
pub fn ensure(condition: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if condition {
        Ok(())
    } else {
        Err(Failure(otherwise()))
    }
}
