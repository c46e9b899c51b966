//! Real nodes for tests and for the demo.
//!
//! A [`node::Node`] is a process of `larder-server` with a directory of its own, a [`Cluster`] some
//! of them that share a secret. They are started, killed, paused and started again by process id,
//! listen on ports that the system gives them, and end with the value that holds them. What takes
//! time is awaited by [`wait::until`], which has a deadline and tells what was seen last.
//!
//! The tests that need neither sockets nor processes stand elsewhere: laws and specifications in
//! the crates themselves, whole clusters under faults in `tests/sim`.

pub mod binary;
pub mod client;
pub mod cluster;
pub mod demo;
pub mod failure;
pub mod load;
pub mod node;
pub mod process;
pub mod real_redis;
pub mod value;
pub mod wait;
pub mod words;

pub use client::Client;
pub use cluster::{Cluster, Plan};
pub use failure::{Checked, Failure};
