//! An owner that was none for a while comes back with nothing.

use larder_cluster::layout::{Layout, State};
use larder_cluster::message::Message;
use larder_cluster::ring::Ownership;

use crate::support::{Stage, id, joiner, stage_partition};

const MEMBERS: usize = 4;

fn owners(layout: &Layout) -> Vec<usize> {
    let owners = Ownership::of(layout);
    let owners = owners.owners(stage_partition());
    let place = |owner| (0..=MEMBERS).find(|at| id(*at) == owner);
    owners.iter().filter_map(|owner| place(*owner)).collect()
}

/// Two owners, of which a newcomer displaces the first; and a node that is none of them.
fn cast(stage: &Stage) -> Option<(usize, usize, usize)> {
    let layout = stage.nodes[0].view().layout.clone();
    let joined = layout.with_joining(joiner(MEMBERS)).expect("it is new");
    let joined = joined.become_up(id(MEMBERS)).expect("it is joining");
    let (before, after) = (owners(&layout), owners(&joined));
    let displaced = *before.iter().find(|owner| !after.contains(owner))?;
    let stays = *before.iter().find(|owner| after.contains(owner))?;
    let stand_in = (0..MEMBERS).find(|at| !before.contains(at))?;
    Some((displaced, stays, stand_in))
}

/// What it said of the copy that it had before speaks for no copy any more, even if the word that
/// this one has ended was lost.
#[test]
fn a_stand_in_does_not_believe_what_an_owner_said_before_it_was_displaced() {
    let mut stage = Stage::new(MEMBERS, 2);
    let (displaced, stays, stand_in) = cast(&stage).expect("such is the ring of four");
    stage.cut(stand_in, displaced);
    stage.cut(stand_in, stays);
    let value = stage.set(stand_in, "x");
    stage.link(stand_in, displaced);
    stage.pump(20);
    let layout = stage.nodes[stand_in].view().layout.clone();
    let newcomer = stage.add(layout.with_joining(joiner(MEMBERS)).expect("it is new"));
    for _ in 0..60 {
        if stage.partition(displaced, |p| p.main.is_none()) {
            break;
        }
        stage.now_ms += 10;
        for at in 0..=newcomer {
            stage.poll(at);
            stage.sync(at);
        }
        loop {
            let ended = |from: usize, to: usize, message: &Message| {
                (from, to) == (displaced, stand_in)
                    && matches!(message, Message::Acknowledge(p, told)
                        if *p == stage_partition() && told.copy.is_none())
            };
            stage.take(ended);
            if !stage.deliver(|_, _, _| true) {
                break;
            }
        }
    }
    assert!(
        stage.partition(displaced, |p| p.main.is_none()),
        "it has handed over"
    );
    assert!(
        stage.partition(stand_in, |p| p.fallback.is_some()),
        "{stays} is cut off"
    );
    stage.nodes[stand_in]
        .change_layout(|layout| layout.leave(id(newcomer)))
        .expect("it is up");
    assert!(owners(&stage.nodes[stand_in].view().layout).contains(&displaced));
    stage.link(stand_in, stays);
    for _ in 0..5 {
        stage.now_ms += 10;
        stage.poll(stand_in);
        let others = [stays, newcomer];
        while stage.deliver(|from, to, _| {
            (from == stand_in && others.contains(&to)) || (to == stand_in && others.contains(&from))
        }) {}
    }
    assert!(
        stage.partition(displaced, |p| p.main.is_none()),
        "it has heard nothing"
    );
    assert!(
        stage.partition(stand_in, |p| p.fallback.is_some()),
        "an owner lacks what it holds"
    );
    stage.pump(150);
    assert!(
        stage.partition(stand_in, |p| p.fallback.is_none()),
        "it is handed over"
    );
    for at in [displaced, stays] {
        assert_eq!(stage.values(at, "x"), [value.as_str()]);
    }
}

/// Nobody asks a node that has left what it still holds. One that came back as the member that it
/// was before a power cut would change what all others take for gone.
#[test]
fn a_node_says_that_it_has_left_once_that_survives_a_power_cut() {
    let mut stage = Stage::new(3, 3);
    stage.set(0, "x");
    stage.pump(20);
    stage.nodes[0]
        .change_layout(|layout| layout.leave(id(0)))
        .expect("it is up");
    stage.sync(0);
    let states = |stage: &Stage| -> Vec<State> {
        let state = |at: usize| stage.nodes[at].view().layout.entries()[&id(0)].state;
        (0..3).map(state).collect()
    };
    for _ in 0..50 {
        stage.now_ms += 10;
        for at in 0..3 {
            stage.poll(at);
        }
        stage.sync(1);
        stage.sync(2);
        while stage.deliver(|_, _, _| true) {}
    }
    stage.cut(0, 1);
    stage.link(0, 1);
    while stage.deliver(|_, _, _| true) {}
    assert_eq!(
        states(&stage),
        [State::Left, State::Leaving, State::Leaving]
    );
    stage.sync(0);
    while stage.deliver(|_, _, _| true) {}
    assert_eq!(states(&stage), [State::Left; 3]);
}
