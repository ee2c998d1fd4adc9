//! The firehose ([`crate::broker::trace`]), as far as it is the connection's.

use std::sync::Arc;

use super::Session;
use crate::{
    broker::{outbox::Delivery, queue::Queue, trace::Client},
    clock,
    message::Message,
    names::ChannelId,
    store::Standing,
};

impl Session {
    /// Looks whether the vhost is traced: at the beginning of each batch, be it of frames or of
    /// events.
    pub(super) fn look_for_trace(&mut self) {
        self.is_traced = self.vhost.is_traced();
    }

    /// Whether deliveries wait until the store has room for what is told of them: those who take a
    /// long queue apart are held up by nobody else.
    pub(super) fn waits_to_tell(&self) -> bool {
        let store = &self.context.broker.store;
        self.is_traced && store.is_full() && store.failed().is_none()
    }

    /// Tells of a publish that takes the current route.
    #[cold]
    pub(super) fn trace_publish(&mut self, id: ChannelId, message: &Message) {
        // What is told goes to queues, perhaps to that of the run.
        self.flush_publishes();
        let (node, connection) = (self.context.config.node(), self.info.name());
        let by = Client { node: &node, connection: &connection, channel: id.0, user: &self.user };
        self.vhost.trace_publish(message, self.routes.queues(), by, &mut self.fx);
    }

    /// Tells of a delivery to a consumer.
    #[cold]
    pub(super) fn trace_delivery(&mut self, delivery: &Delivery) {
        let Some(source) = self.sources.get(delivery.slot) else { return };
        let (id, queue) = (source.channel, Arc::clone(&source.queue));
        self.trace_message(id, &queue, &delivery.message, delivery.standing);
    }

    /// Tells of a message that a channel is given.
    #[cold]
    pub(super) fn trace_message(
        &mut self,
        id: ChannelId,
        queue: &Queue,
        message: &Message,
        standing: Standing,
    ) {
        // A connection that only consumes was given the time long ago.
        (self.fx.now, self.fx.time) = (clock::now(), clock::unix_time());
        let (node, connection) = (self.context.config.node(), self.info.name());
        let to = Client { node: &node, connection: &connection, channel: id.0, user: &self.user };
        let shown = queue.shown_properties(message, standing);
        let properties = shown.as_deref().unwrap_or(message.properties());
        let is_redelivered = standing.is_redelivered();
        self.vhost.trace_delivery(message, properties, is_redelivered, queue, to, &mut self.fx);
    }
}
