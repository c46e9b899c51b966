//! A partition as its node finds it on the disk.

use larder_crdt::{DecodeError, Reader};

use super::{Output, Partition};
use crate::copy::Copy;
use crate::element;
use crate::env::Env;
use crate::record::{CopyImage, Entry, Role};
use crate::store::{Checkpoint, Slot, Store, StoreError};

/// Bytes of a checkpoint or redo that are not what they should be.
pub(crate) fn damaged(error: DecodeError) -> StoreError {
    StoreError::Damaged(error.to_string())
}

impl Partition {
    /// Takes over a copy of a checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn restore(&mut self, env: &Env<'_>, slot: Slot, image: &[u8]) -> Result<(), StoreError> {
        let mut reader = Reader::new(image);
        let image = CopyImage::decode(&mut reader).map_err(damaged)?;
        reader.finish().map_err(damaged)?;
        self.place(env, slot, image, false)
    }

    fn place(
        &mut self,
        env: &Env<'_>,
        slot: Slot,
        image: CopyImage,
        complete: bool,
    ) -> Result<(), StoreError> {
        self.next_slot = self.next_slot.max(slot.number + 1);
        let role = image.role;
        // A copy that a checkpoint has already is only told its role again.
        if let Some(copy) = self.copy_at(slot) {
            copy.role = role;
            copy.clock.join(&image.clock);
            copy.changed = true;
            if role != Role::Staged && self.staged.as_ref().is_some_and(|s| s.copy.slot() == slot) {
                self.main = self.staged.take().map(|staged| staged.copy);
            }
            return Ok(());
        }
        let id = self.next_copy_id(env);
        let mut copy = Copy::from_image(id, slot, image, complete);
        let headers = copy
            .resets
            .values()
            .filter(|key| element::is_mask(key.element()));
        for header in headers {
            copy.rows.open_mask(env.store, header)?;
        }
        // What only the redo holds must be in the next checkpoint, which lets that redo go.
        copy.changed = complete;
        match role {
            Role::Main | Role::Returning => self.main = Some(copy),
            Role::Fallback => self.fallback = Some(copy),
            Role::Staged => self.place_staged(env, copy),
        }
        Ok(())
    }

    fn place_staged(&mut self, env: &Env<'_>, copy: Copy) {
        self.staged = Some(super::Staged {
            copy,
            source: env.node,
            transfer: 0,
            turn: 0,
            deadline_ms: 0,
        });
    }

    fn copy_at(&mut self, slot: Slot) -> Option<&mut Copy> {
        let staged = self.staged.as_mut().map(|staged| &mut staged.copy);
        [self.main.as_mut(), self.fallback.as_mut(), staged]
            .into_iter()
            .flatten()
            .find(|copy| copy.slot() == slot)
    }

    /// Replays one entry of the redo.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or what the disk says.
    pub fn replay(
        &mut self,
        env: &Env<'_>,
        store: &dyn Store,
        entry: Entry,
    ) -> Result<(), StoreError> {
        match entry {
            Entry::Copy { slot, image } => self.place(env, slot, *image, true)?,
            Entry::Drop { slot } => self.replay_drop(slot),
            Entry::Change {
                slot,
                key,
                dots,
                row,
            } => {
                if let Some(copy) = self.copy_at(slot) {
                    copy.replay_change(store, &key, &dots, row)?;
                }
            }
            Entry::Clock { slot, clock } => {
                if let Some(copy) = self.copy_at(slot) {
                    copy.clock.join(&clock);
                    copy.changed = true;
                }
            }
            Entry::Actor {
                slot,
                number,
                actor,
            } => {
                if let Some(copy) = self.copy_at(slot)
                    && copy.actors.intern(actor) != number
                {
                    return Err(StoreError::Damaged(
                        "an actor changed its number".to_owned(),
                    ));
                }
                if let Some(copy) = self.copy_at(slot) {
                    copy.changed = true;
                }
            }
            Entry::Log { slot, log } => {
                if let Some(copy) = self.copy_at(slot) {
                    for (dot, entry) in log.iter() {
                        copy.log.insert(dot, entry.key.clone(), entry.group);
                    }
                    copy.changed = true;
                }
            }
            Entry::Node { .. } => {}
        }
        Ok(())
    }

    fn replay_drop(&mut self, slot: Slot) {
        // The next checkpoint removes the slot once more: no other copy may have taken it by then.
        self.next_slot = self.next_slot.max(slot.number + 1);
        self.dropped.push(slot);
        if self.main.as_ref().is_some_and(|main| main.slot() == slot) {
            self.main = None;
        }
        if self
            .fallback
            .as_ref()
            .is_some_and(|fallback| fallback.slot() == slot)
        {
            self.fallback = None;
        }
        if self
            .staged
            .as_ref()
            .is_some_and(|staged| staged.copy.slot() == slot)
        {
            self.staged = None;
        }
    }

    /// After the last entry: what was replayed is what the disk holds, and a bootstrap that was
    /// under way begins anew.
    pub fn opened(&mut self, env: &Env<'_>, out: &mut Output) {
        if let Some(staged) = self.staged.take() {
            self.end_copy(out, &staged.copy);
        }
        let owner = env.is_owner(self.id);
        for copy in [self.main.as_mut(), self.fallback.as_mut()]
            .into_iter()
            .flatten()
        {
            copy.durable = copy.clock.clone();
            copy.unsynced = false;
            copy.handing_over = copy.role != Role::Fallback && !owner;
        }
    }

    /// Appends to `part` what changed since the last checkpoint. It counts as written until
    /// [`Partition::settle_checkpoint`].
    pub fn take_checkpoint(&mut self, part: &mut Checkpoint) {
        self.dropping = std::mem::take(&mut self.dropped);
        part.copies
            .extend(self.dropping.iter().map(|slot| (*slot, None)));
        let staged = self.staged.as_mut().map(|staged| &mut staged.copy);
        for copy in [self.main.as_mut(), self.fallback.as_mut(), staged]
            .into_iter()
            .flatten()
        {
            let slot = copy.slot();
            let deadlines = copy.rows.take_deadlines().into_iter();
            part.deadlines
                .extend(deadlines.map(|(due, is_there)| (slot, due, is_there)));
            let rows = copy.rows.take_dirty();
            if std::mem::take(&mut copy.changed) || !rows.is_empty() {
                let mut writer = larder_crdt::Writer::new();
                copy.image().encode(&mut writer);
                part.copies.push((slot, Some(writer.into_vec())));
            }
            part.rows
                .extend(rows.into_iter().map(|(key, row)| (slot, key, row)));
        }
    }

    /// After the part of [`Partition::take_checkpoint`] reached the disk, or failed to.
    pub fn settle_checkpoint(&mut self, reached: bool) {
        let dropping = std::mem::take(&mut self.dropping);
        if !reached {
            self.dropped.extend(dropping);
        }
        let staged = self.staged.as_mut().map(|staged| &mut staged.copy);
        for copy in [self.main.as_mut(), self.fallback.as_mut(), staged]
            .into_iter()
            .flatten()
        {
            copy.rows.settle_written(reached);
            copy.changed |= !reached;
        }
    }
}
