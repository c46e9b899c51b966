//! The shortest histories that break a design like this one, on the real core: those of
//! `short.py` beside the model of a partition, and those that the simulator found here.

#[path = "scenarios/arrivals.rs"]
mod arrivals;
#[path = "scenarios/backups.rs"]
mod backups;
#[path = "scenarios/doubts.rs"]
mod doubts;
#[path = "scenarios/returns.rs"]
mod returns;
mod support;
#[path = "scenarios/turns.rs"]
mod turns;

use bytes::Bytes;
use larder_cluster::limits::REQUEST_BYTES_PER_MS_MIN;
use larder_cluster::message::Message;
use larder_cluster::node::{Answer, Submitted};
use larder_cluster::request::{Access, Reply, Request};
use larder_sim::action::Action;
use support::{NOTHING, Stage, full, id, row_key, stage_partition};

fn is_delta(_: usize, _: usize, message: &Message) -> bool {
    matches!(message, Message::Delta(..))
}

/// One owner, and a node that stands in for it while they are cut.
fn owner_and_stand_in() -> (Stage, usize, usize) {
    let stage = Stage::new(2, 1);
    let owner = usize::from(stage.partition(1, |p| p.main.is_some()));
    (stage, owner, 1 - owner)
}

/// short.py 1: a stand-in that kept its clock or its counter would have its second write taken for
/// the first.
#[test]
fn writes_of_two_stints_as_fallback_both_arrive() {
    let (mut stage, owner, stand_in) = owner_and_stand_in();
    for key in ["x", "y", "x"] {
        stage.cut(owner, stand_in);
        let value = stage.set(stand_in, key);
        assert!(stage.partition(stand_in, |p| p.fallback.is_some()));
        stage.link(owner, stand_in);
        stage.pump(20);
        assert!(
            stage.partition(stand_in, |p| p.fallback.is_none()),
            "it was handed over"
        );
        assert!(
            stage.values(owner, key).contains(&value),
            "{key} has {value}"
        );
    }
}

/// short.py 2: a delta that was on its way when its receiver went back to an old state must not
/// bring a value without its dot: who replaces it there removes it nowhere else.
#[test]
fn a_late_delta_is_refused_by_a_replica_that_was_restored() {
    let mut stage = Stage::new(3, 3);
    let backup = stage.stores[0].crash_kill(0);
    stage.cut(1, 2);
    stage.cut(0, 2);
    let mut values = vec![stage.set(1, "x")];
    stage.pump(20);
    values.push(stage.set(2, "x"));
    stage.link(1, 2);
    stage.pump(1);
    stage.take(|_, to, _| to == 0);
    for _ in 0..5 {
        stage.now_ms += 30;
        stage.poll(1);
        stage.poll(2);
        while stage.deliver(|_, to, _| to != 0) {}
    }
    let late = stage.take(|from, to, m| from == 1 && to == 0 && is_delta(from, to, m));
    assert!(!late.is_empty());
    stage.reopen(0, backup);
    for (from, to, message) in late {
        stage.hand_over(from, to, message);
    }
    assert_eq!(
        stage.values(0, "x"),
        [""; 0],
        "it was computed against what is gone"
    );
    values.push(stage.set(0, "x"));
    stage.link(0, 1);
    stage.link(0, 2);
    stage.pump(60);
    for node in 0..3 {
        assert_eq!(
            stage.values(node, "x"),
            values,
            "nobody had seen another's value"
        );
    }
}

/// short.py 3: a bootstrap that was joined range by range would let a stale delta bring back what
/// the source had removed.
#[test]
fn a_staged_bootstrap_takes_no_delta_and_brings_nothing_back() {
    let mut stage = Stage::new(2, 3);
    stage.set(1, "x");
    stage.pump(20);
    let newcomer = stage.add_joining();
    stage.delete(0, "x");
    let held = stage.take(|_, _, m| matches!(m, Message::Range(..)));
    stage.pump(5);
    for (from, to, message) in held {
        stage.hand_over(from, to, message);
    }
    stage.pump(60);
    for node in 0..=newcomer {
        assert_eq!(
            stage.values(node, "x"),
            [""; 0],
            "x stays removed on {node}"
        );
    }
}

/// short.py 4: T1 {x, y} and T2 {y, z} arrive together, however small the message.
#[test]
fn groups_that_share_an_element_travel_together() {
    let mut stage = Stage::new(2, 2);
    let mut settings = (*stage.nodes[0].settings()).clone();
    settings.delta_bytes_max = 1;
    stage.nodes[0].set_settings(settings);
    for keys in [["x", "y"], ["y", "z"]] {
        let [a, b] = keys.map(full);
        stage.run(0, Action::new([b"MSET".as_slice(), &a, b"1", &b, b"2"]));
    }
    stage.set(0, "other");
    stage.now_ms += 5;
    stage.poll(0);
    let mut sizes = Vec::new();
    for (.., message) in stage.take(is_delta) {
        if let Message::Delta(_, delta) = message {
            sizes.push(delta.changes.len());
        }
    }
    assert_eq!(sizes, [3, 1]);
}

/// short.py 5: a command on a stand-in that holds nothing answers as for an empty key, and what the
/// owners have stays.
#[test]
fn a_delete_on_a_stand_in_takes_only_what_it_had_seen() {
    let (mut stage, owner, stand_in) = owner_and_stand_in();
    let value = stage.set(owner, "x");
    stage.cut(owner, stand_in);
    stage.delete(stand_in, "x");
    stage.link(owner, stand_in);
    stage.pump(20);
    assert_eq!(stage.values(owner, "x"), [value]);
}

/// short.py 6: the word of one owner is not enough to let a stand-in's copy go.
#[test]
fn a_fallback_stays_until_every_owner_has_it() {
    let mut stage = Stage::new(3, 2);
    let owners: Vec<usize> = (0..3)
        .filter(|node| stage.partition(*node, |p| p.main.is_some()))
        .collect();
    let stand_in = (0..3)
        .find(|node| !owners.contains(node))
        .expect("two of three own it");
    for owner in &owners {
        stage.cut(*owner, stand_in);
    }
    stage.cut(owners[0], owners[1]);
    let value = stage.set(stand_in, "x");
    stage.link(owners[0], stand_in);
    stage.pump(20);
    assert!(stage.values(owners[0], "x").contains(&value));
    assert!(
        stage.partition(stand_in, |p| p.fallback.is_some()),
        "one owner lacks it"
    );
    stage.link(owners[1], stand_in);
    stage.pump(20);
    assert!(stage.partition(stand_in, |p| p.fallback.is_none()));
    assert_eq!(stage.values(owners[1], "x"), [value]);
}

/// short.py 7: counters are contiguous per copy, so that a clock is one interval an actor.
#[test]
fn a_clock_is_one_interval_for_each_actor() {
    let mut stage = Stage::new(3, 3);
    for round in 0..30 {
        stage.set(round % 3, &format!("k{}", round % 7));
        stage.pump(1);
    }
    stage.pump(30);
    for node in 0..3 {
        let (ranges, actors) = stage
            .partition(node, |p| {
                p.main
                    .as_ref()
                    .map(|m| (m.clock.ranges_count(), m.actors.len()))
            })
            .expect("all own it");
        assert_eq!(ranges, actors);
    }
}

/// short.py 8: a whole transfer carries the log, so that the receiver can explain what it learnt.
#[test]
fn what_a_bootstrap_brought_can_be_sent_on_as_a_delta() {
    let mut stage = Stage::new(2, 3);
    stage.cut(0, 1);
    let value = stage.set(0, "x");
    let newcomer = stage.add_joining();
    stage.cut(newcomer, 1);
    stage.pump(30);
    assert!(stage.values(newcomer, "x").contains(&value));
    let before = stage.nodes[1].counts().transfers_begun;
    stage.link(newcomer, 1);
    stage.pump(30);
    assert_eq!(stage.values(1, "x"), [value]);
    assert_eq!(
        stage.nodes[1].counts().transfers_begun,
        before,
        "no whole transfer was needed"
    );
}

/// Found by the simulator: the asynchronous rounds sent the node's own dots of an element alone,
/// beside a row that held another's sibling.
#[test]
fn an_element_travels_with_the_dots_of_others() {
    let mut stage = Stage::new(3, 3);
    stage.cut(0, 1);
    let mut values = vec![stage.set(0, "x"), stage.set(1, "x")];
    stage.now_ms += 5;
    stage.poll(0);
    while stage.deliver(|from, to, m| from == 0 && to == 2 && is_delta(from, to, m)) {}
    stage.take(|_, _, _| true);
    stage.set(2, "y");
    let third = Action::new([b"SET".as_slice(), &full("x"), b"third", b"NX"]);
    let third = stage.run(2, third);
    stage.poll(2);
    stage.pump(40);
    stage.link(0, 1);
    stage.pump(40);
    values.sort();
    for node in 0..3 {
        let mut found = stage.values(node, "x");
        found.sort();
        assert_eq!(found, values, "node {node}; command {third} found x there");
    }
}

/// Found by the simulator: a repeated call for the first range began the feed anew, and a row that
/// came between the two was in neither range.
#[test]
fn a_repeated_call_for_the_first_range_loses_nothing() {
    let mut stage = Stage::new(1, 3);
    let mut settings = (*stage.nodes[0].settings()).clone();
    settings.transfer_rows_max = 1;
    stage.nodes[0].set_settings(settings);
    stage.set(0, "a");
    stage.set(0, "b");
    stage.add_joining();
    let mut first = Vec::new();
    for _ in 0..10 {
        stage.now_ms += 10;
        stage.poll(1);
        while stage.deliver(|_, _, m| !matches!(m, Message::Fetch(..))) {}
        first = stage.take(|_, _, m| matches!(m, Message::Fetch(..)));
        if !first.is_empty() {
            break;
        }
    }
    let (from, to, fetch) = first.first().cloned().expect("the newcomer fetches");
    stage.hand_over(from, to, fetch.clone());
    let value = stage.set(0, "c");
    stage.hand_over(from, to, fetch);
    stage.pump(40);
    assert_eq!(stage.values(1, "c"), [value]);
}

/// Found by the simulator: a copy that only the redo held was in no checkpoint, which then let that
/// redo go.
#[test]
fn a_copy_survives_a_restart_and_a_checkpoint_in_which_it_did_not_change() {
    let mut stage = Stage::new(1, 1);
    assert!(stage.partition(0, |p| p.main.is_some()));
    for _ in 0..2 {
        let disk = stage.stores[0].crash_kill(usize::MAX);
        stage.reopen(0, disk);
        let end = stage.nodes[0].redo_end();
        let node = &stage.nodes[0];
        node.checkpoint(&|| node.commit().map(|_| ()))
            .expect("the disk takes all");
        let store = stage.nodes[0].store().clone();
        store.finish_checkpoint(end).expect("the disk takes all");
        assert!(stage.partition(0, |p| p.main.is_some()));
    }
}

/// Found by the simulator: a power cut right after the first start took the node's name, under
/// which the others knew it already.
#[test]
fn a_new_nodes_name_survives_the_first_power_cut() {
    let stage = Stage::new(1, 1);
    let disk = stage.stores[0].crash_power(NOTHING);
    let state = larder_cluster::node::Node::stored_state(&disk).expect("the disk is sound");
    assert_eq!(state.map(|state| state.id), Some(id(0)));
}

/// A change that takes longer than `resend-after-ms`, as half a gigabyte does, was sent again and
/// again, and took longer still.
#[test]
fn a_change_that_is_under_way_is_not_sent_again() {
    let mut stage = Stage::new(2, 2);
    let value = stage.set(0, "x");
    stage.now_ms += 5;
    stage.poll(0);
    let mut slow = stage.take(is_delta);
    assert_eq!(slow.len(), 1);
    for _ in 0..20 {
        stage.now_ms += 10;
        stage.poll(0);
        slow.append(&mut stage.take(|from, _, _| from == 0));
        while stage.deliver(|_, _, _| true) {}
    }
    let deltas = |letters: &[(usize, usize, Message)]| {
        letters
            .iter()
            .filter(|(a, b, m)| is_delta(*a, *b, m))
            .count()
    };
    assert_eq!(deltas(&slow), 1);
    for (from, to, message) in slow {
        stage.hand_over(from, to, message);
    }
    while stage.deliver(|_, _, _| true) {}
    stage.now_ms += 10;
    stage.poll(0);
    assert_eq!(deltas(&stage.mail), 0, "it has arrived");
    stage.pump(20);
    assert_eq!(stage.values(1, "x"), [value]);
}

#[test]
fn a_change_that_was_lost_is_sent_again() {
    let mut stage = Stage::new(2, 2);
    let value = stage.set(0, "x");
    stage.now_ms += 5;
    stage.poll(0);
    assert_eq!(stage.take(is_delta).len(), 1);
    stage.pump(10);
    assert_eq!(stage.values(1, "x"), [value]);
}

/// What a node answers within so many milliseconds to a command that it sends on, and that gets no
/// reply.
fn answers(stage: &mut Stage, at: usize, request: &Request, wait_ms: u64) -> Vec<Answer> {
    let submitted = stage.nodes[at].submit(7, request.clone(), stage.now());
    assert_eq!(submitted, Submitted::Pending);
    stage.now_ms += wait_ms;
    stage.nodes[at]
        .poll(stage.now())
        .expect("the disk takes all");
    let effects = stage.nodes[at].commit().expect("the disk takes all");
    effects.answers
}

/// Half a gigabyte takes longer on its way than a small command may take in all.
#[test]
fn a_large_command_is_waited_for_as_long_as_it_travels() {
    let (mut stage, _, asker) = owner_and_stand_in();
    let more_ms = 256;
    let large = Bytes::from(vec![0; REQUEST_BYTES_PER_MS_MIN * more_ms]);
    let mut request = Request::new(0, vec![large], vec![stage_partition()], Access::Write);
    let timeout_ms = stage.nodes[asker].settings().request_timeout_ms;
    assert_eq!(answers(&mut stage, asker, &request, timeout_ms), []);
    request.args.clear();
    let unknown = Answer::Reply(7, Reply::Unknown);
    assert_eq!(
        answers(&mut stage, asker, &request, timeout_ms),
        [unknown.clone(), unknown]
    );
}

/// What must not run twice is tried on the next owner if it has certainly not reached the first
/// one; else nobody can know what became of it.
#[test]
fn a_command_that_never_left_is_tried_on_the_next_owner() {
    for has_left in [false, true] {
        let mut stage = Stage::new(4, 3);
        let asker = (0..4)
            .find(|node| stage.partition(*node, |p| p.main.is_none()))
            .expect("three of four own it");
        let mut request = Request::new(0, Vec::new(), vec![stage_partition()], Access::Write);
        request.repeatable = false;
        let submitted = stage.nodes[asker].submit(7, request, stage.now());
        assert_eq!(submitted, Submitted::Pending);
        stage.collect(asker);
        let asked = |stage: &mut Stage| -> Vec<(usize, u64)> {
            let letters =
                stage.take(|from, _, m| from == asker && matches!(m, Message::Request(..)));
            let number = |(_, to, m)| match m {
                Message::Request(number, _) => Some((to, number)),
                _ => None,
            };
            letters.into_iter().filter_map(number).collect()
        };
        let sent = asked(&mut stage);
        let &[(first, number)] = &sent[..] else {
            panic!("it is sent to one owner: {sent:?}");
        };
        if !has_left {
            stage.nodes[asker].on_unsent(id(first), number);
        }
        stage.cut(asker, first);
        stage.nodes[asker]
            .poll(stage.now())
            .expect("the disk takes all");
        let effects = stage.nodes[asker].commit().expect("the disk takes all");
        let next = effects
            .sends
            .iter()
            .filter(|(_, m)| matches!(m, Message::Request(..)));
        let next: Vec<_> = next.map(|(to, _)| *to).collect();
        if has_left {
            assert_eq!(effects.answers, [Answer::Reply(7, Reply::Unknown)]);
            assert_eq!(next, []);
        } else {
            assert_eq!(effects.answers, []);
            assert!(next.len() == 1 && next[0] != id(first), "{next:?}");
        }
    }
}

/// Found by the simulator: an amount that had expired kept the reset beside it for ever on the
/// replica that nobody wrote to, while another had dropped both.
#[test]
fn a_reset_beside_what_has_expired_is_forgotten() {
    let mut stage = Stage::new(2, 2);
    let command = |line: &str| Action::of(&line.replace("KEY", "{stage}c"));
    stage.run(0, command("INCRBY KEY 5"));
    stage.run(0, command("PEXPIRE KEY 200"));
    stage.pump(5);
    stage.cut(0, 1);
    stage.run(0, command("DEL KEY"));
    stage.run(1, command("INCRBY KEY 3"));
    stage.link(0, 1);
    stage.pump(3);
    assert_eq!(stage.values(0, "c").len(), 2, "the reset and the amount");
    stage.pump(100);
    for node in 0..2 {
        assert_eq!(stage.values(node, "c"), [""; 0], "on {node}");
    }
}

/// Found by the simulator: who watched a key on a node that was fetching its partition was not told
/// what had come with it.
#[test]
fn a_bootstrap_tells_those_who_watch() {
    let mut stage = Stage::new(2, 3);
    stage.set(0, "x");
    let newcomer = stage.add_joining();
    stage.nodes[newcomer].watch(stage_partition(), &row_key("x"), stage.now());
    stage.pump(30);
    assert_eq!(stage.values(newcomer, "x").len(), 1);
    let changed = Answer::Changed(stage_partition(), row_key("x"));
    assert!(stage.answers.contains(&(newcomer, changed)));
}

/// Found by the watches of a stage: a link that broke and was back before anybody looked left its
/// commands waiting for answers that could not come any more.
#[test]
fn a_command_whose_link_broke_does_not_wait_for_its_time_to_pass() {
    let (mut stage, owner, asker) = owner_and_stand_in();
    let mut request = Request::new(0, Vec::new(), vec![stage_partition()], Access::Write);
    request.repeatable = false;
    let submitted = stage.nodes[asker].submit(7, request, stage.now());
    assert_eq!(submitted, Submitted::Pending);
    stage.cut(owner, asker);
    stage.link(owner, asker);
    stage.poll(asker);
    assert_eq!(stage.answers, [(asker, Answer::Reply(7, Reply::Unknown))]);
}
