//! What can be made durable: the operations, in the order in which they are submitted.
//!
//! Operations are deterministic: they carry every id they need, and applying the same list twice
//! to the same store gives the same store. A replicated log can stand behind the same seam.

use crate::{
    message::Message,
    names::{Position, QueueId},
};

/// The kinds of small records that the broker keeps beside the messages: definitions. The store
/// knows their keys and values as bytes alone; the broker encodes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RecordKind {
    /// One vhost.
    Vhost = 1,
    /// One durable exchange.
    Exchange = 2,
    /// One durable queue.
    Queue = 3,
    /// One durable binding.
    Binding = 4,
    /// One user.
    User = 5,
    /// A user's permissions in one vhost.
    Permission = 6,
    /// A user's topic permissions on one exchange.
    TopicPermission = 7,
    /// A policy or operator policy.
    Policy = 8,
    /// A runtime parameter, per vhost or global.
    Parameter = 9,
}

/// What a queue knows of one of its messages besides its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When its time is over: milliseconds since 1970 began; 0 for never.
    pub expires_at: u64,
    /// When it is ready again after it came back: milliseconds since 1970 began; 0 for at once.
    /// The last moments that there are mean what the broker takes them for.
    pub ready_at: u64,
    /// How often it came back after a delivery: it is `redelivered` from the first time on.
    pub returns: u16,
    /// How many of those times count towards the queue's delivery limit.
    pub failures: u16,
}

impl Standing {
    /// Whether it was delivered before.
    pub fn is_redelivered(self) -> bool {
        self.returns > 0
    }
}

/// One operation. Whoever submits it holds the lock of the queue it is about, so that the order
/// of the operations is the order of the queue (R4, R5).
#[derive(Clone, Debug)]
pub enum StoreOp {
    /// Sets a record, new or not.
    Put {
        /// What the record describes.
        kind: RecordKind,
        /// Its key among its kind.
        key: Box<[u8]>,
        /// Its contents.
        value: Box<[u8]>,
    },
    /// Removes a record, present or not.
    Remove {
        /// What the record describes.
        kind: RecordKind,
        /// Its key among its kind.
        key: Box<[u8]>,
    },
    /// Adds a message to a queue, behind all that was added before.
    Publish {
        /// The queue.
        queue: QueueId,
        /// The message's place, higher than every earlier one of this queue.
        position: Position,
        /// The message.
        message: Message,
        /// How it stands there.
        standing: Standing,
    },
    /// Takes a message out of a queue for good: acknowledged, dropped, expired or moved.
    Settle {
        /// The queue.
        queue: QueueId,
        /// The message's place; one that the store does not hold is no error.
        position: Position,
    },
    /// Takes every message of a queue in `first..end` out for good.
    SettleRange {
        /// The queue.
        queue: QueueId,
        /// The first place.
        first: Position,
        /// The place behind the last.
        end: Position,
    },
    /// Notes that a message was delivered and came back.
    Returned {
        /// The queue.
        queue: QueueId,
        /// The message's place.
        position: Position,
        /// How often it has come back.
        returns: u16,
        /// How many of those times count towards the delivery limit.
        failures: u16,
        /// When it is ready again: milliseconds since 1970 began; 0 for at once.
        ready_at: u64,
    },
    /// Puts a transient message aside, so that it leaves memory. It is found again by reads like
    /// any other and goes by the same `Settle`, but not across a restart: it needs no sync.
    Spill {
        /// The queue.
        queue: QueueId,
        /// The message's place. Unlike `Publish`, it may be lower than that of messages already
        /// published, but is higher than every earlier spilled one.
        position: Position,
        /// The message.
        message: Message,
        /// How it stands there.
        standing: Standing,
    },
    /// Removes a queue's messages, all of them. Its record is removed by `Remove`.
    DropQueue {
        /// The queue.
        queue: QueueId,
    },
}
