//! A run of publishes: what one channel sends to one queue without anything else in between.
//!
//! It is gathered and handed over under one lock of the queue and one of the store's inbox. It is
//! handed over at the latest before anything else that touches a queue is done, and before the
//! connection's turn ends; a long one earlier, so that consumers and the store get to work on its
//! front while its end is still being read.

use std::sync::Arc;

use super::{Session, channel::Mode};
use crate::{
    broker::queue::{Arrival, Queue},
    message::Message,
    names::ChannelId,
    wire::encode,
};

/// Messages of one run.
const MESSAGES_MAX: usize = 64;
/// Bytes of messages, with what they take, above which a run ends.
const BYTES_MAX: usize = 64 * 1024;

/// Publishes gathered for one queue.
#[derive(Debug, Default)]
pub(super) struct Run {
    channel: ChannelId,
    queue: Option<Arc<Queue>>,
    messages: Vec<(Message, Arrival)>,
    bytes: usize,
    /// Which of them the queue refused. Kept for its memory.
    refused: Vec<usize>,
}

impl Run {
    /// How many messages there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.messages.capacity()
    }

    /// Gives back memory that only a long run needed.
    pub(super) fn rest(&mut self) {
        self.messages.shrink_to_fit();
        self.refused.shrink_to_fit();
    }

    fn takes(&self, id: ChannelId, queue: &Arc<Queue>) -> bool {
        self.channel == id
            && self.queue.as_ref().is_some_and(|other| Arc::ptr_eq(other, queue))
            && self.messages.len() < MESSAGES_MAX
            && self.bytes < BYTES_MAX
    }
}

impl Session {
    /// Gathers a publish to the one queue of the current route, and hands over the run before it
    /// if this one is not its next.
    pub(super) fn gather_publish(&mut self, id: ChannelId, message: Message, arrival: Arrival) {
        let [queue] = self.routes.queues() else { return };
        if !self.run.takes(id, queue) {
            let queue = Arc::clone(queue);
            self.flush_publishes();
            self.run.channel = id;
            self.run.queue = Some(queue);
        }
        self.run.bytes += message.footprint();
        self.run.messages.push((message, arrival));
    }

    /// Hands the gathered publishes over to their queue, and counts them for their confirms.
    pub(super) fn flush_publishes(&mut self) {
        let Some(queue) = self.run.queue.take() else { return };
        let Run { channel: id, messages, refused, bytes, .. } = &mut self.run;
        let (id, count) = (*id, messages.len());
        *bytes = 0;
        refused.clear();
        let needed = queue.publish_all(messages.drain(..), refused, &mut self.fx);
        let Some(channel) = self.channels.open(id) else { return };
        let Mode::Confirm(confirms) = &mut channel.mode else { return };
        let mut done = 0;
        for &at in refused.iter() {
            confirms.published(needed, at - done);
            done = at + 1;
            // BA-045, QU-115.
            let tag = confirms.published_in_vain();
            encode::nack(self.out.buffer(), id.0, tag, false, false);
        }
        confirms.published(needed, count - done);
        channel.info.unconfirmed.set(confirms.pending());
        self.note_confirms(id);
    }

    /// Hands over all that is gathered.
    pub(super) fn flush(&mut self) {
        self.flush_publishes();
        self.flush_settlements();
    }
}
