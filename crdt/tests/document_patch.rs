//! What a patch leaves its writer knowing.

mod document_support;

use document_support::{Replica, nothing};
use serde_json::json;

#[test]
fn an_empty_object_put_after_a_patch_filled_it_is_written_again() {
    let mut node = Replica::new(1);
    let empty = node.put(&nothing(), &json!({}), 1).seen;
    let patched = node.patch(&empty, &json!({"name": "Party"}), 2).seen;
    node.put(&empty, &json!({"items": 1}), 3);
    node.put(&node.seen(), &json!({"name": "Party"}), 4);
    node.put(&patched, &json!({}), 5);
    assert_eq!(node.view(), Some(json!({})));
}
