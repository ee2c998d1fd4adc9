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
    pub delayed: Amount,
    /// Dead messages that stay until their letters have somewhere to go.
    pub letters: Amount,
    /// Those of all these messages that outlive the broker.
    pub persistent: Amount,
    /// Consumers.
    pub consumers: usize,
}

impl Counts {
    /// All messages that are there.
    pub fn all(&self) -> Amount {
        let ready = Amount { messages: self.ready, bytes: self.ready_bytes };
        let unacked = Amount { messages: self.unacked, bytes: self.unacked_bytes };
        ready.and(unacked).and(self.delayed).and(self.letters)
    }
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
    /// Ready messages that came back.
    pub returned: u64,
    /// The others, of each priority that has any, the lowest first; of quorum queues alone.
    pub by_priority: Vec<(u8, u64)>,
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
            returned: self.ready.returned(),
            by_priority: if self.settings.is_quorum { self.ready.by_level() } else { Vec::new() },
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
        let waiting = self.waiting.counts();
        let counts = Counts {
            ready: self.ready.count(),
            ready_bytes: self.ready.body_bytes(),
            unacked: self.unacked,
            unacked_bytes: self.unacked_bytes,
            delayed: waiting.delayed,
            letters: waiting.letters,
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
            return all.all();
        }
        let waiting = self.waiting.counts().persistent;
        self.ready.persistent().and(self.unacked_persistent).and(waiting)
    }
}
