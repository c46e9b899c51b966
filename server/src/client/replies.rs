//! Replies on their way to a client: those that are here, and those that other nodes give.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_cluster::request::Reply as CoreReply;
use larder_commands::args::OwnedArgs;
use larder_commands::reply::Reply;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::connection::Connection;
use super::fetch;
use super::step::{is_missing, write_core_reply};
use crate::limits::REPLY_BYTES_PER_WRITE;
use crate::runtime::clock_unix_ms;
use crate::settings::value::BufferLimit;

/// A reply that comes from elsewhere.
pub(super) struct Awaited {
    /// Where it stands among the bytes of `reply`.
    pub(super) at: usize,
    pub(super) receiver: oneshot::Receiver<CoreReply>,
    /// Whether CLIENT REPLY drops it.
    pub(super) is_silent: bool,
    /// Whether it is that of a read.
    pub(super) is_read: bool,
    /// The command, if something may have to be fetched for it first.
    pub(super) again: Option<OwnedArgs>,
}

impl Connection {
    /// The reply from elsewhere that comes next, after fetching first what it takes to get it. What
    /// waits in `out` is written before, unless the reply is here already.
    async fn await_reply(
        &self,
        mut awaited: Awaited,
        out: &mut Vec<u8>,
        stream: &mut TcpStream,
    ) -> std::io::Result<Reply> {
        let mut reply = match awaited.receiver.try_recv() {
            Ok(reply) if out.len() < REPLY_BYTES_PER_WRITE => reply,
            ready => {
                self.send(stream, out).await?;
                out.clear();
                match ready {
                    Ok(reply) => reply,
                    Err(TryRecvError::Empty) => {
                        awaited.receiver.await.unwrap_or(CoreReply::Unknown)
                    }
                    Err(TryRecvError::Closed) => CoreReply::Unknown,
                }
            }
        };
        let mut own = Reply::new(self.reply.protocol());
        if let Some(args) = awaited.again.filter(|_| fetch::is_wanted(&reply)) {
            match self.run_fetched(&args).await {
                Ok(fetched) => reply = fetched,
                Err(error) => {
                    error.write_to(&mut own);
                    return Ok(own);
                }
            }
        }
        write_core_reply(&mut own, reply);
        Ok(own)
    }

    /// Writes the replies in which some come from elsewhere; says how many bytes of `reply` it has
    /// written.
    async fn write_awaited(&mut self, stream: &mut TcpStream) -> std::io::Result<usize> {
        let (mut out, mut copied) = (Vec::new(), 0);
        let mut sent = 0;
        while let Some(awaited) = self.pending.pop_front() {
            let Awaited {
                at,
                is_silent,
                is_read,
                ..
            } = awaited;
            let ready = self.reply.as_bytes().get(copied..at);
            out.extend_from_slice(ready.unwrap_or_default());
            copied = at;
            let own = self.await_reply(awaited, &mut out, stream).await?;
            if is_read {
                let metrics = &self.server.metrics;
                let is_missing = is_missing(own.as_bytes());
                if is_missing {
                    metrics.misses.add(1)
                } else {
                    metrics.hits.add(1)
                }
            }
            if !is_silent {
                out.extend_from_slice(own.as_bytes());
                sent += own.len() as u64;
            }
        }
        self.server.metrics.sent_bytes.add(sent);
        let rest = self.reply.as_bytes().get(copied..);
        out.extend_from_slice(rest.unwrap_or_default());
        self.send(stream, &out).await?;
        Ok(self.reply.len())
    }

    /// Writes bytes, unless somebody ends the connection or the client leaves more of them lying
    /// than the soft limit allows: a client that does not read must not keep it for ever.
    async fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        self.info
            .output_bytes
            .store(bytes.len() as u64, Ordering::Relaxed);
        let written = self.send_all(stream, bytes).await;
        self.info.output_bytes.store(0, Ordering::Relaxed);
        written
    }

    async fn send_all(&self, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        let limit = self.limit();
        let has_limit = limit.soft_bytes > 0 && limit.soft_seconds > 0;
        let patience = tokio::time::sleep(Duration::from_secs(limit.soft_seconds));
        let (mut patience, mut rest) = (std::pin::pin!(patience), bytes);
        while !rest.is_empty() {
            let is_over = has_limit && rest.len() as u64 > limit.soft_bytes;
            let count = tokio::select! {
                biased;
                written = stream.write(rest) => written?,
                () = self.info.kill.notified() => return Err(ErrorKind::ConnectionAborted.into()),
                () = &mut patience, if is_over => return Err(self.cut_off()),
            };
            rest = match rest.get(count..) {
                Some(rest) if count > 0 => rest,
                _ => return Err(ErrorKind::WriteZero.into()),
            };
        }
        Ok(())
    }

    /// How much may wait for the client: it counts as a subscriber while it watches something.
    fn limit(&self) -> BufferLimit {
        let limits = self
            .server
            .runtime
            .settings
            .load()
            .client_output_buffer_limit;
        match self.watches {
            Some(_) => limits.pubsub,
            None => limits.normal,
        }
    }

    /// Notes that a client leaves too many replies lying; then it is cut off, as in Redis.
    fn cut_off(&self) -> std::io::Error {
        self.server.metrics.slow_clients.add(1);
        tracing::warn!(
            client = self.info.id,
            "cut off: its replies are over their limit"
        );
        ErrorKind::OutOfMemory.into()
    }

    /// Whether more waits for the client than it may ever have.
    fn is_over_limit(&self) -> bool {
        let limit = self.limit().hard_bytes;
        limit > 0 && self.reply.len() as u64 > limit
    }

    /// Writes all replies, in the order of their commands.
    pub(super) async fn write_out(&mut self, stream: &mut TcpStream) -> std::io::Result<()> {
        if self.is_over_limit() {
            return Err(self.cut_off());
        }
        let written = if self.pending.is_empty() {
            0
        } else {
            self.write_awaited(stream).await?
        };
        if let Some(rest @ [_, ..]) = self.reply.as_bytes().get(written..) {
            self.send(stream, rest).await?;
        }
        self.server.metrics.sent_bytes.add(self.reply.len() as u64);
        self.reply.clear();
        if self.reply.buffer_mut().capacity() > 4 * REPLY_BYTES_PER_WRITE {
            self.reply.buffer_mut().shrink_to(REPLY_BYTES_PER_WRITE);
        }
        self.info
            .active_ms
            .fetch_max(clock_unix_ms(), Ordering::Relaxed);
        Ok(())
    }
}
