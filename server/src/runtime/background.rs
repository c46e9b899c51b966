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
/// How much redo may pile up before a checkpoint: it bounds the time of opening.
const REDO_BYTES_MAX: u64 = 128 << 20;
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
    while !stop.load(Ordering::Acquire) {
        let next = runtime.poll();
        let wait = next.saturating_sub(runtime.clock.now().monotonic_ms).max(1);
        std::thread::park_timeout(Duration::from_millis(wait));
    }
}

fn write_loop(runtime: &Runtime, stop: &AtomicBool) {
    let mut last = Instant::now();
    while !stop.load(Ordering::Acquire) {
        std::thread::park_timeout(WRITER_EVERY);
        let cache = runtime.node.settings().cache_bytes_max;
        let dirty = runtime.node.dirty_bytes();
        let redo = runtime.store.redo_bytes();
        let old = last.elapsed() >= CHECKPOINT_EVERY && redo > 0;
        if redo > REDO_BYTES_MAX || dirty > cache / 2 || old {
            if let Err(error) = runtime.checkpoint() {
                tracing::error!(%error, "a checkpoint failed; the redo holds what it lacks");
            }
            last = Instant::now();
        }
        runtime.node.evict();
    }
}

impl Runtime {
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
