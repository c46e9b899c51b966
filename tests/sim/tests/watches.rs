//! Whoever watches a key comes to see its latest state, whatever happens to its owners and to the
//! links, and without looking when nothing has happened.

mod support;

use bytes::Bytes;
use larder_cluster::message::Message;
use larder_cluster::node::{Answer, Submitted};
use larder_cluster::request::Reply;
use larder_sim::action::Action;
use larder_sim::dice::Dice;
use support::{Stage, row_key, stage_partition};

/// A node whose client watches `x`, and reads it when told to, one read at a time.
struct Watcher {
    at: usize,
    seen: Option<Bytes>,
    reading: Option<u64>,
    again: bool,
}

impl Watcher {
    fn begin(stage: &mut Stage, at: usize) -> Self {
        stage.nodes[at].watch(stage_partition(), &row_key("x"), stage.now());
        let mut watcher = Self {
            at,
            seen: None,
            reading: None,
            again: false,
        };
        watcher.read(stage);
        watcher
    }

    fn read(&mut self, stage: &mut Stage) {
        let (token, request) = stage.request(Action::of("GET {stage}x"));
        match stage.nodes[self.at].submit(token, request, stage.now()) {
            Submitted::Done(reply) => self.note(reply),
            Submitted::Pending => self.reading = Some(token),
        }
        stage.collect(self.at);
    }

    /// An error passes: the watch waits for its next reason to look.
    fn note(&mut self, reply: Reply) {
        self.reading = None;
        if let Reply::Done(bytes) = reply {
            self.seen = Some(bytes);
        }
    }

    /// Acts upon what its node has said.
    fn look(&mut self, stage: &mut Stage) {
        for (at, answer) in std::mem::take(&mut stage.answers) {
            match answer {
                Answer::Reply(token, reply) if self.reading == Some(token) => self.note(reply),
                Answer::Changed(..) if at == self.at => self.again = true,
                _ => {}
            }
        }
        if self.again && self.reading.is_none() {
            self.again = false;
            self.read(stage);
        }
    }

    fn pump(&mut self, stage: &mut Stage, rounds: usize) {
        for _ in 0..rounds {
            stage.pump(1);
            self.look(stage);
        }
    }
}

/// Four nodes, two of which own the key; and the two that do not.
fn stage_and_owners() -> (Stage, Vec<usize>, Vec<usize>) {
    let stage = Stage::new(4, 2);
    let (owners, others) = (0..4).partition(|node| stage.partition(*node, |p| p.main.is_some()));
    (stage, owners, others)
}

#[test]
fn a_watcher_comes_to_see_the_latest_state_whatever_happens() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let (mut stage, owners, others) = stage_and_owners();
        let mut watcher = Watcher::begin(&mut stage, others[0]);
        let mut linked = [true; 4];
        for _ in 0..40 {
            let owner = owners[dice.below(2)];
            match dice.below(8) {
                0..4 => {
                    stage.set(owner, "x");
                }
                4 if linked[owner] => {
                    stage.cut(watcher.at, owner);
                    linked[owner] = false;
                }
                4 | 5 if !linked[owner] => {
                    stage.link(watcher.at, owner);
                    linked[owner] = true;
                }
                6 => {
                    let disk = stage.stores[owner].crash_kill(usize::MAX);
                    stage.reopen(owner, disk);
                    for other in (0..4).filter(|other| *other != owner) {
                        stage.link(owner, other);
                    }
                    linked[owner] = true;
                }
                _ => {}
            }
            let rounds = dice.below(4);
            watcher.pump(&mut stage, rounds);
        }
        for owner in owners.iter().filter(|owner| !linked[**owner]) {
            stage.link(watcher.at, *owner);
        }
        watcher.pump(&mut stage, 60);
        let mut fresh = Watcher::begin(&mut stage, watcher.at);
        fresh.pump(&mut stage, 20);
        assert!(fresh.seen.is_some(), "seed {seed}");
        assert_eq!(watcher.seen, fresh.seen, "seed {seed}");
    }
}

#[test]
fn a_watched_key_that_rests_is_not_asked_for() {
    let (mut stage, owners, others) = stage_and_owners();
    let mut watcher = Watcher::begin(&mut stage, others[0]);
    stage.set(owners[0], "x");
    watcher.pump(&mut stage, 50);
    let before = stage.requests();
    watcher.pump(&mut stage, 1000);
    assert_eq!(stage.requests(), before);
    stage.set(owners[0], "x");
    watcher.pump(&mut stage, 10);
    assert!(stage.requests() > before);
}

/// Both ends forget a watch that ends, also by the end of its node's link.
#[test]
fn owners_forget_watches_that_end() {
    let (mut stage, owners, others) = stage_and_owners();
    let watched = |stage: &Stage| {
        let of = |node: &usize| stage.partition(*node, |p| p.watched.len());
        owners.iter().chain(&others).map(of).sum::<usize>()
    };
    let watcher = Watcher::begin(&mut stage, others[0]);
    stage.pump(5);
    assert_eq!(watched(&stage), 2, "here and at the leader");
    stage.nodes[watcher.at].unwatch(stage_partition(), &row_key("x"));
    stage.pump(5);
    assert_eq!(watched(&stage), 0);
    let watcher = Watcher::begin(&mut stage, others[0]);
    stage.pump(5);
    for owner in &owners {
        stage.cut(watcher.at, *owner);
    }
    assert_eq!(watched(&stage), 1, "at the watcher's node");
    stage.link(watcher.at, owners[0]);
    stage.link(watcher.at, owners[1]);
    stage.pump(5);
    assert_eq!(watched(&stage), 2);
    // A word that the watch is over may be lost: then it is forgotten in time.
    stage.nodes[watcher.at].unwatch(stage_partition(), &row_key("x"));
    stage.collect(watcher.at);
    let lost = stage.take(|_, _, m| matches!(m, Message::Unwatch(..)));
    assert_eq!(lost.len(), 1);
    stage.pump(2600);
    assert_eq!(watched(&stage), 0);
}

/// A peer that watches more than it may is told of no more, and takes nothing from others.
#[test]
fn watches_of_a_peer_are_bounded() {
    use larder_cluster::limits::WATCHES_PER_PEER_MAX;
    let (mut stage, owners, others) = stage_and_owners();
    let owner = owners[0];
    for number in 0..WATCHES_PER_PEER_MAX + 10 {
        let watch = Message::Watch(stage_partition(), row_key(&number.to_string()));
        stage.hand_over(others[0], owner, watch);
    }
    let watched = stage.partition(owner, |p| p.watched.len());
    assert_eq!(watched, WATCHES_PER_PEER_MAX);
    let watch = Message::Watch(stage_partition(), row_key("x"));
    stage.hand_over(others[1], owner, watch);
    assert_eq!(
        stage.partition(owner, |p| p.watched.len()),
        WATCHES_PER_PEER_MAX + 1
    );
}
