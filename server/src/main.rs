//! `larder-server`: one node.

use std::process::ExitCode;

use larder_server::boot::{Booted, boot};
use larder_server::logging::LogControl;
use larder_server::settings::source::{LoadError, Loaded, load};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let loaded = match load(std::env::args_os(), std::env::vars_os()) {
        Ok(loaded) => loaded,
        Err(LoadError::Usage(usage)) => usage.exit(),
        Err(error) => {
            eprintln!("larder-server: {error}");
            return ExitCode::FAILURE;
        }
    };
    let settings = &loaded.settings;
    let log = match larder_server::logging::start(settings.loglevel, &settings.logfile) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("larder-server: {error}");
            return ExitCode::FAILURE;
        }
    };
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
    runtime.block_on(run(loaded, log))
}

async fn run(loaded: Loaded, log: LogControl) -> ExitCode {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let booted = match boot(loaded, log).await {
        Ok(booted) => booted,
        Err(error) => {
            tracing::error!("{error}");
            eprintln!("larder-server: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Booted {
        server,
        background,
        clients,
        peers,
        file,
    } = booted;
    tracing::info!(node = %server.runtime.node.id(), ?clients, ?peers, "ready to take commands");
    larder_server::shutdown::wait(&server).await;
    server.links.close().await;
    background.stop();
    file.remove();
    tracing::info!("stopped");
    ExitCode::SUCCESS
}
