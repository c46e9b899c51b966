//! A node that is a cluster of its own takes what it holds to another cluster.

use larder_cluster::layout::{LayoutError, State};
use larder_cluster::message::Message;

use crate::support::{NOTHING, Stage, id};

/// Whether a node will own the stage's partition once all changes are done.
fn will_own(stage: &Stage, at: usize) -> bool {
    let partition = stage.partition(at, |p| p.id);
    let ownership = stage.nodes[at].view().ownership.clone();
    ownership.is_next_owner(id(at), partition)
}

fn link_all(stage: &mut Stage, newcomer: usize) {
    for other in (0..stage.nodes.len()).filter(|other| *other != newcomer) {
        stage.link(newcomer, other);
    }
}

/// After everything has settled: the owners hold these values, and nobody else holds a copy.
fn assert_holds(stage: &Stage, key: &str, wanted: &[&String]) {
    let mut wanted: Vec<String> = wanted.iter().map(|value| (*value).clone()).collect();
    wanted.sort();
    for at in 0..stage.nodes.len() {
        if will_own(stage, at) {
            assert_eq!(stage.values(at, key), wanted, "{key} on {at}");
        } else {
            assert!(
                stage.partition(at, |p| p.main.is_none() && p.fallback.is_none()),
                "{at} owns nothing here"
            );
        }
    }
}

#[test]
fn what_an_arriving_node_holds_is_merged_whether_it_becomes_an_owner_or_not() {
    let (mut as_owner, mut as_guest) = (0, 0);
    for (others, replicas) in [(1, 1), (2, 1), (3, 1), (5, 1), (4, 2), (3, 3), (6, 3)] {
        let mut stage = Stage::new(others, replicas);
        let owner = (0..others)
            .find(|at| stage.partition(*at, |p| p.main.is_some()))
            .expect("somebody owns it");
        let newcomer = stage.add_alone(8);
        let theirs = stage.set(owner, "both");
        let ours = stage.set(newcomer, "both");
        let (only_theirs, only_ours) = (stage.set(owner, "a"), stage.set(newcomer, "b"));
        stage.set(newcomer, "gone");
        stage.delete(newcomer, "gone");
        stage.pump(5);
        stage.move_in(newcomer, owner);
        if will_own(&stage, newcomer) {
            as_owner += 1;
            let is_whole = stage.partition(newcomer, |p| p.has_main());
            assert!(!is_whole, "it lacks what the cluster has");
        } else {
            as_guest += 1;
        }
        link_all(&mut stage, newcomer);
        stage.pump(150);
        for at in 0..=others {
            let layout = stage.nodes[at].view().layout.clone();
            assert_eq!(layout.nodes().count(), others + 1);
            assert!(layout.nodes().all(|(_, entry)| entry.state == State::Up));
        }
        assert_holds(&stage, "both", &[&theirs, &ours]);
        assert_holds(&stage, "a", &[&only_theirs]);
        assert_holds(&stage, "b", &[&only_ours]);
        assert_holds(&stage, "gone", &[]);
    }
    assert!(as_owner > 0 && as_guest > 0, "{as_owner} {as_guest}");
}

#[test]
fn what_changes_while_a_node_arrives_is_merged_too() {
    for (others, replicas) in [(3, 1), (3, 3)] {
        let mut stage = Stage::new(others, replicas);
        let owner = (0..others)
            .find(|at| stage.partition(*at, |p| p.main.is_some()))
            .expect("somebody owns it");
        let newcomer = stage.add_alone(8);
        let old = stage.set(newcomer, "x");
        stage.set(newcomer, "y");
        stage.move_in(newcomer, owner);
        // Nobody is in reach yet: the newcomer stands in for the owners.
        let before = stage.set(newcomer, "z");
        link_all(&mut stage, newcomer);
        let during = stage.set(owner, "x");
        stage.delete(owner, "y");
        stage.pump(150);
        assert_holds(&stage, "x", &[&old, &during]);
        assert_holds(&stage, "z", &[&before]);
        // Its remover had not seen it.
        let shown: Vec<String> = (0..=others)
            .filter(|at| will_own(&stage, *at))
            .map(|at| stage.values(at, "y").join(" "))
            .collect();
        assert!(shown.iter().all(|value| !value.is_empty()), "{shown:?}");
    }
}

/// Until its new layout is on the disk an arriving node is what it was, with all it had.
#[test]
fn a_node_that_is_killed_while_it_arrives_has_lost_nothing() {
    let mut restarted_alone = false;
    let mut restarted_inside = false;
    for records in [0, 1, usize::MAX] {
        let mut stage = Stage::new(3, 3);
        let newcomer = stage.add_alone(8);
        let old = stage.set(newcomer, "x");
        stage.pump(5);
        stage.move_in(newcomer, 0);
        let disk = match records {
            0 => stage.stores[newcomer].crash_power(NOTHING),
            _ => stage.stores[newcomer].crash_kill(records),
        };
        stage.reopen(newcomer, disk);
        let cluster = stage.nodes[newcomer].view().layout.cluster();
        if cluster == 8 {
            restarted_alone = true;
            stage.pump(5);
            assert_eq!(stage.values(newcomer, "x"), std::slice::from_ref(&old));
            stage.move_in(newcomer, 0);
        } else {
            restarted_inside = true;
        }
        link_all(&mut stage, newcomer);
        stage.pump(150);
        assert_holds(&stage, "x", &[&old]);
    }
    assert!(restarted_alone && restarted_inside);
}

/// A cluster knows a node that a power cut has set back to the time before it arrived.
#[test]
fn a_node_that_does_not_know_that_it_had_arrived_arrives_again() {
    let mut stage = Stage::new(3, 3);
    let newcomer = stage.add_alone(8);
    let old = stage.set(newcomer, "x");
    stage.pump(5);
    let before = stage.stores[newcomer].crash_kill(usize::MAX);
    stage.move_in(newcomer, 0);
    link_all(&mut stage, newcomer);
    stage.pump(150);
    stage.reopen(newcomer, before);
    let new = stage.set(newcomer, "x");
    stage.move_in(newcomer, 0);
    link_all(&mut stage, newcomer);
    stage.pump(150);
    assert_holds(&stage, "x", &[&new]);
    assert_ne!(old, new);
}

#[test]
fn a_node_that_looks_for_another_cluster_shows_strangers_no_layout() {
    let mut stage = Stage::new(1, 1);
    let other = stage.add_alone(8);
    let is_layout =
        |from: usize, message: &Message| from == 0 && matches!(message, Message::Layout(..));
    assert!(stage.nodes[0].set_moving(true));
    assert!(!stage.nodes[0].set_moving(true));
    stage.link(0, other);
    assert!(
        stage
            .take(|from, _, message| is_layout(from, message))
            .is_empty()
    );
    assert!(stage.nodes[0].set_moving(false));
    stage.link(0, other);
    assert!(
        !stage
            .take(|from, _, message| is_layout(from, message))
            .is_empty()
    );
}

#[test]
fn a_node_with_company_does_not_arrive_anywhere() {
    let mut stage = Stage::new(2, 2);
    let other = stage.add_alone(8);
    let theirs = stage.nodes[other].view().layout.clone();
    let now = stage.now();
    let refused = stage.nodes[0].join_cluster(&theirs, now);
    assert_eq!(refused, Err(LayoutError::NotAlone));
    assert_eq!(stage.nodes[0].view().layout.cluster(), 7);
}
