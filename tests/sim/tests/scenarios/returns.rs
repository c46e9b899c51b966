//! An owner that was none for a while comes back with nothing.

use larder_cluster::layout::{Layout, State};
use larder_cluster::message::Message;
use larder_cluster::ring::Ownership;
use larder_crdt::Value;
use larder_crdt::types::counter_dotted::Sum;
use larder_sim::action::Action;

use crate::support::{NOTHING, Stage, id, joiner, row_key, stage_partition};

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
    let newcomer = stage.add_joining();
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

/// A counter of two owners, the first of which a newcomer displaces: it has handed over its copy,
/// which its disk does not know yet, and then the others remove the counter.
fn removed_behind_a_displaced_owner() -> (Stage, usize, usize) {
    let mut stage = Stage::new(MEMBERS, 2);
    let (displaced, stays, _) = cast(&stage).expect("such is the ring of four");
    stage.run(displaced, Action::of("INCRBY {stage}x 5"));
    stage.pump(20);
    let newcomer = stage.add_joining();
    assert_eq!(newcomer, MEMBERS);
    while stage.partition(displaced, |p| p.main.is_some()) {
        pump_without_syncs_of(&mut stage, displaced);
        assert!(stage.now_ms < 10_000, "it hands over");
    }
    stage.delete(stays, "x");
    for _ in 0..100 {
        pump_without_syncs_of(&mut stage, displaced);
    }
    (stage, displaced, stays)
}

/// One round in which `displaced` syncs no more once it knows that it is displaced.
fn pump_without_syncs_of(stage: &mut Stage, displaced: usize) {
    stage.now_ms += 10;
    for at in 0..stage.nodes.len() {
        stage.poll(at);
        let owns = owners(&stage.nodes[at].view().layout).contains(&displaced);
        if at != displaced || owns {
            stage.sync(at);
        }
    }
    while stage.deliver(|_, _, _| true) {}
}

/// What a counter stands at, if it is there or its reset is kept.
fn sum(stage: &Stage, at: usize) -> Option<Sum> {
    let store = stage.nodes[at].store().clone();
    let row = stage.partition(at, |p| {
        let main = p.main.as_mut().expect("the node has a copy");
        main.rows.get(&*store, &row_key("x"))
    });
    let row = row.expect("the disk is sound");
    let counters = row.siblings().iter().map(|sibling| match &sibling.value {
        Value::Counter(counter) => (**counter).clone(),
        other => panic!("{other:?} is no counter"),
    });
    let joined = counters.reduce(|mut joined, counter| {
        joined.join(&counter);
        joined
    });
    joined.map(|joined| joined.sum())
}

/// Its word that it has no copy must not be one that a power cut takes back: it would go on as the
/// owner that it was, and change what the others have forgotten that they had reset.
#[test]
fn a_displaced_owner_denies_its_copy_once_that_survives_a_power_cut() {
    let (mut stage, displaced, stays) = removed_behind_a_displaced_owner();
    let disk = stage.stores[displaced].crash_power(NOTHING);
    stage.reopen(displaced, disk);
    assert!(stage.partition(displaced, |p| p.has_main()));
    stage.run(displaced, Action::of("INCRBY {stage}x 1"));
    for other in (0..=MEMBERS).filter(|other| *other != displaced) {
        stage.link(displaced, other);
    }
    stage.pump(150);
    assert!(stage.partition(displaced, |p| p.main.is_none()));
    for at in [stays, MEMBERS] {
        assert_eq!(sum(&stage, at), Some(Sum::Integer(1)), "five were removed");
    }
}

#[test]
fn what_waits_for_the_word_of_a_displaced_owner_is_forgotten_after_its_sync() {
    let (mut stage, displaced, stays) = removed_behind_a_displaced_owner();
    assert_eq!(
        sum(&stage, stays),
        Some(Sum::Integer(0)),
        "the reset is kept"
    );
    stage.sync(displaced);
    stage.pump(20);
    for at in [stays, MEMBERS] {
        assert_eq!(sum(&stage, at), None);
    }
}

/// The same of a stand-in's copy: what it takes next would be built on that.
#[test]
fn a_stand_in_denies_its_copy_once_that_survives_a_power_cut() {
    let mut stage = Stage::new(3, 1);
    let owner = (0..3).find(|at| stage.partition(*at, |p| p.main.is_some()));
    let owner = owner.expect("one of three owns it");
    let stand_in = (owner + 1) % 3;
    stage.cut(owner, stand_in);
    stage.run(stand_in, Action::of("INCRBY {stage}x 5"));
    stage.sync(stand_in);
    stage.link(owner, stand_in);
    let round = |stage: &mut Stage| {
        stage.now_ms += 10;
        for at in 0..3 {
            stage.poll(at);
        }
        stage.sync(owner);
        stage.sync((owner + 2) % 3);
        while stage.deliver(|_, _, _| true) {}
    };
    for _ in 0..20 {
        round(&mut stage);
    }
    assert!(
        stage.partition(stand_in, |p| p.fallback.is_none()),
        "it is handed over"
    );
    assert_eq!(sum(&stage, owner), Some(Sum::Integer(5)));
    stage.delete(owner, "x");
    for _ in 0..100 {
        round(&mut stage);
    }
    let disk = stage.stores[stand_in].crash_power(NOTHING);
    stage.reopen(stand_in, disk);
    assert!(stage.partition(stand_in, |p| p.fallback.is_some()));
    stage.run(stand_in, Action::of("INCRBY {stage}x 1"));
    stage.link(owner, stand_in);
    stage.pump(150);
    assert_eq!(
        sum(&stage, owner),
        Some(Sum::Integer(1)),
        "five were removed"
    );
}

/// An owner that was none for a while says of the copy which it had then that it is not whole. It
/// may hold what no other owner has.
#[test]
fn a_returned_owner_does_not_deny_what_it_had() {
    let mut stage = Stage::new(MEMBERS, 2);
    let (displaced, stays, _) = cast(&stage).expect("such is the ring of four");
    stage.run(displaced, Action::of("INCRBY {stage}x 5"));
    stage.pump(20);
    for other in (0..MEMBERS).filter(|other| *other != displaced) {
        stage.cut(displaced, other);
    }
    stage.run(displaced, Action::of("INCRBY {stage}x 1"));
    let node = &stage.nodes[displaced];
    node.change_layout(|layout| layout.with_joining(joiner(MEMBERS))?.become_up(id(MEMBERS)))
        .expect("it is new");
    stage.now_ms += 10;
    stage.poll(displaced);
    stage.nodes[displaced]
        .change_layout(|layout| layout.leave(id(MEMBERS))?.become_left(id(MEMBERS)))
        .expect("it is up");
    stage.now_ms += 10;
    stage.poll(displaced);
    stage.sync(displaced);
    assert!(stage.partition(displaced, |p| p.main.is_some() && !p.has_main()));
    stage.link(displaced, stays);
    stage.take(|_, _, _| true);
    stage.hand_over(stays, displaced, Message::Ask(stage_partition(), 7));
    let answers = stage.take(|_, to, message| {
        to == stays && matches!(message, Message::Acknowledge(_, told) if told.asked == 7)
    });
    let denies = |message: &Message| {
        matches!(
            message,
            Message::Acknowledge(_, told) if told.copy.is_none() && !told.stands_in
        )
    };
    assert_eq!(answers.len(), 1);
    assert!(!answers.iter().any(|(_, _, message)| denies(message)));
}
