//! A node of Larder: sockets, settings, logs and metrics around the core, which decides.

pub mod limits;
pub mod link;
pub mod logging;
pub mod metrics;
pub mod resp;
pub mod secret;
pub mod settings;
