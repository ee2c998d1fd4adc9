//! Where the deliveries of a connection come from: its consumers, and the queues it gets from.
//!
//! Deliveries name their source by slot. A slot is given again only when nothing can name it any
//! more: its consumer is cancelled, its events are drained and its deliveries are settled.

use std::{sync::Arc, time::Duration};

use crate::{
    broker::queue::{ConsumerHandle, Queue},
    names::ChannelId,
};

#[derive(Debug)]
pub(super) struct Source {
    pub(super) channel: ChannelId,
    pub(super) queue: Arc<Queue>,
    /// The consumer at its queue; none once it is cancelled, and for `basic.get`.
    pub(super) handle: Option<ConsumerHandle>,
    pub(super) tag: Arc<str>,
    pub(super) no_ack: bool,
    /// Deliveries that are not settled.
    pub(super) unacked: u32,
    /// Whether it takes places in the channel's window: consumers do, `basic.get` does not.
    pub(super) is_consumer: bool,
    /// How long its deliveries may stay unacknowledged, if the consumer itself says.
    pub(super) ack_timeout: Option<Duration>,
    /// Whether some of them stayed so for too long.
    pub(super) has_timed_out: bool,
}

#[derive(Debug, Default)]
pub(super) struct Sources {
    slots: Vec<Option<Source>>,
    vacant: Vec<u32>,
}

impl Sources {
    pub(super) fn add(&mut self, source: Source) -> u32 {
        if let Some(slot) = self.vacant.pop() {
            self.slots[slot as usize] = Some(source);
            slot
        } else {
            self.slots.push(Some(source));
            (self.slots.len() - 1) as u32
        }
    }

    /// The slot that the next [`Self::add`] will use.
    pub(super) fn next_slot(&self) -> u32 {
        self.vacant.last().copied().unwrap_or(self.slots.len() as u32)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Source> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Source> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Source)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, source)| Some((slot as u32, source.as_ref()?)))
    }

    /// The consumer with this tag on this channel.
    pub(super) fn consumer(&self, channel: ChannelId, tag: &str) -> Option<u32> {
        self.iter()
            .find(|(_, s)| s.channel == channel && s.handle.is_some() && *s.tag == *tag)
            .map(|(slot, _)| slot)
    }

    /// Frees the slot if nothing can name it any more.
    pub(super) fn release(&mut self, slot: u32) {
        if self.get(slot).is_some_and(|s| s.handle.is_none() && s.unacked == 0) {
            self.slots[slot as usize] = None;
            self.vacant.push(slot);
        }
    }
}
