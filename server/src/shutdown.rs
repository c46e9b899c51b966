//! How a node ends: asked by a signal or by SHUTDOWN, it lets the replicas catch up, then stops.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::server::{Server, Shutdown};

/// How often the node looks whether the others have caught up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until the process is to end and has told the other replicas what it wrote, as far as the
/// setting `shutdown-timeout` allows.
pub async fn wait(server: &Server) {
    let mut asked = server.shutdown.subscribe();
    let how = tokio::select! {
        how = asked.wait_for(Option::is_some) => {
            how.ok().and_then(|how| *how).unwrap_or(Shutdown { waits: true })
        }
        () = signalled() => Shutdown { waits: true },
    };
    tracing::info!("stopping");
    if how.waits {
        let patience = Duration::from_secs(server.settings().shutdown_timeout);
        // What is not told in time stays in the log and is told after the next start.
        let _ = tokio::time::timeout(patience, caught_up(server)).await;
    }
}

async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn caught_up(server: &Server) {
    let node = &server.runtime.node;
    while node.view().up.len() > 1 && !node.is_told() {
        server.runtime.want_sync();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
