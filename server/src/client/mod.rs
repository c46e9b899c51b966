//! Clients: connections, and the commands that they send.

mod connection;
mod info;
mod listen;
mod step;

pub use connection::{Connection, serve};
pub use info::{ClientInfo, ClientWords, Clients};
pub use listen::listen;
pub use step::Step;
