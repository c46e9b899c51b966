//! Who owns what: evenness, movement, zones, cuts, and the choices that are frozen.

#![expect(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use larder_cluster::id::{NodeId, PartitionId, Token};
use larder_cluster::layout::{Joiner, Layout, State};
use larder_cluster::limits::{PARTITIONS_MAX, REPLICAS_MAX};
use larder_cluster::ring::{Ownership, Share};
use larder_cluster::token::{KeyPlace, Partitions};
use proptest::prelude::*;

const REPLICAS: usize = 3;
/// The heaviest node, and the movement of a join or departure, in relation to the ideal.
const UNEVEN_MAX: f64 = 1.10;
const MOVEMENT_MAX: f64 = 1.05;

fn node(number: usize) -> NodeId {
    NodeId(KeyPlace::of(format!("node {number}").as_bytes()).token.0)
}

fn new_layout() -> Layout {
    Layout::new(7, Partitions::DEFAULT, REPLICAS)
}

fn joiner(number: usize, zone: &str, weight: u32) -> Joiner {
    Joiner {
        node: node(number),
        zone: zone.into(),
        weight,
        address: format!("n{number}:1"),
    }
}

fn joined(layout: &Layout, number: usize) -> Layout {
    let joining = layout.with_joining(joiner(number, "", 1)).unwrap();
    joining.become_up(node(number)).unwrap()
}

fn cluster_of(count: usize) -> Layout {
    (0..count).fold(new_layout(), |layout, number| joined(&layout, number))
}

fn without(layout: &Layout, node: NodeId) -> Layout {
    layout.leave(node).unwrap().become_left(node).unwrap()
}

/// Copies that have to be shipped for the change under way.
fn movement(ownership: &Ownership) -> usize {
    let gained = |p| ownership.owners(p).len() - ownership.current(p).len();
    ownership.partitions().iter().map(gained).sum()
}

/// The heaviest node in relation to its fair share by weight: primaries, replicas.
fn heaviest(layout: &Layout) -> (f64, f64) {
    let ownership = Ownership::of(layout);
    let shares = ownership.shares();
    let weight = |node: &NodeId| f64::from(layout.entry(*node).unwrap().weight);
    let weights: f64 = shares.keys().map(weight).sum();
    let worst = |of: fn(&Share) -> usize| {
        let total: usize = shares.values().map(of).sum();
        let ratio = |(node, share): (&NodeId, &Share)| {
            of(share) as f64 * weights / weight(node) / total.max(1) as f64
        };
        shares.iter().map(ratio).fold(0.0, f64::max)
    };
    (
        worst(|share| share.primaries),
        worst(|share| share.copies - share.primaries),
    )
}

fn assert_even(layout: &Layout, what: &str) {
    let (primaries, replicas) = heaviest(layout);
    assert!(primaries <= UNEVEN_MAX, "{what}: primaries {primaries}");
    assert!(replicas <= UNEVEN_MAX, "{what}: replicas {replicas}");
}

/// Lets one more node join, and checks what that ships.
fn join_gently(layout: &Layout, number: usize, what: &str) -> Layout {
    let joining = layout.with_joining(joiner(number, "", 1)).unwrap();
    let nodes = joining.nodes().count();
    let copies = layout.partitions().count() * REPLICAS.min(nodes);
    let least = copies as f64 / nodes as f64;
    let moved = movement(&Ownership::of(&joining)) as f64;
    assert!(
        moved <= least * MOVEMENT_MAX + 1.0,
        "{what}: moved {moved}, least {least}"
    );
    let layout = joining.become_up(node(number)).unwrap();
    assert_even(&layout, what);
    layout
}

/// Lets one node leave, and checks what that ships: what it had, as long as others can hold it.
fn leave_gently(layout: &Layout, node: NodeId, what: &str) -> Layout {
    let leaving = layout.leave(node).unwrap();
    let ownership = Ownership::of(&leaving);
    let stays = layout.nodes().count() - 1;
    let least = if stays < REPLICAS {
        0
    } else {
        ownership.shares()[&node].copies
    } as f64;
    let moved = movement(&ownership) as f64;
    assert!(
        moved <= least * MOVEMENT_MAX,
        "{what}: moved {moved}, least {least}"
    );
    let layout = leaving.become_left(node).unwrap();
    assert_even(&layout, what);
    layout
}

#[test]
fn three_to_thirty_nodes_are_even_and_joins_move_the_least() {
    let mut layout = new_layout();
    for number in 0..30 {
        layout = join_gently(&layout, number, &format!("join {number}"));
    }
}

#[test]
fn departures_move_the_least_and_stay_even_and_so_do_joins_after_them() {
    let full = cluster_of(30);
    for (stride, remaining) in [(7, 2), (11, 15)] {
        let mut layout = full.clone();
        for step in 0..30 - remaining {
            let number = (step * stride + 3) % 30;
            let what = format!("stride {stride}, departure {step}");
            layout = leave_gently(&layout, node(number), &what);
        }
        for number in 100..104 {
            layout = join_gently(&layout, number, &format!("stride {stride}, join {number}"));
        }
    }
}

#[test]
fn years_of_joins_and_departures_leave_no_sediment() {
    let small = Layout::new(7, Partitions::new(256).unwrap(), REPLICAS);
    let mut layout = (0..5).fold(small, |layout, number| joined(&layout, number));
    for number in 5..35 {
        layout = join_gently(&layout, number, &format!("join {number}"));
        let victim = layout.nodes().nth(number % 6).unwrap().0;
        layout = leave_gently(&layout, victim, &format!("after join {number}"));
    }
    let tokens: usize = layout.nodes().map(|(_, entry)| entry.tokens.len()).sum();
    assert!(tokens < 330, "{tokens} tokens");
    assert!(
        layout.encode().len() < 4 << 10,
        "{} bytes",
        layout.encode().len()
    );
}

#[test]
fn shares_follow_weights() {
    let mut layout = new_layout();
    for number in 0..20 {
        let weight = 1 + number as u32 % 4;
        let joining = layout.with_joining(joiner(number, "", weight)).unwrap();
        layout = joining.become_up(node(number)).unwrap();
        // Before that the heavy nodes would need more than one copy of a partition.
        if number >= 6 {
            assert_even(&layout, &format!("weighted join {number}"));
        }
    }
    assert_even(&without(&layout, node(7)), "weighted departure");
}

/// The heaviest node of each zone in relation to the mean of the zone: copies.
fn heaviest_of_zones(layout: &Layout) -> f64 {
    let ownership = Ownership::of(layout);
    let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (node, share) in ownership.shares() {
        zones
            .entry(&layout.entry(*node).unwrap().zone)
            .or_default()
            .push(share.copies);
    }
    let ratio = |copies: &Vec<usize>| {
        let (most, sum) = (copies.iter().max().unwrap(), copies.iter().sum::<usize>());
        (most * copies.len()) as f64 / sum as f64
    };
    zones.values().map(ratio).fold(0.0, f64::max)
}

fn assert_zones_distinct(layout: &Layout) {
    let zone_of = |node: &NodeId| layout.entry(*node).unwrap().zone.as_str();
    let zones: BTreeSet<&str> = layout
        .nodes()
        .map(|(_, entry)| entry.zone.as_str())
        .collect();
    let ownership = Ownership::of(layout);
    for partition in ownership.partitions().iter() {
        let list = ownership.current(partition);
        let distinct: BTreeSet<&str> = list.iter().map(zone_of).collect();
        assert_eq!(
            distinct.len(),
            zones.len().min(list.len()),
            "{partition}: {list:?}"
        );
    }
}

#[test]
fn replicas_avoid_one_zone_and_stay_even_within_each() {
    // Zones of equal size, of sizes 1 : 2 : 3, more zones than replicas, and fewer.
    for pattern in ["abc", "abbccc", "abcde", "ab"] {
        let mut layout = new_layout();
        let zone = |number: usize| &pattern[number % pattern.len()..][..1];
        let mut moved = (0, 0);
        for number in 0..24 {
            let joining = layout
                .with_joining(joiner(number, zone(number), 1))
                .unwrap();
            layout = joining.become_up(node(number)).unwrap();
            assert_zones_distinct(&layout);
            if number >= 6 {
                moved.0 += movement(&Ownership::of(&joining));
                moved.1 += Ownership::of(&layout).shares()[&node(number)].copies;
                let (primaries, _) = heaviest(&layout);
                assert!(
                    primaries <= UNEVEN_MAX,
                    "{pattern} {number}: primaries {primaries}"
                );
                let copies = heaviest_of_zones(&layout);
                assert!(copies <= UNEVEN_MAX, "{pattern} {number}: copies {copies}");
            }
        }
        // A node that displaces one of another zone has to shift a few copies of third nodes.
        let ratio = moved.0 as f64 / moved.1 as f64;
        assert!(ratio <= 1.10, "{pattern}: joins moved {ratio}");
        for number in [3, 0] {
            layout = without(&layout, node(number));
            assert_zones_distinct(&layout);
            let (primaries, _) = heaviest(&layout);
            assert!(
                primaries <= 1.12,
                "{pattern} without {number}: primaries {primaries}"
            );
        }
    }
}

#[test]
fn the_first_node_of_a_zone_is_on_every_list_that_lacks_one() {
    let in_zone = |layout: Layout, number: usize, zone: &str| {
        layout
            .with_joining(joiner(number, zone, 1))
            .unwrap()
            .become_up(node(number))
            .unwrap()
    };
    let two = |number: usize| ["a", "b"][number % 2];
    let layout = (0..10).fold(new_layout(), |layout, number| {
        in_zone(layout, number, two(number))
    });
    let layout = in_zone(layout, 10, "c");
    assert_zones_distinct(&layout);
    assert_eq!(Ownership::of(&layout).shares()[&node(10)].copies, 1024);
    assert!(heaviest(&layout).0 <= UNEVEN_MAX);
    assert_zones_distinct(&without(&layout, node(10)));
}

#[test]
fn a_partition_that_changes_hands_again_and_again_has_room_for_one_more_token() {
    let mut layout = Layout::new(1, Partitions::new(1).unwrap(), 1);
    for number in 0..300 {
        layout = joined(&layout, number);
        assert_eq!(
            Ownership::of(&layout).current(PartitionId(0)),
            [node(number)]
        );
        if number > 0 {
            layout = without(&layout, node(number - 1));
        }
    }
    for number in 300..500 {
        layout = joined(&layout, number);
        assert_eq!(
            Ownership::of(&layout).current(PartitionId(0)),
            [node(number)]
        );
    }
}

#[test]
fn joins_on_both_sides_of_a_cut_merge_into_a_ring_that_is_nearly_even() {
    for count in [3, 5, 10] {
        let base = cluster_of(count);
        let (left, right) = (joined(&base, 100), joined(&base, 200));
        let mut merged = left.clone();
        assert!(merged.join(&right).unwrap());
        let mut other = right;
        other.join(&left).unwrap();
        assert_eq!(merged, other);
        let (primaries, replicas) = heaviest(&merged);
        assert!(
            primaries.max(replicas) <= 1.15,
            "{count}: {primaries} {replicas}"
        );
        assert_zones_distinct(&merged);
        // The next to join finds the heavy ones.
        let next = joined(&joined(&merged, 300), 301);
        let (primaries, replicas) = heaviest(&next);
        assert!(
            primaries.max(replicas) <= UNEVEN_MAX,
            "{count}: {primaries} {replicas}"
        );
    }
}

/// Lets nodes that have joined unseen by each other look at the ring again and again, as each of
/// them sees it by then: bit by bit, `chance` says who has heard of the others before it looks. All
/// are up in the end.
fn take_turns(base: &Layout, joiners: &[Joiner], chance: u32) -> Layout {
    let join = |joiner: &Joiner| base.with_joining(joiner.clone()).unwrap();
    let mut views: Vec<Layout> = joiners.iter().map(join).collect();
    for round in 0.. {
        assert!(round < 10 * joiners.len(), "they come to an end");
        let before = views.clone();
        for (at, view) in views.iter_mut().enumerate() {
            if chance.rotate_right((round * joiners.len() + at) as u32) & 1 == 1 {
                before
                    .iter()
                    .for_each(|other| assert!(view.join(other).is_ok()));
            }
        }
        let mut are_settled = views.iter().all(|view| *view == views[0]);
        for (view, joiner) in views.iter_mut().zip(joiners) {
            if let Some(chosen) = view.choose_anew(joiner.node) {
                are_settled = false;
                *view = chosen;
            }
        }
        if are_settled {
            break;
        }
    }
    let up = |layout: Layout, joiner: &Joiner| layout.become_up(joiner.node).unwrap();
    joiners.iter().fold(views.swap_remove(0), up)
}

#[test]
fn nodes_that_join_at_the_same_time_end_as_even_as_one_after_the_other() {
    for (count, joining) in [(1, 2), (1, 4), (2, 3), (3, 3), (5, 5), (10, 2), (10, 6)] {
        for chance in [u32::MAX, 0x9e37_79b9] {
            let base = cluster_of(count);
            let numbers = 100..100 + joining;
            let joiners: Vec<Joiner> = numbers.map(|number| joiner(number, "", 1)).collect();
            let merged = take_turns(&base, &joiners, chance);
            assert_even(&merged, &format!("{joining} join {count}"));
        }
    }
}

#[test]
fn nodes_of_zones_and_weights_that_join_at_the_same_time_come_near_to_one_after_the_other() {
    for (pattern, weight) in [("abc", 1), ("abbccc", 1), ("a", 3)] {
        let of = |number: usize| {
            let zone = &pattern[number % pattern.len()..][..1];
            joiner(number, zone, 1 + number as u32 % weight)
        };
        let join = |layout: Layout, joiner: &Joiner| {
            let joining = layout.with_joining(joiner.clone()).unwrap();
            joining.become_up(joiner.node).unwrap()
        };
        let base = (0..6)
            .map(of)
            .fold(new_layout(), |layout, joiner| join(layout, &joiner));
        let joiners: Vec<Joiner> = (6..11).map(of).collect();
        let in_turn = joiners.iter().fold(base.clone(), join);
        let merged = take_turns(&base, &joiners, u32::MAX);
        let (least, reached) = (heaviest(&in_turn), heaviest(&merged));
        assert!(reached.0 <= UNEVEN_MAX, "{pattern}: primaries {reached:?}");
        let replicas_max = UNEVEN_MAX.max(least.1 * 1.02);
        assert!(
            reached.1 <= replicas_max,
            "{pattern}: {reached:?} {least:?}"
        );
    }
}

#[test]
fn a_node_that_joins_alone_keeps_what_it_has_chosen() {
    let zones = ["a", "a", "b", "c", "a", "a", "b"];
    let mut layout = new_layout();
    for (number, zone) in zones.into_iter().enumerate() {
        let weight = 1 + number as u32 % 3;
        let joining = layout.with_joining(joiner(number, zone, weight)).unwrap();
        assert_eq!(joining.choose_anew(node(number)), None, "join {number}");
        layout = joining.become_up(node(number)).unwrap();
        assert_eq!(layout.choose_anew(node(number)), None, "it is up");
    }
}

#[test]
fn departures_on_both_sides_of_a_cut_leave_every_partition_owned() {
    let base = cluster_of(10);
    let mut merged = without(&base, node(1));
    merged.join(&without(&base, node(2))).unwrap();
    merged.join(&joined(&base, 50)).unwrap();
    let ownership = Ownership::of(&merged);
    assert_eq!(ownership.shares().len(), 9);
    for partition in ownership.partitions().iter() {
        assert_eq!(ownership.current(partition).len(), REPLICAS);
    }
    // Of two sides that chose heirs among the same nodes, one has chosen in vain.
    let (primaries, replicas) = heaviest(&merged);
    assert!(primaries.max(replicas) <= 1.30, "{primaries} {replicas}");
}

#[test]
fn owners_change_only_when_the_data_is_there() {
    let before = cluster_of(5);
    let lists = |layout: &Layout, next: bool| {
        let ownership = Ownership::of(layout);
        let list = |p| {
            if next {
                ownership.next(p)
            } else {
                ownership.current(p)
            }
            .to_vec()
        };
        ownership.partitions().iter().map(list).collect::<Vec<_>>()
    };
    let joining = before.with_joining(joiner(9, "", 1)).unwrap();
    assert_eq!(lists(&joining, false), lists(&before, false));
    let up = joining.become_up(node(9)).unwrap();
    assert_eq!(lists(&up, false), lists(&joining, true));
    let leaving = up.leave(node(2)).unwrap();
    assert_eq!(lists(&leaving, false), lists(&up, false));
    let left = leaving.become_left(node(2)).unwrap();
    assert_eq!(lists(&left, false), lists(&leaving, true));
    assert_eq!(
        lists(&up.forget(node(2)).unwrap(), false),
        lists(&left, false)
    );

    // A joining node that gives up leaves no trace; both changes at once do not interfere.
    assert_eq!(
        lists(&joining.leave(node(9)).unwrap(), true),
        lists(&before, true)
    );
    let both = leaving.with_joining(joiner(10, "", 1)).unwrap();
    assert_eq!(lists(&both, false), lists(&up, false));
    let joined_first = both
        .become_up(node(10))
        .unwrap()
        .become_left(node(2))
        .unwrap();
    let left_first = both
        .become_left(node(2))
        .unwrap()
        .become_up(node(10))
        .unwrap();
    assert_eq!(lists(&joined_first, false), lists(&both, true));
    assert_eq!(joined_first, left_first);
}

#[test]
fn a_replacement_takes_exactly_the_place_of_the_lost_node() {
    let before = cluster_of(6);
    let joining = before.with_joining(joiner(9, "", 1)).unwrap();
    let after = joining.replace(node(4), node(9)).unwrap();
    let (old, new) = (Ownership::of(&before), Ownership::of(&after));
    for partition in old.partitions().iter() {
        let renamed = |id: &NodeId| if *id == node(4) { node(9) } else { *id };
        let expected: Vec<NodeId> = old.current(partition).iter().map(renamed).collect();
        assert_eq!(new.current(partition), expected);
        assert_eq!(new.next(partition), expected);
    }
}

#[test]
fn owners_are_the_current_list_and_then_the_newcomers() {
    let layout = cluster_of(4).with_joining(joiner(9, "", 1)).unwrap();
    let ownership = Ownership::of(&layout);
    for partition in ownership.partitions().iter() {
        let (current, next) = (ownership.current(partition), ownership.next(partition));
        let (start, rest) = ownership.owners(partition).split_at(current.len());
        assert_eq!(start, current);
        assert!(
            rest.iter()
                .all(|id| next.contains(id) && !current.contains(id))
        );
        assert!(next.iter().all(|id| ownership.is_owner(*id, partition)));
        assert_eq!(ownership.preference(partition), current);
        assert_eq!(ownership.replicas_now(partition), 3);
        assert_eq!(
            ownership.is_next_owner(node(9), partition),
            next.contains(&node(9))
        );
    }
    let owned = ownership.partitions_of(node(9)).count();
    assert_eq!(owned, ownership.next_shares()[&node(9)].copies);
}

#[test]
fn the_first_node_is_asked_while_it_joins() {
    let empty = Ownership::of(&new_layout());
    assert!(empty.owners(PartitionId(5)).is_empty());
    let ownership = Ownership::of(&new_layout().with_joining(joiner(0, "", 1)).unwrap());
    assert!(ownership.current(PartitionId(5)).is_empty());
    assert_eq!(ownership.preference(PartitionId(5)), [node(0)]);
}

#[test]
fn the_largest_and_the_smallest_ring_work() {
    let largest = Partitions::new(PARTITIONS_MAX).unwrap();
    let mut layout = Layout::new(1, largest, REPLICAS_MAX);
    for number in 0..2 {
        layout = joined(&layout, number);
    }
    assert_eq!(
        Ownership::of(&layout).shares()[&node(1)].primaries,
        PARTITIONS_MAX / 2
    );
    let mut layout = Layout::new(1, Partitions::new(1).unwrap(), 1);
    for number in 0..3 {
        layout = joined(&layout, number);
    }
    assert_eq!(Ownership::of(&layout).preference(PartitionId(0)).len(), 1);
}

/// The definition, word by word: the first token clockwise; then back over those tokens that are
/// first in some partition, distinct nodes, new zones before known ones.
fn preference_list(layout: &Layout, partition: PartitionId) -> Vec<NodeId> {
    let mut tokens: Vec<(Token, NodeId)> = Vec::new();
    for (id, entry) in layout.nodes() {
        if matches!(entry.state, State::Up | State::Leaving) {
            tokens.extend(entry.tokens.iter().map(|token| (*token, id)));
        }
    }
    tokens.sort();
    tokens.dedup_by_key(|(token, _)| token.partition(layout.partitions()));
    let start = layout.partitions().range(partition).0;
    let first = tokens
        .iter()
        .position(|(token, _)| *token >= start)
        .unwrap_or(0);
    let length = tokens.len().max(1);
    tokens.rotate_left((first + 1) % length);
    let mut nodes: Vec<NodeId> = Vec::new();
    for (_, id) in tokens.iter().rev() {
        if !nodes.contains(id) {
            nodes.push(*id);
        }
    }
    let mut zones = BTreeSet::new();
    let is_new = |id: &NodeId| zones.insert(layout.entry(*id).unwrap().zone.clone());
    let (mut list, spares): (Vec<_>, Vec<_>) = nodes.into_iter().partition(is_new);
    list.truncate(layout.replicas());
    list.extend(spares);
    list.truncate(layout.replicas());
    list
}

fn steps() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    proptest::collection::vec((0u8..6, 0u8..8, 0u8..3), 1..24)
}

/// Takes one step of a random history; what is not allowed changes nothing.
fn take_step(layout: &Layout, (action, number, zone): (u8, u8, u8)) -> Layout {
    let id = node(number.into());
    let result = match action {
        0 | 1 => layout.with_joining(joiner(number.into(), &zone.to_string(), 1)),
        2 => layout.become_up(id),
        3 => layout.leave(id),
        4 => layout.become_left(id),
        _ => layout.forget(id),
    };
    result.unwrap_or_else(|_| layout.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ownership_is_what_the_definition_says(steps in steps()) {
        let mut layout = Layout::new(1, Partitions::new(32).unwrap(), 3);
        for step in steps {
            layout = take_step(&layout, step);
            let ownership = Ownership::of(&layout);
            for partition in ownership.partitions().iter() {
                let expected = preference_list(&layout, partition);
                prop_assert_eq!(ownership.current(partition), expected);
            }
        }
    }

    #[test]
    fn joining_layouts_is_commutative_associative_and_idempotent(
        base in steps(), left in steps(), middle in steps(), right in steps()
    ) {
        let empty = Layout::new(1, Partitions::new(16).unwrap(), 2);
        let base = base.into_iter().fold(empty, |layout, step| take_step(&layout, step));
        let side = |steps: Vec<(u8, u8, u8)>| {
            steps.into_iter().fold(base.clone(), |layout, step| take_step(&layout, step))
        };
        let (a, b, c) = (side(left), side(middle), side(right));
        let joined = |x: &Layout, y: &Layout| {
            let mut x = x.clone();
            x.join(y).unwrap();
            x
        };
        prop_assert_eq!(joined(&a, &b), joined(&b, &a));
        prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
        let mut both = joined(&a, &b);
        prop_assert!(!both.join(&a).unwrap() && !both.join(&b).unwrap());
        let ownership = Ownership::of(&both);
        let holders = ownership.shares().len().min(2);
        for partition in ownership.partitions().iter() {
            prop_assert_eq!(ownership.current(partition).len(), holders);
        }
    }
}

/// Tokens are stored and every node computes owners from them: a release that chooses or reads
/// them otherwise would disagree with its peers.
#[test]
fn choices_and_owners_never_change() {
    let mut layout = new_layout();
    for number in 0..7 {
        let zone = ["a", "b", "c"][number % 3];
        let joining = layout
            .with_joining(joiner(number, zone, 1 + number as u32 / 5))
            .unwrap();
        layout = joining.become_up(node(number)).unwrap();
    }
    layout = without(&layout, node(2));
    let ownership = Ownership::of(&layout);
    let number_of = |id: &NodeId| (0..7).find(|number| node(*number) == *id).unwrap();
    let list_of = |key: &str| {
        let partition = KeyPlace::of(key.as_bytes()).partition(layout.partitions());
        let list: Vec<usize> = ownership.current(partition).iter().map(number_of).collect();
        (partition.0, list)
    };
    let lists = ["greeting", "list:9f1c", "{cart:7}:items"].map(list_of);
    assert_eq!(
        lists,
        [
            (422, vec![3, 1, 5]),
            (21, vec![6, 5, 1]),
            (815, vec![3, 5, 4])
        ]
    );
    let first = layout.entry(node(6)).unwrap().tokens[0];
    assert_eq!(first.0, 0x0001_9364_0000_0000_0000_0000_0000_0000);
    assert_eq!(layout.digest(), 2_116_162_811_957_241_509);
}
