//! The core of Larder: partitions, their placement and their replication, without I/O.

pub mod copy;
pub mod element;
pub mod env;
pub mod id;
pub mod journal;
pub mod layout;
mod layout_codec;
pub mod limits;
pub mod log;
pub mod memory_store;
pub mod message;
pub mod node;
pub mod partition;
mod placement;
mod plan;
pub mod record;
pub mod request;
pub mod ring;
pub mod row_key;
pub mod rows;
pub mod store;
pub mod store_contract;
pub mod token;
pub mod transaction;
pub mod version;
