//! The demo: five nodes on this machine, and what Larder is for in a few minutes.
//!
//! [`walk`] tells the story in chapters. What it shows are real commands, run by `redis-cli`, with
//! their real replies; what it claims is checked, with deadlines, and a claim that does not hold
//! ends the walk with what was expected and what was seen.

mod anywhere;
mod crash;
mod cut;
pub mod data;
mod finish;
pub mod options;
mod redis_cli;
pub mod ring;
pub mod screen;
pub mod walk;
