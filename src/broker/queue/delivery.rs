//! What goes out of a queue and what comes back.

use std::borrow::Cow;

use super::{ConsumerHandle, Queue};
use crate::{
    broker::publish,
    message::Message,
    names::Position,
    store::Standing,
    wire::{
        properties::Properties,
        table::{RawTable, RawValue, TableWriter},
    },
};

/// A delivery that is acknowledged.
#[derive(Debug)]
pub struct Settled {
    /// The message's place in its queue.
    pub position: Position,
    /// The consumer it was delivered to; none for `basic.get`.
    pub consumer: Option<ConsumerHandle>,
    /// Whether the store holds it.
    pub is_stored: bool,
    /// Whether it is persistent.
    pub is_persistent: bool,
    /// Bytes of its body.
    pub body_bytes: usize,
}

/// A delivered message, for as long as it may come back.
#[derive(Debug)]
pub enum Held {
    /// In memory.
    Message(Message),
    /// In the store alone.
    Stored {
        /// Bytes of its body.
        body_bytes: usize,
        /// Whether it is persistent: what is transient may have been spilled.
        is_persistent: bool,
    },
}

impl Held {
    /// Bytes of memory that it keeps alive.
    pub fn footprint(&self) -> usize {
        match self {
            Self::Message(message) => message.footprint(),
            Self::Stored { .. } => 0,
        }
    }

    /// Bytes of its body.
    pub fn body_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.body_len(),
            Self::Stored { body_bytes, .. } => *body_bytes,
        }
    }

    /// Whether it is persistent.
    pub fn is_persistent(&self) -> bool {
        match self {
            Self::Message(message) => message.is_persistent(),
            Self::Stored { is_persistent, .. } => *is_persistent,
        }
    }

    /// Leaves the message to the store, which must have it.
    pub fn leave_to_store(&mut self) {
        if let Self::Message(message) = self {
            let is_persistent = message.is_persistent();
            *self = Self::Stored { body_bytes: message.body_len(), is_persistent };
        }
    }
}

/// Why a delivery comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It never reached the client, so that its next delivery is no redelivery.
    Unseen,
    /// `basic.nack` or `basic.recover`: it is to come again.
    Requeued,
    /// `basic.reject` with requeue, or the loss of its channel: it counts towards the delivery
    /// limit of a quorum queue, too (BA-262).
    Failed,
    /// Shown to an operator who left it where it was: it counts towards nothing, and waits for
    /// nothing.
    Shown,
    /// Refused, and not to come again.
    Refused,
}

/// A delivery that comes back to its queue.
#[derive(Debug)]
pub struct Returned {
    /// The message's place in its queue.
    pub position: Position,
    /// The consumer it was delivered to; none for `basic.get`.
    pub consumer: Option<ConsumerHandle>,
    /// The message; one that the store holds need not be in memory.
    pub message: Held,
    /// How it stood when it was delivered.
    pub standing: Standing,
    /// Whether the store holds it.
    pub is_stored: bool,
    /// Why it comes back.
    pub cause: Cause,
}

/// How a message comes to a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Its own time to live, in milliseconds.
    pub expiration: Option<u64>,
    /// How often it came back elsewhere: a dead letter that was delivered is redelivered (BA-244).
    pub returns: u16,
}

impl Arrival {
    /// That of a message which was published before, as if it were published now.
    pub fn of(message: &Message) -> Self {
        let expiration = Properties::of_message(message.properties()).expiration();
        Self { expiration: expiration.and_then(|raw| publish::expiration(raw).ok()), returns: 0 }
    }
}

impl Queue {
    /// The properties that a client is sent, if they are not those of the message. Of a message
    /// that came back to a quorum queue they say how often (BA-261, BA-262).
    pub fn shown_properties(&self, message: &Message, standing: Standing) -> Option<Vec<u8>> {
        const NAMES: [&[u8]; 2] = [b"x-delivery-count", b"x-acquired-count"];
        let shown = message.shown_properties();
        if standing.returns == 0 || !self.counts_deliveries() {
            return match shown {
                Cow::Borrowed(_) => None,
                Cow::Owned(shown) => Some(shown),
            };
        }
        let properties = Properties::of_message(&shown);
        let headers = properties.headers().map_or(RawTable(b""), RawTable);
        let mut table = TableWriter::with_capacity(headers.0.len() + 64);
        table.copy(headers, &NAMES);
        for (name, count) in NAMES.into_iter().zip([standing.failures, standing.returns]) {
            if count > 0 {
                table.put(name, RawValue::I64(count.into()));
            }
        }
        Some(properties.with_headers(Some(&table.finish())))
    }
}

/// A message taken by `basic.get`.
#[derive(Debug)]
pub struct Got {
    /// Its place.
    pub position: Position,
    /// The message.
    pub message: Message,
    /// How it stands.
    pub standing: Standing,
    /// Whether the store holds it still.
    pub is_stored: bool,
    /// Ready messages left.
    pub left: u64,
}

/// What `basic.get` finds.
#[derive(Debug)]
pub enum GetOutcome {
    /// A message.
    Got(Got),
    /// Nothing.
    Empty,
    /// A message that is being read from the store; the waker is woken when it has come.
    Wait,
    /// A message that the store failed to read. It stays; the next get tries again.
    Unreadable,
    /// The queue is deleted.
    Gone,
}
