//! `/consumers` (HT-037, HT-079).

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};

use super::{Reply, channels};
use crate::{
    broker::{
        Vhost,
        arguments::{QueueType, milliseconds},
        queue::{ConsumerView, Queue},
        registry::OpenConnection,
    },
    http::{Api, blocking, caller::Caller, json, listing::Query},
    names::{ChannelId, ConnectionId},
};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/consumers", get(list)).route("/consumers/{vhost}", get(list_of_vhost))
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || {
        let connections = Connections::of(&api);
        let vhosts = caller.entered_vhosts(&api);
        let items = vhosts.iter().flat_map(|vhost| of_vhost(&api, &connections, vhost));
        query.list(items.collect())
    })
    .await
}

/// Whoever sees a vhost without entering it sees none of its consumers.
async fn list_of_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    blocking(move || {
        let vhost = caller.seen(&api, &vhost)?;
        if !caller.enters(&api, vhost.name()) {
            return query.list(Vec::new());
        }
        query.list(of_vhost(&api, &Connections::of(&api), &vhost))
    })
    .await
}

/// The open connections, by number.
pub(super) struct Connections(HashMap<ConnectionId, OpenConnection>);

impl Connections {
    pub(super) fn of(api: &Api) -> Self {
        let connections = api.broker.registry.connections().into_iter();
        Self(connections.map(|connection| (connection.info.id, connection)).collect())
    }
}

fn of_vhost(api: &Api, connections: &Connections, vhost: &Vhost) -> Vec<Value> {
    let queues: Vec<_> = vhost.topology().queues().map(|(_, queue)| Arc::clone(queue)).collect();
    queues.iter().flat_map(|queue| of_queue(api, connections, vhost, queue)).collect()
}

/// The consumers of a queue.
pub(super) fn of_queue(
    api: &Api,
    connections: &Connections,
    vhost: &Vhost,
    queue: &Queue,
) -> Vec<Value> {
    let consumers = queue.consumers();
    let is_waited_for = queue.counts().ready > 0;
    let objects = consumers.iter().map(|consumer| {
        // One whose connection has just ended is about to end itself.
        let connection = connections.0.get(&consumer.connection);
        describe(api, connection, vhost.name(), (queue, is_waited_for), consumer)
    });
    objects.collect()
}

/// The consumers of a channel.
pub(super) fn of_channel(api: &Api, connection: &OpenConnection, channel: ChannelId) -> Vec<Value> {
    let Some(vhost) = api.broker.vhost(&connection.place.vhost) else { return Vec::new() };
    let queues: Vec<_> = vhost.topology().queues().map(|(_, queue)| Arc::clone(queue)).collect();
    let consumers = queues
        .iter()
        .flat_map(|queue| queue.consumers().into_iter().map(move |consumer| (queue, consumer)));
    let own = consumers.filter(|(_, consumer)| {
        consumer.connection == connection.info.id && consumer.channel == channel
    });
    let describe = |(queue, consumer): (&Arc<Queue>, ConsumerView)| {
        let is_waited_for = queue.counts().ready > 0;
        describe(api, Some(connection), vhost.name(), (queue, is_waited_for), &consumer)
    };
    own.map(describe).collect()
}

fn describe(
    api: &Api,
    connection: Option<&OpenConnection>,
    vhost: &str,
    (queue, is_waited_for): (&Queue, bool),
    consumer: &ConsumerView,
) -> Value {
    let channel = connection.map_or(json!({}), |connection| {
        let info = &connection.info;
        json!({
            "name": channels::name(info, consumer.channel),
            "number": consumer.channel.0,
            "node": api.config.node(),
            "connection_name": info.name(),
            "peer_host": info.ends.peer.ip().to_string(),
            "peer_port": info.ends.peer.port(),
            "user": connection.place.user.as_str(),
        })
    });
    json!({
        "consumer_tag": &*consumer.tag,
        "queue": {"name": queue.name.as_str(), "vhost": vhost},
        "channel_details": channel,
        "ack_required": !consumer.no_ack,
        "active": consumer.is_active,
        "activity_status": activity(queue, is_waited_for, consumer),
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "arguments": consumer.arguments.as_ref().map_or(json!({}), |table| json::of_table(table)),
        "consumer_timeout": timeout(api, queue, consumer).as_millis() as u64,
    })
}

/// RabbitMQ's word for what a consumer does. Only of classic queues it tells who takes no messages
/// although there are some.
fn activity(queue: &Queue, is_waited_for: bool, consumer: &ConsumerView) -> &'static str {
    match consumer {
        ConsumerView { is_single: true, .. } => "single_active",
        ConsumerView { is_active: false, .. } => "waiting",
        ConsumerView { is_free: false, .. }
            if is_waited_for && queue.queue_type == QueueType::Classic =>
        {
            "blocked"
        }
        _ => "up",
    }
}

/// How long a delivery may stay unacknowledged; 0 where there is no such limit. Clients take it
/// for granted that it is a number.
fn timeout(api: &Api, queue: &Queue, consumer: &ConsumerView) -> Duration {
    let own = consumer.arguments.as_ref();
    let own = own.and_then(|arguments| milliseconds(arguments, "x-consumer-timeout"));
    own.or_else(|| queue.consumer_timeout()).or(api.config.consumer_timeout).unwrap_or_default()
}
