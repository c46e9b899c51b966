//! The deterministic simulator: whole clusters of the production core in one thread, from one seed.
//!
//! A run draws its shape and its fault rates from the seed, lets clients and bad luck act for some
//! hundred steps, then stops the faults: the cluster must come to rest, and every promise of
//! DESIGN.md must have been kept.

pub mod action;
pub mod bits;
mod chaos;
pub mod checkers;
pub mod clock;
pub mod dice;
pub mod disk;
mod documents;
mod draw;
mod draw_document;
mod driver;
pub mod event;
pub mod execute;
pub mod faults;
pub mod history;
mod links;
pub mod losses;
pub mod member;
pub mod network;
mod operator;
pub mod plan;
mod process;
mod replica;
pub mod reply;
pub mod run;
mod submit;
pub mod trace;
pub mod transactions;
mod truth;
mod watch;
pub mod workload;
pub mod world;

pub use run::{Options, Outcome, run};
