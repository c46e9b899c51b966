//! Waiting for conditions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::failure::{Checked, Failure};

/// How long a condition may take to hold unless a test says otherwise. Long, as it costs time only
/// where something is broken, and machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The pauses between questions.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Whether whoever watches has had enough.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends all waits of this process, now and later.
pub fn interrupt() {
    IS_INTERRUPTED.store(true, Ordering::Release);
}

/// Lets this process wait again.
pub fn resume() {
    IS_INTERRUPTED.store(false, Ordering::Release);
}

/// Whether waits end at once.
#[must_use]
pub fn is_interrupted() -> bool {
    IS_INTERRUPTED.load(Ordering::Acquire)
}

/// Asks again and again until the answer is `Ok`, or `patience` is over.
///
/// # Errors
/// The sentence of the last answer, with what was awaited.
pub fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Checked<T>) -> Checked<T> {
    let start = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(_) if is_interrupted() => return Err(Failure::new("interrupted")),
            Err(last) if start.elapsed() >= patience => {
                let seconds = patience.as_secs();
                return Err(Failure::new(format!(
                    "waited {seconds} s until {what}: {last}"
                )));
            }
            Err(_) => sleep(pause),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_passes_tells_what_was_seen_last() {
        let mut asked = 0;
        let gave_up = until("the moon is full", Duration::ZERO, || {
            asked += 1;
            Err::<(), _>(Failure::new(format!("it is new ({asked})")))
        });
        let text = gave_up.map_err(|failure| failure.to_string());
        assert_eq!(
            text,
            Err("waited 0 s until the moon is full: it is new (1)".to_owned())
        );
    }

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut asked = 0;
        let answer = until("third time", PATIENCE, || {
            asked += 1;
            if asked < 3 {
                Err(Failure::new("not yet"))
            } else {
                Ok(asked)
            }
        });
        assert_eq!(answer.ok(), Some(3));
    }
}
