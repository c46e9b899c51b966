//! The log of slow commands, in memory and of bounded length: SLOWLOG.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_commands::args::Args;
use parking_lot::Mutex;

use crate::limits::{SLOW_ARG_BYTES_MAX, SLOW_ARGS_MAX};

/// A command that took long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowCommand {
    /// Its number, never given twice by one process.
    pub id: u64,
    /// When it ran, in unix seconds.
    pub unix_s: u64,
    /// How long it took.
    pub microseconds: u64,
    /// Its first arguments, cut.
    pub args: Vec<Vec<u8>>,
    /// Where its client comes from.
    pub address: String,
    /// The client's name.
    pub name: String,
}

/// The latest slow commands.
#[derive(Debug, Default)]
pub struct SlowLog {
    next: AtomicU64,
    commands: Mutex<VecDeque<SlowCommand>>,
}

impl SlowLog {
    /// Notes a command; its number is given here. At most `length` are kept.
    pub fn note(&self, mut command: SlowCommand, length: usize) {
        let mut commands = self.commands.lock();
        command.id = self.next.fetch_add(1, Ordering::Relaxed);
        commands.push_front(command);
        commands.truncate(length);
    }

    /// The latest `count`, the newest first.
    #[must_use]
    pub fn latest(&self, count: usize) -> Vec<SlowCommand> {
        self.commands.lock().iter().take(count).cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.lock().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.commands.lock().clear();
    }
}

/// What the log keeps of a command's arguments, in Redis's words for what is cut.
#[must_use]
pub fn cut(args: Args<'_>) -> Vec<Vec<u8>> {
    let whole = if args.len() > SLOW_ARGS_MAX {
        SLOW_ARGS_MAX - 1
    } else {
        args.len()
    };
    let mut kept: Vec<Vec<u8>> = args.iter().take(whole).map(cut_one).collect();
    if args.len() > whole {
        kept.push(format!("... ({} more arguments)", args.len() - whole).into_bytes());
    }
    kept
}

fn cut_one(arg: &[u8]) -> Vec<u8> {
    match arg.get(..SLOW_ARG_BYTES_MAX) {
        Some(head) if arg.len() > SLOW_ARG_BYTES_MAX => {
            let mut text = head.to_vec();
            let more = arg.len() - SLOW_ARG_BYTES_MAX;
            text.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
            text
        }
        _ => arg.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_commands::args::OwnedArgs;

    #[test]
    fn long_commands_are_cut() {
        let long = vec![b'x'; SLOW_ARG_BYTES_MAX + 5];
        let words: Vec<&[u8]> = vec![&long; SLOW_ARGS_MAX + 3];
        let kept = cut(OwnedArgs::new(&words).as_args());
        assert_eq!(kept.len(), SLOW_ARGS_MAX);
        assert!(
            kept.first()
                .is_some_and(|arg| arg.ends_with(b"... (5 more bytes)"))
        );
        assert_eq!(
            kept.last().map(Vec::as_slice),
            Some(&b"... (4 more arguments)"[..])
        );
    }

    #[test]
    fn only_the_latest_stay() {
        let log = SlowLog::default();
        for unix_s in 0..10 {
            let command = SlowCommand {
                id: 0,
                unix_s,
                microseconds: 1,
                args: Vec::new(),
                address: String::new(),
                name: String::new(),
            };
            log.note(command, 3);
        }
        let ids: Vec<u64> = log.latest(10).iter().map(|command| command.id).collect();
        assert_eq!(ids, [9, 8, 7]);
    }
}
