//! Owners whose disks go back to what backups held.

use larder_cluster::message::Message;

use crate::support::{Stage, row_key};

/// What `key` is about alone.
fn is_delta_of(message: &Message, key: &str) -> bool {
    match message {
        Message::Delta(_, delta) => {
            assert_eq!(delta.changes.len(), 1, "one element at a time");
            delta.changes[0].key == row_key(key)
        }
        _ => false,
    }
}

fn is_retired_everywhere(stage: &Stage) -> bool {
    let has_gap = |at| {
        stage.partition(at, |p| {
            let main = p.main.as_ref().expect("it is an owner");
            let mut actors = main.actors.iter();
            actors.any(|(actor, _)| main.clock.has_gaps(actor))
        })
    };
    !(0..3).any(has_gap)
}

/// Three owners of `x`. What `change` does to it on the third reaches the second, and then both go
/// back to what was before; the first has a later change of the third, whose actor retires
/// thereupon. At last the second goes on, without links, from a backup that has it all the same.
fn retired_over(change: impl Fn(&mut Stage)) -> Stage {
    let mut stage = Stage::new(3, 3);
    for node in &stage.nodes {
        let mut settings = (*node.settings()).clone();
        settings.delta_bytes_max = 1;
        node.set_settings(settings);
    }
    stage.set(2, "x");
    stage.pump(20);
    let before = [1, 2].map(|at| stage.stores[at].crash_kill(0));
    stage.cut(0, 2);
    stage.cut(0, 1);
    change(&mut stage);
    stage.pump(5);
    let later = stage.stores[1].crash_kill(0);
    stage.set(2, "y");
    stage.link(0, 2);
    for _ in 0..5 {
        stage.now_ms += 10;
        (0..3).for_each(|at| {
            stage.poll(at);
            stage.sync(at);
        });
        stage.take(|_, to, m| to == 0 && is_delta_of(m, "x"));
        while stage.deliver(|_, to, m| to != 0 || !is_delta_of(m, "x")) {
            stage.take(|_, to, m| to == 0 && is_delta_of(m, "x"));
        }
    }
    assert_eq!(stage.values(0, "y").len(), 1, "it has the later change");
    assert_eq!(stage.values(0, "x").len(), 1, "it lacks the earlier one");
    let [first, second] = before;
    stage.reopen(1, first);
    stage.reopen(2, second);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        stage.link(a, b);
    }
    stage.pump(100);
    assert!(is_retired_everywhere(&stage), "nobody can fill its gap");
    stage.reopen(1, later);
    stage
}

/// What a backup knows to be removed by a change that was taken for lost, it tells the others, or
/// it would be the only one to hide what they show.
#[test]
fn a_removal_that_was_taken_for_lost_returns_with_a_backup() {
    for peers in [[0, 2], [2, 0]] {
        let mut stage = retired_over(|stage| stage.delete(2, "x"));
        assert_eq!(stage.values(1, "x"), [""; 0], "it was removed there");
        for peer in peers {
            stage.link(1, peer);
            stage.pump(60);
        }
        for at in 0..3 {
            assert_eq!(stage.values(at, "x"), [""; 0], "it is removed on {at}");
        }
    }
}

/// A value that was taken for lost stays lost, and does not take along what it had replaced.
#[test]
fn a_value_that_was_taken_for_lost_is_lost_alone() {
    let mut stage = retired_over(|stage| {
        stage.set(2, "x");
    });
    let first = stage.values(0, "x").concat();
    stage.link(1, 0);
    stage.pump(60);
    stage.link(1, 2);
    stage.pump(60);
    for at in 0..3 {
        assert_eq!(stage.values(at, "x"), [first.as_str()], "on {at}");
    }
}
