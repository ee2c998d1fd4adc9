//! The consumers of one queue: who may have the next message.
//!
//! Consumers with credit stand in a line, the highest priority first, and among equals the one
//! that was served longest ago. A consumer that runs out of credit or of room in its outbox leaves
//! the line and comes back at its end: an idle or busy crowd costs nothing per message.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    broker::outbox::{Outbox, Window},
    names::{ChannelId, ConnectionId},
    wire::table::Table,
};

/// A consumer as its queue knows it.
#[derive(Debug)]
pub struct Consumer {
    /// Its connection's outbox.
    pub outbox: Arc<Outbox>,
    /// Its slot on its connection.
    pub slot: u32,
    /// Its channel.
    pub channel: ChannelId,
    /// Its connection.
    pub connection: ConnectionId,
    /// Its tag, for the management API.
    pub tag: Arc<str>,
    /// The arguments it came with, if any, for the management API.
    pub arguments: Option<Arc<Table>>,
    /// Whether it wants to be the only one.
    pub exclusive: bool,
    /// Whether deliveries need no acknowledgement.
    pub no_ack: bool,
    /// How many messages it may hold unacknowledged; 0 for no limit.
    pub prefetch: u32,
    /// The channel's shared window (`basic.qos` with `global`).
    pub window: Arc<Window>,
    /// Consumers of a higher priority are served first.
    pub priority: i32,
}

/// A consumer's name at its queue: given at consume, valid until cancel, never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerHandle {
    index: u32,
    id: u64,
}

/// A consumer as seen from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerView {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its channel.
    pub channel: ChannelId,
    /// Its tag.
    pub tag: Arc<str>,
    /// The arguments it came with.
    pub arguments: Option<Arc<Table>>,
    /// Whether deliveries need no acknowledgement.
    pub no_ack: bool,
    /// Whether it is the only one.
    pub exclusive: bool,
    /// How many messages it may hold unacknowledged; 0 for no limit.
    pub prefetch: u32,
    /// Deliveries that it has not settled.
    pub unacked: u32,
    /// Whether it may be served: where one is served at a time, whether it is that one.
    pub is_active: bool,
    /// Whether it is served alone, and others may wait for their turn.
    pub is_single: bool,
    /// Whether it can take the next message: it has credit, and its client reads.
    pub is_free: bool,
}

impl ConsumerHandle {
    /// The handle of a consumer that no queue knows.
    #[cfg(test)]
    pub(crate) fn unknown(id: u64) -> Self {
        Self { index: 0, id }
    }

    /// Its number at its queue.
    #[cfg(test)]
    pub(crate) fn id(self) -> u64 {
        self.id
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) consumer: Consumer,
    id: u64,
    unacked: u32,
    is_in_line: bool,
    /// Whether its outbox had no room for the last offer.
    is_stalled: bool,
}

impl Entry {
    fn has_credit(&self) -> bool {
        self.consumer.no_ack || self.consumer.prefetch == 0 || self.unacked < self.consumer.prefetch
    }
}

#[derive(Debug, Default)]
pub(super) struct Consumers {
    slots: Vec<Option<Entry>>,
    vacant: Vec<u32>,
    /// Indices of the consumers that may be served, highest priority first.
    line: VecDeque<u32>,
    /// Consumers whose outboxes have no room.
    stalled: usize,
    next_id: u64,
    /// Whether only one consumer is served at a time (QU-140), and which.
    is_single_active: bool,
    active: Option<u32>,
}

impl Consumers {
    pub(super) fn new(is_single_active: bool) -> Self {
        Self { is_single_active, ..Self::default() }
    }

    /// Whether a consumer is one that may be served.
    fn is_active(&self, index: u32) -> bool {
        !self.is_single_active || self.active == Some(index)
    }

    /// Among consumers of which one is served at a time, lets the next have its turn: the one of
    /// the highest priority that came first.
    fn elect(&mut self) {
        if !self.is_single_active || self.active.is_some() {
            return;
        }
        let entries = self.slots.iter().enumerate();
        let entries = entries.filter_map(|(index, entry)| Some((index, entry.as_ref()?)));
        let rank = |(_, entry): &(usize, &Entry)| (-i64::from(entry.consumer.priority), entry.id);
        let Some((index, entry)) = entries.min_by_key(rank) else { return };
        let has_credit = entry.has_credit() && !entry.is_stalled;
        self.active = Some(index as u32);
        if has_credit {
            self.join_line(index as u32);
        }
    }

    /// All of them, in the order in which they came.
    pub(super) fn list(&self) -> Vec<ConsumerView> {
        let entries = self.slots.iter().enumerate();
        let mut entries: Vec<_> =
            entries.filter_map(|(at, entry)| Some((at as u32, entry.as_ref()?))).collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.id);
        let view = |(at, entry): (u32, &Entry)| {
            let consumer = &entry.consumer;
            ConsumerView {
                connection: consumer.connection,
                channel: consumer.channel,
                tag: Arc::clone(&consumer.tag),
                arguments: consumer.arguments.clone(),
                no_ack: consumer.no_ack,
                exclusive: consumer.exclusive,
                prefetch: consumer.prefetch,
                unacked: entry.unacked,
                is_active: self.is_active(at),
                is_single: self.active == Some(at),
                is_free: entry.is_in_line,
            }
        };
        entries.into_iter().map(view).collect()
    }

    /// The tag of one of them.
    pub(super) fn first_tag(&self) -> Option<Arc<str>> {
        self.slots.iter().flatten().next().map(|entry| Arc::clone(&entry.consumer.tag))
    }

    /// The tag of the one that is served, where one is served at a time.
    pub(super) fn active_tag(&self) -> Option<Arc<str>> {
        let entry = self.slots.get(self.active? as usize)?.as_ref()?;
        Some(Arc::clone(&entry.consumer.tag))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    pub(super) fn add(&mut self, consumer: Consumer) -> ConsumerHandle {
        let id = self.next_id;
        self.next_id += 1;
        let entry = Some(Entry { consumer, id, unacked: 0, is_in_line: false, is_stalled: false });
        let index = if let Some(index) = self.vacant.pop() {
            self.slots[index as usize] = entry;
            index
        } else {
            self.slots.push(entry);
            (self.slots.len() - 1) as u32
        };
        if self.is_single_active {
            self.elect();
        } else {
            self.join_line(index);
        }
        ConsumerHandle { index, id }
    }

    pub(super) fn remove(&mut self, handle: ConsumerHandle) -> Option<Consumer> {
        self.entry(handle)?;
        let entry = self.slots[handle.index as usize].take()?;
        self.stalled -= usize::from(entry.is_stalled);
        self.vacant.push(handle.index);
        if entry.is_in_line {
            self.line.retain(|&index| index != handle.index);
        }
        if self.active == Some(handle.index) {
            self.active = None;
            self.elect();
        }
        Some(entry.consumer)
    }

    /// Removes them all.
    pub(super) fn clear(&mut self) -> Vec<Consumer> {
        self.line.clear();
        self.vacant.clear();
        self.stalled = 0;
        self.active = None;
        self.slots.drain(..).flatten().map(|entry| entry.consumer).collect()
    }

    fn entry(&mut self, handle: ConsumerHandle) -> Option<&mut Entry> {
        let entry = self.slots.get_mut(handle.index as usize)?.as_mut()?;
        (entry.id == handle.id).then_some(entry)
    }

    /// The consumer that is next in line, and its handle.
    pub(super) fn next(&self) -> Option<(ConsumerHandle, &Consumer)> {
        let index = *self.line.front()?;
        let entry = self.slots[index as usize].as_ref()?;
        Some((ConsumerHandle { index, id: entry.id }, &entry.consumer))
    }

    /// The consumer next in line was given a message: it goes to the end of its equals, or out of
    /// the line when that was its last credit.
    pub(super) fn served(&mut self) {
        let Some(index) = self.line.pop_front() else { return };
        let Some(entry) = self.slots[index as usize].as_mut() else { return };
        entry.is_in_line = false;
        if !entry.consumer.no_ack {
            entry.unacked += 1;
        }
        if entry.has_credit() {
            self.join_line(index);
        }
    }

    /// The consumer next in line cannot take anything for now, because its outbox has no room or
    /// for another reason; [`Self::resume`] brings it back.
    pub(super) fn step_aside(&mut self, is_stalled: bool) {
        if let Some(index) = self.line.pop_front()
            && let Some(entry) = self.slots[index as usize].as_mut()
        {
            entry.is_in_line = false;
            entry.is_stalled = is_stalled;
            self.stalled += usize::from(is_stalled);
        }
    }

    /// Whether a consumer with credit waits only for its client to read.
    pub(super) fn has_stalled(&self) -> bool {
        self.stalled > 0
    }

    /// Gives credit back for `settled` deliveries.
    pub(super) fn settled(&mut self, handle: ConsumerHandle, settled: u32) {
        if let Some(entry) = self.entry(handle) {
            entry.unacked = entry.unacked.saturating_sub(settled);
            if !entry.is_stalled {
                self.resume(handle);
            }
        }
    }

    /// Puts a consumer back in line if it has credit.
    pub(super) fn resume(&mut self, handle: ConsumerHandle) {
        let Some(entry) = self.entry(handle) else { return };
        let was_stalled = std::mem::take(&mut entry.is_stalled);
        self.stalled -= usize::from(was_stalled);
        if self.is_active(handle.index)
            && let Some(entry) = self.entry(handle)
            && !entry.is_in_line
            && entry.has_credit()
        {
            self.join_line(handle.index);
        }
    }

    fn join_line(&mut self, index: u32) {
        let Some(entry) = self.slots[index as usize].as_mut() else { return };
        entry.is_in_line = true;
        let priority = entry.consumer.priority;
        let mut place = self.line.len();
        while place > 0 && self.priority_at(place - 1) < priority {
            place -= 1;
        }
        if place == self.line.len() {
            self.line.push_back(index);
        } else {
            self.line.insert(place, index);
        }
    }

    fn priority_at(&self, place: usize) -> i32 {
        let index = self.line[place] as usize;
        self.slots[index].as_ref().map_or(i32::MIN, |entry| entry.consumer.priority)
    }
}

#[cfg(test)]
mod tests;
