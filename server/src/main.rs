//! `larder-server`: one node.

use std::process::ExitCode;

use larder_server::boot::{Booted, boot};
use larder_server::settings::source::{Loaded, load};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let loaded = match load(std::env::args_os(), std::env::vars_os()) {
        Ok(loaded) => loaded,
        Err(error) => return error.exit(),
    };
    if let Err(error) = larder_server::logging::start(&loaded.settings) {
        eprintln!("larder-server: {error}");
        return ExitCode::FAILURE;
    }
    let threads = loaded.settings.io_threads.map(usize::from);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("larder-server: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(loaded))
}

async fn run(loaded: Loaded) -> ExitCode {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let booted = match boot(loaded).await {
        Ok(booted) => booted,
        Err(error) => {
            tracing::error!("{error}");
            eprintln!("larder-server: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Booted { server, background, clients, peers } = booted;
    tracing::info!(node = %server.runtime.node.id(), ?clients, ?peers, "ready to take commands");
    larder_server::shutdown::wait(&server).await;
    server.links.close().await;
    background.stop();
    tracing::info!("stopped");
    ExitCode::SUCCESS
}
