//! What clients send, in RESP or in plain lines.

pub mod inline;
pub mod request;
