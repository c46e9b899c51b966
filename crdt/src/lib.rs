//! The causal data types of Larder: dots, clocks, stamps, rows and the values that join.
//!
//! Everything here is pure: no clock of the machine, no randomness, no I/O. Time and fresh names
//! come in as arguments, so that a history can be replayed byte for byte.

pub mod actor;
pub mod clock;
pub mod codec;
pub mod conflict;
pub mod context;
pub mod dot;
pub mod limits;
pub mod row;
pub mod stamp;
pub mod types;
pub mod value;

pub use actor::{Actor, ActorIndex, ActorTable};
pub use clock::Clock;
pub use codec::{DecodeError, Reader, Writer};
pub use conflict::{Conflict, ConflictDot, ConflictKind};
pub use dot::Dot;
pub use row::{Row, Sibling};
pub use stamp::{HybridClock, Stamp};
pub use value::Value;
