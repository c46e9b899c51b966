//! Which directories open, and what is said of those that do not.

mod common;

use std::fs;

use common::{copy_directory, must_open, open, part, replay, segments};
use larder_cluster::store::{RedoPosition, Store};
use larder_storage::{FORMAT_VERSION, OpenError};

#[test]
fn second_opening_is_refused_while_the_first_lasts() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path();
    let store = must_open(path);
    assert_eq!(open(path).err(), Some(OpenError::InUse(path.to_owned())));
    drop(store);
    must_open(path);
}

#[test]
fn missing_directories_are_made() {
    let directory = tempfile::tempdir().expect("a directory is made");
    must_open(&directory.path().join("a/b"));
    assert!(directory.path().join("a/b/FORMAT").is_file());
}

#[test]
fn other_files_beside_it_do_no_harm() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path();
    fs::write(path.join("cluster-secret"), "secret").expect("a file is written");
    must_open(path).append(b"a").expect("redo is appended");
    fs::write(path.join("redo/notes.txt"), "notes").expect("a file is written");
    assert_eq!(replay(&must_open(path)).len(), 1);
}

#[test]
fn files_are_not_directories() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let file = directory.path().join("file");
    fs::write(&file, "text").expect("a file is written");
    for path in [file.clone(), file.join("below")] {
        assert_eq!(open(&path).err(), Some(OpenError::NotADirectory(path)));
    }
}

#[test]
fn unwritable_directory_is_named() {
    // Not even root can make names there.
    let path = std::path::Path::new("/proc/larder");
    match open(path) {
        Err(OpenError::NotWritable { path: named, .. } | OpenError::Failed { path: named, .. }) => {
            assert_eq!(named, path);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn newer_format_is_refused() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path();
    drop(must_open(path));
    let format = path.join("FORMAT");
    assert_eq!(
        fs::read_to_string(&format).ok(),
        Some(format!("larder {FORMAT_VERSION}\n"))
    );
    fs::write(&format, format!("larder {}\n", FORMAT_VERSION + 1)).expect("a file is written");
    let newer = OpenError::Newer {
        path: path.to_owned(),
        found: FORMAT_VERSION + 1,
        known: FORMAT_VERSION,
    };
    assert_eq!(open(path).err(), Some(newer));
    for text in [
        "",
        "larder",
        "larder x",
        "larder 0",
        "LARDER 1",
        &"larder 1 ".repeat(100),
    ] {
        fs::write(&format, text).expect("a file is written");
        assert!(
            matches!(open(path), Err(OpenError::Damaged { .. })),
            "{text:?}"
        );
    }
    fs::remove_file(&format).expect("a file is removed");
    assert!(
        matches!(open(path), Err(OpenError::Damaged { .. })),
        "used, but without a format"
    );
}

#[test]
fn damaged_tables_are_refused() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path();
    let store = must_open(path);
    store
        .checkpoint(&part(1, b"row"))
        .expect("a part is written");
    store
        .finish_checkpoint(RedoPosition(0))
        .expect("it is finished");
    drop(store);
    let mut tables = fs::read_dir(path.join("tables")).expect("a directory is read");
    let table = tables.find_map(|entry| {
        let path = entry.expect("an entry is read").path();
        path.extension()
            .is_some_and(|extension| extension == "sst")
            .then_some(path)
    });
    fs::remove_file(table.expect("the row was written out")).expect("a file is removed");
    match open(path) {
        Err(OpenError::Damaged { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn clean_closing_vouches_for_the_last_record() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path();
    let store = must_open(path);
    store.append(b"first").expect("redo is appended");
    let killed = tempfile::tempdir().expect("a directory is made");
    copy_directory(path, killed.path());
    drop(store);
    for (path, is_clean) in [(path, true), (killed.path(), false)] {
        let segment = segments(path).remove(0);
        let mut bytes = fs::read(&segment).expect("a file is read");
        *bytes.last_mut().expect("it holds a record") ^= 1;
        fs::write(&segment, bytes).expect("a file is written");
        match open(path) {
            Err(OpenError::Damaged { .. }) if is_clean => {}
            Ok(store) if !is_clean => assert_eq!(replay(&store), []),
            other => panic!("{other:?} of a clean directory: {is_clean}"),
        }
    }
}
