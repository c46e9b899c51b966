//! CLIENT PAUSE: the commands of this node's clients are held up for a while.
//!
//! A connection that comes to a command that is held leaves it where it is, and looks again when
//! the pause is over. What other nodes send is not held: the pause is that of the reached node.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use larder_commands::error::CommandError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::runtime::clock_unix_ms;

/// Which commands are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Those that may write.
    Writes = 1,
    /// All.
    All = 2,
}

const NOTHING: u8 = 0;

/// The pause that is on, if any.
#[derive(Debug)]
pub struct Pause {
    /// What is held, for a quick look.
    held: AtomicU8,
    /// The same, and until when.
    until: watch::Sender<Option<(Held, Instant)>>,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            held: AtomicU8::new(NOTHING),
            until: watch::Sender::new(None),
        }
    }
}

impl Pause {
    /// Begins a pause. One that is on already holds no less and ends no earlier.
    ///
    /// # Errors
    /// The end cannot be counted.
    pub fn begin(&self, held: Held, duration: Duration) -> Result<(), CommandError> {
        let ms = u64::try_from(duration.as_millis()).ok();
        let end = ms.and_then(|ms| clock_unix_ms().checked_add(ms));
        let until = Instant::now().checked_add(duration);
        let (Some(_), Some(until)) = (end.filter(|end| i64::try_from(*end).is_ok()), until) else {
            return Err(CommandError::Fixed("ERR timeout is out of range"));
        };
        self.until.send_modify(|pause| {
            let (held, until) = match *pause {
                Some((before, end)) if end > Instant::now() => (held.max(before), until.max(end)),
                _ => (held, until),
            };
            *pause = Some((held, until));
            self.held.store(held as u8, Ordering::Release);
        });
        Ok(())
    }

    /// Ends the pause.
    pub fn end(&self) {
        self.until.send_modify(|pause| {
            *pause = None;
            self.held.store(NOTHING, Ordering::Release);
        });
    }

    /// Whether a command must wait.
    #[inline]
    #[must_use]
    pub fn holds(&self, is_write: bool) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        let is_meant = held == Held::All as u8 || (is_write && held == Held::Writes as u8);
        is_meant && self.is_on()
    }

    fn is_on(&self) -> bool {
        let is_on = |pause: &Option<(Held, Instant)>| {
            pause.is_some_and(|(_, until)| until > Instant::now())
        };
        if is_on(&self.until.borrow()) {
            return true;
        }
        self.until.send_if_modified(|pause| {
            if !is_on(pause) {
                *pause = None;
                self.held.store(NOTHING, Ordering::Release);
            }
            false
        });
        false
    }

    /// Waits until the pause ends or becomes another.
    pub async fn changed(&self) {
        let mut changes = self.until.subscribe();
        let until = *changes.borrow_and_update();
        if let Some((_, until)) = until {
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_extended_and_ends() {
        let pause = Pause::default();
        let hour = Duration::from_secs(3600);
        assert!(!pause.holds(true));
        pause.begin(Held::Writes, hour).expect("in time");
        assert!(pause.holds(true) && !pause.holds(false));
        pause.begin(Held::All, Duration::ZERO).expect("in time");
        assert!(pause.holds(false));
        pause.begin(Held::Writes, hour).expect("in time");
        assert!(pause.holds(false), "what was held stays held");
        pause.end();
        assert!(!pause.holds(true));
        pause.begin(Held::All, Duration::ZERO).expect("in time");
        assert!(!pause.holds(true));
        let for_ever = Duration::from_millis(i64::MAX as u64);
        assert!(pause.begin(Held::All, for_ever).is_err());
    }
}
