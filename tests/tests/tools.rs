//! Redis's own tools against a node.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use larder_tests::binary::installed;
use larder_tests::failure::{Failure, ensure, expect};
use larder_tests::{Checked, Cluster};

/// A tool, or none with a word about why the test does nothing. `./x` installs them.
fn tool(name: &str) -> Option<PathBuf> {
    let found = installed(name);
    if found.is_none() {
        eprintln!("skipped: {name} is not installed (apt-get install redis-tools)");
    }
    found
}

fn run(command: &mut Command, input: &str) -> Checked<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    stdin
        .ok_or_else(|| Failure::new("no stdin"))?
        .write_all(input.as_bytes())?;
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output()?;
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    ensure(status.success(), || {
        format!("{command:?} ended with {status}: {stdout}{stderr}")
    })?;
    Ok(stdout.into_owned())
}

#[test]
fn redis_cli_shows_replies_in_both_protocols() -> Checked {
    let Some(program) = tool("redis-cli") else {
        return Ok(());
    };
    let cluster = Cluster::of(3)?;
    let port = cluster.node(0).port().to_string();
    let cli = |words: &[&str]| {
        run(
            Command::new(&program)
                .args(["-p", &port, "--no-raw"])
                .args(words),
            "",
        )
    };
    expect(
        "SET",
        &cli(&["SET", "greeting", "hello"])?.trim_end(),
        &"OK",
    )?;
    expect(
        "GET",
        &cli(&["-3", "GET", "greeting"])?.trim_end(),
        &"\"hello\"",
    )?;
    expect("nil", &cli(&["GET", "nothing"])?.trim_end(), &"(nil)")?;
    expect(
        "null",
        &cli(&["-3", "GET", "nothing"])?.trim_end(),
        &"(nil)",
    )?;
    let map = cli(&["-3", "CONFIG", "GET", "replicas"])?;
    expect("a map", &map.trim_end(), &"1# \"replicas\" => \"3\"")?;
    let error = cli(&["GET"])?;
    let wanted = "(error) ERR wrong number of arguments for 'get' command";
    expect("an error", &error.trim_end(), &wanted)
}

#[test]
fn redis_cli_reads_commands_from_a_file_and_scans_keys() -> Checked {
    let Some(program) = tool("redis-cli") else {
        return Ok(());
    };
    let cluster = Cluster::of(3)?;
    let port = cluster.node(1).port().to_string();
    let commands: String = (0..500)
        .map(|number| format!("SET key:{number} {number}\r\n"))
        .collect();
    let summary = run(
        Command::new(&program).args(["-p", &port, "--pipe"]),
        &commands,
    )?;
    ensure(summary.contains("errors: 0, replies: 500"), || {
        summary.clone()
    })?;
    let keys = run(
        Command::new(&program).args(["-p", &port, "--scan", "--pattern", "key:*"]),
        "",
    )?;
    let mut keys: Vec<&str> = keys.lines().collect();
    keys.sort_unstable();
    keys.dedup();
    expect("keys that a scan finds", &keys.len(), &500)?;
    let info = run(Command::new(&program).args(["-p", &port, "INFO"]), "")?;
    for field in [
        "redis_version:7.2.4",
        "larder_version:",
        "redis_mode:standalone",
        "loading:0",
    ] {
        ensure(info.contains(field), || {
            format!("INFO lacks {field}: {info}")
        })?;
    }
    Ok(())
}

#[test]
fn redis_cli_finds_big_keys_and_measures_latency() -> Checked {
    let Some(program) = tool("redis-cli") else {
        return Ok(());
    };
    let cluster = Cluster::of(3)?;
    let mut client = cluster.client(0)?;
    for length in [10, 300] {
        client.says(
            &format!("SETRANGE key:{length} {} x", length - 1),
            &format!(":{length}"),
        )?;
    }
    client.begins(r#"LPUT list '' '{"a":1}'"#, "AQ")?;
    let port = cluster.node(2).port().to_string();
    for (mode, wanted) in [
        (
            "--bigkeys",
            "Biggest string found '\"key:300\"' has 300 bytes",
        ),
        ("--memkeys", "Biggest string found '\"key:300\"' has"),
    ] {
        let seen = run(Command::new(&program).args(["-p", &port, mode]), "")?;
        ensure(seen.contains(wanted), || seen.clone())?;
        ensure(seen.contains("1 documents with"), || seen.clone())?;
    }
    let seen = run(Command::new(&program).args(["-p", &port, "--latency"]), "")?;
    let numbers = seen
        .split_whitespace()
        .filter(|word| word.parse::<f64>().is_ok());
    expect("minimum, maximum, mean and count", &numbers.count(), &4)
}

#[test]
fn redis_benchmark_runs_its_tests_without_an_error() -> Checked {
    let Some(program) = tool("redis-benchmark") else {
        return Ok(());
    };
    let cluster = Cluster::of(3)?;
    let port = cluster.node(0).port().to_string();
    let fixed = [
        "-p", &port, "-n", "20000", "-r", "1000", "-c", "20", "-P", "16", "--csv",
    ];
    let mut benchmark = Command::new(&program);
    benchmark.args(fixed).args(["-t", "ping,set,get,incr,mset"]);
    let table = run(&mut benchmark, "")?;
    for test in [
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "MSET (10 keys)",
    ] {
        ensure(table.contains(&format!("\"{test}\"")), || {
            format!("{test} is missing: {table}")
        })?;
    }
    ensure(!table.to_lowercase().contains("err"), || table.clone())?;
    cluster.level()?;
    let commands = cluster.node(0).ask("DBSIZE")?;
    ensure(commands.starts_with(':') && commands != ":0", || {
        format!("DBSIZE says {commands}")
    })
}
