//! Settings from every source, and their pages in the documentation.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use larder_cluster::limits::{ADDRESS_BYTES_MAX, ZONE_BYTES_MAX};
use larder_server::settings::check::{Refused, bind_addresses, check, peer_port};
use larder_server::settings::live::LiveSettings;
use larder_server::settings::row::When;
use larder_server::settings::source::{FILE_BYTES_MAX, LoadError, Loaded, load};
use larder_server::settings::value::{Durability, Words};
use larder_server::settings::{Settings, docs, find, rows};

fn load_from(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    let arguments = ["larder-server"]
        .iter()
        .chain(arguments)
        .map(OsString::from);
    load(
        arguments,
        environment
            .iter()
            .map(|(name, text)| (name.into(), text.into())),
    )
}

fn live(arguments: &[&str]) -> LiveSettings {
    LiveSettings::new(load_from(arguments, &[]).expect("valid settings"))
}

fn get(settings: &LiveSettings, pattern: &str) -> Vec<(String, String)> {
    settings.get([pattern.as_bytes()].into_iter())
}

fn set(settings: &LiveSettings, pairs: &[(&str, &str)]) -> Result<(), String> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, text)| (name.as_bytes(), text.as_bytes()))
        .collect();
    settings
        .set(&pairs, &mut |_, _| Ok(()))
        .map_err(|error| error.to_string())
}

fn file(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = directory.path().join("larder.toml");
    fs::write(&file, text).expect("writable");
    file
}

#[test]
fn every_row_is_sound() {
    let settings = Settings::default();
    check(&settings).expect("the defaults fit together");
    let mut names: Vec<&str> = rows().flat_map(|row| row.names()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands in one row only");
    for row in rows() {
        assert!(row.meaning().ends_with('.'), "{}", row.name);
        let mut again = settings.clone();
        row.set(&mut again, &row.get(&settings))
            .expect("what is shown can be set");
        assert_eq!(again, settings, "{}", row.name);
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(
        &directory,
        "port = 7000\nmaxclients = 5\nprotected-mode = false\njoin = [\"a:1\", \"b:2\"]\n\
         cache-size = \"1gb\"\nrequirepass = \"fromfile\"\ntimeout = 1\nlua-time-limit = 9\n",
    );
    let file = file.to_str().expect("a plain path");
    let environment = [
        ("LARDER_MAXCLIENTS", "6"),
        ("LARDER_TIMEOUT", "2"),
        ("PATH", "x"),
    ];
    let loaded = load_from(
        &["--config", file, "--timeout", "3", "--peer-port", "0"],
        &environment,
    );
    let Loaded {
        settings,
        file: read,
        warnings,
    } = loaded.expect("valid settings");
    assert_eq!(
        (settings.port, settings.maxclients, settings.timeout),
        (7000, 6, 3)
    );
    assert_eq!(
        settings.join,
        Words(vec!["a:1".to_owned(), "b:2".to_owned()])
    );
    assert!(!settings.protected_mode);
    assert_eq!(settings.cache_size.0, 1 << 30);
    assert_eq!(settings.requirepass.0, "fromfile");
    assert_eq!(settings.busy_reply_threshold, 9);
    assert_eq!(settings.peer_port, Some(0));
    assert_eq!(read.as_deref(), Some(Path::new(file)));
    assert!(warnings.is_empty());
    assert!(settings.dir.is_absolute());
}

#[test]
fn lists_may_be_given_as_several_flags_or_words() {
    let loaded = load_from(
        &["--join", "a:1 b:2", "--join", "c:3", "--bind", "* -::1"],
        &[],
    );
    let settings = loaded.expect("valid settings").settings;
    assert_eq!(settings.join.0, ["a:1", "b:2", "c:3"]);
    let addresses = bind_addresses(&settings.bind.0).expect("addresses");
    assert!(addresses[0].address.is_unspecified() && !addresses[0].may_be_missing);
    assert!(addresses[1].address.is_loopback() && addresses[1].may_be_missing);
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let in_file = |text: &str| {
        let file = file(&directory, text);
        let error = load_from(&["--config", file.to_str().expect("a plain path")], &[]);
        let text = error.expect_err("a mistake").to_string();
        text.replace(&file.display().to_string(), "FILE")
    };
    assert_eq!(
        in_file("# x\nprot = 1\n"),
        "FILE line 2, prot: no setting has this name"
    );
    assert_eq!(
        in_file("port = 99999\n"),
        "FILE line 1, port: argument must be between 0 and 65535 inclusive"
    );
    assert!(in_file("\n\nport = \n").starts_with("FILE line 3: "));
    assert!(in_file("[port]\n").starts_with("FILE line 1, port: a value must be"));
    assert!(in_file("appendonly = true\n").ends_with("no setting has this name"));
    assert!(in_file(&" ".repeat(FILE_BYTES_MAX as usize + 1)).contains("larger than"));
    let text = load_from(&["--config", "/no/such"], &[])
        .expect_err("no file")
        .to_string();
    assert!(
        text.starts_with("cannot read the settings in /no/such: "),
        "{text}"
    );
    let text = load_from(&["--cache-size", "1t"], &[])
        .expect_err("no size")
        .to_string();
    assert_eq!(text, "--cache-size: argument must be a memory value");
    let text = load_from(&[], &[("LARDER_PORT", "tcp://10.0.0.1:6379")]).expect_err("no port");
    assert_eq!(
        text.to_string(),
        "LARDER_PORT: argument couldn't be parsed into an integer"
    );
    let text = load_from(&["--join", "nowhere"], &[])
        .expect_err("no address")
        .to_string();
    assert!(
        text.starts_with("join: 'nowhere' is not a peer address"),
        "{text}"
    );
    let text = load_from(&["--partitions", "1000"], &[])
        .expect_err("no power")
        .to_string();
    assert_eq!(text, "partitions: must be a power of two");
}

#[test]
fn secrets_are_no_flags_and_odd_variables_are_reported() {
    let error = load_from(&["--requirepass", "x"], &[]).expect_err("not a flag");
    assert!(matches!(error, LoadError::Usage(_)));
    let environment = [
        ("LARDER_REQUIREPASS", "x"),
        ("LARDER_CLUSTER_SECRET", "y"),
        ("LARDER_PROT", "1"),
    ];
    let loaded = load_from(&[], &environment).expect("valid settings");
    assert_eq!(loaded.settings.requirepass.0, "x");
    assert_eq!(
        loaded.warnings,
        ["LARDER_PROT in the environment is no setting"]
    );
    assert!(!format!("{:?}", loaded.settings).contains("\"x\""));
}

#[test]
fn help_lists_every_flag() {
    let LoadError::Usage(help) = load_from(&["--help"], &[]).expect_err("help") else {
        panic!("help is told as an error")
    };
    assert_eq!(help.exit_code(), 0);
    let text = help.to_string();
    for row in rows().filter(|row| row.is_flag()) {
        assert!(text.contains(&format!("--{}", row.name)), "{}", row.name);
    }
    assert!(!text.contains("--requirepass"));
}

#[test]
fn names_and_addresses_have_the_lengths_that_a_layout_takes() {
    let refused = |settings: Settings| check(&settings).err().map(|refused| refused.name);
    let zone = |length| Settings {
        zone: "z".repeat(length),
        ..Settings::default()
    };
    assert_eq!(refused(zone(ZONE_BYTES_MAX)), None);
    assert_eq!(refused(zone(ZONE_BYTES_MAX + 1)), Some("zone"));
    let announce = |length| {
        let announce_address = Some("a".repeat(length));
        Settings {
            announce_address,
            ..Settings::default()
        }
    };
    assert_eq!(refused(announce(ADDRESS_BYTES_MAX)), None);
    assert_eq!(
        refused(announce(ADDRESS_BYTES_MAX + 1)),
        Some("announce-address")
    );
    let join = |length: usize| {
        let join = Words(vec![format!("{}:1", "a".repeat(length - 2))]);
        Settings {
            join,
            ..Settings::default()
        }
    };
    assert_eq!(refused(join(ADDRESS_BYTES_MAX)), None);
    assert_eq!(refused(join(ADDRESS_BYTES_MAX + 1)), Some("join"));
}

#[test]
fn the_port_for_peers_follows_the_one_for_clients() {
    let with = |port, peer| Settings {
        port,
        peer_port: peer,
        ..Settings::default()
    };
    assert_eq!(peer_port(&with(6379, None)), Ok(16379));
    assert_eq!(peer_port(&with(0, None)), Ok(0));
    assert_eq!(peer_port(&with(60000, Some(1))), Ok(1));
    assert!(check(&with(60000, None)).is_err());
}

#[test]
fn config_get_answers_patterns_with_redis_words() {
    let settings = live(&[]);
    assert_eq!(get(&settings, "save"), [("save".to_owned(), String::new())]);
    assert_eq!(
        get(&settings, "appendonly"),
        [("appendonly".to_owned(), "yes".to_owned())]
    );
    let as_asked = ("MAXMEMORY".to_owned(), "0".to_owned());
    assert_eq!(get(&settings, "MAXMEMORY"), [as_asked]);
    assert_eq!(
        get(&settings, "cache-s[hi]ze"),
        [("cache-size".to_owned(), "268435456".to_owned())]
    );
    assert_eq!(get(&settings, "hash-max-*").len(), 4);
    assert_eq!(get(&settings, "nosuch"), []);
    let all = settings.get([&b"*"[..], b"port"].into_iter());
    assert_eq!(all.len(), rows().flat_map(|row| row.names()).count());
    assert_eq!(
        get(&settings, "client-output-buffer-limit")[0].1,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    );
}

#[test]
fn config_set_sets_all_or_nothing() {
    let settings = live(&[]);
    set(&settings, &[("MaxClients", "7"), ("timeout", "8")]).expect("valid");
    assert_eq!(
        (settings.load().maxclients, settings.load().timeout),
        (7, 8)
    );
    let error = set(&settings, &[("maxclients", "9"), ("timeout", "-1")]).expect_err("negative");
    assert_eq!(
        error,
        "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between \
         0 and 2147483647 inclusive"
    );
    assert_eq!(settings.load().maxclients, 7);
}

#[test]
fn config_set_refuses_in_redis_words() {
    let settings = live(&[]);
    let failed = |name: &str, reason: &str| {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
    };
    let cases: &[(&[(&str, &str)], String)] = &[
        (
            &[("port", "1"), ("foo", "1")],
            "ERR Unknown option or number of arguments for CONFIG SET - 'foo'".to_owned(),
        ),
        (
            &[("port", "1")],
            failed("port", "can't set immutable config"),
        ),
        (
            &[("hz", "5"), ("HZ", "6")],
            failed("HZ", "duplicate parameter"),
        ),
        (
            &[("busy-reply-threshold", "5"), ("lua-time-limit", "6")],
            failed("lua-time-limit", "duplicate parameter"),
        ),
        (
            &[("hz", "x")],
            failed("hz", "argument couldn't be parsed into an integer"),
        ),
        (
            &[("hz", "+5")],
            failed("hz", "argument couldn't be parsed into an integer"),
        ),
        (
            &[("cache-size", "9q")],
            failed("cache-size", "argument must be a memory value"),
        ),
        (
            &[("protected-mode", "1")],
            failed("protected-mode", "argument must be 'yes' or 'no'"),
        ),
        (
            &[("appendfsync", "os")],
            failed(
                "appendfsync",
                "argument(s) must be one of the following: everysec, always, no",
            ),
        ),
        (
            &[("loglevel", "loud")],
            failed(
                "loglevel",
                "argument(s) must be one of the following: debug, verbose, notice, warning",
            ),
        ),
        (
            &[("appendonly", "no")],
            failed("appendonly", "can't set immutable config"),
        ),
        (
            &[("maxmemory", "100mb")],
            failed("maxmemory", "can't set immutable config"),
        ),
    ];
    for (pairs, want) in cases {
        assert_eq!(set(&settings, pairs), Err(want.clone()));
    }
    set(&settings, &[("save", ""), ("appendonly", "yes")]).expect("it is so already");
}

#[test]
fn appendfsync_is_durability_in_other_words() {
    let settings = live(&[]);
    set(&settings, &[("appendfsync", "no")]).expect("valid");
    assert_eq!(settings.load().durability, Durability::Os);
    assert_eq!(get(&settings, "appendfsync")[0].1, "no");
    set(&settings, &[("durability", "always")]).expect("valid");
    assert_eq!(get(&settings, "appendfsync")[0].1, "always");
}

#[test]
fn what_cannot_be_applied_is_taken_back() {
    let settings = live(&[]);
    let mut seen = Vec::new();
    let result = settings.set(&[(b"maxclients", b"7")], &mut |old, new| {
        seen.push((old.maxclients, new.maxclients));
        let reason = "the system has too few files".to_owned();
        if new.maxclients == 7 {
            Err(Refused {
                name: "maxclients",
                reason,
            })
        } else {
            Ok(())
        }
    });
    let text = result.expect_err("refused").to_string();
    assert!(
        text.ends_with("'maxclients') - the system has too few files"),
        "{text}"
    );
    assert_eq!(seen, [(10000, 7), (7, 10000)]);
    assert_eq!(settings.load().maxclients, 10000);
}

#[test]
fn rewrite_changes_what_was_set_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(&directory, "# my node\nport = 7000 # here\nhz = 20\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("ours");
    let settings = live(&[
        "--config",
        file.to_str().expect("a plain path"),
        "--timeout",
        "4",
    ]);
    settings.rewrite().expect("nothing to do");
    set(&settings, &[("hz", "30"), ("requirepass", "p\"w")]).expect("valid");
    settings.rewrite().expect("writable");
    let text = fs::read_to_string(&file).expect("readable");
    assert_eq!(
        text,
        "# my node\nport = 7000 # here\nhz = 30\nrequirepass = \"p\\\"w\"\n"
    );
    let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o640);
    assert_eq!(
        fs::read_dir(&directory).expect("readable").count(),
        1,
        "no draft is left"
    );
    let again = live(&["--config", file.to_str().expect("a plain path")]);
    assert_eq!(
        (again.load().hz, again.load().requirepass.0.as_str()),
        (30, "p\"w")
    );
    let none = live(&[]).rewrite().expect_err("no file").to_string();
    assert_eq!(none, "ERR The server is running without a config file");
}

#[test]
fn the_example_is_a_file_of_settings_with_the_defaults() {
    let directory = tempfile::tempdir().expect("a directory");
    let is_setting =
        |line: &&str| line.starts_with('#') && line.contains(" = ") && !line.starts_with("# ");
    let example = docs::example();
    let live: Vec<&str> = example
        .lines()
        .filter(is_setting)
        .map(|line| &line[1..])
        .collect();
    let expected = rows()
        .filter(|row| row.when != When::Never && row.name != "config")
        .count();
    assert_eq!(live.len(), expected);
    let file = file(&directory, &live.join("\n"));
    let loaded = load_from(&["--config", file.to_str().expect("a plain path")], &[]);
    let settings = loaded.expect("valid settings").settings;
    let defaults = load_from(&[], &[]).expect("valid settings").settings;
    assert_eq!(
        Settings {
            config: PathBuf::new(),
            ..settings
        },
        defaults
    );
    assert!(find("config").is_some());
}

#[test]
fn the_pages_of_the_documentation_are_fresh() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for (name, text) in [
        ("settings.md", docs::page()),
        ("larder.toml", docs::example()),
    ] {
        let file = docs.join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, &text).expect("writable");
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == text,
            "docs/{name} is stale: run this test with UPDATE_DOCS=1"
        );
    }
}
