//! The same seed is the same run, byte for byte.

use larder_sim::{Options, run};

#[test]
fn same_seed_same_run() {
    for seed in 0..40 {
        let first = run(seed, Options::default());
        let second = run(seed, Options::default());
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.violation, second.violation, "seed {seed}");
    }
}

#[test]
fn a_trace_that_is_read_changes_nothing() {
    let silent = run(7, Options::default());
    let spoken = run(
        7,
        Options {
            verbose: true,
            ..Options::default()
        },
    );
    let again = run(
        7,
        Options {
            verbose: true,
            ..Options::default()
        },
    );
    assert_eq!(silent.hash, spoken.hash);
    assert_eq!(spoken.text, again.text);
}

#[test]
fn other_seeds_are_other_runs() {
    let hashes: std::collections::BTreeSet<u64> = (0..20)
        .map(|seed| run(seed, Options::default()).hash)
        .collect();
    assert_eq!(hashes.len(), 20);
}
