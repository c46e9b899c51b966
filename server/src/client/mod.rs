//! Clients: connections, and the commands that they send.

mod ahead;
mod block;
mod connection;
mod fetch;
mod info;
mod listen;
mod multi;
mod replies;
mod step;
mod watch;
mod written;

pub use block::Queues;
pub use connection::{Connection, Silence, serve};
pub use info::{ClientInfo, ClientWords, Clients};
pub use listen::listen;
pub use multi::Multi;
pub(crate) use multi::Queued;
pub use step::Step;
pub(crate) use step::{Batch, is_missing, write_core_reply};
pub use watch::Watches;
pub use written::Written;
