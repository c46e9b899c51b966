//! `docs/commands.md` says what the table says.

#![expect(
    clippy::disallowed_methods,
    reason = "this test writes the page on demand"
)]

use std::path::Path;

#[test]
fn the_page_of_commands_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
    let wanted = larder_commands::docs::page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &wanted).expect("docs can be written");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/commands.md is stale: run this test with UPDATE_DOCS=1"
    );
}
