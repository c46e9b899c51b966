//! Links between nodes that mean well, on networks that do not.

use std::time::{Duration, Instant};

use bytes::Bytes;
use larder_server::limits::{LINK_DELAY_MS_MAX, LINK_HELD_BYTES_MAX};
use larder_server::link::{Fault, LinkError, LinkLimits, Sent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{Event, Plan, TestNode, in_time, limits, link, linked, until};

/// Passes bytes on until told to stop, as a cable that is pulled does.
async fn pass(listener: TcpListener, target: String, is_open: watch::Receiver<bool>) {
    while let Ok((inner, _)) = listener.accept().await {
        let Ok(outer) = TcpStream::connect(&target).await else {
            continue;
        };
        let ((inner_read, inner_write), (outer_read, outer_write)) =
            (inner.into_split(), outer.into_split());
        for (mut from, mut to) in [(inner_read, outer_write), (outer_read, inner_write)] {
            let mut is_open = is_open.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = from.read(&mut buffer).await {
                    if is_open.wait_for(|open| *open).await.is_err()
                        || to.write_all(&buffer[..length]).await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    }
}

/// Puts a cable before `node` for all who learn its address from now on.
async fn cable(node: &mut TestNode) -> watch::Sender<bool> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (plug, is_open) = watch::channel(true);
    tokio::spawn(pass(
        listener,
        std::mem::replace(&mut node.address, address),
        is_open,
    ));
    plug
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_in_order_and_whole() {
    let plan = Plan {
        limits: LinkLimits {
            frame_bytes_max: 1000,
            ..limits()
        },
        ..Plan::default()
    };
    let (a, b) = linked(&plan).await;
    assert_eq!(
        a.seen.events()[0],
        Event::Up(b.id, Bytes::from(format!("info of {}", b.id)))
    );
    assert_eq!(
        b.seen.events()[0],
        Event::Up(a.id, Bytes::from(format!("info of {}", a.id)))
    );
    let payload = |number: usize| Bytes::from(vec![number as u8; number * 37 % 5000]);
    for number in 0..300 {
        assert_eq!(a.links.send(b.id, "DELTA", payload(number)), Sent::Queued);
    }
    let got = || {
        let messages = b.seen.messages();
        messages
            .into_iter()
            .filter(|(verb, _)| verb == "DELTA")
            .map(|(_, p)| p)
            .collect::<Vec<_>>()
    };
    until("all messages arrive", || got().len() == 300).await;
    assert!(got().into_iter().eq((0..300).map(payload)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_message_goes_before_what_waits_and_between_parts() {
    let plan = Plan {
        limits: LinkLimits {
            frame_bytes_max: 70_000,
            ..limits()
        },
        ..Plan::default()
    };
    let (a, mut b) = (
        TestNode::start(1, &plan).await,
        TestNode::start(2, &plan).await,
    );
    let plug = cable(&mut b).await;
    link(&a, &b).await;
    plug.send_replace(false);
    a.links.send(b.id, "FIRST", Bytes::new());
    let large = Bytes::from(vec![5; 40 << 20]);
    a.links.send(b.id, "LARGE", large.clone());
    a.links
        .send_urgent(b.id, "SWIM", Bytes::from_static(b"alive?"));
    plug.send_replace(true);
    let verbs = || -> Vec<String> {
        let messages = b.seen.messages().into_iter();
        messages
            .map(|(verb, _)| verb)
            .filter(|verb| verb != "PROBE")
            .collect()
    };
    until("all messages arrive", || verbs().len() == 3).await;
    let place = |verb: &str| verbs().iter().position(|other| other == verb);
    assert!(place("SWIM") < place("LARGE"), "{:?}", verbs());
    assert_eq!(
        b.seen
            .messages()
            .into_iter()
            .rfind(|(verb, _)| verb == "LARGE")
            .map(|m| m.1),
        Some(large)
    );
}

/// A value of half a gigabyte made its receiver look dead: the thread that wrote it to the disk was
/// the one that would have said PING.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_that_takes_long_holds_up_its_followers_and_nothing_else() {
    let plan = Plan {
        limits: LinkLimits {
            silent_after: Duration::from_millis(400),
            ..limits()
        },
        ..Plan::default()
    };
    let (a, b) = linked(&plan).await;
    let has = |verb: &str| b.seen.messages().iter().any(|(other, _)| other == verb);
    b.seen.set_busy(true);
    let large = Bytes::from(vec![5; 3 * plan.limits.frame_bytes_max]);
    a.links.send(b.id, "LARGE", large);
    a.links.send(b.id, "AFTER", Bytes::new());
    let started = Instant::now();
    until("it is asked whether it lives", || {
        a.links
            .send_urgent(b.id, "SWIM", Bytes::from_static(b"alive?"));
        has("SWIM") && started.elapsed() > 2 * plan.limits.silent_after
    })
    .await;
    assert!(!has("LARGE") && !has("AFTER"));
    b.seen.set_busy(false);
    until("what followed arrives", || has("AFTER")).await;
    let place = |verb: &str| {
        b.seen
            .messages()
            .iter()
            .position(|(other, _)| other == verb)
    };
    assert!(place("LARGE") < place("AFTER"));
    assert_eq!(
        (a.seen.ups_and_downs(), b.seen.ups_and_downs()),
        ((1, 0), (1, 0)),
        "the link lasts"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_both_dial_at_once_both_keep_the_same_link() {
    for round in 0..25 {
        let (a, b) = (
            TestNode::start(1, &Plan::default()).await,
            TestNode::start(2, &Plan::default()).await,
        );
        if round % 2 == 0 {
            let (one, two) =
                tokio::join!(a.links.dial_once(&b.address), b.links.dial_once(&a.address));
            assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
        }
        a.know(&[&b]);
        b.know(&[&a]);
        until("both are linked", || a.is_linked(&b) && b.is_linked(&a)).await;
        let settled = || {
            let (at_a, at_b) = (a.links.list(), b.links.list());
            at_a.len() == 1 && at_b.len() == 1 && at_a[0].is_dialled != at_b[0].is_dialled
        };
        until("both keep the same link", settled).await;
        let before = (a.seen.ups_and_downs(), b.seen.ups_and_downs());
        for number in 0_u32..50 {
            a.links
                .send(b.id, "COUNT", Bytes::copy_from_slice(&number.to_be_bytes()));
            tokio::task::yield_now().await;
        }
        let last = Bytes::copy_from_slice(&49_u32.to_be_bytes());
        until("the last message arrives", || {
            b.seen.messages().iter().any(|(_, p)| *p == last)
        })
        .await;
        assert_eq!(
            (a.seen.ups_and_downs(), b.seen.ups_and_downs()),
            before,
            "the link flaps"
        );
        assert!(before.0.0 <= 2 && before.1.0 <= 2, "{before:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_comes_back_when_a_node_does() {
    let a = TestNode::start(1, &Plan::default()).await;
    let b = TestNode::start(2, &Plan::default()).await;
    a.know(&[&b]);
    until("the link is up", || a.is_linked(&b)).await;
    b.links.close().await;
    until("the link is down", || a.seen.ups_and_downs().1 == 1).await;
    assert_eq!(a.links.send(b.id, "PROBE", Bytes::new()), Sent::NoLink);
    let b = TestNode::start(2, &Plan::default()).await;
    a.know(&[&b]);
    until("the link is up again", || a.is_linked(&b)).await;
    let moved = TestNode::start(3, &Plan::default()).await;
    let error = a
        .links
        .dial_once(&a.address)
        .await
        .expect_err("a link to itself");
    assert!(
        matches!(error, LinkError::Myself | LinkError::Refused(_)),
        "{error}"
    );
    a.links.dial(&moved.address);
    a.links.dial(&a.address);
    until("an unknown node is linked", || a.is_linked(&moved)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_is_dialled_until_it_answers() {
    let a = TestNode::start(1, &Plan::default()).await;
    let reserved = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = reserved.local_addr().expect("bound").to_string();
    // Nobody shakes hands there at first.
    a.links.dial(&address);
    a.links.dial(&address);
    drop(
        in_time("the first attempt", reserved.accept())
            .await
            .expect("a connection"),
    );
    let plan = Plan::default();
    let b = TestNode::start(2, &plan).await;
    b.links.listen(reserved);
    until("the seed is linked", || a.is_linked(&b)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_loses_the_link_and_gets_it_back() {
    let plan = Plan {
        limits: LinkLimits {
            queue_bytes_max: 1 << 20,
            ..limits()
        },
        ..Plan::default()
    };
    let (a, mut b) = (
        TestNode::start(1, &plan).await,
        TestNode::start(2, &plan).await,
    );
    let plug = cable(&mut b).await;
    a.know(&[&b]);
    until("the link is up", || a.is_linked(&b)).await;
    plug.send_replace(false);
    let started = Instant::now();
    let payload = Bytes::from(vec![0; 64 << 10]);
    loop {
        match a.links.send(b.id, "DELTA", payload.clone()) {
            Sent::Queued => tokio::task::yield_now().await,
            Sent::Full => break,
            Sent::NoLink => panic!("the link ended for another reason"),
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the queue has no bound"
        );
    }
    assert_eq!(a.links.send(b.id, "DELTA", payload), Sent::NoLink);
    until("the link is down", || a.seen.ups_and_downs().1 == 1).await;
    plug.send_replace(true);
    until("the link is up again", || {
        a.is_linked(&b) && b.is_linked(&a)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_may_be_larger_than_the_queue() {
    let plan = Plan {
        limits: LinkLimits {
            queue_bytes_max: 1000,
            ..limits()
        },
        ..Plan::default()
    };
    let (a, b) = (
        TestNode::start(1, &plan).await,
        TestNode::start(2, &plan).await,
    );
    // Nothing else may be in the queue, not even what asks whether the link is up.
    in_time("dialling", a.links.dial_once(&b.address))
        .await
        .expect("a link");
    let large = Bytes::from(vec![5; 3 << 20]);
    until("it is sent", || {
        a.links.send(b.id, "LARGE", large.clone()) == Sent::Queued
    })
    .await;
    until("it arrives", || {
        b.seen.messages().iter().any(|(_, p)| *p == large)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_beyond_the_limit_ends_the_link() {
    let bound = |message_bytes_max, frame_bytes_max| Plan {
        limits: LinkLimits {
            message_bytes_max,
            frame_bytes_max,
            ..limits()
        },
        ..Plan::default()
    };
    for (id, plan) in [(2, bound(5000, 1000)), (3, bound(1 << 20, 999))] {
        let (a, b) = (
            TestNode::start(1, &bound(1 << 20, 1000)).await,
            TestNode::start(id, &plan).await,
        );
        link(&a, &b).await;
        a.links.send(b.id, "LARGE", Bytes::from(vec![0; 5001]));
        until("the link is down", || {
            a.seen.ups_and_downs().1 == 1 && b.seen.ups_and_downs().1 == 1
        })
        .await;
        assert!(b.seen.messages().iter().all(|(verb, _)| verb == "PROBE"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_stays_down_until_it_is_healed() {
    let a = TestNode::start(1, &Plan::default()).await;
    let b = TestNode::start(2, &Plan::default()).await;
    let both = |holds: bool| {
        move |a: &TestNode, b: &TestNode| a.is_linked(b) == holds && b.is_linked(a) == holds
    };
    a.know(&[&b]);
    b.know(&[&a]);
    until("the link is up", || both(true)(&a, &b)).await;
    let cut = Fault {
        is_cut: true,
        delay_ms: 0,
    };
    a.links.set_fault(b.id, cut);
    assert_eq!(a.links.send(b.id, "PROBE", Bytes::new()), Sent::NoLink);
    until("the link is down", || both(false)(&a, &b)).await;
    assert_eq!(a.links.faults()[&b.id], cut);
    let refused = loop {
        match in_time("dialling", b.links.dial_once(&a.address))
            .await
            .expect_err("a cut link")
        {
            // It is being dialled in the background too.
            LinkError::AlreadyLinked => tokio::task::yield_now().await,
            other => break other,
        }
    };
    assert_eq!(
        refused.to_string(),
        "the peer refused: the link is cut by DEBUG LINK"
    );
    let error = in_time("dialling", a.links.dial_once(&b.address))
        .await
        .expect_err("a cut link");
    assert!(matches!(error, LinkError::Cut));
    let ups = (a.seen.ups_and_downs().0, b.seen.ups_and_downs().0);
    a.links.set_fault(b.id, Fault::default());
    until("the link is up again", || both(true)(&a, &b)).await;
    assert!(a.seen.ups_and_downs().0 > ups.0);
    assert!(a.links.faults().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_link_is_late_in_both_directions_and_in_order() {
    let a = TestNode::start(1, &Plan::default()).await;
    let b = TestNode::start(2, &Plan::default()).await;
    a.know(&[&b]);
    until("the link is up", || a.is_linked(&b) && b.is_linked(&a)).await;
    a.links.set_fault(
        b.id,
        Fault {
            is_cut: false,
            delay_ms: 150,
        },
    );
    for (from, to) in [(&a, &b), (&b, &a)] {
        let started = Instant::now();
        for number in 0_u8..20 {
            from.links.send(to.id, "COUNT", Bytes::from(vec![number]));
        }
        let counted = || -> Vec<Bytes> {
            let messages = to.seen.messages().into_iter();
            messages
                .filter(|(verb, _)| verb == "COUNT")
                .map(|(_, payload)| payload)
                .collect()
        };
        until("the messages arrive", || counted().len() == 20).await;
        assert!(started.elapsed() >= Duration::from_millis(150));
        assert!(
            counted()
                .into_iter()
                .eq((0_u8..20).map(|number| Bytes::from(vec![number])))
        );
    }
    until("a ping and its answer are as late", || {
        let links = b.links.list();
        links.iter().any(|link| link.round_trip_us >= 150_000)
    })
    .await;
    a.links.set_fault(
        b.id,
        Fault {
            is_cut: false,
            delay_ms: u64::MAX,
        },
    );
    assert_eq!(a.links.faults()[&b.id].delay_ms, LINK_DELAY_MS_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_up_is_bounded() {
    let plan = Plan {
        limits: LinkLimits {
            queue_bytes_max: 4 << 20,
            ..limits()
        },
        ..Plan::default()
    };
    let (a, b) = linked(&plan).await;
    b.links.set_fault(
        a.id,
        Fault {
            is_cut: false,
            delay_ms: LINK_DELAY_MS_MAX,
        },
    );
    let payload = Bytes::from(vec![0; 1 << 20]);
    let mut sent = 0;
    let mut queued = true;
    // Beyond what is held, the sender's queue fills up, and with it the link ends.
    until("the link ends", || {
        if a.links
            .list()
            .iter()
            .all(|link| link.queued_bytes < 2 << 20)
            || sent > LINK_HELD_BYTES_MAX
        {
            queued = a.links.send(b.id, "DELTA", payload.clone()) == Sent::Queued;
            sent += payload.len();
        }
        !queued
    })
    .await;
    assert!(sent > LINK_HELD_BYTES_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_on_which_nothing_comes_is_given_up() {
    let plan = Plan {
        limits: LinkLimits {
            silent_after: Duration::from_millis(400),
            ..limits()
        },
        ..Plan::default()
    };
    let (a, mut b) = (
        TestNode::start(1, &plan).await,
        TestNode::start(2, &plan).await,
    );
    let plug = cable(&mut b).await;
    a.know(&[&b]);
    until("the link is up", || a.is_linked(&b) && b.is_linked(&a)).await;
    // Pings keep it alive for longer than silence would be suffered.
    let started = Instant::now();
    until("silence was long enough", || {
        started.elapsed() > 2 * plan.limits.silent_after
    })
    .await;
    assert_eq!(
        (a.seen.ups_and_downs(), b.seen.ups_and_downs()),
        ((1, 0), (1, 0))
    );
    plug.send_replace(false);
    until("both give up", || {
        a.seen.ups_and_downs().1 == 1 && b.seen.ups_and_downs().1 == 1
    })
    .await;
    plug.send_replace(true);
    until("the link is up again", || {
        a.is_linked(&b) && b.is_linked(&a)
    })
    .await;
}

/// What is certain not to have arrived may be sent elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_ends_gives_back_what_it_has_not_sent() {
    let (a, mut b) = (
        TestNode::start(1, &Plan::default()).await,
        TestNode::start(2, &Plan::default()).await,
    );
    let plug = cable(&mut b).await;
    link(&a, &b).await;
    a.links.send(b.id, "ARRIVES", Bytes::new());
    until("it has arrived", || {
        b.seen.messages().iter().any(|(verb, _)| verb == "ARRIVES")
    })
    .await;
    plug.send_replace(false);
    // More than the cable and the system hold.
    let large = Bytes::from(vec![5; 100 << 20]);
    a.links.send(b.id, "LARGE", large.clone());
    a.links.send(b.id, "AFTER", Bytes::from_static(b"it"));
    a.links.disconnect(b.id);
    until("the link is down", || a.seen.ups_and_downs().1 == 1).await;
    let unsent = a.seen.events().into_iter().find_map(|event| match event {
        Event::Down(_, unsent) => Some(unsent),
        _ => None,
    });
    let unsent = unsent.expect("it went down");
    let verbs: Vec<&str> = unsent.iter().map(|message| message.verb).collect();
    assert_eq!(verbs, ["LARGE", "AFTER"]);
    assert_eq!(
        unsent[0].payload, large,
        "it has left in part, and counts as a whole"
    );
}
