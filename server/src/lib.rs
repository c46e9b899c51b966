//! A node of Larder: sockets, settings, logs and metrics around the core, which decides.

pub mod boot;
pub mod bridge;
pub mod client;
mod handlers;
pub mod latency;
pub mod limits;
pub mod link;
pub mod logging;
pub mod metrics;
pub mod node_file;
pub mod pause;
pub mod peers;
pub mod resp;
pub mod runtime;
pub mod secret;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod slow_log;
pub mod stats;
