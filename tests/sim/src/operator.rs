//! What the operator of the cluster does: joins, departures, lost nodes replaced or forgotten.

use larder_cluster::id::NodeId;
use larder_cluster::layout::{Joiner, Layout, LayoutError, State};
use larder_cluster::node::NodeState;

use crate::event::Event;
use crate::member::Fate;
use crate::network::Place;
use crate::world::World;

impl World {
    /// A node with a zone and a weight of its own.
    fn joiner(&mut self, node: NodeId) -> Joiner {
        let zone = self.dice.below(self.plan.zones);
        Joiner {
            node,
            zone: format!("zone {zone}"),
            weight: self.dice.between(1, self.plan.weight_max.into()) as u32,
            address: "sim:1".to_owned(),
        }
    }

    /// Starts the first nodes, all of them members from the beginning.
    ///
    /// # Panics
    /// If the layout refuses what no layout refuses.
    pub fn start_cluster(&mut self) {
        let ids: Vec<NodeId> = (0..self.plan.nodes)
            .map(|_| NodeId(self.dice.id()))
            .collect();
        let layout = ids.iter().fold(self.empty_layout(), |layout, id| {
            let joiner = self.joiner(*id);
            let joining = layout.with_joining(joiner).expect("the node is new");
            joining.become_up(*id).expect("the node is joining")
        });
        for id in ids {
            let place = self.add_member(id);
            self.start(
                place,
                Some(NodeState {
                    id,
                    layout: layout.clone(),
                }),
            );
        }
    }

    /// Whether a change of membership is under way, as any running node sees it.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        let busy = |layout: &Layout| layout.nodes().any(|(_, entry)| entry.state != State::Up);
        self.members.iter().any(|member| {
            member.fate == Fate::Lost
                || member
                    .node
                    .as_ref()
                    .is_some_and(|node| busy(&node.view().layout))
        })
    }

    fn may_change(&self) -> bool {
        self.plan.reckless || !self.is_changing()
    }

    /// A running member that everybody may talk to.
    fn contact(&mut self) -> Option<Place> {
        let is_member = |place: &Place| {
            self.node(*place)
                .is_some_and(|node| node.view().layout.entry(node.id()).is_some())
        };
        let members: Vec<Place> = self.awake().into_iter().filter(is_member).collect();
        self.dice.pick(&members)
    }

    pub(crate) fn fault_join(&mut self) {
        let present = self
            .members
            .iter()
            .filter(|member| member.fate != Fate::Gone)
            .count();
        if present < self.plan.nodes_max && self.may_change() {
            self.join(None);
        }
    }

    /// A new node joins, in the place of `old` if given.
    fn join(&mut self, old: Option<NodeId>) {
        let Some(contact) = self.contact().and_then(|place| self.node(place)) else {
            return;
        };
        let id = NodeId(self.dice.id());
        let joiner = self.joiner(id);
        let Ok(layout) = contact.view().layout.with_joining(joiner) else {
            return;
        };
        let place = self.add_member(id);
        self.trace.line(self.now_ms, || format!("{place} joins"));
        self.start(place, Some(NodeState { id, layout }));
        if let Some(old) = old {
            let delay = self.dice.between(0, 50);
            self.later(delay, Event::Replace { new: place, old });
        }
    }

    pub(crate) fn fault_leave(&mut self) {
        if !self.may_change() {
            return;
        }
        let Some(contact) = self.contact() else {
            return;
        };
        let Some(node) = self.node(contact) else {
            return;
        };
        let layout = node.view().layout.clone();
        let up: Vec<NodeId> = layout
            .nodes()
            .filter(|(id, entry)| {
                let fate = self.places.get(id).map(|place| self.members[*place].fate);
                entry.state == State::Up && fate != Some(Fate::Lost)
            })
            .map(|(id, _)| id)
            .collect();
        if up.len() > 1
            && let Some(leaver) = self.dice.pick(&up)
        {
            self.trace.line(self.now_ms, || {
                format!("{contact} says that {leaver:?} leaves")
            });
            if node.change_layout(|layout| layout.leave(leaver)).is_ok() {
                self.settle(contact);
            }
        }
    }

    /// A lost node is replaced or forgotten; the operator looks again until all know.
    pub(crate) fn give_up(&mut self, place: Place) {
        if self.members[place].fate != Fate::Lost {
            return;
        }
        let old = self.members[place].id;
        if !self.is_known(old) {
            self.members[place].fate = Fate::Gone;
            return;
        }
        let replacing = std::mem::replace(&mut self.members[place].replaced, true);
        if !replacing && self.dice.chance(0.5) {
            self.join(Some(old));
        } else {
            self.forget(old);
        }
        let delay = self.dice.between(20, 200);
        self.later(delay, Event::GiveUp { node: place });
    }

    /// Whether some running node counts another as a member.
    fn is_known(&self, id: NodeId) -> bool {
        self.running().iter().any(|place| {
            self.node(*place)
                .is_some_and(|node| node.view().layout.entry(id).is_some())
        })
    }

    /// A new node takes the place of a lost one.
    pub(crate) fn replace(&mut self, new: Place, old: NodeId) {
        let Some(node) = self.node(new) else {
            return;
        };
        let id = self.members[new].id;
        self.trace
            .line(self.now_ms, || format!("{new} replaces {old:?}"));
        if node.change_layout(|layout| layout.replace(old, id)).is_ok() {
            self.settle(new);
        }
    }

    /// A node that still counts `old` as a member is told that it is lost.
    fn forget(&mut self, old: NodeId) {
        let knows = |place: &Place| {
            self.node(*place)
                .is_some_and(|node| node.view().layout.entry(old).is_some())
        };
        let knowing: Vec<Place> = self.awake().into_iter().filter(knows).collect();
        let Some(contact) = self.dice.pick(&knowing) else {
            return;
        };
        let Some(node) = self.node(contact) else {
            return;
        };
        self.trace.line(self.now_ms, || {
            format!("{contact} is told to forget {old:?}")
        });
        match node.change_layout(|layout| layout.forget(old)) {
            Ok(()) => self.settle(contact),
            // Only nodes that are leaving would be left: somebody must join first.
            Err(LayoutError::LastNode) if !self.is_joining(contact) => self.join(None),
            Err(_) => {}
        }
    }

    fn is_joining(&self, contact: Place) -> bool {
        self.node(contact).is_some_and(|node| {
            node.view()
                .layout
                .nodes()
                .any(|(_, entry)| entry.state == State::Joining)
        })
    }

    /// A node that was switched off, and that a power cut has made a member again, is forgotten.
    pub fn forget_gone(&mut self) {
        for place in 0..self.members.len() {
            let id = self.members[place].id;
            if self.members[place].fate == Fate::Gone && self.is_known(id) {
                self.forget(id);
            }
        }
    }

    /// Takes the nodes' own figures into the tally.
    pub fn sum_up(&mut self) {
        for place in self.running() {
            if let Some(node) = self.node(place) {
                let counts = node.counts();
                self.tally.transfers += counts.transfers_done;
                self.tally.handovers += counts.fallbacks_dropped + counts.mains_dropped;
                self.tally.refusals += counts.deltas_refused;
            }
        }
        self.tally.joins = (self.members.len() - self.plan.nodes.min(self.members.len())) as u64;
        self.tally.changes = self.history.lock().changes.len() as u64;
    }

    /// Whether nobody is a member any more who could come back: the last ones were lost while the
    /// others left.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let is_there = |id: &NodeId| {
            let fate = self.places.get(id).map(|place| self.members[*place].fate);
            matches!(fate, Some(Fate::Running | Fate::Crashed))
        };
        let is_over = |place: &Place| {
            self.node(*place)
                .is_some_and(|node| !node.view().layout.nodes().any(|(id, _)| is_there(&id)))
        };
        let running = self.running();
        !running.is_empty() && running.iter().all(is_over)
    }

    /// Notes how few nodes count each other as members.
    pub fn note_size(&mut self) {
        let sizes = self.running().into_iter().filter_map(|place| {
            let node = self.node(place)?;
            let layout = node.view().layout.clone();
            Some(
                layout
                    .nodes()
                    .filter(|(_, entry)| entry.state == State::Up)
                    .count(),
            )
        });
        let size = sizes.min();
        self.sizes
            .push(size.or(self.sizes.last().copied()).unwrap_or(1));
    }

    /// Nodes that have left, with nothing left to hand over, are switched off once all know.
    pub fn retire_left(&mut self) {
        for place in self.running() {
            let Some(node) = self.node(place) else {
                continue;
            };
            let id = node.id();
            let left = |place: &Place| {
                self.node(*place).is_some_and(|node| {
                    node.view().layout.entry(id).is_none()
                        && node.view().layout.entries().contains_key(&id)
                })
            };
            if left(&place)
                && self.running().iter().all(left)
                && self.held(place).is_empty()
                && self.running().len() > 1
            {
                self.trace.line(self.now_ms, || {
                    format!("{place} has left and is switched off")
                });
                self.end_process(place, Fate::Gone);
            }
        }
    }
}
