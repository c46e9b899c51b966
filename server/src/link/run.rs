//! The life of a link: one task reads, one writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use larder_commands::args::OwnedArgs;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::frame::{FrameReader, LAST, PART, PING, PONG, encode, is_own_verb, is_verb};
use super::outbox::Next;
use super::table::Link;
use super::{LinkError, Shared};
use crate::limits::LINK_HELD_BYTES_MAX;

/// Both halves of a connection.
pub(super) struct Connection {
    pub(super) reader: FrameReader,
    pub(super) writer: OwnedWriteHalf,
}

/// Runs a link from its first event to its last; without a connection it has neither. The events
/// of the link that it replaced come first.
pub(super) async fn run(
    shared: Arc<Shared>,
    link: Arc<Link>,
    replaced: Option<Arc<Link>>,
    connection: Option<(Connection, Bytes)>,
) {
    if let Some(replaced) = replaced {
        replaced.finished().await;
    }
    if let Some((connection, info)) = connection.filter(|_| !link.is_stopped()) {
        let peer = link.key.peer;
        shared.stats.links.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%peer, address = %link.info().address, "link up");
        link.become_up();
        shared.events.on_up(peer, info);
        let error = talk(&shared, &link, connection).await;
        link.stop();
        tracing::info!(%peer, "link down: {error}");
        shared.events.on_down(peer, link.outbox.close());
    }
    link.become_finished();
    shared.table.lock().remove(&link);
    shared.changed();
}

/// Exchanges messages until the link ends, and says why it did.
async fn talk(shared: &Arc<Shared>, link: &Arc<Link>, connection: Connection) -> LinkError {
    let Connection { mut reader, writer } = connection;
    reader.trust(shared.limits.frame_bytes_max);
    let writing = write(shared.clone(), link.clone(), writer);
    let mut writing = shared.runtime.spawn(writing);
    let mut inbox = Inbox::new(shared, link);
    let error = tokio::select! {
        biased;
        () = link.stopped() => LinkError::Stopped,
        error = inbox.read(&mut reader) => error,
        // A writer ends when the connection does.
        error = &mut writing => error.unwrap_or(LinkError::Closed),
    };
    if !writing.is_finished() {
        writing.abort();
        // What it has not taken by then it never sends.
        let _ = writing.await;
    }
    inbox.finish().await;
    error
}

/// Room for frames that a writer keeps.
const WRITE_BYTES_KEPT: usize = 256 * 1024;

async fn write(shared: Arc<Shared>, link: Arc<Link>, mut half: OwnedWriteHalf) -> LinkError {
    let mut buffer = Vec::new();
    let mut next_ping = Instant::now();
    loop {
        buffer.clear();
        buffer.shrink_to(WRITE_BYTES_KEPT);
        let now = Instant::now();
        if now >= next_ping {
            let number = link.ping_number().to_string();
            encode(&[PING.as_bytes(), number.as_bytes()], &mut buffer);
            next_ping = now + shared.limits.ping_after;
        }
        let next = link.outbox.take(shared.limits.frame_bytes_max, &mut buffer);
        if buffer.is_empty() {
            let until = match next {
                Next::Until(due) => due.min(next_ping),
                Next::Frames | Next::Nothing => next_ping,
            };
            // Whichever comes first is looked at above.
            let _ = timeout_at(until, link.outbox.filled()).await;
            continue;
        }
        shared
            .stats
            .sent_bytes
            .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        if let Err(error) = half.write_all(&buffer).await {
            return error.into();
        }
    }
}

/// A message that waits: DEBUG LINK holds it up, or a large one before it is being acted upon.
struct Held {
    due: Instant,
    verb: String,
    payload: Bytes,
}

/// What comes in on one link.
struct Inbox<'a> {
    shared: &'a Shared,
    link: &'a Link,
    /// The parts of a message whose end has not come, and how long it will be.
    parts: BytesMut,
    whole: usize,
    /// A large message that is being acted upon, on a thread of its own.
    working: Option<JoinHandle<()>>,
    held: VecDeque<Held>,
    held_bytes: usize,
}

impl<'a> Inbox<'a> {
    fn new(shared: &'a Shared, link: &'a Link) -> Self {
        Self {
            shared,
            link,
            parts: BytesMut::new(),
            whole: 0,
            working: None,
            held: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// Delivers messages until the link ends.
    async fn read(&mut self, reader: &mut FrameReader) -> LinkError {
        let mut heard = Instant::now();
        loop {
            self.deliver_due();
            if self.held_bytes < LINK_HELD_BYTES_MAX {
                match reader.buffered() {
                    Ok(Some(frame)) => match self.take(&frame) {
                        Ok(()) => continue,
                        Err(error) => return error,
                    },
                    Ok(None) => {}
                    Err(error) => return error,
                }
            }
            match self.wait(reader, &mut heard).await {
                Ok(()) => {}
                Err(error) => return error,
            }
        }
    }

    /// Waits for bytes, for a held message's time, or for the peer to have been silent for long.
    async fn wait(
        &mut self,
        reader: &mut FrameReader,
        heard: &mut Instant,
    ) -> Result<(), LinkError> {
        let due = self.held.front().map(|held| held.due);
        let is_full = self.held_bytes >= LINK_HELD_BYTES_MAX;
        if let Some(working) = &mut self.working {
            // Bytes are read all the same: the peer is alive, and may have something urgent.
            tokio::select! {
                biased;
                done = &mut *working => {
                    self.working = None;
                    *heard = Instant::now();
                    return carry_on(done);
                }
                filled = reader.fill(), if !is_full => return filled,
            }
        }
        if let Some(due) = due.filter(|_| is_full) {
            sleep_until(due).await;
            return Ok(());
        }
        let silent = *heard + self.shared.limits.silent_after;
        let until = due.map_or(silent, |due| due.min(silent));
        match timeout_at(until, reader.fill()).await {
            Ok(filled) => {
                filled?;
                *heard = Instant::now();
                Ok(())
            }
            Err(_) if Instant::now() >= silent => Err(LinkError::Silent),
            Err(_) => Ok(()),
        }
    }

    /// Takes one frame.
    fn take(&mut self, frame: &OwnedArgs) -> Result<(), LinkError> {
        let args = frame.as_args();
        match (verb(args.at(0))?, args.len()) {
            (PING, 2) => {
                // If there is no room for the answer, the peer does not read.
                self.link.send(PONG, frame.share(1), true);
                Ok(())
            }
            (PONG, 2) => {
                self.link.note_pong(number(args.at(1))? as u64);
                Ok(())
            }
            (PART, 3) => {
                self.begin(args.at(1))?;
                self.keep(args.at(2))
            }
            (PART, 2) => self.keep(args.at(1)),
            (LAST, 3) => {
                self.keep(args.at(2))?;
                if self.parts.len() != self.whole {
                    return Err(LinkError::Unexpected("a message of another length"));
                }
                self.whole = 0;
                let payload = std::mem::take(&mut self.parts).freeze();
                self.receive(verb(args.at(1))?, payload)
            }
            (verb, 2) => self.receive(verb, frame.share(1)),
            _ => Err(LinkError::Unexpected("a frame that makes no sense")),
        }
    }

    /// The first part of a message says how long it will be, so that its room is made once.
    fn begin(&mut self, whole: &[u8]) -> Result<(), LinkError> {
        if self.whole != 0 {
            return Err(LinkError::Unexpected("a message within another"));
        }
        self.whole = number(whole)?;
        if self.whole > self.shared.limits.message_bytes_max {
            return Err(LinkError::Unexpected("a message that is too long"));
        }
        self.parts.reserve(self.whole);
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), LinkError> {
        if self.parts.len() + part.len() > self.whole {
            return Err(LinkError::Unexpected("a message of another length"));
        }
        self.parts.extend_from_slice(part);
        Ok(())
    }

    fn receive(&mut self, verb: &str, payload: Bytes) -> Result<(), LinkError> {
        if is_own_verb(verb) {
            return Err(LinkError::Unexpected("a frame that makes no sense"));
        }
        let stats = &self.shared.stats;
        stats.received_messages.fetch_add(1, Ordering::Relaxed);
        stats
            .received_bytes
            .fetch_add(payload.len() as u64, Ordering::Relaxed);
        let delay = self.link.delay();
        let is_urgent = delay.is_none() && self.shared.events.is_urgent(verb);
        if is_urgent || (delay.is_none() && self.held.is_empty() && self.working.is_none()) {
            self.deliver(verb, payload);
        } else {
            let due = Instant::now() + delay.unwrap_or_default();
            self.held_bytes += payload.len() + verb.len();
            self.held.push_back(Held {
                due,
                verb: verb.to_owned(),
                payload,
            });
        }
        Ok(())
    }

    /// Hands a message over. To act upon a large one takes long: it gets a thread, so that others
    /// find this one free, and messages that follow wait.
    fn deliver(&mut self, verb: &str, payload: Bytes) {
        let peer = self.link.key.peer;
        if payload.len() <= self.shared.limits.frame_bytes_max {
            self.shared.events.on_message(peer, verb, payload);
            return;
        }
        let (events, verb) = (self.shared.events.clone(), verb.to_owned());
        let work = move || events.on_message(peer, &verb, payload);
        self.working = Some(self.shared.runtime.spawn_blocking(work));
    }

    fn deliver_due(&mut self) {
        while self.working.is_none()
            && let Some(held) = self.held.front()
            && held.due <= Instant::now()
        {
            let Some(held) = self.held.pop_front() else {
                return;
            };
            self.held_bytes -= held.payload.len() + held.verb.len();
            self.deliver(&held.verb, held.payload);
        }
    }

    /// Waits for what is being acted upon: nothing of a link comes after its end.
    async fn finish(&mut self) {
        if let Some(working) = self.working.take() {
            // A link that has ended needs no other end.
            let _ = carry_on(working.await);
        }
    }
}

/// A panic is the caller's, as if there were no other thread.
fn carry_on(done: Result<(), JoinError>) -> Result<(), LinkError> {
    match done.map_err(JoinError::try_into_panic) {
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime ends.
        Err(Err(_)) => Err(LinkError::Stopped),
        Ok(()) => Ok(()),
    }
}

fn number(bytes: &[u8]) -> Result<usize, LinkError> {
    let text = std::str::from_utf8(bytes).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or(LinkError::Unexpected("a frame without its number"))
}

fn verb(bytes: &[u8]) -> Result<&str, LinkError> {
    let verb = std::str::from_utf8(bytes).ok().filter(|_| is_verb(bytes));
    verb.ok_or(LinkError::Unexpected("a frame without a verb"))
}
