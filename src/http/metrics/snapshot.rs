//! What a scrape is about, gathered once: every queue and connection is looked at for a moment,
//! one after the other.

use std::{ops::AddAssign, sync::Arc};

use crate::{
    broker::{
        Broker,
        arguments::QueueType,
        client::ChannelInfo,
        queue::{Amount, Queue, QueueView},
        registry::ClientTotals,
        stats::{Departed, QueueChurn, QueueTally, Stat, Tally},
    },
    clock::{self, Now},
    names::Name,
};

/// What queues have counted: those of each type, and those for direct replies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) by_type: [QueueTally; QueueType::COUNT],
    pub(super) replies: QueueTally,
}

impl Counted {
    /// Lets no number be lower than it was. The queues of a vhost that is being deleted are off
    /// the list a moment before they count as departed.
    fn keep_up_with(&mut self, before: &mut Self) {
        let now = self.by_type.iter_mut().chain([&mut self.replies]);
        for (now, before) in now.zip(before.by_type.iter_mut().chain([&mut before.replies])) {
            for stat in Stat::ALL {
                now.messages[stat] = now.messages[stat].max(before.messages[stat]);
            }
            let reasons = [
                (&mut now.given_up, before.given_up),
                (&mut now.dead_lettered, before.dead_lettered),
                (&mut now.kept_letters, before.kept_letters),
            ];
            for (now, before) in reasons {
                for (now, before) in now.iter_mut().zip(before) {
                    *now = before.max(*now);
                }
            }
            *before = *now;
        }
    }

    /// Those of all types together.
    pub(super) fn all(&self) -> QueueTally {
        let mut sum = QueueTally::default();
        for tally in self.by_type {
            sum += tally;
        }
        sum
    }
}

/// A queue's numbers, or those of all queues together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueNumbers {
    pub(super) ready: u64,
    pub(super) ready_bytes: u64,
    pub(super) unacked: u64,
    pub(super) unacked_bytes: u64,
    /// Messages that wait for something before they can be delivered.
    pub(super) waiting: u64,
    pub(super) persistent: Amount,
    pub(super) consumers: u64,
    /// As its consumers have it; 0 without any.
    pub(super) capacity: f64,
    pub(super) resident: u64,
    /// With what the broker needs beside the bodies.
    pub(super) resident_bytes: u64,
    pub(super) resident_body_bytes: u64,
    pub(super) messages: Tally,
}

impl QueueNumbers {
    fn of(view: &QueueView, now: Now) -> Self {
        let is_consumed = view.counts.consumers > 0;
        Self {
            ready: view.counts.ready,
            ready_bytes: view.counts.ready_bytes,
            unacked: view.counts.unacked,
            unacked_bytes: view.counts.unacked_bytes,
            waiting: view.counts.delayed.and(view.counts.letters).messages,
            persistent: view.counts.persistent,
            consumers: view.counts.consumers as u64,
            capacity: if is_consumed { view.capacity.at(now) } else { 0.0 },
            resident: view.resident,
            resident_bytes: view.resident_bytes,
            resident_body_bytes: view.resident_body_bytes,
            messages: view.tally.messages,
        }
    }
}

impl AddAssign for QueueNumbers {
    fn add_assign(&mut self, other: Self) {
        self.ready += other.ready;
        self.ready_bytes += other.ready_bytes;
        self.unacked += other.unacked;
        self.unacked_bytes += other.unacked_bytes;
        self.waiting += other.waiting;
        self.persistent = self.persistent.and(other.persistent);
        self.capacity += other.capacity;
        self.consumers += other.consumers;
        self.resident += other.resident;
        self.resident_bytes += other.resident_bytes;
        self.resident_body_bytes += other.resident_body_bytes;
        self.messages += other.messages;
    }
}

/// A queue and its numbers.
#[derive(Debug)]
pub(super) struct QueueItem {
    pub(super) vhost: Name,
    pub(super) name: Name,
    pub(super) queue_type: QueueType,
    pub(super) numbers: QueueNumbers,
    /// The `timestamp` of its first message, if that is known.
    pub(super) head_timestamp: Option<u64>,
}

/// A channel's numbers, or those of all channels together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChannelNumbers {
    pub(super) consumers: u64,
    pub(super) unacked: u64,
    pub(super) unconfirmed: u64,
    pub(super) uncommitted: u64,
    pub(super) uncommitted_acks: u64,
    pub(super) prefetch: u64,
    pub(super) global_prefetch: u64,
    pub(super) messages: Tally,
}

impl From<&ChannelInfo> for ChannelNumbers {
    fn from(info: &ChannelInfo) -> Self {
        Self {
            consumers: info.consumers.get(),
            unacked: info.unacked.get(),
            unconfirmed: info.unconfirmed.get(),
            uncommitted: info.uncommitted.get(),
            uncommitted_acks: info.uncommitted_acks.get(),
            prefetch: info.prefetch.get(),
            global_prefetch: info.global_prefetch.get(),
            messages: info.tally.get(),
        }
    }
}

impl AddAssign for ChannelNumbers {
    fn add_assign(&mut self, other: Self) {
        self.consumers += other.consumers;
        self.unacked += other.unacked;
        self.unconfirmed += other.unconfirmed;
        self.uncommitted += other.uncommitted;
        self.uncommitted_acks += other.uncommitted_acks;
        self.prefetch += other.prefetch;
        self.global_prefetch += other.global_prefetch;
        self.messages += other.messages;
    }
}

/// A channel and its numbers.
#[derive(Debug)]
pub(super) struct ChannelItem {
    /// RabbitMQ's name for it: its connection's, and its number.
    pub(super) name: String,
    pub(super) vhost: Name,
    pub(super) numbers: ChannelNumbers,
}

/// A connection's numbers, or those of all connections together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionNumbers {
    pub(super) received_bytes: u64,
    pub(super) reads: u64,
    pub(super) sent_bytes: u64,
    pub(super) writes: u64,
    pub(super) pending_bytes: u64,
    pub(super) channels: u64,
    pub(super) blocked: u64,
}

/// Everything that a scrape may tell.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) queues: Vec<QueueItem>,
    pub(super) churn: QueueChurn,
    pub(super) counted: Counted,
    pub(super) clients: ClientTotals,
    pub(super) channels: Vec<ChannelItem>,
    pub(super) connections: Vec<(String, ConnectionNumbers)>,
}

impl Snapshot {
    /// Looks at everything. `before` is what was counted when this was called before.
    pub(super) fn take(broker: &Broker, before: &mut Counted) -> Self {
        let mut counted = Counted::default();
        let (queues, churn) = look_at_queues(broker, &mut counted);
        look_at_replies(broker, &mut counted);
        counted.keep_up_with(before);
        let (connections, channels) = look_at_connections(broker);
        let clients = broker.registry.totals();
        Self { queues, churn, counted, clients, channels, connections }
    }

    /// All queues together; what they have counted includes those that are gone.
    pub(super) fn all_queues(&self) -> QueueNumbers {
        let mut sum = QueueNumbers::default();
        for queue in &self.queues {
            sum += queue.numbers;
        }
        sum.messages = self.counted.all().messages;
        sum
    }

    /// All channels together; what they have counted includes those that are gone.
    pub(super) fn all_channels(&self) -> ChannelNumbers {
        let mut sum = ChannelNumbers::default();
        for channel in &self.channels {
            sum += channel.numbers;
        }
        sum.messages = self.clients.messages;
        sum
    }

    /// All connections together; what passed them includes those that are gone.
    pub(super) fn all_connections(&self) -> ConnectionNumbers {
        let mut sum = ConnectionNumbers::default();
        for (_, connection) in &self.connections {
            sum.pending_bytes += connection.pending_bytes;
            sum.channels += connection.channels;
            sum.blocked += connection.blocked;
        }
        let traffic = &self.clients.traffic;
        (sum.received_bytes, sum.reads) = (traffic.received_bytes, traffic.reads);
        (sum.sent_bytes, sum.writes) = (traffic.sent_bytes, traffic.writes);
        sum
    }
}

/// Looks at these queues and adds up what they and those that are gone have counted. The order
/// is that of [`Departed`]: the list was made before.
fn add_up<T>(
    queues: &[(T, Arc<Queue>)],
    departed: &Departed,
    mut seen: impl FnMut(&T, &Queue, Option<QueueView>, QueueTally),
) -> (QueueChurn, [QueueTally; QueueType::COUNT]) {
    let (churn, gone) = departed.queues();
    for (place, queue) in queues {
        let view = queue.view();
        let tally = match &view {
            Some(view) => view.tally,
            None => queue.departed_after(churn.deleted).unwrap_or_default(),
        };
        seen(place, queue, view, tally);
    }
    (churn, gone)
}

fn look_at_queues(broker: &Broker, counted: &mut Counted) -> (Vec<QueueItem>, QueueChurn) {
    let mut queues = Vec::new();
    for vhost in broker.vhosts() {
        let topology = vhost.topology();
        let of_vhost = topology.queues().map(|(_, q)| (vhost.name().clone(), Arc::clone(q)));
        queues.extend(of_vhost);
    }
    let mut items = Vec::with_capacity(queues.len());
    let now = clock::now();
    let (churn, gone) = add_up(&queues, &broker.departed, |vhost, queue, view, tally| {
        counted.by_type[queue.queue_type.index()] += tally;
        items.extend(view.map(|view| QueueItem {
            vhost: vhost.clone(),
            name: queue.name.clone(),
            queue_type: queue.queue_type,
            numbers: QueueNumbers::of(&view, now),
            head_timestamp: view.head_timestamp,
        }));
    });
    for (sum, gone) in counted.by_type.iter_mut().zip(gone) {
        *sum += gone;
    }
    (items, churn)
}

fn look_at_replies(broker: &Broker, counted: &mut Counted) {
    let vhosts = broker.vhosts();
    let queues: Vec<_> =
        vhosts.iter().flat_map(|vhost| vhost.reply_queues()).map(|queue| ((), queue)).collect();
    let (_, gone) = add_up(&queues, &broker.departed_replies, |(), _, _, tally| {
        counted.replies += tally;
    });
    for gone in gone {
        counted.replies += gone;
    }
}

fn look_at_connections(broker: &Broker) -> (Vec<(String, ConnectionNumbers)>, Vec<ChannelItem>) {
    let (mut connections, mut channels) = (Vec::new(), Vec::new());
    for connection in broker.registry.connections() {
        let info = &connection.info;
        let name = info.name();
        let of_connection = info.channels();
        channels.extend(of_connection.iter().map(|channel| ChannelItem {
            name: format!("{name} ({})", channel.id.0),
            vhost: connection.place.vhost.clone(),
            numbers: (&**channel).into(),
        }));
        let numbers = ConnectionNumbers {
            received_bytes: info.received_bytes.get(),
            reads: info.reads.get(),
            sent_bytes: info.sent_bytes.get(),
            writes: info.writes.get(),
            pending_bytes: info.pending_bytes.get(),
            channels: of_connection.len() as u64,
            blocked: info.blocked.get(),
        };
        connections.push((name, numbers));
    }
    (connections, channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_never_falls() {
        let counted = |acked: u64, expired: u64| {
            let mut counted = Counted::default();
            counted.by_type[1].messages[Stat::Ack] = acked;
            counted.replies.given_up[0] = expired;
            counted
        };
        let mut before = counted(5, 7);
        let mut now = counted(4, 8);
        now.keep_up_with(&mut before);
        assert_eq!((now.all().messages[Stat::Ack], now.replies.given_up[0]), (5, 8));
        let mut later = counted(6, 1);
        later.keep_up_with(&mut before);
        assert_eq!((later.all().messages[Stat::Ack], later.replies.given_up[0]), (6, 8));
    }
}
