//! Directories, disks, secrets and strangers that a node must not trip over.
//!
//! A clock that jumps by a year is not among them: a process cannot be given a clock of its own
//! here. The simulator sets the clocks of its nodes wrong and back; see `tests/sim`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use larder_tests::failure::{Failure, ensure};
use larder_tests::node::{Node, NodePlan};
use larder_tests::wait::{PATIENCE, until};
use larder_tests::{Checked, Cluster, load};
use tempfile::TempDir;

/// A node of its own in `root`.
fn plan(root: &Path) -> Checked<NodePlan> {
    let secret = root.join("secret");
    fs::write(&secret, "a secret of sixteen bytes or more")?;
    Ok(NodePlan {
        name: "n1".to_owned(),
        root: root.to_owned(),
        secret,
        join: Vec::new(),
        port: 0,
        settings: vec![("partitions".to_owned(), "16".to_owned())],
    })
}

fn with(mut plan: NodePlan, name: &str, value: &str) -> NodePlan {
    plan.settings.push((name.to_owned(), value.to_owned()));
    plan
}

fn refused(plan: NodePlan, why: &str) -> Checked {
    let log = Node::launch(plan)?.refusal()?;
    ensure(log.contains(why), || format!("expected '{why}' in: {log}"))
}

#[test]
fn a_second_server_on_one_directory_is_turned_away() -> Checked {
    let root = TempDir::new()?;
    let node = Node::start(plan(root.path())?)?;
    node.says("SET k v", "+OK")?;
    refused(plan(root.path())?, "is in use by another node")?;
    node.says("GET k", "v")
}

#[test]
fn a_directory_that_is_a_file_or_cannot_be_written_to_is_named() -> Checked {
    let root = TempDir::new()?;
    let file = root.path().join("file");
    fs::write(&file, "text")?;
    let shown = file.display().to_string();
    refused(
        with(plan(root.path())?, "dir", &shown),
        "is not a directory",
    )?;
    let inside = file.join("deeper").display().to_string();
    refused(
        with(plan(root.path())?, "dir", &inside),
        "is not a directory",
    )?;
    // Root may write anywhere but here.
    let shown = "/proc/larder";
    let log = Node::launch(with(plan(root.path())?, "dir", shown))?.refusal()?;
    ensure(log.contains(shown), || {
        format!("{shown} is not named in: {log}")
    })
}

#[test]
fn a_directory_of_a_newer_release_is_left_as_it_is() -> Checked {
    let root = TempDir::new()?;
    let mut node = Node::start(plan(root.path())?)?;
    node.says("SET k v", "+OK")?;
    node.stop()?;
    let format = node.directory().join("FORMAT");
    let own = fs::read(&format)?;
    fs::write(&format, "larder 999\n")?;
    refused(plan(root.path())?, "has format 999")?;
    ensure(fs::read(&format)? == b"larder 999\n", || {
        "FORMAT was changed".to_owned()
    })?;
    fs::write(&format, own)?;
    node.restart()?;
    node.says("GET k", "v")
}

#[test]
fn damaged_files_are_reported_and_not_served() -> Checked {
    let root = TempDir::new()?;
    let mut node = Node::start(plan(root.path())?)?;
    load::set(&mut node.client()?, "k", 0..100)?;
    node.stop()?;
    let format = node.directory().join("FORMAT");
    fs::write(&format, "something else")?;
    refused(plan(root.path())?, "is damaged")
}

#[test]
fn a_secret_that_is_missing_or_short_is_named() -> Checked {
    let root = TempDir::new()?;
    let mut plan = plan(root.path())?;
    fs::write(&plan.secret, "short")?;
    refused(plan.clone(), "must have 16 to 4096 bytes")?;
    plan.secret = root.path().join("nowhere");
    refused(plan, "cannot use the cluster secret")
}

#[test]
fn a_setting_that_makes_no_sense_is_named() -> Checked {
    let root = TempDir::new()?;
    for (name, value) in [
        ("partitions", "1000"),
        ("durability", "perhaps"),
        ("replicas", "0"),
    ] {
        refused(with(plan(root.path())?, name, value), name)?;
    }
    refused(
        with(plan(root.path())?, "no-such-setting", "1"),
        "no-such-setting",
    )
}

#[test]
fn a_node_with_another_secret_is_not_let_in() -> Checked {
    let cluster = Cluster::of(1)?;
    let mut stranger = cluster.plan_for_another();
    stranger.name = "stranger".to_owned();
    stranger.secret = cluster.root().join("other-secret");
    fs::write(&stranger.secret, "quite another secret, long enough")?;
    let log = cluster.root().join("stranger.log");
    let stranger = Node::launch(stranger)?;
    until("the stranger complains", PATIENCE, || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        ensure(log.contains("no node of the cluster answers"), || {
            log.clone()
        })
    })?;
    drop(stranger);
    cluster.settle()
}

#[test]
fn strangers_on_the_peer_port_learn_nothing_and_break_nothing() -> Checked {
    let cluster = Cluster::of(3)?;
    let address = cluster.node(0).peer_address();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: larder\r\n\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
        b"*2\r\n$5\r\nDELTA\r\n$3\r\nabc\r\n",
        b"*99999999\r\n",
        b"*1\r\n$536870912\r\n",
        &[0xff; 4096],
    ] {
        let mut stream = TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // The node may have hung up already.
        let _ = stream.write_all(bytes);
        let mut rest = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut rest);
        ensure(rest.len() < 1024, || {
            format!("{} bytes for a stranger", rest.len())
        })?;
    }
    cluster.node(1).says("GET k", "nil")?;
    cluster.settle()
}

/// A small disk that this process has mounted, or why it cannot.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Result<Self, String> {
        let place = TempDir::new().map_err(|error| error.to_string())?;
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &size, "larder-test"])
            .arg(place.path());
        match mount.stdin(Stdio::null()).stderr(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(Self(place)),
            Ok(status) => Err(format!(
                "mounting a tmpfs needs more rights here ({status})"
            )),
            Err(error) => Err(format!("mount: {error}")),
        }
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, as a node that was just killed may still hold it.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_stops_writes_with_an_error_and_loses_nothing() -> Checked {
    let disk = match SmallDisk::mount(48) {
        Ok(disk) => disk,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return Ok(());
        }
    };
    let mut node = Node::start(plan(&disk.path())?)?;
    let mut client = node.client()?;
    let value = "v".repeat(64 << 10);
    let mut answered = 0;
    let refusal = loop {
        let reply = client.ask(&format!("SET k:{answered} {value}"))?;
        match reply.as_str() {
            "+OK" => answered += 1,
            _ => break reply,
        }
        ensure(answered < 10_000, || {
            "the disk is larger than it should be".to_owned()
        })?;
    };
    ensure(refusal.starts_with("-MISCONF "), || refusal.clone())?;
    // What cannot be written must not show, and reads go on.
    let probe = client.ask("SET small v")?;
    ensure(probe == "+OK" || probe.starts_with("-MISCONF "), || {
        probe.clone()
    })?;
    client.says("PING", "+PONG")?;
    client.says("GET k:0", &value)?;
    node.kill()?;
    // Room again: the node starts with all that it had answered.
    resize(&disk, 128)?;
    node.restart()?;
    let mut client = node.client()?;
    for number in 0..answered {
        client.says(&format!("GET k:{number}"), &value)?;
    }
    client.says("SET again v", "+OK")
}

fn resize(disk: &SmallDisk, megabytes: u32) -> Checked {
    let size = format!("remount,size={megabytes}m");
    let status = Command::new("mount")
        .args(["-o", &size])
        .arg(disk.path())
        .status()?;
    ensure(status.success(), || {
        format!("remounting ended with {status}")
    })
}

#[test]
fn a_read_only_disk_is_named() -> Checked {
    let disk = match SmallDisk::mount(16) {
        Ok(disk) => disk,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return Ok(());
        }
    };
    let root = TempDir::new()?;
    let status = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk.path())
        .status()?;
    ensure(status.success(), || {
        format!("remounting ended with {status}")
    })?;
    let shown = disk.path().join("data").display().to_string();
    refused(
        with(plan(root.path())?, "dir", &shown),
        "cannot be written to",
    )
}

#[test]
fn a_node_in_the_directory_of_another_is_that_other_node() -> Checked {
    let root = TempDir::new()?;
    let mut first = Node::start(plan(root.path())?)?;
    let id = first.id().to_owned();
    first.says("SET k v", "+OK")?;
    first.kill()?;
    // With another cluster to join: the directory decides.
    let other = Cluster::of(1)?;
    let mut plan = plan(root.path())?;
    plan.join = vec![other.node(0).peer_address()];
    let second = Node::start(plan)?;
    ensure(second.id() == id, || format!("{id} became {}", second.id()))?;
    second.says("GET k", "v")?;
    other.settle()
}

#[test]
fn a_crash_at_any_moment_leaves_a_directory_that_opens() -> Checked {
    let root = TempDir::new()?;
    let mut node = Node::start(plan(root.path())?)?;
    let mut answered = 0;
    for round in 0..8_u64 {
        let mut client = node.client()?;
        client.set_patience(Duration::from_secs(10))?;
        let goal = answered + 200 + round * 37;
        while answered < goal {
            client.says(&format!("SET k:{answered} {answered}"), "+OK")?;
            answered += 1;
        }
        // Requests without replies are under way when it is killed.
        let unanswered: String = (0..500).map(|n| format!("SET lost:{n} {n}\r\n")).collect();
        client.send(unanswered.as_bytes())?;
        node.kill()?;
        node.restart()?;
        let mut client = node.client()?;
        for number in 0..answered {
            client.says(&format!("GET k:{number}"), &number.to_string())?;
        }
    }
    let log = node.log();
    ensure(!log.contains("panicked"), || {
        Failure::new(log.clone()).to_string()
    })
}
