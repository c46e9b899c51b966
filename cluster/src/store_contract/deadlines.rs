//! What a store promises of its index of deadlines.

use super::{OpenDisk, SLOTS, finish, key, slot};
use crate::store::{Checkpoint, Due, Slot, Store};

fn due(second: u64, hash: u64) -> Due {
    (second, key(hash))
}

fn write(store: &dyn Store, deadlines: Vec<(Slot, Due, bool)>) {
    let part = Checkpoint {
        deadlines,
        ..Checkpoint::default()
    };
    store.checkpoint(&part).expect("a part is written");
}

fn found(store: &dyn Store, slot: Slot, after: Option<&Due>, max: usize) -> Vec<(u64, u64)> {
    let found = store.deadlines(slot, after, max);
    let found = found.expect("deadlines are read").into_iter();
    found.map(|(second, key)| (second, key.hash())).collect()
}

pub(super) fn are_ascending(open: &mut OpenDisk) {
    let (here, beside) = (slot(3, 7), slot(3, 8));
    let store = open();
    let mut entries: Vec<(Slot, Due, bool)> = [(300, 1), (5, 9), (5, 2), (u64::MAX, 4), (0, 6)]
        .map(|(second, hash)| (here, due(second, hash), true))
        .into();
    entries.push((beside, due(7, 7), true));
    write(&*store, entries);
    // The last word on an entry holds, also within a part.
    write(
        &*store,
        vec![
            (here, due(0, 6), false),
            (here, due(5, 2), false),
            (here, due(5, 2), true),
            (here, due(44, 4), false),
        ],
    );
    let check = |store: &dyn Store| {
        let all = [(5, 2), (5, 9), (300, 1), (u64::MAX, 4)];
        assert_eq!(found(store, here, None, 10), all);
        assert_eq!(found(store, here, None, 2), all[..2]);
        assert_eq!(found(store, here, Some(&due(5, 2)), 10), all[1..]);
        assert_eq!(found(store, here, Some(&due(6, 0)), 10), all[2..]);
        assert_eq!(found(store, here, Some(&due(u64::MAX, 4)), 10), []);
        assert_eq!(found(store, beside, None, 10), [(7, 7)]);
        assert_eq!(found(store, slot(4, 0), None, 10), []);
    };
    check(&*store);
    finish(&*store, 0);
    drop(store);
    check(&*open());
}

pub(super) fn go_with_their_copy(open: &mut OpenDisk) {
    for (partition, number) in SLOTS {
        let gone = slot(partition, number);
        let store = open();
        for (partition, number) in SLOTS {
            write(&*store, vec![(slot(partition, number), due(9, 1), true)]);
        }
        // Those of the same part do not outlive the copy either.
        let part = Checkpoint {
            deadlines: vec![(gone, due(2, 2), true)],
            copies: vec![(gone, None)],
            ..Checkpoint::default()
        };
        store.checkpoint(&part).expect("a part is written");
        finish(&*store, 0);
        drop(store);
        let store = open();
        for (partition, number) in SLOTS {
            let slot = slot(partition, number);
            let left = usize::from(slot != gone);
            assert_eq!(
                found(&*store, slot, None, 10).len(),
                left,
                "{slot:?} without {gone:?}"
            );
        }
    }
}
