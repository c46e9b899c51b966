//! One file per value type.

pub mod counter_dotted;
pub mod document_causal;
mod document_codec;
pub mod document_context;
pub mod document_increment;
pub mod document_json;
mod document_plan;
pub mod document_pointer;
pub mod document_state;
pub mod document_view;
pub mod document_write;
pub mod hyperloglog;
pub mod position;
pub mod register_lww;
pub mod score;
