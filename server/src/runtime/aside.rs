//! Work that takes long, on a thread that serves many.

use tokio::runtime::{Handle, RuntimeFlavor};

/// What takes as many bytes is worth a thread of its own for a while.
pub const LARGE_BYTES: usize = 1 << 20;

/// Runs `work` while other tasks of this thread go on elsewhere, where there is another thread.
pub fn run<T>(work: impl FnOnce() -> T) -> T {
    let is_shared = Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_shared {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}
