//! The groups of metrics that `/metrics/detailed?family=...` may ask for.

/// A group of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// How many messages queues have.
    QueueCoarse,
    /// More of queues.
    Queue,
    /// Their consumers alone.
    QueueConsumers,
    /// What they delivered.
    QueueDelivery,
    /// What was published to them.
    QueuePublished,
    /// What of them is in memory; RabbitMQ has no such group.
    QueueResidency,
    /// What is under way on channels.
    Channel,
    /// What was published on them.
    ChannelExchange,
    /// What was delivered on them.
    ChannelQueue,
    /// Bytes that passed connections.
    ConnectionCoarse,
    /// More of connections.
    Connection,
    /// How connections, channels and queues came and went.
    ConnectionChurn,
    /// What passed exchanges.
    Exchange,
    /// Bindings of exchanges; nowhere else.
    ExchangeBindings,
    /// That exchanges are there; nowhere else.
    ExchangeNames,
    /// That vhosts are there; nowhere else.
    VhostStatus,
    /// What the node uses.
    NodeCoarse,
    /// What it may use.
    Node,
    /// What it wrote.
    NodePersister,
    /// Logins.
    AuthAttempt,
}

impl Family {
    /// The groups that a name asks for. A name that is none asks for nothing, as with RabbitMQ.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "queue_coarse_metrics" => Self::QueueCoarse,
            "queue_metrics" => Self::Queue,
            "queue_consumer_count" => Self::QueueConsumers,
            "queue_delivery_metrics" => Self::QueueDelivery,
            "channel_queue_exchange_metrics" => Self::QueuePublished,
            "queue_residency" => Self::QueueResidency,
            "channel_metrics" => Self::Channel,
            "channel_exchange_metrics" => Self::ChannelExchange,
            "channel_queue_metrics" => Self::ChannelQueue,
            "connection_coarse_metrics" => Self::ConnectionCoarse,
            "connection_metrics" => Self::Connection,
            "connection_churn_metrics" => Self::ConnectionChurn,
            "exchange_metrics" => Self::Exchange,
            "exchange_bindings" => Self::ExchangeBindings,
            "exchange_names" => Self::ExchangeNames,
            "vhost_status" => Self::VhostStatus,
            "node_coarse_metrics" => Self::NodeCoarse,
            "node_metrics" => Self::Node,
            "node_persister_metrics" => Self::NodePersister,
            "auth_attempt_metrics" => Self::AuthAttempt,
            _ => return None,
        })
    }

    /// Whether only a detailed scrape has it.
    pub(super) const fn is_detail(self) -> bool {
        matches!(self, Self::ExchangeBindings | Self::ExchangeNames | Self::VhostStatus)
    }
}
