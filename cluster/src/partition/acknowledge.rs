//! What a node tells of its copy, and what it learns from others telling (rule 2).

use larder_crdt::{ActorTable, Clock, DecodeError, Reader, Writer};

use super::{Ends, Event, Output, Partition};
use crate::copy::{Copy, CopyId};
use crate::env::Env;
use crate::id::NodeId;
use crate::limits::ACTORS_PER_PARTITION_MAX;
use crate::message::Message;
use crate::record::Role;

/// A node's word about its main copy of a partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Acknowledgement {
    /// The copy that this speaks for; `None`: it has none that is whole.
    pub copy: Option<CopyId>,
    /// The digest of the layout that the node goes by. The copy of one that owns nothing by it may
    /// end at any time.
    pub layout: u64,
    /// The actors that the clocks name by number.
    pub actors: ActorTable,
    /// What the copy holds on disk.
    pub durable: Clock,
    /// What the copy has seen: after a question, or a delta that was refused.
    pub seen: Option<Clock>,
    /// Whether the node has a copy beside a whole one, that owners may lack: it stands in for them,
    /// or has returned with what it had.
    pub stands_in: bool,
    /// The number of the question that this answers; 0 if none was asked.
    pub asked: u64,
}

impl Acknowledgement {
    /// Appends the acknowledgement.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u128_be(self.copy.map_or(0, |copy| copy.0));
        writer.u64_be(self.layout);
        self.actors.encode(writer);
        self.durable.encode(writer);
        writer.u8(u8::from(self.stands_in));
        writer.varint(self.asked);
        writer.u8(u8::from(self.seen.is_some()));
        if let Some(clock) = &self.seen {
            clock.encode(writer);
        }
    }

    /// Reads what [`Acknowledgement::encode`] wrote.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let copy = match reader.u128_be()? {
            0 => None,
            copy => Some(CopyId(copy)),
        };
        let layout = reader.u64_be()?;
        let actors = ActorTable::decode(reader, ACTORS_PER_PARTITION_MAX)?;
        let durable = Clock::decode(reader, actors.len())?;
        let stands_in = reader.u8()? != 0;
        let asked = reader.varint()?;
        let seen = match reader.u8()? {
            0 => None,
            1 => Some(Clock::decode(reader, actors.len())?),
            _ => return Err(DecodeError::UnknownTag),
        };
        Ok(Self {
            copy,
            layout,
            actors,
            durable,
            seen,
            stands_in,
            asked,
        })
    }
}

impl Partition {
    /// This node's word about its copy.
    #[must_use]
    pub fn acknowledgement(&self, env: &Env<'_>) -> Acknowledgement {
        let has_returned = self.main.is_some() && !self.has_main();
        let stands_in = self.fallback.is_some() || has_returned;
        match self.main.as_ref().filter(|main| main.role == Role::Main) {
            Some(main) => Acknowledgement {
                copy: Some(main.id),
                layout: env.view.digest,
                actors: main.actors.clone(),
                durable: if env.keeps(2) {
                    main.durable.clone()
                } else {
                    main.clock.clone()
                },
                seen: None,
                stands_in,
                asked: 0,
            },
            None => Acknowledgement {
                copy: None,
                layout: env.view.digest,
                actors: ActorTable::new(),
                durable: Clock::new(),
                seen: None,
                stands_in,
                asked: 0,
            },
        }
    }

    /// Tells `peer` of this node's copy.
    pub fn acknowledge(&self, env: &Env<'_>, out: &mut Output, peer: NodeId) {
        out.sends.push((
            peer,
            Message::Acknowledge(self.id, self.acknowledgement(env)),
        ));
    }

    /// Answers a question about this node's copy. One under a number is for good: it is left to be
    /// asked again while a power cut could bring back a copy that has ended.
    pub fn on_ask(&self, env: &Env<'_>, out: &mut Output, from: NodeId, asked: u64) {
        if asked != 0 && self.ends != Ends::Durable {
            return;
        }
        let mut told = self.acknowledgement(env);
        told.asked = asked;
        if asked == 0 {
            told.seen = self.seen();
        }
        out.sends.push((from, Message::Acknowledge(self.id, told)));
    }

    pub(super) fn refuse(&self, env: &Env<'_>, out: &mut Output, peer: NodeId) {
        let mut told = self.acknowledgement(env);
        told.seen = self.seen();
        out.sends.push((peer, Message::Acknowledge(self.id, told)));
    }

    /// What the main copy has seen, if it is whole.
    fn seen(&self) -> Option<Clock> {
        let main = self.main.as_ref().filter(|main| main.role == Role::Main);
        main.map(|main| main.clock.clone())
    }

    /// A peer told of its copy.
    pub fn on_acknowledgement(
        &mut self,
        env: &Env<'_>,
        out: &mut Output,
        from: NodeId,
        told: &Acknowledgement,
    ) {
        let is_ready = told.copy.is_some();
        if self.ready.insert(from, is_ready) != Some(is_ready) {
            out.events.push(Event::PeerReadyChanged);
        }
        self.note_word(env, from, told);
        if let Some(main) = self.main.as_mut() {
            let translation = main.translation(&told.actors, &mut out.redo);
            let translate = |clock: &Clock| clock.translate(&translation);
            let clocks = translate(&told.durable)
                .and_then(|durable| Ok((durable, told.seen.as_ref().map(translate).transpose()?)));
            match clocks {
                Ok((durable, seen)) => note(main, env, from, told, durable, seen),
                Err(_) => out.events.push(Event::BadPeer(from)),
            }
        }
        if let Some(fallback) = self.fallback.as_mut() {
            let durable = fallback.known_part(&told.durable, &told.actors);
            let seen = told
                .seen
                .as_ref()
                .map(|clock| fallback.known_part(clock, &told.actors));
            note(fallback, env, from, told, durable, seen);
        }
        out.events.push(Event::Durable(self.id));
        self.trim(env);
        self.end_what_is_handed_over(env, out);
    }

    /// Forgets the log behind the watermark of all owners.
    pub(super) fn trim(&mut self, env: &Env<'_>) {
        let owners: Vec<NodeId> = env.other_owners(self.id).collect();
        if let Some(main) = self.main.as_mut() {
            main.trim(&owners);
        }
    }
}

/// Takes over what a peer told of its copy, unless it speaks for a copy that is no more.
fn note(
    copy: &mut Copy,
    env: &Env<'_>,
    from: NodeId,
    told: &Acknowledgement,
    durable: Clock,
    seen: Option<Clock>,
) {
    let peer = copy.peers.entry(from).or_default();
    let Some(id) = told.copy else {
        *peer = crate::copy::Peer::default();
        return;
    };
    if peer.copy.is_some_and(|known| known > id) {
        return;
    }
    if peer.copy != Some(id) {
        // The first word of this copy on this link: whatever it lacks is due at once.
        *peer = crate::copy::Peer {
            behind_since_ms: Some(0),
            ..Default::default()
        };
    }
    peer.copy = Some(id);
    peer.layout = told.layout;
    peer.told_ms = env.now.monotonic_ms;
    peer.ready = true;
    peer.durable.join(&durable);
    if let Some(seen) = seen {
        peer.note_seen(seen);
        peer.behind_since_ms = Some(0);
    }
    if peer.durable.covers(&copy.clock) {
        peer.behind_since_ms = None;
    }
}
