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
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match loaded.settings.io_threads {
        Some(threads) => usize::from(threads),
        None => processors.saturating_sub(1).max(1),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.worker_threads(threads).enable_all().build() {
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
