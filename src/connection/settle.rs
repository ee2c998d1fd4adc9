//! `basic.ack`, `nack`, `reject` and `recover`: what clients say of their deliveries.
//!
//! Settlements for the same queue that come one after the other are gathered and handed over under
//! one lock; they are handed over at the latest before anything else is done, and before the
//! connection's turn ends.

use std::{collections::BTreeMap, mem, sync::Arc};

use super::{
    Session,
    channel::Mode,
    error::{Code, Failure, Ids},
    unacked::Unacked,
};
use crate::{
    broker::{
        queue::{Cause, Queue, Returned, Settled},
        stats::Stat,
    },
    names::{ChannelId, CommitSeq, DeliveryTag, QueueId},
};

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done with.
    Ack,
    /// Back to its queue, which knows what to do for this cause.
    Back(Cause),
}

/// Settlements gathered for one source.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    slot: u32,
    settled: Vec<Settled>,
}

impl Gathered {
    /// How many settlements there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.settled.capacity()
    }

    /// Gives back memory that only many settlements needed.
    pub(super) fn rest(&mut self) {
        self.settled.shrink_to_fit();
    }
}

impl Session {
    /// `basic.ack`, `nack` and `reject`, as far as they are alike (BA-120 to BA-124).
    pub(super) fn settle(
        &mut self,
        id: ChannelId,
        tag: DeliveryTag,
        multiple: bool,
        verdict: Verdict,
        ids: Ids,
    ) -> Result<(), Failure> {
        let Some(channel) = self.channel_mut(id) else { return Ok(()) };
        if !multiple {
            let Some(unacked) = channel.unacked.take(tag) else {
                let is_late = channel.ack_deadlines.forgive(tag);
                return if is_late { Ok(()) } else { Err(unknown_tag(tag, ids)) };
            };
            self.settle_or_buffer(id, tag, unacked, verdict);
            return Ok(());
        }
        let last = if tag == DeliveryTag(0) {
            DeliveryTag(u64::MAX)
        } else if channel.unacked.contains(tag) || channel.ack_deadlines.forgive(tag) {
            tag
        } else {
            return Err(unknown_tag(tag, ids));
        };
        channel.ack_deadlines.settled_up_to(last);
        let taken: Vec<_> = channel.unacked.take_up_to(last).collect();
        channel.unacked.rest();
        if let Verdict::Back(cause) = verdict
            && !matches!(channel.mode, Mode::Transaction(_))
        {
            self.take_back(id, taken.into_iter().map(|(_, unacked)| (unacked, cause)));
            return Ok(());
        }
        for (tag, unacked) in taken {
            self.settle_or_buffer(id, tag, unacked, verdict);
        }
        Ok(())
    }

    fn settle_or_buffer(
        &mut self,
        id: ChannelId,
        tag: DeliveryTag,
        mut unacked: Unacked,
        verdict: Verdict,
    ) {
        if let Some(channel) = self.channel_mut(id)
            && let Mode::Transaction(transaction) = &mut channel.mode
        {
            // It is most likely not to come back, and is not counted any more.
            if unacked.is_stored {
                unacked.message.leave_to_store();
            }
            transaction.settlements.push((tag, unacked, verdict));
            channel.info.uncommitted_acks.add(1);
            return;
        }
        self.settle_one(id, unacked, verdict);
    }

    /// Settles one delivery that was taken out of its channel's list.
    pub(super) fn settle_one(&mut self, id: ChannelId, unacked: Unacked, verdict: Verdict) {
        if let Verdict::Back(cause) = verdict {
            self.take_back(id, [(unacked, cause)]);
            return;
        }
        if self.gathered.slot != unacked.slot {
            self.flush_settlements();
        }
        let Some(source) = self.sources.get_mut(unacked.slot) else { return };
        source.unacked = source.unacked.saturating_sub(1);
        if let Some(channel) = self.channels.open(id) {
            channel.info.tally.add(Stat::Ack, 1);
        }
        self.gathered.slot = unacked.slot;
        self.gathered.settled.push(Settled {
            position: unacked.position,
            consumer: source.handle,
            is_stored: unacked.is_stored,
            is_persistent: unacked.message.is_persistent(),
            body_bytes: unacked.message.body_bytes(),
        });
    }

    /// Hands the gathered settlements over to their queue.
    pub(super) fn flush_settlements(&mut self) -> CommitSeq {
        if self.gathered.settled.is_empty() {
            return CommitSeq(0);
        }
        let slot = self.gathered.slot;
        let mut settled = mem::take(&mut self.gathered.settled);
        let mut seq = CommitSeq(0);
        if let Some(source) = self.sources.get(slot) {
            let (channel, is_consumer) = (source.channel, source.is_consumer);
            seq = source.queue.settle(&settled, &mut self.fx);
            if is_consumer {
                self.give_back(channel, settled.len() as u32);
            }
            self.sources.release(slot);
        }
        settled.clear();
        self.gathered.settled = settled;
        seq
    }

    /// Gives places of a channel's window back, and lets its consumers go on if it was full.
    fn give_back(&mut self, id: ChannelId, places: u32) {
        let Some(channel) = self.channel_mut(id) else { return };
        if channel.window.give_back(places) {
            self.resume_consumers(id);
        }
    }

    /// Lets the queues of all consumers of a channel know that its window has places.
    pub(super) fn resume_consumers(&mut self, id: ChannelId) {
        for (_, source) in self.sources.iter() {
            if source.channel == id
                && let Some(handle) = source.handle
            {
                source.queue.window_opened(handle, &mut self.fx);
            }
        }
    }

    /// Gives deliveries back to their queues, all of one queue at once and in order, each for its
    /// cause.
    pub(super) fn take_back(
        &mut self,
        id: ChannelId,
        deliveries: impl IntoIterator<Item = (Unacked, Cause)>,
    ) {
        self.flush();
        let mut by_queue: BTreeMap<QueueId, (Arc<Queue>, Vec<Returned>)> = BTreeMap::new();
        let mut places = 0;
        for (unacked, cause) in deliveries {
            let Some(source) = self.sources.get_mut(unacked.slot) else { continue };
            source.unacked = source.unacked.saturating_sub(1);
            places += u32::from(source.is_consumer);
            let queue = &source.queue;
            let (_, returned) =
                by_queue.entry(queue.id).or_insert_with(|| (Arc::clone(queue), Vec::new()));
            returned.push(Returned {
                position: unacked.position,
                consumer: source.handle,
                message: unacked.message,
                standing: unacked.standing,
                is_stored: unacked.is_stored,
                cause,
            });
            self.sources.release(unacked.slot);
        }
        for (queue, returned) in by_queue.into_values() {
            queue.take_back(returned, &mut self.fx);
        }
        self.give_back(id, places);
    }

    /// `basic.recover` and `basic.recover-async` (BA-129, BA-130).
    pub(super) fn recover(
        &mut self,
        id: ChannelId,
        requeue: bool,
        ids: Ids,
    ) -> Result<(), Failure> {
        if !requeue {
            return Err(Code::NotImplemented.failure(ids, "requeue=false"));
        }
        let Some(channel) = self.channel_mut(id) else { return Ok(()) };
        let all: Vec<_> = channel.unacked.take_all().collect();
        self.take_back(id, all.into_iter().map(|(_, unacked)| (unacked, Cause::Requeued)));
        Ok(())
    }
}

fn unknown_tag(tag: DeliveryTag, ids: Ids) -> Failure {
    Code::PreconditionFailed.failure(ids, format_args!("unknown delivery tag {}", tag.0))
}
