//! The layout as stored and joined: its bytes, its limits, and what changes it refuses.

#![expect(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use larder_cluster::id::{NodeId, Token};
use larder_cluster::layout::{Joiner, Layout, LayoutError, State};
use larder_cluster::limits::{
    ADDRESS_BYTES_MAX, LAYOUT_ENTRIES_MAX, LAYOUT_NODES_MAX, LAYOUT_VERSION_MAX, REPLICAS_MAX,
    TOKENS_MAX, WEIGHT_MAX, ZONE_BYTES_MAX,
};
use larder_cluster::ring::Ownership;
use larder_cluster::token::Partitions;
use larder_crdt::codec::{DecodeError, Writer};
use proptest::prelude::*;

fn joiner(number: u128) -> Joiner {
    Joiner {
        node: NodeId(number),
        zone: "z".into(),
        weight: 1,
        address: "a:1".into(),
    }
}

fn new_layout() -> Layout {
    Layout::new(7, Partitions::new(64).unwrap(), 2)
}

fn cluster_of(count: u128) -> Layout {
    (1..=count).fold(new_layout(), |layout, number| {
        layout
            .with_joining(joiner(number))
            .unwrap()
            .become_up(NodeId(number))
            .unwrap()
    })
}

#[test]
fn states_go_forward_and_left_is_final() {
    let (one, two, new) = (NodeId(1), NodeId(2), NodeId(3));
    let layout = cluster_of(2);
    let joining = layout.with_joining(joiner(3)).unwrap();
    let leaving = layout.leave(two).unwrap();
    let left = leaving.become_left(two).unwrap();
    let cases = [
        (layout.with_joining(joiner(1)), LayoutError::AlreadyKnown),
        (left.with_joining(joiner(2)), LayoutError::HasLeft),
        (layout.become_up(new), LayoutError::Unknown),
        (layout.become_up(one), LayoutError::WrongState),
        (left.become_up(two), LayoutError::HasLeft),
        (leaving.leave(two), LayoutError::WrongState),
        (leaving.leave(one), LayoutError::LastNode),
        (left.forget(one), LayoutError::LastNode),
        (layout.become_left(one), LayoutError::WrongState),
        (layout.replace(one, new), LayoutError::Unknown),
        (layout.replace(one, two), LayoutError::WrongState),
        (joining.replace(new, new), LayoutError::WrongState),
        (left.with_address(two, "b:2"), LayoutError::HasLeft),
    ];
    for (number, (result, error)) in cases.into_iter().enumerate() {
        assert_eq!(result, Err(error), "case {number}");
    }
    assert_eq!(joining.leave(new).unwrap().entry(new), None);
    assert_eq!(leaving.forget(two), Ok(left));
}

#[test]
fn a_departure_survives_whatever_the_other_side_of_a_cut_changes() {
    let base = cluster_of(4);
    let (gone, other) = (NodeId(2), NodeId(3));
    let mut forgotten = base.forget(gone).unwrap();
    // The other side gives the forgotten node a new address and new tokens, more than once.
    let mut changed = base.leave(other).unwrap();
    for address in ["b:2", "c:3"] {
        changed = changed.with_address(gone, address).unwrap();
    }
    assert!(changed.entry(gone).unwrap().tokens_version > 1);
    assert!(forgotten.join(&changed).unwrap());
    assert_eq!(forgotten.entries()[&gone].state, State::Left);
    assert_eq!(forgotten.entry(other).unwrap().state, State::Leaving);
}

#[test]
fn an_address_and_tokens_changed_on_two_sides_are_both_kept() {
    let base = cluster_of(4);
    let mut moved = base.with_address(NodeId(1), "b:2").unwrap();
    let inherited = base.forget(NodeId(4)).unwrap();
    assert_ne!(
        inherited.entries()[&NodeId(1)].tokens,
        base.entries()[&NodeId(1)].tokens
    );
    moved.join(&inherited).unwrap();
    let entry = moved.entry(NodeId(1)).unwrap();
    assert_eq!(entry.address, "b:2");
    assert_eq!(entry.tokens, inherited.entries()[&NodeId(1)].tokens);
}

#[test]
fn layouts_of_other_clusters_or_shapes_are_refused_unchanged() {
    let mut layout = cluster_of(2);
    let before = layout.clone();
    let shape = |cluster, partitions, replicas| {
        Layout::new(cluster, Partitions::new(partitions).unwrap(), replicas)
    };
    assert_eq!(
        layout.join(&shape(8, 64, 2)),
        Err(LayoutError::OtherCluster)
    );
    assert_eq!(layout.join(&shape(7, 32, 2)), Err(LayoutError::OtherShape));
    assert_eq!(layout.join(&shape(7, 64, 3)), Err(LayoutError::OtherShape));
    assert_eq!(layout, before);
}

#[test]
fn what_a_joining_node_says_of_itself_has_limits() {
    let layout = cluster_of(1);
    let with = |zone: usize, address: usize, weight: u32| {
        let (zone, address) = ("z".repeat(zone), "a".repeat(address));
        let joiner = Joiner {
            node: NodeId(9),
            zone,
            weight,
            address,
        };
        layout
            .with_joining(joiner)
            .map(|layout| Layout::decode(&layout.encode()).is_ok())
    };
    assert_eq!(
        with(ZONE_BYTES_MAX, ADDRESS_BYTES_MAX, WEIGHT_MAX),
        Ok(true)
    );
    assert_eq!(with(ZONE_BYTES_MAX + 1, 0, 1), Err(LayoutError::TooLong));
    assert_eq!(with(0, ADDRESS_BYTES_MAX + 1, 1), Err(LayoutError::TooLong));
    assert_eq!(with(0, 0, 0), Err(LayoutError::BadWeight));
    assert_eq!(with(0, 0, WEIGHT_MAX + 1), Err(LayoutError::BadWeight));
    let long = "a".repeat(ADDRESS_BYTES_MAX + 1);
    assert_eq!(
        layout.with_address(NodeId(1), &long),
        Err(LayoutError::TooLong)
    );
}

/// A layout of one node, with every number as given.
struct Forged {
    bits: usize,
    replicas: usize,
    entries: usize,
    state: u8,
    version: u64,
    weight: u64,
    zone: usize,
    tokens: usize,
    token: Vec<u8>,
}

impl Forged {
    fn new() -> Self {
        let (bits, replicas, entries, state, version) = (6, 2, 1, 2, 1);
        let (weight, zone, tokens, token) = (1, 1, 1, vec![1]);
        Self {
            bits,
            replicas,
            entries,
            state,
            version,
            weight,
            zone,
            tokens,
            token,
        }
    }

    fn decode(&self) -> Result<Layout, DecodeError> {
        let mut out = Writer::new();
        out.u8(1);
        out.u128_be(7);
        out.length(self.bits);
        out.length(self.replicas);
        out.length(self.entries);
        out.u128_be(1);
        out.u8(self.state);
        out.varint(self.version);
        out.varint(self.weight);
        out.bytes(&vec![b'z'; self.zone]);
        out.bytes(b"a:1");
        out.varint(1);
        out.length(self.tokens);
        out.bytes(&self.token);
        Layout::decode(&out.into_vec())
    }
}

#[test]
fn forged_numbers_are_refused() {
    assert!(Forged::new().decode().is_ok());
    let last = LAYOUT_VERSION_MAX;
    assert!(
        Forged {
            version: last,
            ..Forged::new()
        }
        .decode()
        .is_ok()
    );
    let over = [
        Forged {
            bits: 17,
            ..Forged::new()
        },
        Forged {
            replicas: REPLICAS_MAX + 1,
            ..Forged::new()
        },
        Forged {
            entries: LAYOUT_ENTRIES_MAX + 1,
            ..Forged::new()
        },
        Forged {
            version: last + 1,
            ..Forged::new()
        },
        Forged {
            weight: 0,
            ..Forged::new()
        },
        Forged {
            weight: u64::from(WEIGHT_MAX) + 1,
            ..Forged::new()
        },
        Forged {
            zone: ZONE_BYTES_MAX + 1,
            ..Forged::new()
        },
        Forged {
            tokens: TOKENS_MAX + 1,
            ..Forged::new()
        },
        Forged {
            token: vec![1; 17],
            ..Forged::new()
        },
    ];
    for (number, forged) in over.iter().enumerate() {
        assert_eq!(
            forged.decode(),
            Err(DecodeError::OverLimit),
            "case {number}"
        );
    }
    let truncated = Forged {
        tokens: TOKENS_MAX,
        ..Forged::new()
    };
    assert_eq!(truncated.decode(), Err(DecodeError::Truncated));
    let unknown = Forged {
        state: 5,
        ..Forged::new()
    };
    assert_eq!(unknown.decode(), Err(DecodeError::UnknownTag));
    let longer_than_needed = Forged {
        token: vec![1, 0],
        ..Forged::new()
    };
    assert_eq!(longer_than_needed.decode(), Err(DecodeError::Inconsistent));
    assert_eq!(Layout::decode(&[2]), Err(DecodeError::UnknownTag));
}

#[test]
fn a_version_at_its_limit_stays_readable() {
    let layout = Forged {
        version: LAYOUT_VERSION_MAX,
        ..Forged::new()
    }
    .decode()
    .unwrap();
    let moved = layout.with_address(NodeId(1), "b:2").unwrap();
    assert_eq!(Layout::decode(&moved.encode()), Ok(moved));
}

#[test]
fn a_cluster_has_room_for_so_many_nodes() {
    let mut layout = Layout::new(7, Partitions::new(1).unwrap(), 1);
    for number in 0..LAYOUT_NODES_MAX as u128 {
        layout = layout.with_joining(joiner(number)).unwrap();
    }
    assert_eq!(
        layout.with_joining(joiner(1 << 20)),
        Err(LayoutError::TooManyNodes)
    );
    assert!(
        layout
            .leave(NodeId(5))
            .unwrap()
            .with_joining(joiner(1 << 20))
            .is_ok()
    );
}

#[test]
fn the_digest_names_exactly_one_state() {
    let layout = cluster_of(3);
    assert_eq!(
        layout.digest(),
        Layout::decode(&layout.encode()).unwrap().digest()
    );
    assert_ne!(layout.digest(), layout.leave(NodeId(1)).unwrap().digest());
    assert_ne!(
        layout.digest(),
        layout.with_address(NodeId(1), "b:2").unwrap().digest()
    );
}

/// One step of a random history; what is not allowed changes nothing.
fn take_step(layout: &Layout, action: u8, number: u128) -> Layout {
    let node = NodeId(number);
    let result = match action {
        0 | 1 => layout.with_joining(joiner(number)),
        2 => layout.become_up(node),
        3 => layout.leave(node),
        4 => layout.become_left(node),
        5 => layout.replace(NodeId(number + 1), node),
        6 => layout.with_address(node, &format!("h{number}:2")),
        _ => layout.forget(node),
    };
    result.unwrap_or_else(|_| layout.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn layouts_survive_the_round_trip(
        steps in proptest::collection::vec((0u8..8, 0u128..9), 0..30),
        damage in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        let layout = steps
            .into_iter()
            .fold(new_layout(), |layout, (action, number)| take_step(&layout, action, number));
        let mut bytes = layout.encode();
        prop_assert_eq!(Layout::decode(&bytes), Ok(layout));
        for length in 0..bytes.len() {
            prop_assert!(Layout::decode(&bytes[..length]).is_err());
        }
        let at = damage.0.index(bytes.len());
        bytes[at] = damage.1;
        if let Ok(other) = Layout::decode(&bytes) {
            prop_assert_eq!(Layout::decode(&other.encode()), Ok(other));
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Layout::decode(&bytes);
        let mut with_head = vec![1; 17];
        with_head.extend([4, 2, 2]);
        with_head.extend(bytes);
        let _ = Layout::decode(&with_head);
    }

    /// Whatever tokens a peer sends, every change still works and every partition has owners.
    #[test]
    fn any_tokens_make_a_ring(
        tokens in proptest::collection::vec((0usize..4, 0u128..64, 0u128..3), 1..80),
        action in 2u8..8,
    ) {
        let mut lists = vec![Vec::new(); 4];
        for (node, high, low) in tokens {
            lists[node].push(Token(high << 122 | low));
        }
        let mut out = Writer::new();
        out.u8(1);
        out.u128_be(7);
        out.raw(&[4, 2, 4]);
        for (node, list) in lists.iter_mut().enumerate() {
            list.sort();
            list.dedup();
            out.u128_be(node as u128);
            out.u8([State::Up, State::Joining, State::Leaving, State::Up][node] as u8);
            out.raw(&[1, 1, 0, 0, 1]);
            out.length(list.len());
            for token in list {
                let bytes = token.0.to_be_bytes();
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                out.bytes(&bytes[..end]);
            }
        }
        let mut layout = Layout::decode(&out.into_vec()).unwrap();
        layout = layout.with_joining(joiner(10)).unwrap();
        for number in 0..4 {
            layout = take_step(&layout, action, number);
            let ownership = Ownership::of(&layout);
            for partition in ownership.partitions().iter() {
                let expected = ownership.next_shares().len().min(2);
                prop_assert_eq!(ownership.next(partition).len(), expected);
            }
        }
        prop_assert_eq!(Layout::decode(&layout.encode()), Ok(layout));
    }
}
