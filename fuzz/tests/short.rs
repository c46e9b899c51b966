//! A short search from a fixed seed and a fresh one; `./x fuzz` searches longer.

use std::time::{SystemTime, UNIX_EPOCH};

use larder_fuzz::{Corpus, TARGETS};

const RUNS: u64 = 20_000;

#[test]
fn every_decoder_stands_damaged_bytes() {
    let corpus = Corpus::make();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let fresh = since.map_or(1, |since| since.as_nanos() as u64);
    for target in TARGETS {
        assert!(!(target.seeds)(&corpus).is_empty(), "{}", target.name);
        for seed in [1, fresh] {
            let outcome = target.search(&corpus, RUNS, seed);
            assert_eq!(outcome, Ok(()), "--target {} --seed {seed}", target.name);
        }
    }
}

/// The corpus is of use if it has all kinds of messages that nodes send in normal life.
#[test]
fn the_corpus_has_many_kinds_of_messages() {
    let corpus = Corpus::make();
    let mut kinds: Vec<u8> = corpus
        .messages
        .iter()
        .filter_map(|m| m.first().copied())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert!(kinds.len() >= 8, "{kinds:?}");
    assert!(!corpus.contexts.is_empty() && corpus.records.len() > 20);
}
