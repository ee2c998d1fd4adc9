//! A queue as seen from outside.

use std::sync::Arc;

use super::{Amount, Capacity, State};
use crate::{broker::stats::QueueTally, clock::UnixTime, wire::properties::Properties};

/// What may be found out about a queue at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages ready for delivery.
    pub ready: u64,
    /// Bytes of their bodies.
    pub ready_bytes: u64,
    /// Messages delivered and not settled.
    pub unacked: u64,
    /// Bytes of their bodies.
    pub unacked_bytes: u64,
    /// Messages that came back and wait before they are ready again.
    pub delayed: u64,
    /// Messages of all those that outlive the broker; their bodies but for those that wait.
    pub persistent: Amount,
    /// Consumers.
    pub consumers: usize,
}

/// A queue as seen from outside, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueView {
    /// What is in it.
    pub counts: Counts,
    /// What happened to its messages.
    pub tally: QueueTally,
    /// Bytes of memory that its ready messages take.
    pub resident_bytes: u64,
    /// Ready messages that are in memory; the others are in the store alone.
    pub resident: u64,
    /// Bytes of their bodies.
    pub resident_body_bytes: u64,
    /// When anything last happened to it; 0 if nothing has since it was made or restored.
    pub used_at: UnixTime,
    /// The `timestamp` of its first ready message, if it has one and is in memory.
    pub head_timestamp: Option<u64>,
    /// The tag of its exclusive consumer.
    pub exclusive_consumer: Option<Arc<str>>,
    /// The tag of the consumer that is served, where one is served at a time.
    pub active_consumer: Option<Arc<str>>,
    /// How much of the time its consumers could take a message at once.
    pub capacity: Capacity,
}

impl State {
    pub(in crate::broker::queue) fn view(&self) -> QueueView {
        QueueView {
            counts: self.counts(),
            tally: self.tally,
            resident_bytes: self.ready.resident_bytes() as u64,
            resident: self.ready.in_memory() as u64,
            resident_body_bytes: self.ready.resident_body_bytes(),
            used_at: UnixTime(self.used_at),
            head_timestamp: self
                .ready
                .first()
                .and_then(|message| Properties::of_message(message.properties()).timestamp()),
            exclusive_consumer: self
                .has_exclusive_consumer
                .then(|| self.consumers.first_tag())
                .flatten(),
            active_consumer: self.consumers.active_tag(),
            capacity: self.capacity,
        }
    }

    pub(in crate::broker::queue) fn counts(&self) -> Counts {
        let counts = Counts {
            ready: self.ready.count(),
            ready_bytes: self.ready.body_bytes(),
            unacked: self.unacked,
            unacked_bytes: self.unacked_bytes,
            delayed: self.waiting.len() as u64,
            consumers: self.consumers.len(),
            persistent: Amount::default(),
        };
        Counts { persistent: self.persistent(&counts), ..counts }
    }

    /// The messages that outlive the broker.
    fn persistent(&self, all: &Counts) -> Amount {
        if !self.is_durable {
            return Amount::default();
        }
        if self.settings.is_quorum {
            let messages = all.ready + all.delayed + all.unacked;
            return Amount { messages, bytes: all.ready_bytes + all.unacked_bytes };
        }
        let waiting = Amount { messages: self.waiting.persistent(), bytes: 0 };
        self.ready.persistent().and(self.unacked_persistent).and(waiting)
    }
}
