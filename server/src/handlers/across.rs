//! Asking many partitions, wherever they live.

use larder_cluster::request::{Reply as CoreReply, Request};
use larder_commands::error::CommandError;

use crate::runtime::Runtime;

/// How many partitions of this node are visited before other tasks get their turn.
const VISITS: usize = 16;

/// Submits all requests, then gathers their replies, in the order of the requests.
///
/// # Errors
/// [`CommandError::DiskFailed`] if what the requests did here could not be committed.
pub(super) async fn gather(
    runtime: &Runtime,
    requests: impl IntoIterator<Item = Request> + Send,
) -> Result<Vec<CoreReply>, CommandError> {
    let requests: Vec<Request> = requests.into_iter().collect();
    let mut submitted = Vec::with_capacity(requests.len());
    for (at, request) in requests.into_iter().enumerate() {
        if at % VISITS == VISITS - 1 {
            tokio::task::yield_now().await;
        }
        submitted.push(runtime.submit(request));
    }
    runtime
        .commit()
        .map_err(|error| CommandError::DiskFailed(error.to_string()))?;
    let mut replies = Vec::with_capacity(submitted.len());
    for reply in submitted {
        replies.push(match reply {
            Ok(reply) => reply,
            Err(receiver) => receiver.await.unwrap_or(CoreReply::Unknown),
        });
    }
    Ok(replies)
}
