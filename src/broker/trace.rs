//! The firehose: while a vhost is traced, whatever is published or delivered in it is published to
//! its exchange `amq.rabbitmq.trace`, too, with all that is known of it in the headers.
//!
//! Floor 4. As RabbitMQ has it:
//!
//! - A publish is told as `publish.EXCHANGE`, once it is routed and before its queues have it, also
//!   when it went nowhere or belongs to a transaction. A delivery, or a message that was got, is
//!   told as `deliver.QUEUE`. Dead letters are delivered, but nobody publishes them.
//! - The queues that are told of a publish are those that are there. deviation: RabbitMQ tells of
//!   one for each key that the default exchange is given, whether it is there or not.
//! - What came by `amq.rabbitmq.trace` itself is told of no more, so that nothing goes in circles.
//! - The copies are transient, and nobody waits for them: whom they were made of is confirmed
//!   neither later nor otherwise for them.
//! - A vhost is traced until somebody stops that, or the broker stops: no restart keeps it.
//!
//! Whoever publishes and delivers asks [`Vhost::is_traced`] once for a batch; the rest is paid for
//! by those who are traced.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Vhost,
    queue::{Arrival, Effects, Queue},
    route::RouteSet,
};
use crate::{
    message::{Message, Traits, address},
    wire::{
        properties::{Properties, Property},
        table::{ArrayWriter, RawArray, RawTable, RawValue, TableWriter},
    },
};

/// The exchange that is told, one of those that every vhost has.
pub const EXCHANGE: &str = "amq.rabbitmq.trace";

/// Properties in the order in which they are told, by their names.
const NAMES: [(Property, &str); Property::ALL.len()] = [
    (Property::ClusterId, "cluster_id"),
    (Property::AppId, "app_id"),
    (Property::UserId, "user_id"),
    (Property::Type, "type"),
    (Property::Timestamp, "timestamp"),
    (Property::MessageId, "message_id"),
    (Property::Expiration, "expiration"),
    (Property::ReplyTo, "reply_to"),
    (Property::CorrelationId, "correlation_id"),
    (Property::Priority, "priority"),
    (Property::DeliveryMode, "delivery_mode"),
    (Property::Headers, "headers"),
    (Property::ContentEncoding, "content_encoding"),
    (Property::ContentType, "content_type"),
];

/// Who published a message, or is given one.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The name of the broker's node.
    pub node: &'a str,
    /// The name of the connection.
    pub connection: &'a str,
    /// The channel's number.
    pub channel: u16,
    /// The user's name.
    pub user: &'a str,
}

impl Vhost {
    /// Whether it is traced.
    pub fn is_traced(&self) -> bool {
        // It guards nothing: whoever sees it a batch later tells of a batch less, or more.
        self.is_traced.load(Ordering::Relaxed)
    }

    /// Has it traced, or no more. Returns whether it was.
    pub fn set_traced(&self, is_traced: bool) -> bool {
        self.is_traced.swap(is_traced, Ordering::Relaxed)
    }

    /// Tells of a publish to these queues.
    pub fn trace_publish(
        &self,
        message: &Message,
        queues: &[Arc<Queue>],
        by: Client<'_>,
        fx: &mut Effects,
    ) {
        if is_told(message) {
            return;
        }
        let mut routed = ArrayWriter::new();
        for queue in queues {
            routed.push(text(&queue.name));
        }
        let routed = routed.finish();
        let own = ("routed_queues", RawValue::Array(RawArray(&routed)));
        let headers = self.about(message, &message.shown_properties(), own, by);
        self.tell(b"publish", message.exchange(), message, &headers, fx);
    }

    /// Tells of a delivery from a queue, with the properties that the client sees.
    pub fn trace_delivery(
        &self,
        message: &Message,
        properties: &[u8],
        is_redelivered: bool,
        queue: &Queue,
        to: Client<'_>,
        fx: &mut Effects,
    ) {
        if is_told(message) {
            return;
        }
        let own = ("redelivered", RawValue::I32(is_redelivered.into()));
        let headers = self.about(message, properties, own, to);
        self.tell(b"deliver", queue.name.as_bytes(), message, &headers, fx);
    }

    /// What is known of a message: what is of its event's own, and the rest. RabbitMQ has it in
    /// the order of the keys.
    fn about(
        &self,
        message: &Message,
        properties: &[u8],
        (key, value): (&str, RawValue<'_>),
        client: Client<'_>,
    ) -> Vec<u8> {
        let mut routing_keys = ArrayWriter::new();
        for key in message.routing_keys() {
            routing_keys.push(RawValue::LongStr(key));
        }
        let routing_keys = routing_keys.finish();
        let properties = as_table(Properties::of_message(properties));
        let mut headers = TableWriter::with_capacity(256 + properties.len());
        headers
            .put(b"channel", RawValue::I32(client.channel.into()))
            .put(b"connection", text(client.connection))
            .put(b"exchange_name", RawValue::LongStr(message.exchange()))
            .put(b"node", text(client.node))
            .put(b"properties", RawValue::Table(RawTable(&properties)))
            .put(key.as_bytes(), value)
            .put(b"routing_keys", RawValue::Array(RawArray(&routing_keys)))
            .put(b"user", text(client.user))
            .put(b"vhost", text(self.name()));
        headers.finish()
    }

    /// Publishes a copy with these headers and nothing else.
    fn tell(&self, event: &[u8], of: &[u8], message: &Message, headers: &[u8], fx: &mut Effects) {
        let address = address(EXCHANGE.as_bytes(), &[event, b".", of].concat());
        let properties = Properties::EMPTY.with_headers(Some(headers));
        let copy = message.readdressed(&address, &properties, Traits::default());
        let mut route = RouteSet::new();
        // The exchange is missing only where the vhost is about to be.
        if self.route_again(EXCHANGE, &copy, fx.time, &mut route).is_ok() {
            route.hand_out(&copy, Arrival::of(&copy), fx);
        }
    }
}

/// Whether a message came by the exchange that is told.
fn is_told(message: &Message) -> bool {
    message.exchange() == EXCHANGE.as_bytes()
}

fn text(text: &str) -> RawValue<'_> {
    RawValue::LongStr(text.as_bytes())
}

/// The properties that are there. Numbers are 32 bits wide, even the timestamp, whose upper half is
/// lost.
fn as_table(properties: Properties<'_>) -> Vec<u8> {
    let mut table = TableWriter::new();
    for (property, name) in NAMES {
        let Some(value) = properties.get(property) else { continue };
        let value = match property {
            Property::Headers => RawValue::Table(RawTable(value)),
            Property::DeliveryMode | Property::Priority | Property::Timestamp => {
                let low = value.iter().fold(0_u32, |low, octet| (low << 8) | u32::from(*octet));
                RawValue::I32(low.cast_signed())
            }
            _ => RawValue::LongStr(value),
        };
        table.put(name.as_bytes(), value);
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_told_by_name_in_the_reverse_order() {
        let raw = Properties::EMPTY.with(&[
            (Property::ContentType, Some(b"a/b")),
            (Property::Headers, Some(b"\x01kV")),
            (Property::Priority, Some(&[255])),
            (Property::Timestamp, Some(&0x1_8000_0001_u64.to_be_bytes())),
        ]);
        let table = as_table(Properties::of_message(&raw));
        let told: Vec<_> = RawTable(&table).iter().collect();
        let expected: [(&[u8], RawValue<'_>); 4] = [
            (b"timestamp", RawValue::I32(i32::MIN + 1)),
            (b"priority", RawValue::I32(255)),
            (b"headers", RawValue::Table(RawTable(b"\x01kV"))),
            (b"content_type", RawValue::LongStr(b"a/b")),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn no_properties_are_an_empty_table() {
        assert_eq!(as_table(Properties::EMPTY), b"");
    }
}
