//! The delivery acknowledgement timeout: how long a client may keep a delivery without settling it
//! (BA-140 to BA-143).
//!
//! What a delivery has is decided when it goes out: the consumer's `x-consumer-timeout`, else the
//! lower of what its queue's argument and policies say, else the setting `consumer_timeout`. With
//! none of them nothing is kept and nothing is done.
//!
//! Otherwise a channel keeps one mark for all deliveries of a consumer that are due in the same
//! [`TICK_MS`], and no timer of their own: the connection's timer is set to the earliest mark. A
//! mark whose deliveries are all settled goes when a later one comes, or when it is due.
//!
//! What is done then is what RabbitMQ 4.3 does for quorum queues, and what it did before 4.3 for
//! all others. A quorum queue gets the message back, and the consumer is cancelled; where nobody
//! can be told of that, the channel is closed. For a classic queue the channel is closed.
//!
//! deviation: RabbitMQ's consumer is served again once the client settles what came too late. Its
//! clients have forgotten the consumer by then, and some break. Ours is gone.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    Session,
    error::{Close, Code},
};
use crate::{
    broker::{arguments::QueueType, queue::Cause},
    clock::{self, Now},
    names::{ChannelId, DeliveryTag},
    wire::method::{AMQPClass, basic, short_string},
};

/// Deliveries that are due in the same time of this length are looked at together: none is taken
/// back before its time, and none more than this after it.
const TICK_MS: u64 = 250;
/// Tags of deliveries taken back from a channel's client that it may still settle, without effect.
const LATE_TAGS_MAX: usize = 65_536;

/// Deliveries from one source that are due in the same tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    first: DeliveryTag,
    last: DeliveryTag,
    timeout: Duration,
}

/// When the deliveries of one channel must be settled.
#[derive(Debug, Default)]
pub(super) struct AckDeadlines {
    /// By tick and slot.
    marks: BTreeMap<(u64, u32), Mark>,
    /// Deliveries taken back, as far as the client has not settled them, the oldest first.
    late: VecDeque<DeliveryTag>,
}

impl AckDeadlines {
    /// Watches a delivery. `oldest` is the oldest of the channel that is not settled. Returns when
    /// to look at it.
    fn watch(
        &mut self,
        now: Now,
        timeout: Duration,
        slot: u32,
        tag: DeliveryTag,
        oldest: Option<DeliveryTag>,
    ) -> Now {
        let tick = now.after(timeout).as_millis() / TICK_MS + 1;
        if let Some(mark) = self.marks.get_mut(&(tick, slot)) {
            mark.first = mark.first.min(tag);
            mark.last = mark.last.max(tag);
        } else {
            while let Some(first) = self.marks.first_entry()
                && oldest.is_none_or(|oldest| first.get().last < oldest)
            {
                first.remove();
            }
            self.marks.insert((tick, slot), Mark { first: tag, last: tag, timeout });
        }
        moment(tick)
    }

    fn next(&self) -> Option<Now> {
        self.marks.first_key_value().map(|((tick, _), _)| moment(*tick))
    }

    fn take_due(&mut self, now: Now) -> Option<(u32, Mark)> {
        let first = self.marks.first_entry().filter(|first| moment(first.key().0) <= now)?;
        let (_, slot) = *first.key();
        Some((slot, first.remove()))
    }

    fn taken_back(&mut self, tag: DeliveryTag) {
        if self.late.len() == LATE_TAGS_MAX {
            self.late.pop_front();
        }
        self.late.push_back(tag);
    }

    /// Whether the client may settle this, although it was taken back. It may once.
    pub(super) fn forgive(&mut self, tag: DeliveryTag) -> bool {
        let found = self.late.iter().position(|late| *late == tag);
        found.and_then(|index| self.late.remove(index)).is_some()
    }

    /// The client has settled everything up to here.
    pub(super) fn settled_up_to(&mut self, tag: DeliveryTag) {
        self.late.retain(|late| *late > tag);
    }
}

/// When a tick is over.
fn moment(tick: u64) -> Now {
    Now::from_millis(tick.saturating_mul(TICK_MS))
}

fn close(id: ChannelId, timeout: &str) -> Close {
    let text = format!(
        "delivery acknowledgement on channel {} timed out. Timeout value used: {timeout} ms. This \
         timeout value can be configured, see consumers doc guide to learn more",
        id.0
    );
    Code::PreconditionFailed.close((0, 0), text)
}

impl Session {
    /// A delivery that is to be settled went out.
    pub(super) fn watch_ack(&mut self, id: ChannelId, slot: u32, tag: DeliveryTag) {
        let Some(source) = self.sources.get(slot) else { return };
        let timeout = source.ack_timeout.or_else(|| source.queue.consumer_timeout());
        let Some(timeout) = timeout.or(self.context.config.consumer_timeout) else { return };
        let Some(channel) = self.channels.open(id) else { return };
        let oldest = channel.unacked.oldest();
        let due = channel.ack_deadlines.watch(clock::now(), timeout, slot, tag, oldest);
        self.acks_due = Some(self.acks_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Ends what was to be settled before `now` and was not.
    pub(super) fn end_overdue(&mut self, now: Now) {
        if self.acks_due.is_none_or(|due| now < due) {
            return;
        }
        for id in self.channels.ids() {
            while let Some(channel) = self.channels.open(id)
                && let Some((slot, mark)) = channel.ack_deadlines.take_due(now)
            {
                let tags = channel.unacked.tags_of(slot, mark.first..=mark.last);
                if !tags.is_empty() {
                    self.time_out(id, slot, &tags, mark.timeout);
                }
            }
        }
        let ids = self.channels.ids();
        let due = ids.into_iter().filter_map(|id| self.channels.open(id)?.ack_deadlines.next());
        self.acks_due = due.min();
    }

    /// The client has kept these deliveries from one source for too long.
    fn time_out(&mut self, id: ChannelId, slot: u32, tags: &[DeliveryTag], timeout: Duration) {
        let Some(source) = self.sources.get_mut(slot) else { return };
        tracing::warn!(
            connection = self.id.0,
            channel = id.0,
            consumer = &*source.tag,
            queue = %source.queue.name,
            ?timeout,
            "deliveries were not acknowledged in time"
        );
        if source.queue.queue_type != QueueType::Quorum {
            let timeout = timeout.as_millis().to_string();
            return self.close_channel(id, &close(id, &timeout));
        }
        let is_told = std::mem::replace(&mut source.has_timed_out, true);
        let is_cancelled = source.handle.is_some() && self.capabilities.consumer_cancel_notify;
        let consumer_tag = short_string(&source.tag);
        // First, so that it does not get them again.
        self.stop_consumer(slot);
        let Some(channel) = self.channels.open(id) else { return };
        let mut taken = Vec::with_capacity(tags.len());
        for &tag in tags {
            taken.extend(channel.unacked.take(tag));
            channel.ack_deadlines.taken_back(tag);
        }
        self.take_back(id, taken.into_iter().map(|unacked| (unacked, Cause::Requeued)));
        if is_cancelled {
            let cancel = basic::Cancel { consumer_tag, nowait: true };
            self.reply(id, &AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
        } else if !is_told {
            self.close_channel(id, &close(id, "-1"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(2);

    fn at(millis: u64) -> Now {
        Now::from_millis(millis)
    }

    fn tag(tag: u64) -> DeliveryTag {
        DeliveryTag(tag)
    }

    #[test]
    fn nothing_is_due_before_its_time_nor_a_tick_after_it() {
        for millis in [0, 1, TICK_MS - 1, TICK_MS, 12_345] {
            let due = AckDeadlines::default().watch(at(millis), T, 0, tag(1), None).as_millis();
            assert!((millis + 2000..=millis + 2000 + TICK_MS).contains(&due), "{millis} {due}");
        }
    }

    #[test]
    fn deliveries_of_a_tick_and_a_source_share_a_mark() {
        let mut deadlines = AckDeadlines::default();
        for number in 1..=100 {
            let slot = u32::from(number % 2 == 0);
            deadlines.watch(at(number), T, slot, tag(number), Some(tag(1)));
        }
        assert_eq!(deadlines.marks.len(), 2);
        assert_eq!(deadlines.take_due(at(2000)), None);
        let mark = |first, last| Mark { first: tag(first), last: tag(last), timeout: T };
        assert_eq!(deadlines.take_due(at(2250)), Some((0, mark(1, 99))));
        assert_eq!(deadlines.take_due(at(2250)), Some((1, mark(2, 100))));
        assert_eq!(deadlines.take_due(at(9999)), None);
    }

    #[test]
    fn marks_of_what_is_settled_do_not_pile_up() {
        let mut deadlines = AckDeadlines::default();
        for number in 1..=10_000_u64 {
            // All but the two latest are settled.
            let oldest = Some(tag(number.saturating_sub(1)));
            deadlines.watch(at(number * 100), Duration::from_secs(3600), 0, tag(number), oldest);
        }
        assert!(deadlines.marks.len() <= 3, "{}", deadlines.marks.len());
    }

    #[test]
    fn late_tags_are_forgiven_once_and_are_bounded() {
        let mut deadlines = AckDeadlines::default();
        (1..=LATE_TAGS_MAX as u64 + 1).for_each(|number| deadlines.taken_back(tag(number)));
        assert!(!deadlines.forgive(tag(1)));
        assert!(deadlines.forgive(tag(2)));
        assert!(!deadlines.forgive(tag(2)));
        deadlines.settled_up_to(tag(LATE_TAGS_MAX as u64));
        assert_eq!(deadlines.late, [tag(LATE_TAGS_MAX as u64 + 1)]);
    }
}
