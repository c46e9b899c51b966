//! The commands of Larder: what clients may ask, and how each is answered.
//!
//! Pure: no sockets, no clock, no randomness, no disk. A handler sees the keys and arguments of one
//! request and writes one reply.

pub mod args;
pub mod double;
pub mod error;
pub mod glob;
pub mod reply;
