//! The threads that a node keeps beside its tasks: one lets the core do what is due, one syncs the
//! disk, one writes checkpoints. None of them serves clients or links, which so never wait for a
//! partition that one of these waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use larder_cluster::store::StoreError;

use super::{Runtime, clock_unix_ms};
use crate::settings::value::Durability;

/// How often a node syncs with `everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often it does with `os`, so that peers can be told.
const SYNC_SELDOM: Duration = Duration::from_secs(30);
/// How often the writer looks whether there is something to do.
const WRITER_EVERY: Duration = Duration::from_millis(100);
/// How often memory is looked at: what is read in that time may pass `cache-size`.
const EVICT_EVERY: Duration = Duration::from_millis(50);
/// How much redo may pile up before a checkpoint: it bounds the time of opening.
const REDO_BYTES_MAX: u64 = 256 << 20;
/// How much redo there may be at all: commands that write wait then.
const REDO_BYTES_STOP: u64 = 2 * REDO_BYTES_MAX;
/// How often the node looks how much that is.
const ROOM_EVERY: Duration = Duration::from_millis(50);
/// How old a change may become before a checkpoint takes it, if the node has little to do.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// The threads of a running node.
pub struct Background {
    runtime: Arc<Runtime>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the system says if it has no threads left.
    pub fn start(runtime: &Arc<Runtime>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (name, body) in [
            ("larder-sync", sync_loop as fn(&Runtime, &AtomicBool)),
            ("larder-write", write_loop),
            ("larder-evict", evict_loop),
            ("larder-poll", poll_loop),
        ] {
            let (runtime, stop) = (runtime.clone(), stop.clone());
            let thread = std::thread::Builder::new().name(name.to_owned());
            threads.push(thread.spawn(move || body(&runtime, &stop))?);
        }
        Ok(Self {
            runtime: runtime.clone(),
            stop,
            threads,
        })
    }

    /// Ends the threads after a last sync and checkpoint, so that the next start is quick.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.runtime.want_sync();
        for thread in self.threads {
            // A thread that has panicked has said so already.
            let _ = thread.join();
        }
        self.runtime.sync_once();
        if let Err(error) = self.runtime.checkpoint() {
            tracing::error!(%error, "the last checkpoint failed; the redo holds what it lacks");
        }
    }
}

fn sync_loop(runtime: &Runtime, stop: &AtomicBool) {
    let mut last = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let every = match runtime.settings.load().durability {
            Durability::Always | Durability::Everysec => SYNC_EVERY,
            Durability::Os => SYNC_SELDOM,
        };
        let due = last + every;
        runtime.await_sync_wanted(
            due.saturating_duration_since(Instant::now())
                .min(SYNC_EVERY),
        );
        let wanted = *runtime.sync.wanted.lock();
        if wanted || Instant::now() >= due {
            runtime.sync_once();
            last = Instant::now();
        }
    }
}

fn poll_loop(runtime: &Runtime, stop: &AtomicBool) {
    let mut looked = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let next = runtime.poll();
        if looked.elapsed() >= ROOM_EVERY {
            runtime.note_room();
            looked = Instant::now();
        }
        let wait = next.saturating_sub(runtime.clock.now().monotonic_ms).max(1);
        std::thread::park_timeout(Duration::from_millis(wait).min(ROOM_EVERY));
    }
    // Whoever still waits is answered before the node ends.
    runtime.room.send_replace(true);
}

/// Whether so much waits for a checkpoint that commands that write must wait for it.
fn is_full(dirty: usize, cache: usize, redo: u64) -> bool {
    dirty > cache / 8 * 7 || redo > REDO_BYTES_STOP
}

/// Clients come first: what waits for a checkpoint is safe in the redo. When too much of it waits,
/// commands that write wait for the writer, see [`Runtime::has_room`].
fn yield_to_clients() {
    let lowest = 19;
    let me = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(me), lowest) {
        tracing::warn!(%error, "checkpoints run at the priority of clients");
    }
}

fn write_loop(runtime: &Runtime, stop: &AtomicBool) {
    yield_to_clients();
    let mut last = Instant::now();
    while !stop.load(Ordering::Acquire) {
        std::thread::park_timeout(WRITER_EVERY);
        let cache = runtime.node.settings().cache_bytes_max;
        let dirty = runtime.node.dirty_bytes();
        let redo = runtime.store.redo_bytes();
        let old = last.elapsed() >= CHECKPOINT_EVERY && redo > 0;
        if redo > REDO_BYTES_MAX || dirty > cache / 2 || old {
            let written = runtime.checkpoint();
            runtime
                .checkpoint_failed
                .store(written.is_err(), Ordering::Relaxed);
            if let Err(error) = written {
                tracing::error!(%error, "a checkpoint failed; the redo holds what it lacks");
            }
            last = Instant::now();
        }
    }
}

/// Not the writer's work: at its priority, clients that read would fill the memory faster than it
/// gets its turn.
fn evict_loop(runtime: &Runtime, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        std::thread::park_timeout(EVICT_EVERY);
        runtime.node.evict();
    }
}

impl Runtime {
    /// Says to commands that write whether the changes that wait for a checkpoint leave them room.
    fn note_room(&self) {
        // Where checkpoints fail, waiting would have no end, and the disk's error is the answer.
        let cache = self.node.settings().cache_bytes_max;
        let is_full = !self.checkpoint_failed.load(Ordering::Relaxed)
            && is_full(self.node.dirty_bytes(), cache, self.store.redo_bytes());
        self.room
            .send_if_modified(|room| std::mem::replace(room, !is_full) == is_full);
    }

    /// Waits while so much waits for a checkpoint that memory or the time of opening would pass
    /// their bounds. Those who write are slowed down to what the disk takes, not refused.
    pub async fn has_room(&self) {
        if !*self.room.borrow() {
            // The sender lives as long as the runtime.
            let _ = self.room.subscribe().wait_for(|room| *room).await;
        }
    }

    /// Writes what changed since the last checkpoint, and forgets the redo that it makes needless.
    ///
    /// # Errors
    /// What the disk says; the redo is still there then.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let _alone = self.checkpointing.lock();
        self.commit()?;
        let position = self.node.redo_end();
        self.node.checkpoint(&|| self.commit())?;
        self.store.finish_checkpoint(position)?;
        self.last_checkpoint_ms
            .store(clock_unix_ms(), Ordering::Relaxed);
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_wait_for_a_checkpoint_long_after_it_began_and_before_the_cache_is_full() {
        let cache = 256 << 20;
        for (dirty, redo, waits) in [
            (0, 0, false),
            (cache / 2 + 1, REDO_BYTES_MAX + 1, false),
            (cache, 0, true),
            (0, 3 * REDO_BYTES_MAX, true),
        ] {
            assert_eq!(is_full(dirty, cache, redo), waits, "{dirty} {redo}");
        }
    }
}
