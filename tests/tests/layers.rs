//! Which crate may use which. Arrows point down only; see ARCHITECTURE.md. A new arrow is the
//! gravest kind of change: it comes here and there first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use larder_tests::failure::{Checked, Failure, ensure};
use serde_json::Value as Json;

/// A crate and the crates of ours that it may use, also in its tests.
const LAYERS: &[(&str, &[&str])] = &[
    ("larder-crdt", &[]),
    ("larder-cluster", &["larder-crdt"]),
    ("larder-commands", &["larder-cluster", "larder-crdt"]),
    ("larder-storage", &["larder-cluster", "larder-crdt"]),
    (
        "larder-server",
        &[
            "larder-commands",
            "larder-storage",
            "larder-cluster",
            "larder-crdt",
        ],
    ),
    (
        "larder-sim",
        &["larder-commands", "larder-cluster", "larder-crdt"],
    ),
    (
        "larder-tests",
        &[
            "larder-server",
            "larder-storage",
            "larder-commands",
            "larder-cluster",
            "larder-crdt",
        ],
    ),
    (
        "larder-fuzz",
        &[
            "larder-server",
            "larder-storage",
            "larder-commands",
            "larder-cluster",
            "larder-crdt",
        ],
    ),
    (
        "larder-bench",
        &[
            "larder-server",
            "larder-storage",
            "larder-commands",
            "larder-cluster",
        ],
    ),
];

/// Crates that `cargo test` must build and run without a C++ compiler.
const PURE: &[&str] = &["larder-crdt", "larder-cluster", "larder-commands"];

/// What needs the C++ compiler.
const NATIVE_STORE: &str = "librocksdb-sys";

fn metadata(arguments: &[&str]) -> Checked<Json> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .current_dir(workspace)
        .output()?;
    ensure(output.status.success(), || {
        String::from_utf8_lossy(&output.stderr).into_owned()
    })?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn rows<'a>(json: &'a Json, name: &str) -> Checked<&'a Vec<Json>> {
    json[name]
        .as_array()
        .ok_or_else(|| Failure::new(format!("cargo metadata has no {name}")))
}

#[test]
fn crates_use_only_the_layers_below_them() -> Checked {
    let table: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    for package in rows(&metadata(&["--no-deps"])?, "packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = table
            .get(name)
            .ok_or_else(|| Failure::new(format!("{name} has no row in the table of layers")))?;
        for dependency in rows(package, "dependencies")? {
            let used = dependency["name"].as_str().unwrap_or_default();
            let is_ours = table.contains_key(used) && used != name;
            ensure(!is_ours || allowed.contains(&used), || {
                format!("{name} uses {used}, which the table of layers does not allow")
            })?;
        }
    }
    Ok(())
}

#[test]
fn pure_crates_and_their_tests_build_without_rocksdb() -> Checked {
    let metadata = metadata(&["--locked"])?;
    let mut names = BTreeMap::new();
    for package in rows(&metadata, "packages")? {
        names.insert(
            package["id"].as_str(),
            package["name"].as_str().unwrap_or_default(),
        );
    }
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for node in rows(&metadata["resolve"], "nodes")? {
        let used = rows(node, "dependencies")?.iter().map(Json::as_str);
        let used = used.filter_map(|id| names.get(&id).copied());
        let user = names.get(&node["id"].as_str()).copied().unwrap_or_default();
        uses.entry(user).or_default().extend(used);
    }
    for pure in PURE {
        let reached = reach(&uses, pure);
        ensure(reached.contains("larder-crdt"), || {
            format!("{pure} is not in the workspace")
        })?;
        ensure(!reached.contains(NATIVE_STORE), || {
            format!("{pure} needs {NATIVE_STORE}")
        })?;
    }
    ensure(reach(&uses, "larder-server").contains(NATIVE_STORE), || {
        format!("{NATIVE_STORE} is called otherwise now; this test sees nothing")
    })
}

fn reach<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::from([from]);
    let mut edge = vec![from];
    while let Some(user) = edge.pop() {
        for &used in uses.get(user).into_iter().flatten() {
            if reached.insert(used) {
                edge.push(used);
            }
        }
    }
    reached
}
