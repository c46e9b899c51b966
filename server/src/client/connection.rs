//! One client's connection: requests in, replies out, in order.
//!
//! All requests of one read are run before anything is written, and their changes go to the disk in
//! one commit: that of this connection or of another that came at the same moment. A command that
//! waits for another node holds only its place among the replies.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use larder_cluster::store::StoreError;
use larder_commands::args::OwnedArgs;
use larder_commands::batch::WatchedKey;
use larder_commands::error::CommandError;
use larder_commands::reply::{Protocol, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ahead::{Ahead, End, Taken};
use super::info::ClientInfo;
use super::multi::Multi;
use super::replies::Awaited;
use super::step::{Batch, Step};
use super::watch::Watches;
use super::written::Written;
use crate::limits::{ARGS_MAX, INPUT_BYTES_KEPT, PENDING_REPLIES_MAX, REPLY_BYTES_PER_WRITE};
use crate::resp::request::{RequestLimits, RequestParser};
use crate::runtime::aside;
use crate::server::Server;

/// Which commands CLIENT REPLY silences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Silence {
    /// None.
    #[default]
    Off,
    /// All, until it is switched on again.
    On,
    /// The next one.
    Next,
    /// The one after the one that said so, which has no reply either.
    AfterThis,
}

/// A client's connection and what it has said so far.
pub struct Connection {
    /// The server.
    pub server: Arc<Server>,
    /// What others may know of it.
    pub info: Arc<ClientInfo>,
    /// The selected database.
    pub database: u8,
    /// Whether it has said its password, or needs none.
    pub authenticated: bool,
    /// Replies that wait to be written.
    pub reply: Reply,
    /// CLIENT REPLY.
    pub silence: Silence,
    /// Where it has written, for WAIT.
    pub written: Written,
    /// What it has queued since MULTI.
    pub multi: Option<Box<Multi>>,
    /// What must not change before EXEC.
    pub(crate) watched: Vec<WatchedKey>,
    /// The documents that it is told of, if any.
    pub watches: Option<Box<Watches>>,
    parser: RequestParser,
    ahead: Ahead,
    /// Replies that come from elsewhere: where they stand among the bytes of `reply`.
    pub(super) pending: VecDeque<Awaited>,
}

/// How a batch of requests ended.
struct Ran {
    /// A command that must run alone and may take its time.
    alone: Option<OwnedArgs>,
    /// Whether the connection ends after the replies.
    closes: bool,
    /// Whether the next request is held up by CLIENT PAUSE.
    held: bool,
    /// Whether requests are left that can be run at once.
    more: bool,
    /// How many replies there are.
    replies: usize,
    /// Whether anything may have been changed.
    wrote: bool,
}

/// Serves a client until it goes.
pub async fn serve(server: Arc<Server>, mut stream: TcpStream, info: Arc<ClientInfo>) {
    server.metrics.clients.add(1);
    let mut connection = Connection::new(server.clone(), info.clone());
    // A client that breaks off is nobody's mistake.
    let _ = connection.talk(&mut stream).await;
    server.clients.dismiss(info.id);
    server.metrics.clients.subtract(1);
}

impl Connection {
    fn new(server: Arc<Server>, info: Arc<ClientInfo>) -> Self {
        let authenticated = server.settings().requirepass.0.is_empty();
        Self {
            server,
            info,
            database: 0,
            authenticated,
            reply: Reply::new(Protocol::Resp2),
            silence: Silence::default(),
            written: Written::default(),
            multi: None,
            watched: Vec::new(),
            watches: None,
            parser: RequestParser::new(),
            ahead: Ahead::default(),
            pending: VecDeque::new(),
        }
    }

    /// Forgets everything that the client has said: RESET.
    pub fn reset(&mut self) {
        self.database = 0;
        self.authenticated = self.server.settings().requirepass.0.is_empty();
        self.reply.set_protocol(Protocol::Resp2);
        self.silence = Silence::Off;
        self.watches = None;
        self.end_transaction();
        self.info.protocol.store(2, Ordering::Relaxed);
        self.info.database.store(0, Ordering::Relaxed);
        self.info.words.lock().name.clear();
    }

    async fn talk(&mut self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut input = BytesMut::with_capacity(INPUT_BYTES_KEPT);
        loop {
            let ran = self.run_batch(&mut input);
            self.flush(stream, &ran).await?;
            if let Some(args) = ran.alone {
                let before = self.reply.len();
                let closes = self.run_alone(args, stream, &mut input).await;
                self.silence_from(before);
                self.write_out(stream).await?;
                if closes {
                    return stream.shutdown().await;
                }
                continue;
            }
            if ran.closes || self.info.is_killed.load(Ordering::Acquire) {
                return stream.shutdown().await;
            }
            if ran.held {
                if !self.hold(stream, &mut input).await? {
                    return Ok(());
                }
                continue;
            }
            if ran.more {
                continue;
            }
            if !self.read(stream, &mut input).await? {
                return Ok(());
            }
        }
    }

    /// Waits while CLIENT PAUSE holds up the next request, which stays in `input` with what comes
    /// behind it; false if the client is done.
    async fn hold(&self, stream: &mut TcpStream, input: &mut BytesMut) -> std::io::Result<bool> {
        let limit = self.server.settings().client_query_buffer_limit.0;
        let has_room = (input.len() as u64) < limit;
        input.reserve(INPUT_BYTES_KEPT / 2);
        tokio::select! {
            () = self.server.pause.changed() => Ok(!self.info.is_killed.load(Ordering::Acquire)),
            more = read(stream, input, &self.info), if has_room => more,
        }
    }

    /// Reads more; false if the client is done or has been idle for too long.
    async fn read(
        &mut self,
        stream: &mut TcpStream,
        input: &mut BytesMut,
    ) -> std::io::Result<bool> {
        if input.is_empty() && input.capacity() > 4 * INPUT_BYTES_KEPT {
            *input = BytesMut::with_capacity(INPUT_BYTES_KEPT);
        }
        let wanted = self.parser.wanted(input.len()).max(INPUT_BYTES_KEPT / 2);
        input.reserve(wanted);
        let before = input.len();
        let go_on = match &mut self.watches {
            // Who watches is not idle.
            Some(watches) => read_or_tell(stream, input, &self.info, watches).await?,
            None => {
                let timeout_s = self.server.runtime.settings.load().timeout;
                let read = read(stream, input, &self.info);
                if timeout_s == 0 {
                    read.await?
                } else {
                    let patience = Duration::from_secs(timeout_s);
                    tokio::time::timeout(patience, read)
                        .await
                        .unwrap_or(Ok(false))?
                }
            }
        };
        let limit = self
            .server
            .runtime
            .settings
            .load()
            .client_query_buffer_limit
            .0;
        if input.len() as u64 > limit {
            return Ok(false);
        }
        self.server
            .metrics
            .received_bytes
            .add((input.len() - before) as u64);
        self.info
            .input_bytes
            .store(input.len() as u64, Ordering::Relaxed);
        Ok(go_on && !self.info.is_killed.load(Ordering::Acquire))
    }

    /// Runs the complete requests of `input`.
    fn run_batch(&mut self, input: &mut BytesMut) -> Ran {
        let mut ran = Ran {
            alone: None,
            closes: false,
            held: false,
            more: false,
            replies: 0,
            wrote: false,
        };
        if input.is_empty() {
            return ran;
        }
        let server = self.server.clone();
        let node = &server.runtime.node;
        let core = node.settings();
        let env = node.env(&core, server.runtime.clock.now());
        let mut batch = Batch::new(&server, &env);
        self.info
            .active_ms
            .store(env.now.unix_ms, Ordering::Relaxed);
        let mut parser = std::mem::take(&mut self.parser);
        let mut ahead = std::mem::take(&mut self.ahead);
        while !self.must_stop(&ran) {
            let limits = RequestLimits {
                args_max: ARGS_MAX,
                arg_bytes_max: batch.settings.proto_max_bulk_len.0 as usize,
                authenticated: self.authenticated,
            };
            let end = ahead.fill(&mut parser, input, &limits, server.partitions);
            if ahead.places().len() > 1 {
                node.warm(ahead.places());
            }
            batch.begin_group();
            let consumed = self.run_group(&mut ahead, &parser, input, &mut batch, &mut ran);
            if self.must_stop(&ran) {
                // What was parsed behind it will be parsed again.
                parser.forget();
            }
            input.advance(consumed);
            match end {
                End::Full => {}
                End::Incomplete => break,
                End::Broken(_) if self.must_stop(&ran) => {}
                End::Broken(error) => {
                    server.metrics.protocol_errors.add(1);
                    CommandError::from(error).write_to(&mut self.reply);
                    ran.closes = true;
                    ran.replies += 1;
                }
            }
        }
        ran.wrote = batch.wrote;
        batch.finish();
        self.parser = parser;
        self.ahead = ahead;
        ran
    }

    /// Whether what was run so far is to be answered before anything else.
    fn must_stop(&self, ran: &Ran) -> bool {
        ran.alone.is_some() || ran.closes || ran.held || ran.more
    }

    /// Runs a group of requests, or its beginning; says how many bytes of `input` that was.
    fn run_group(
        &mut self,
        ahead: &mut Ahead,
        parser: &RequestParser,
        input: &[u8],
        batch: &mut Batch<'_>,
        ran: &mut Ran,
    ) -> usize {
        let mut consumed = 0;
        for index in 0..ahead.len() {
            let Some(Taken { args, planned, end }) = ahead.get(index, parser, input) else {
                break;
            };
            if let Some(planned) = planned {
                let before = self.reply.len();
                let step = if end - consumed < aside::LARGE_BYTES {
                    self.step(args, planned, batch)
                } else {
                    aside::run(|| self.step(args, planned, batch))
                };
                ran.replies += 1;
                match step {
                    Step::Done => self.silence_from(before),
                    Step::Pending => self.silence_pending(),
                    Step::Alone => {
                        ran.replies -= 1;
                        ran.alone = Some(args.to_owned());
                    }
                    Step::Close => ran.closes = true,
                    Step::Held => {
                        ran.replies -= 1;
                        ran.held = true;
                        // It stays where it is.
                        break;
                    }
                }
            }
            consumed = end;
            ran.more |= self.reply.len() > REPLY_BYTES_PER_WRITE
                || self.pending.len() >= PENDING_REPLIES_MAX;
            if self.must_stop(ran) {
                break;
            }
        }
        consumed
    }

    /// Drops the reply that was appended since the buffer had `before` bytes, if CLIENT REPLY says
    /// so.
    pub(super) fn silence_from(&mut self, before: usize) {
        match self.silence {
            Silence::Off => {}
            Silence::On => self.reply.truncate(before),
            Silence::Next => {
                self.reply.truncate(before);
                self.silence = Silence::Off;
            }
            Silence::AfterThis => self.silence = Silence::Next,
        }
    }

    /// As [`Connection::silence_from`], for the reply that was awaited last.
    fn silence_pending(&mut self) {
        let is_silent = matches!(self.silence, Silence::On | Silence::Next);
        self.silence_from(self.reply.len());
        if let Some(awaited) = self.pending.back_mut() {
            awaited.is_silent = is_silent;
        }
    }

    /// Commits what the batch has changed, then writes its replies.
    async fn flush(&mut self, stream: &mut TcpStream, ran: &Ran) -> std::io::Result<()> {
        if ran.wrote
            && let Err(error) = self.commit().await
        {
            self.refuse(ran.replies, &error);
        }
        self.write_out(stream).await
    }

    /// One commit for all connections that are ready: this one lets the others run first, and finds
    /// its changes committed if one of them was quicker.
    pub(super) async fn commit(&self) -> Result<(), StoreError> {
        let runtime = &self.server.runtime;
        tokio::task::yield_now().await;
        runtime.commit()?;
        runtime.has_room().await;
        if runtime.syncs_always() {
            runtime.synced().await
        } else {
            Ok(())
        }
    }

    /// As [`Connection::commit`], for a command that runs alone.
    pub(crate) async fn synced(&self) -> Result<(), CommandError> {
        let committed = self.commit().await;
        committed.map_err(|error| CommandError::DiskFailed(error.to_string()))
    }

    /// The disk did not take what the batch has changed: every reply of it becomes that error.
    fn refuse(&mut self, replies: usize, error: &StoreError) {
        self.pending.clear();
        self.reply.clear();
        for _ in 0..replies {
            CommandError::DiskFailed(error.to_string()).write_to(&mut self.reply);
        }
    }
}

/// Reads once; false if the client is done.
pub(super) async fn read(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    info: &ClientInfo,
) -> std::io::Result<bool> {
    tokio::select! {
        read = stream.read_buf(input) => read.map(|count| count > 0),
        () = info.kill.notified() => Ok(false),
    }
}

/// Reads once, and writes what is to be told meanwhile.
async fn read_or_tell(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    info: &ClientInfo,
    watches: &mut Watches,
) -> std::io::Result<bool> {
    // A client that sends one request after the other is told in between.
    while let Some(message) = watches.waiting() {
        stream.write_all(&message).await?;
    }
    loop {
        let message = tokio::select! {
            read = stream.read_buf(input) => return read.map(|count| count > 0),
            () = info.kill.notified() => return Ok(false),
            message = watches.next() => message,
        };
        stream.write_all(&message).await?;
    }
}
