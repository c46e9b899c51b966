//! What waits for one peer.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::frame::{LAST, PART, encode};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It will be sent, if the link lasts.
    Queued,
    /// There is no link.
    NoLink,
    /// The peer does not read; the link is being dropped.
    Full,
}

/// A message that did not reach its receiver as a whole, and never will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// Its word.
    pub verb: &'static str,
    /// Its bytes.
    pub payload: Bytes,
}

struct Message {
    verb: &'static str,
    whole: Bytes,
    /// What is left of it.
    payload: Bytes,
    is_begun: bool,
    /// When it may go.
    due: Option<Instant>,
}

#[derive(Default)]
struct Queues {
    urgent: VecDeque<Message>,
    ordinary: VecDeque<Message>,
    /// Of messages that have not begun to go.
    waiting_bytes: usize,
    /// What is left of the one that has.
    begun_bytes: usize,
    is_closed: bool,
}

/// A bounded queue of messages; parts of a long one and urgent ones take turns.
pub(super) struct Outbox {
    queues: Mutex<Queues>,
    filled: Notify,
    bytes_max: usize,
}

/// What a writer is to do next.
pub(super) enum Next {
    /// Frames were appended.
    Frames,
    /// Nothing may go before this time.
    Until(Instant),
    /// Nothing waits.
    Nothing,
}

impl Message {
    fn is_due(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }
}

fn is_due(queue: &VecDeque<Message>) -> bool {
    queue.front().is_some_and(Message::is_due)
}

/// What a queued message takes beside its payload.
const MESSAGE_BYTES: usize = 64;
/// Frames are collected up to about this size for one write.
const WRITE_BYTES: usize = 64 * 1024;

impl Outbox {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            queues: Mutex::default(),
            filled: Notify::new(),
            bytes_max,
        }
    }

    /// Queues a message, unless others wait and there is no room. One that is under way takes none:
    /// the largest would leave no room for anything as long as it goes.
    pub(super) fn push(
        &self,
        verb: &'static str,
        payload: Bytes,
        is_urgent: bool,
        due: Option<Instant>,
    ) -> Sent {
        let mut queues = self.queues.lock();
        if queues.is_closed {
            return Sent::NoLink;
        }
        let bytes = payload.len() + MESSAGE_BYTES;
        if queues.waiting_bytes > 0 && queues.waiting_bytes + bytes > self.bytes_max {
            return Sent::Full;
        }
        queues.waiting_bytes += bytes;
        let queue = if is_urgent {
            &mut queues.urgent
        } else {
            &mut queues.ordinary
        };
        queue.push_back(Message {
            verb,
            whole: payload.clone(),
            payload,
            is_begun: false,
            due,
        });
        drop(queues);
        self.filled.notify_one();
        Sent::Queued
    }

    /// Ends the queue, and gives what it still holds: the peer has received none of it as a whole.
    pub(super) fn close(&self) -> Vec<Unsent> {
        let closed = Queues {
            is_closed: true,
            ..Queues::default()
        };
        let mut queues = std::mem::replace(&mut *self.queues.lock(), closed);
        let waiting = queues.urgent.drain(..).chain(queues.ordinary.drain(..));
        waiting
            .map(|message| Unsent {
                verb: message.verb,
                payload: message.whole,
            })
            .collect()
    }

    /// How much is yet to go.
    pub(super) fn bytes(&self) -> usize {
        let queues = self.queues.lock();
        queues.waiting_bytes + queues.begun_bytes
    }

    /// Waits until something was queued.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Appends the next frames to `buffer`.
    pub(super) fn take(&self, frame_bytes_max: usize, buffer: &mut Vec<u8>) -> Next {
        let mut queues = self.queues.lock();
        let mut next = Next::Nothing;
        while buffer.len() < WRITE_BYTES {
            let Queues {
                urgent,
                ordinary,
                waiting_bytes,
                begun_bytes,
                ..
            } = &mut *queues;
            let queue = if is_due(urgent) { urgent } else { ordinary };
            let Some(message) = queue.front_mut().filter(|message| message.is_due()) else {
                let fronts = [queues.urgent.front(), queues.ordinary.front()];
                let due = fronts
                    .into_iter()
                    .flatten()
                    .filter_map(|front| front.due)
                    .min();
                return match due {
                    Some(due) if buffer.is_empty() => Next::Until(due),
                    _ => next,
                };
            };
            next = Next::Frames;
            if !message.is_begun {
                *waiting_bytes -= message.payload.len() + MESSAGE_BYTES;
            }
            if message.payload.len() > frame_bytes_max {
                let part = message.payload.split_to(frame_bytes_max);
                if message.is_begun {
                    encode(&[PART.as_bytes(), &part], buffer);
                    *begun_bytes -= part.len();
                } else {
                    *begun_bytes = message.payload.len();
                    let whole = (part.len() + message.payload.len()).to_string();
                    encode(&[PART.as_bytes(), whole.as_bytes(), &part], buffer);
                    message.is_begun = true;
                }
            } else {
                let last: &[&[u8]] = &[LAST.as_bytes(), message.verb.as_bytes(), &message.payload];
                encode(if message.is_begun { last } else { &last[1..] }, buffer);
                if message.is_begun {
                    *begun_bytes = 0;
                }
                queue.pop_front();
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_under_way_takes_no_room() {
        let outbox = Outbox::new(1000);
        let push = |bytes: usize, is_urgent| {
            outbox.push("DELTA", Bytes::from(vec![0; bytes]), is_urgent, None)
        };
        let largest = 3 * WRITE_BYTES;
        assert_eq!(push(largest, false), Sent::Queued);
        assert_eq!(push(900, false), Sent::Full, "it has not begun to go");
        let mut buffer = Vec::new();
        assert!(matches!(outbox.take(100, &mut buffer), Next::Frames));
        assert_eq!(push(900, false), Sent::Queued);
        assert_eq!(push(900, false), Sent::Full);
        assert!(outbox.bytes() > largest / 2, "what is left of it is known");
        while !buffer.is_empty() {
            buffer.clear();
            outbox.take(100, &mut buffer);
        }
        assert_eq!(outbox.bytes(), 0);
    }
}
