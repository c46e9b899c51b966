//! What a kill, a power cut, a full disk and damage leave.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use common::{Numbers, SLOT, copy_directory, key, must_open, open, part, replay, segments};
use larder_cluster::store::{RedoPosition, Store, StoreError};
use larder_storage::OpenError;

const CHILD_DIRECTORY: &str = "LARDER_TEST_DIRECTORY";

/// This program again, running one test that only serves another.
fn child(test: &str, directory: &Path) -> Command {
    let program = std::env::current_exe().expect("the test knows its own path");
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", "--nocapture", test]);
    command
        .env(CHILD_DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn say(line: &str) {
    std::io::stdout()
        .write_all(format!("{line}\n").as_bytes())
        .expect("the parent reads");
}

fn redo_of(position: u64) -> Vec<u8> {
    let mut redo = vec![position as u8; (position * 37 % 3000) as usize];
    redo.extend_from_slice(&position.to_be_bytes());
    redo
}

/// Appends, syncs and checkpoints until it is killed, and tells what was done.
#[test]
#[ignore = "a child of kill_loses_nothing_that_was_answered"]
fn child_writes_until_killed() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else {
        return;
    };
    let store = must_open(directory.as_ref());
    let start = replay(&store)
        .last()
        .map_or_else(|| forgotten(&store), |(last, _)| *last);
    let last = AtomicU64::new(start);
    thread::scope(|scope| {
        scope.spawn(|| {
            for position in start + 1.. {
                assert_eq!(store.append(&redo_of(position)), Ok(RedoPosition(position)));
                last.store(position, Ordering::SeqCst);
                say(&format!("appended {position}"));
            }
        });
        scope.spawn(|| {
            loop {
                store.sync().expect("redo is synced");
            }
        });
        loop {
            let position = last.load(Ordering::SeqCst);
            store
                .checkpoint(&part(1, &position.to_be_bytes()))
                .expect("a part is written");
            store
                .checkpoint(&part(2, &position.to_be_bytes()))
                .expect("a part is written");
            say(&format!("forgetting {position}"));
            store
                .finish_checkpoint(RedoPosition(position))
                .expect("it is finished");
            say(&format!("forgot {position}"));
        }
    });
}

/// The position in the row that the last checkpoint wrote first.
fn forgotten(store: &dyn Store) -> u64 {
    let row = store.row(SLOT, &key(1)).expect("a row is read");
    row.map_or(0, |row| {
        u64::from_be_bytes(row.try_into().expect("it is a position"))
    })
}

#[test]
fn kill_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let mut numbers = Numbers(1);
    let (mut appended, mut forgetting, mut forgot) = (0, 0, 0);
    for round in 0..12 {
        let mut child = child("child_writes_until_killed", directory.path())
            .spawn()
            .expect("the child starts");
        let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let kill_after = 1 + numbers.below(3000);
        let (forgot_before, mut is_killed) = (forgot, false);
        for (count, line) in (1..).zip(lines) {
            let line = line.expect("a line is read");
            let number = |word: &str| line.strip_prefix(word)?.trim().parse::<u64>().ok();
            appended = number("appended").unwrap_or(appended);
            forgetting = number("forgetting").unwrap_or(forgetting);
            forgot = number("forgot ").unwrap_or(forgot);
            // Every other child lives until it has forgotten something, however slow the disk is.
            let is_time = round % 2 == 0 || forgot > forgot_before;
            if count >= kill_after && is_time && !is_killed {
                child.kill().expect("the child is killed");
                is_killed = true;
            }
        }
        child.wait().expect("the child ends");

        let store = must_open(directory.path());
        let found = replay(&store);
        let first = found.first().map_or(forgetting + 1, |(first, _)| *first);
        assert!(
            (forgot + 1..=forgetting + 1).contains(&first),
            "round {round}: from {first}"
        );
        let last = found.last().map_or(first - 1, |(last, _)| *last);
        assert!(
            last >= appended,
            "round {round}: {appended} was answered, {last} is there"
        );
        let expected: Vec<_> = (first..=last).map(|at| (at, redo_of(at))).collect();
        assert!(found == expected, "round {round}");
        assert!(
            forgotten(&store) + 1 >= first,
            "round {round}: rows of a finished checkpoint"
        );
    }
    assert!(
        appended > 100 && forgot > 10,
        "{appended} appended, {forgot} forgotten"
    );
}

/// A directory with records 1 to 40, of which the first 20 were synced, as a kill would leave it.
fn half_synced(to: &Path) {
    let directory = tempfile::tempdir().expect("a directory is made");
    let store = must_open(directory.path());
    for position in 1..=40 {
        store.append(&redo_of(position)).expect("redo is appended");
        if position == 20 {
            store.sync().expect("redo is synced");
        }
    }
    copy_directory(directory.path(), to);
}

/// Where each record of [`half_synced`] begins in its segment; and where the last one ends.
fn offsets() -> Vec<usize> {
    let length = |position| 24 + redo_of(position).len();
    let sum = |sum: &mut usize, position| {
        *sum += length(position);
        Some(*sum)
    };
    [32].into_iter().chain((1..=40).scan(32, sum)).collect()
}

fn edit(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file is read");
    edit(&mut bytes);
    fs::write(path, bytes).expect("a file is written");
}

/// Opens, and checks that exactly `left` records are there, also for those who append after it.
fn expect_records(path: &Path, left: u64) {
    let mut expected: Vec<_> = (1..=left).map(|at| (at, redo_of(at))).collect();
    for _ in 0..3 {
        let store = must_open(path);
        assert!(replay(&store) == expected, "{left} records are expected");
        let next = expected.len() as u64 + 1;
        assert_eq!(store.append(&redo_of(next)), Ok(RedoPosition(next)));
        expected.push((next, redo_of(next)));
    }
}

#[test]
fn torn_tail_opens_with_all_whole_records() {
    let offsets = offsets();
    let original = tempfile::tempdir().expect("a directory is made");
    half_synced(original.path());
    let mut cuts: Vec<_> = offsets
        .iter()
        .skip(20)
        .flat_map(|at| [at - 1, *at, at + 1])
        .collect();
    cuts.extend((1..24).map(|bytes| offsets[39] + bytes));
    for cut in cuts.into_iter().filter(|cut| *cut <= offsets[40]) {
        let directory = tempfile::tempdir().expect("a directory is made");
        copy_directory(original.path(), directory.path());
        edit(&segments(directory.path())[0], |bytes| bytes.truncate(cut));
        let left = offsets.iter().filter(|at| **at <= cut).count() - 1;
        expect_records(directory.path(), left as u64);
    }
}

#[test]
fn segment_without_a_whole_head_is_a_torn_tail() {
    for length in 0..32 {
        let directory = tempfile::tempdir().expect("a directory is made");
        half_synced(directory.path());
        // Opening begins a segment, and a power cut may leave little of it.
        let again = tempfile::tempdir().expect("a directory is made");
        let store = must_open(directory.path());
        copy_directory(directory.path(), again.path());
        drop(store);
        let segment = segments(again.path()).pop().expect("there are two");
        edit(&segment, |bytes| bytes.truncate(length));
        expect_records(again.path(), 40);
    }
}

/// A power cut may leave the pages of a tail in any state, later ones whole and earlier ones not.
#[test]
fn damage_in_what_was_never_synced_costs_no_more_than_that() {
    let offsets = offsets();
    let original = tempfile::tempdir().expect("a directory is made");
    half_synced(original.path());
    for record in 20..40 {
        for at in [0, 4, 8, 16, 24] {
            let directory = tempfile::tempdir().expect("a directory is made");
            copy_directory(original.path(), directory.path());
            edit(&segments(directory.path())[0], |bytes| {
                bytes[offsets[record] + at] ^= 0x10
            });
            expect_records(directory.path(), record as u64);
        }
    }
}

#[test]
fn damage_to_what_was_durable_is_an_error() {
    let offsets = offsets();
    let original = tempfile::tempdir().expect("a directory is made");
    half_synced(original.path());
    let places = (0..20).flat_map(|record| [0, 7, 8, 23, 24].map(|at| offsets[record] + at));
    for place in places.chain(0..32) {
        let directory = tempfile::tempdir().expect("a directory is made");
        copy_directory(original.path(), directory.path());
        let segment = segments(directory.path()).remove(0);
        edit(&segment, |bytes| bytes[place] ^= 0x10);
        let before = fs::read(&segment).expect("a file is read");
        for _ in 0..2 {
            assert!(
                matches!(open(directory.path()), Err(OpenError::Damaged { .. })),
                "{place}"
            );
        }
        assert!(
            fs::read(&segment).expect("a file is read") == before,
            "nothing was changed"
        );
    }
}

/// Rows may become durable as soon as they are written, so what they came from must be before.
#[test]
fn checkpoint_makes_the_redo_before_it_durable() {
    for finish in [false, true] {
        let directory = tempfile::tempdir().expect("a directory is made");
        let store = must_open(directory.path());
        store.append(&redo_of(1)).expect("redo is appended");
        if finish {
            store
                .finish_checkpoint(RedoPosition(0))
                .expect("it is finished");
        } else {
            store
                .checkpoint(&part(1, b"row"))
                .expect("a part is written");
        }
        store.append(&redo_of(2)).expect("redo is appended");
        let killed = tempfile::tempdir().expect("a directory is made");
        copy_directory(directory.path(), killed.path());
        edit(&segments(killed.path())[0], |bytes| bytes[32] ^= 1);
        // Only the second record says that the first was synced.
        match open(killed.path()) {
            Err(OpenError::Damaged { .. }) => {}
            other => panic!("{other:?} with finish: {finish}"),
        }
    }
}

/// Three segments, each synced to its end before the next began.
fn three_segments(path: &Path) {
    for _ in 0..3 {
        let store = must_open(path);
        for _ in 0..10 {
            store.append(b"redo").expect("redo is appended");
        }
    }
}

#[test]
fn missing_segment_is_an_error() {
    for missing in 0..3 {
        let directory = tempfile::tempdir().expect("a directory is made");
        three_segments(directory.path());
        let segments = segments(directory.path());
        assert_eq!(segments.len(), 4, "and an empty one that vouches for them");
        fs::remove_file(&segments[missing]).expect("a file is removed");
        assert!(
            matches!(open(directory.path()), Err(OpenError::Damaged { .. })),
            "{missing}"
        );
    }
}

#[test]
fn segments_roll_over_and_are_removed_when_forgotten() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let store = must_open(directory.path());
    for position in 1..=80 {
        assert_eq!(
            store.append(&vec![position as u8; 1 << 20]),
            Ok(RedoPosition(position))
        );
    }
    assert_eq!(segments(directory.path()).len(), 5);
    store
        .finish_checkpoint(RedoPosition(40))
        .expect("it is finished");
    assert_eq!(segments(directory.path()).len(), 3);
    drop(store);
    let store = must_open(directory.path());
    assert_eq!(replay(&store).len(), 40);
    store
        .finish_checkpoint(RedoPosition(80))
        .expect("it is finished");
    assert_eq!(segments(directory.path()).len(), 1);
    assert_eq!(store.redo_bytes(), 0);
}

/// A value that somebody stored must not vouch for anything: it holds a whole segment whose records
/// say that everything was durable.
#[test]
fn stored_bytes_do_not_pass_for_redo() {
    let forged = tempfile::tempdir().expect("a directory is made");
    half_synced(forged.path());
    let forged = fs::read(&segments(forged.path())[0]).expect("a file is read");
    let directory = tempfile::tempdir().expect("a directory is made");
    let store = must_open(directory.path());
    store.append(&redo_of(1)).expect("redo is appended");
    store.append(&forged).expect("redo is appended");
    let killed = tempfile::tempdir().expect("a directory is made");
    copy_directory(directory.path(), killed.path());
    edit(&segments(killed.path())[0], |bytes| {
        bytes.truncate(bytes.len() - 1)
    });
    expect_records(killed.path(), 1);
}

/// Appends until the disk refuses, then checks that nothing more is taken.
#[test]
#[ignore = "a child of failed_write_stops_writes and full_disk_is_told"]
fn child_writes_until_refused() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else {
        return;
    };
    let store = must_open(directory.as_ref());
    let (last, error) = (1..)
        .find_map(|position| match store.append(&redo_of(position)) {
            Ok(found) => {
                assert_eq!(found, RedoPosition(position));
                None
            }
            Err(error) => Some((position - 1, error)),
        })
        .expect("the disk is small");
    let stopped = Err(StoreError::Stopped(error.to_string()));
    assert_eq!(store.append(b"").map(|_| ()), stopped);
    assert_eq!(store.sync(), stopped);
    assert_eq!(store.checkpoint(&part(1, b"row")), stopped);
    assert_eq!(store.finish_checkpoint(RedoPosition(0)), stopped);
    assert_eq!(store.row(SLOT, &key(1)), Ok(None), "reads go on");
    assert_eq!(replay(&store).len() as u64, last);
    say(&format!("took {last}, then: {error}"));
}

/// What [`child_writes_until_refused`] said.
fn refused(command: &mut Command) -> Option<(u64, String)> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let has_begun = text.contains("running 1 test");
    assert!(output.status.success() || !has_begun, "{text}");
    let (last, error) = text
        .lines()
        .find_map(|line| line.strip_prefix("took ")?.split_once(", then: "))?;
    Some((last.parse().ok()?, error.to_owned()))
}

#[test]
fn failed_write_stops_writes_until_reopened() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let child = child("child_writes_until_refused", directory.path());
    // The limit on a file's size makes write(2) fail, instead of killing, when its signal is off.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\""])
        .arg(child.get_program());
    shell
        .args(child.get_args())
        .env(CHILD_DIRECTORY, directory.path());
    let (last, error) = refused(&mut shell).expect("the child meets the limit");
    assert!(
        error.starts_with("the disk failed: ") && error.contains("File too large"),
        "{error}"
    );
    assert!(last > 50);
    expect_records(directory.path(), last);
}

/// Writes checkpoints until the disk refuses, then checks that no redo is taken either.
#[test]
#[ignore = "a child of full_disk_is_told_from_a_failing_one"]
fn child_checkpoints_until_refused() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else {
        return;
    };
    let store = must_open(directory.as_ref());
    store.append(b"redo").expect("redo is appended");
    let mut numbers = Numbers(1);
    let (last, error) = (1..)
        .find_map(|hash| {
            let row: Vec<u8> = (0..100_000).map(|_| numbers.below(256) as u8).collect();
            let written = store.checkpoint(&part(hash, &row));
            let written = written.and_then(|()| store.finish_checkpoint(RedoPosition(0)));
            written.err().map(|error| (hash, error))
        })
        .expect("the disk is small");
    let stopped = StoreError::Stopped(error.to_string());
    assert_eq!(store.append(b""), Err(stopped.clone()));
    assert_eq!(store.sync(), Err(stopped.clone()));
    assert_eq!(store.checkpoint(&part(1, b"row")), Err(stopped));
    assert_eq!(
        store.row(SLOT, &key(1)).map(|row| row.is_some()),
        Ok(true),
        "reads go on"
    );
    assert_eq!(replay(&store), [(1, b"redo".to_vec())]);
    say(&format!("took {last}, then: {error}"));
}

/// Needs user namespaces for a disk of its own; where there are none, it says so.
#[test]
fn full_disk_is_told_from_a_failing_one() {
    for test in [
        "child_writes_until_refused",
        "child_checkpoints_until_refused",
    ] {
        let directory = tempfile::tempdir().expect("a directory is made");
        let child = child(test, directory.path());
        let mut shell = Command::new("unshare");
        let mount = "mount -t tmpfs -o size=4m tmpfs \"$LARDER_TEST_DIRECTORY\"";
        let script = format!("{mount} && exec \"$0\" \"$@\"");
        shell
            .args(["-rm", "sh", "-c", &script])
            .arg(child.get_program())
            .args(child.get_args());
        match refused(shell.env(CHILD_DIRECTORY, directory.path())) {
            Some((_, error)) => assert_eq!(error, StoreError::Full.to_string(), "{test}"),
            None => say("skipped: this machine lets no test mount a disk of its own"),
        }
    }
}
