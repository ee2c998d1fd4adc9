//! What goes out of a queue and what comes back.

use super::ConsumerHandle;
use crate::{message::Message, names::Position, store::Standing};

/// A delivery that is acknowledged.
#[derive(Debug)]
pub struct Settled {
    /// The message's place in its queue.
    pub position: Position,
    /// The consumer it was delivered to; none for `basic.get`.
    pub consumer: Option<ConsumerHandle>,
    /// Whether the store holds it.
    pub is_stored: bool,
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
            Self::Stored { body_bytes } => *body_bytes,
        }
    }

    /// Leaves the message to the store, which must have it.
    pub fn leave_to_store(&mut self) {
        if let Self::Message(message) = self {
            *self = Self::Stored { body_bytes: message.body_len() };
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
