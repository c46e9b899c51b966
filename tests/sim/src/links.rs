//! How links come and go, and what travels on them.

use larder_cluster::id::NodeId;
use larder_cluster::message::Message;

use larder_crdt::Writer;

use crate::checkers;
use crate::event::Event;
use crate::member::Fate;
use crate::network::{End, Place};
use crate::world::World;

/// More messages than any run needs: nodes that answer each other for ever.
const MESSAGES_MAX: u64 = 400_000;

impl World {
    /// Lets a machine look for all others.
    pub fn seek_links(&mut self, place: Place) {
        for peer in 0..self.members.len() {
            if peer != place {
                self.seek_link(place, peer);
            }
        }
    }

    fn seek_link(&mut self, a: Place, b: Place) {
        let gone = |place: Place| matches!(self.members[place].fate, Fate::Gone | Fate::Lost);
        if !gone(a) && !gone(b) && self.network.begin_connecting(a, b) {
            let delay = self.dice.between(0, 15);
            self.later(delay, Event::Connect { a, b });
        }
    }

    /// An attempt to connect.
    pub(crate) fn connect(&mut self, a: Place, b: Place) {
        let awake = self.members[a].is_awake() && self.members[b].is_awake();
        let gone = |place: Place| matches!(self.members[place].fate, Fate::Gone | Fate::Lost);
        if gone(a) || gone(b) {
            self.network.give_up_connecting(a, b);
            return;
        }
        if !awake || self.network.is_cut(a, b) || self.network.is_cut(b, a) {
            let delay = self.dice.between(5, 40);
            self.later(delay, Event::Connect { a, b });
            return;
        }
        let session = self.network.connect(a, b);
        self.trace.line(self.now_ms, || {
            format!("link {a}-{b} up, session {session}")
        });
        self.tell_ends((a, b), session, true, 3);
    }

    /// Lets both ends of a session learn that it is up or over, each in its own time.
    fn tell_ends(&mut self, (a, b): (Place, Place), session: u64, up: bool, within_ms: u64) {
        for (node, peer) in [(a, b), (b, a)] {
            let delay = self.dice.between(0, within_ms);
            self.later(
                delay,
                Event::End {
                    node,
                    peer,
                    session,
                    up,
                },
            );
        }
    }

    /// Breaks a link; each end learns of it in its own time, and both look for a new one.
    pub fn break_link(&mut self, a: Place, b: Place) {
        let Some(session) = self.network.break_link(a, b) else {
            return;
        };
        self.trace.line(self.now_ms, || {
            format!("link {a}-{b} down, session {session}")
        });
        self.tell_ends((a, b), session, false, 30);
        self.seek_link(a, b);
    }

    /// An end learns that a session is up or over.
    pub(crate) fn on_end(&mut self, node: Place, peer: Place, session: u64, up: bool) {
        let Some(running) = self.node(node) else {
            return;
        };
        let end = self.network.end(node, peer);
        let now = self.clock_of(node);
        let id = self.members[peer].id;
        if up {
            if self.network.session(node, peer) != Some(session) {
                return;
            }
            if end.up {
                running.on_link_down(id);
            }
            self.network.set_end(node, peer, End { session, up: true });
            running.on_link_up(id, now);
        } else {
            if !end.up || end.session != session {
                return;
            }
            self.network.set_end(node, peer, End { session, up: false });
            running.on_link_down(id);
        }
        self.trace.mix(session << 1 | u64::from(up));
        self.settle(node);
    }

    /// Somebody was not heard for a while: if that lasts, the link is given up.
    pub(crate) fn detect(&mut self, from: Place, to: Place) {
        let silent = self.network.is_cut(from, to)
            || !self.members[from].is_awake()
            || !self.members[to].is_awake();
        if silent {
            self.break_link(from, to);
        }
    }

    /// Cuts one direction for a while.
    pub fn cut(&mut self, from: Place, to: Place, lasts_ms: u64) {
        if from == to || !self.network.cut(from, to) {
            return;
        }
        self.trace.line(self.now_ms, || {
            format!("cut {from}->{to} for {lasts_ms} ms")
        });
        self.later(lasts_ms, Event::Heal { from, to });
        let noticed = self.dice.between(10, 120);
        self.later(noticed, Event::Detect { from, to });
    }

    /// Sends a message as far as links and faults let it.
    pub(crate) fn send(&mut self, from: Place, peer: NodeId, message: &Message) {
        let Some(&to) = self.places.get(&peer) else {
            return;
        };
        let end = self.network.end(from, to);
        if !end.up || self.network.session(from, to) != Some(end.session) {
            return;
        }
        if self.network.is_cut(from, to) || self.dice.chance(self.faults.lose) {
            self.trace.line(self.now_ms, || {
                format!("{from}->{to} lost {}", brief(message))
            });
            return;
        }
        let mut writer = Writer::new();
        message.encode(&mut writer);
        let bytes = writer.into_vec();
        self.trace.mix_bytes(&bytes);
        let once = matches!(message, Message::Request(..) | Message::Reply(..));
        let copies = if !once && self.dice.chance(self.faults.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let mut delay = self.dice.between(0, self.plan.latency_ms_max);
            if self.dice.chance(self.faults.delay) {
                delay += self.dice.between(1, 150);
            }
            let session = end.session;
            self.later(
                delay,
                Event::Deliver {
                    from,
                    to,
                    session,
                    bytes: bytes.clone(),
                },
            );
        }
    }

    /// A message arrives.
    pub(crate) fn deliver(&mut self, from: Place, to: Place, session: u64, bytes: Vec<u8>) {
        let Some(node) = self.node(to) else {
            return;
        };
        let end = self.network.end(to, from);
        if end.session < session && self.network.session(from, to) == Some(session) {
            // The receiver has yet to learn of the session.
            self.later(
                1,
                Event::Deliver {
                    from,
                    to,
                    session,
                    bytes,
                },
            );
            return;
        }
        if !end.up || end.session != session || self.network.is_cut(from, to) {
            return;
        }
        let message = match Message::decode(&bytes) {
            Ok(message) => message,
            Err(error) => {
                self.report("wire", format!("a message does not decode: {error}"));
                return;
            }
        };
        self.tally.messages += 1;
        if self.tally.messages > MESSAGES_MAX {
            self.report(
                "storm",
                format!("more than {MESSAGES_MAX} messages: {}", brief(&message)),
            );
        }
        self.trace
            .line(self.now_ms, || format!("{from}->{to} {}", brief(&message)));
        let partition = match &message {
            Message::Delta(partition, _) | Message::Range(partition, _) => Some(*partition),
            Message::Pulled(_, partition, _) => Some(*partition),
            _ => None,
        };
        let told = match &message {
            Message::Acknowledge(partition, _) => Some(*partition),
            _ => None,
        };
        let before = told.map(|partition| checkers::handover::before(self, to, partition));
        let now = self.clock_of(to);
        let peer = self.members[from].id;
        if node.on_message(peer, message, now).is_err() {
            self.members[to].disk_failed = true;
        }
        self.settle(to);
        if let (Some(partition), Some(before)) = (told, before) {
            checkers::handover::check(self, to, partition, &before);
        }
        if let Some(partition) = partition {
            checkers::groups::check(self, to, partition);
            checkers::clocks::check_sometimes(self, to, partition);
        }
    }
}

/// A message in a few words.
fn brief(message: &Message) -> String {
    match message {
        Message::Delta(partition, delta) => {
            let changes: Vec<String> = delta
                .changes
                .iter()
                .map(|c| format!("{:?}{:?}", c.key, c.dots))
                .collect();
            format!(
                "DELTA p{partition} since {:?} clock {:?} {} | {:?}",
                delta.since,
                delta.clock,
                changes.join(" "),
                delta.actors.iter().map(|(_, a)| a).collect::<Vec<_>>()
            )
        }
        Message::Acknowledge(partition, told) => format!(
            "ACK p{partition} {:?} durable {:?} seen {:?} | {:?}",
            told.copy,
            told.durable,
            told.seen,
            told.actors.iter().map(|(_, a)| a).collect::<Vec<_>>()
        ),
        Message::Range(partition, range) => format!(
            "RANGE p{partition} transfer {} turn {} rows {:?} end {:?}",
            range.transfer,
            range.turn,
            range.rows.iter().map(|(k, _)| k).collect::<Vec<_>>(),
            range.end.as_ref().map(|(clock, log)| (clock, log.len()))
        ),
        Message::Layout(_, layout) => {
            let states: Vec<_> = layout.entries().iter().map(|(n, e)| (n, e.state)).collect();
            format!("LAYOUT {states:?}")
        }
        Message::Swim(payload) => format!("SWIM {} bytes", payload.len()),
        other => {
            let mut text = format!("{other:?}");
            text.truncate(200);
            text
        }
    }
}
