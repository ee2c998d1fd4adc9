//! What a queue's arguments ask of it, read once.
//!
//! Declared arguments have been checked by [`arguments`]; what is left here is to read them.
//! Policies add to them later and may change them while the queue lives.

use crate::{
    broker::arguments::{self, QueueType},
    message::Message,
    names::Name,
    wire::{properties::Properties, table::Table},
};

/// What becomes of a message for which a queue has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest messages go (QU-111).
    #[default]
    DropHead,
    /// The publish is refused (QU-114).
    Reject,
    /// The publish is refused, and its message dead-lettered (QU-116).
    RejectToDeadLetters,
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTo {
    /// The exchange; it need not exist.
    pub exchange: Name,
    /// The routing key, instead of the message's own.
    pub routing_key: Option<Box<[u8]>>,
}

/// How long a message that comes back waits before it is ready again. RabbitMQ has no such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Milliseconds after the first return; doubled with each further one.
    pub delay: u64,
    /// The most that it is doubled to.
    pub delay_max: u64,
}

impl Retry {
    /// Milliseconds to wait after the `count`-th return, from 1.
    pub fn delay(self, count: u32) -> u64 {
        let doubled = self.delay.saturating_mul(1 << (count.saturating_sub(1)).min(40));
        doubled.min(self.delay_max)
    }
}

/// The settings of one queue, as they are in effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Milliseconds that a message may wait (QU-103).
    pub message_ttl: Option<u64>,
    /// Milliseconds that the queue may be unused (QU-100).
    pub expires: Option<u64>,
    /// Ready messages at the most (QU-110).
    pub max_length: Option<u64>,
    /// Bytes of the bodies of ready messages at the most (QU-110).
    pub max_length_bytes: Option<u64>,
    /// What becomes of what is too much.
    pub overflow: Overflow,
    /// Where dead letters go; nowhere if not said.
    pub dead_letter: Option<DeadLetterTo>,
    /// Whether a message stays until its dead letter has arrived wherever it is to go (QU-120).
    pub keeps_letters: bool,
    /// The highest priority; 0 for none (QU-130, QT-026).
    pub max_priority: u8,
    /// Whether only one consumer is served at a time (QU-140).
    pub is_single_active: bool,
    /// Whether it takes each value of `x-deduplication-header` once at a time.
    pub is_deduplicating: bool,
    /// Returns after which a message is a dead letter (BA-264).
    pub delivery_limit: Option<u32>,
    /// How long messages that come back wait.
    pub retry: Option<Retry>,
    /// Milliseconds that a delivery may stay unacknowledged (BA-142).
    pub consumer_timeout: Option<u64>,
    /// Whether it is a quorum queue: deliveries say how often the message came back (BA-262).
    pub is_quorum: bool,
}

/// The delivery limit of a quorum queue that sets none (QT-029).
const QUORUM_DELIVERY_LIMIT: u32 = 20;

/// The priority of a message in a quorum queue that says none (QT-026).
const QUORUM_PRIORITY: u8 = 4;

impl Settings {
    /// The priority of messages that say none.
    pub fn usual_priority(&self) -> u8 {
        if self.is_quorum { QUORUM_PRIORITY } else { 0 }
    }

    /// The priority of a message in this queue.
    pub fn priority(&self, message: &Message) -> u8 {
        let said = message.priority();
        if said > 0 || !self.is_quorum {
            return said;
        }
        Properties::of_message(message.properties()).priority().unwrap_or(QUORUM_PRIORITY)
    }

    /// What these arguments of a queue of this type ask for.
    pub fn of(queue_type: QueueType, arguments: &Table) -> Self {
        let number = |name: &str| {
            arguments::integer(arguments, name).and_then(|value| u64::try_from(value).ok())
        };
        let is_quorum = queue_type == QueueType::Quorum;
        let overflow = match arguments::text(arguments, "x-overflow") {
            Some("reject-publish") => Overflow::Reject,
            // QT-025: a quorum queue accepts the word and drops from its head.
            Some("reject-publish-dlx") if !is_quorum => Overflow::RejectToDeadLetters,
            _ => Overflow::DropHead,
        };
        let dead_letter = arguments::text(arguments, arguments::DEAD_LETTER_EXCHANGE);
        let key = arguments::text(arguments, "x-dead-letter-routing-key");
        let strategy = arguments::text(arguments, "x-dead-letter-strategy");
        // QU-120: with any other way to make room it is at most once.
        let keeps_letters = is_quorum
            && strategy == Some("at-least-once")
            && overflow == Overflow::Reject
            && dead_letter.is_some();
        let delivery_limit = match arguments::integer(arguments, "x-delivery-limit") {
            Some(limit) => u32::try_from(limit).ok(),
            None => is_quorum.then_some(QUORUM_DELIVERY_LIMIT),
        };
        Self {
            message_ttl: number("x-message-ttl"),
            expires: number("x-expires"),
            max_length: number("x-max-length"),
            max_length_bytes: number("x-max-length-bytes"),
            overflow,
            dead_letter: dead_letter.map(|exchange| DeadLetterTo {
                exchange: exchange.into(),
                routing_key: key.map(|key| key.as_bytes().into()),
            }),
            keeps_letters,
            max_priority: arguments::max_priority(arguments),
            is_deduplicating: arguments::boolean(arguments, "x-message-deduplication")
                .unwrap_or_default(),
            is_single_active: arguments::boolean(arguments, "x-single-active-consumer")
                .unwrap_or(false),
            delivery_limit,
            retry: number("x-retry-delay").filter(|delay| *delay > 0).map(|delay| Retry {
                delay,
                delay_max: number("x-retry-delay-max").unwrap_or(delay).max(delay),
            }),
            consumer_timeout: number("x-consumer-timeout"),
            is_quorum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_doubles_up_to_its_limit() {
        let retry = Retry { delay: 100, delay_max: 1000 };
        let delays: Vec<u64> = (1..7).map(|count| retry.delay(count)).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(retry.delay(u32::MAX), 1000);
    }
}
