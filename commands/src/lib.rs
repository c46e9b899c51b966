//! The commands of Larder: what clients may ask, and how each is answered.
//!
//! Pure: no sockets, no clock, no randomness, no disk. A handler sees the keys and arguments of one
//! request and writes one reply.
//!
//! ```text
//! arguments ── plan ──▶ row of the table, partitions of the keys
//!                        scope Keys: Commands::run on the locked rows ──▶ reply
//!                        else:       the server, by the row's name
//! ```

pub mod args;
pub mod batch;
pub mod blocking;
pub mod call;
mod collection;
pub mod commands;
mod content;
pub mod docs;
pub mod double;
pub mod dump;
mod elements;
pub mod error;
mod expire_time;
mod families;
pub mod glob;
pub mod internal;
pub mod introspect;
mod key;
pub mod limits;
mod members;
mod numbers;
pub mod plan;
pub mod reply;
pub mod resp;
pub mod scan;
pub mod scatter;
mod sorted_set;
pub mod table;
mod texts;
pub mod usage;

pub use commands::Commands;
