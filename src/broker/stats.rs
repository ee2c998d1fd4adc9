//! What is counted: the messages that pass connections, channels, queues and exchanges.
//!
//! Counting must cost nothing on a message's way. A [`Count`] has one writer, the task that owns
//! it, and is written without a lock or an atomic read-modify-write; whoever reads it sees a recent
//! value. What a queue counts lies under the queue's lock. Totals are summed when somebody asks;
//! what channels and queues counted that are gone is kept in [`Departed`], so that a total never
//! falls.

use std::{
    ops::{AddAssign, Index, IndexMut},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{arguments::QueueType, dead_letter::Reason};

/// A number that one task writes and any may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it; only its owner may.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Takes from it; only its owner may.
    pub fn sub(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).saturating_sub(less), Relaxed);
    }

    /// Sets it; only its owner may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Something that happens to messages, as RabbitMQ's `message_stats` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// Published.
    Publish,
    /// Confirmed to the publisher.
    Confirm,
    /// Returned to the publisher: mandatory, and no queue to go to.
    ReturnUnroutable,
    /// Dropped: no queue to go to.
    DropUnroutable,
    /// Delivered to a consumer that acknowledges.
    Deliver,
    /// Delivered to a consumer that does not.
    DeliverNoAck,
    /// Taken by `basic.get`, to be acknowledged.
    Get,
    /// Taken by `basic.get` without acknowledgement.
    GetNoAck,
    /// A `basic.get` that found nothing.
    GetEmpty,
    /// Delivered or taken once more.
    Redeliver,
    /// Acknowledged.
    Ack,
}

impl Stat {
    /// How many there are.
    pub const COUNT: usize = 11;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Publish,
        Self::Confirm,
        Self::ReturnUnroutable,
        Self::DropUnroutable,
        Self::Deliver,
        Self::DeliverNoAck,
        Self::Get,
        Self::GetNoAck,
        Self::GetEmpty,
        Self::Redeliver,
        Self::Ack,
    ];

    /// Its name in `message_stats` (HT-074).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Confirm => "confirm",
            Self::ReturnUnroutable => "return_unroutable",
            Self::DropUnroutable => "drop_unroutable",
            Self::Deliver => "deliver",
            Self::DeliverNoAck => "deliver_no_ack",
            Self::Get => "get",
            Self::GetNoAck => "get_no_ack",
            Self::GetEmpty => "get_empty",
            Self::Redeliver => "redeliver",
            Self::Ack => "ack",
        }
    }
}

/// How often each [`Stat`] happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; Stat::COUNT]);

impl Tally {
    /// Deliveries of every kind: RabbitMQ's `deliver_get`.
    pub fn deliver_get(&self) -> u64 {
        [Stat::Deliver, Stat::DeliverNoAck, Stat::Get, Stat::GetNoAck]
            .into_iter()
            .map(|stat| self[stat])
            .sum()
    }

    /// Whether nothing ever happened.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Index<Stat> for Tally {
    type Output = u64;

    fn index(&self, stat: Stat) -> &u64 {
        &self.0[stat as usize]
    }
}

impl IndexMut<Stat> for Tally {
    fn index_mut(&mut self, stat: Stat) -> &mut u64 {
        &mut self.0[stat as usize]
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

/// A [`Tally`] with one writer and any readers: a channel's.
#[derive(Debug, Default)]
pub struct SharedTally([Count; Stat::COUNT]);

impl SharedTally {
    /// Counts; only its owner may.
    pub fn add(&self, stat: Stat, more: u64) {
        self.0[stat as usize].add(more);
    }

    /// What was counted so far.
    pub fn get(&self) -> Tally {
        Tally(std::array::from_fn(|at| self.0[at].get()))
    }
}

/// What a queue counts, under its lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTally {
    /// What happened to its messages.
    pub messages: Tally,
    /// Messages given up, by [`Reason`], that had nowhere to go.
    pub given_up: [u64; Reason::COUNT],
    /// Messages given up, by [`Reason`], that were sent to a dead letter exchange.
    pub dead_lettered: [u64; Reason::COUNT],
    /// The same of those that are kept until they have somewhere to go.
    pub kept_letters: [u64; Reason::COUNT],
}

impl AddAssign for QueueTally {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        add_each(&mut self.given_up, other.given_up);
        add_each(&mut self.dead_lettered, other.dead_lettered);
        add_each(&mut self.kept_letters, other.kept_letters);
    }
}

fn add_each<const N: usize>(sums: &mut [u64; N], more: [u64; N]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// What passed a connection, beyond what its channels count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received.
    pub received_bytes: u64,
    /// Reads that brought them.
    pub reads: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Writes that took them.
    pub writes: u64,
    /// Messages published on channels in confirm mode.
    pub published_for_confirm: u64,
    /// Queues that published messages went to, one after the other.
    pub routed: u64,
    /// The sizes of the messages published.
    pub sizes: SizesSeen,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.received_bytes += other.received_bytes;
        self.reads += other.reads;
        self.sent_bytes += other.sent_bytes;
        self.writes += other.writes;
        self.published_for_confirm += other.published_for_confirm;
        self.routed += other.routed;
        self.sizes += other.sizes;
    }
}

/// What an exchange counts. Connections add what they published in one turn.
#[derive(Debug, Default)]
pub struct ExchangeStats {
    publish_in: AtomicU64,
    publish_out: AtomicU64,
}

impl ExchangeStats {
    /// Counts messages that came in, and how often they went out to queues.
    pub fn add(&self, publish_in: u64, publish_out: u64) {
        self.publish_in.fetch_add(publish_in, Relaxed);
        self.publish_out.fetch_add(publish_out, Relaxed);
    }

    /// Messages published to it.
    pub fn publish_in(&self) -> u64 {
        self.publish_in.load(Relaxed)
    }

    /// Messages that it passed on to queues, once for each queue.
    pub fn publish_out(&self) -> u64 {
        self.publish_out.load(Relaxed)
    }
}

/// How many queues came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueChurn {
    /// Declares, of queues that were there with them.
    pub declared: u64,
    /// Queues made.
    pub created: u64,
    /// Queues deleted.
    pub deleted: u64,
}

/// What is left of the counts of queues that are gone, and their coming and going.
///
/// Whoever adds up what there ever was takes the list of queues first, then this, then looks at
/// each queue: one that was deleted before this was taken is in it, one that was deleted after it
/// counts for itself ([`QueueChurn::deleted`] tells which). So no sum ever falls.
///
/// # Locks
/// Its lock is taken last of all: a queue's may be held.
#[derive(Debug, Default)]
pub struct Departed {
    queues: Mutex<(QueueChurn, [QueueTally; QueueType::COUNT])>,
}

impl Departed {
    /// A queue was deleted that had counted this. Returns how many were before it and with it.
    pub fn queue(&self, queue_type: QueueType, tally: QueueTally) -> u64 {
        let mut state = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.deleted += 1;
        state.1[queue_type.index()] += tally;
        state.0.deleted
    }

    /// A queue was declared; a new one, if it was not there.
    pub fn declared(&self, is_new: bool) {
        let mut state = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.declared += 1;
        state.0.created += u64::from(is_new);
    }

    /// How queues came and went, and what those that are gone had counted, by queue type.
    pub fn queues(&self) -> (QueueChurn, [QueueTally; QueueType::COUNT]) {
        *self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Upper limits of the sizes of messages that are counted together, in bytes (HT-144).
pub const SIZE_LIMITS: [u64; 8] =
    [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000];

/// How many messages of which size a connection published.
#[derive(Debug, Default)]
pub struct Sizes {
    buckets: [Count; SIZE_LIMITS.len() + 1],
    bytes: Count,
}

/// The sizes of messages, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizesSeen {
    /// Messages up to each of [`SIZE_LIMITS`] and above the one before, then those above all.
    pub buckets: [u64; SIZE_LIMITS.len() + 1],
    /// Bytes of all.
    pub bytes: u64,
}

impl Sizes {
    /// Counts a message; only its owner may.
    pub fn add(&self, bytes: usize) {
        let bytes = bytes as u64;
        let bucket = SIZE_LIMITS.iter().take_while(|limit| bytes > **limit).count();
        self.buckets[bucket].add(1);
        self.bytes.add(bytes);
    }

    /// What was counted so far.
    pub fn get(&self) -> SizesSeen {
        SizesSeen {
            buckets: std::array::from_fn(|at| self.buckets[at].get()),
            bytes: self.bytes.get(),
        }
    }
}

impl AddAssign for SizesSeen {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stat_has_a_place_and_a_name_of_its_own() {
        let mut tally = Tally::default();
        for (at, stat) in Stat::ALL.into_iter().enumerate() {
            assert_eq!(stat as usize, at);
            tally[stat] += 1;
        }
        assert_eq!(tally, Tally([1; Stat::COUNT]));
        let names: std::collections::BTreeSet<_> = Stat::ALL.map(Stat::name).into();
        assert_eq!(names.len(), Stat::COUNT);
        assert_eq!(tally.deliver_get(), 4);
    }

    // HT-144
    #[test]
    fn a_size_is_counted_below_the_first_limit_that_holds_it() {
        let sizes = Sizes::default();
        for bytes in [0, 100, 101, 100_000_000, 100_000_001] {
            sizes.add(bytes);
        }
        let seen = sizes.get();
        assert_eq!(seen.buckets, [2, 1, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(seen.bytes, 200_000_202);
    }
}
