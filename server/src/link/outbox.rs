//! What waits for one peer.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};
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

struct Message {
    verb: &'static str,
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
    bytes: usize,
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

    /// Queues a message, unless others wait and there is no room.
    pub(super) fn push(
        &self,
        verb: &'static str,
        payload: Bytes,
        is_urgent: bool,
        due: Option<Instant>,
    ) -> Sent {
        let mut queues = self.queues.lock();
        let bytes = payload.len() + MESSAGE_BYTES;
        if queues.bytes > 0 && queues.bytes + bytes > self.bytes_max {
            return Sent::Full;
        }
        queues.bytes += bytes;
        let queue = if is_urgent {
            &mut queues.urgent
        } else {
            &mut queues.ordinary
        };
        queue.push_back(Message {
            verb,
            payload,
            is_begun: false,
            due,
        });
        drop(queues);
        self.filled.notify_one();
        Sent::Queued
    }

    /// How much waits.
    pub(super) fn bytes(&self) -> usize {
        self.queues.lock().bytes
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
                bytes,
            } = &mut *queues;
            let queue = if urgent.is_empty() { ordinary } else { urgent };
            let Some(message) = queue.front_mut() else {
                break;
            };
            if let Some(due) = message.due.filter(|due| *due > Instant::now()) {
                return if buffer.is_empty() {
                    Next::Until(due)
                } else {
                    Next::Frames
                };
            }
            next = Next::Frames;
            if message.payload.len() > frame_bytes_max {
                let part = message.payload.get(..frame_bytes_max).unwrap_or_default();
                encode(&[PART.as_bytes(), part], buffer);
                message.payload.advance(frame_bytes_max);
                message.is_begun = true;
                *bytes -= frame_bytes_max;
            } else {
                let last: &[&[u8]] = &[LAST.as_bytes(), message.verb.as_bytes(), &message.payload];
                encode(if message.is_begun { last } else { &last[1..] }, buffer);
                *bytes -= message.payload.len() + MESSAGE_BYTES;
                queue.pop_front();
            }
        }
        next
    }
}
