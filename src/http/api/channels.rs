//! `/channels` (HT-036, HT-077).

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{Reply, connections, consumers, erlang};
use crate::{
    broker::{
        client::{ChannelInfo, ConnectionInfo},
        registry::OpenConnection,
        stats::Stat,
    },
    clock::UnixTime,
    http::{
        Api, Failure, Json, blocking,
        caller::{Caller, Entered},
        history::{Look, Subject},
        listing::Query,
    },
    names::ChannelId,
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/channels", get(list))
        .route("/channels/{channel}", get(one))
        .route("/vhosts/{vhost}/channels", get(list_of_vhost))
        .route("/connections/{connection}/channels", get(list_of_connection))
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || answer(&api, &query, connections::seen(&api, &caller, |_| true))).await
}

async fn list_of_vhost(
    State(api): State<Api>,
    Entered { caller, vhost }: Entered,
    query: Query,
) -> Reply {
    blocking(move || {
        let is_in = |found: &OpenConnection| found.place.vhost == *vhost.name();
        answer(&api, &query, connections::seen(&api, &caller, is_in))
    })
    .await
}

async fn list_of_connection(
    State(api): State<Api>,
    Path(connection): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    blocking(move || {
        let connection = connections::find(&api, &caller, &connection)?;
        answer(&api, &query, vec![connection])
    })
    .await
}

async fn one(
    State(api): State<Api>,
    Path(name): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    blocking(move || {
        let (connection, number) = split(&name).ok_or(Failure::NotFound)?;
        let connection = connections::find(&api, &caller, connection)?;
        let channel = connection.info.channel(number).ok_or(Failure::NotFound)?;
        let look = api.history().look(&query);
        let mut object = describe(&api, &connection, &channel, &look);
        let consumers = consumers::of_channel(&api, &connection, number);
        object.insert("consumer_details".to_owned(), Value::Array(consumers));
        object.insert("deliveries".to_owned(), json!([]));
        object.insert("publishes".to_owned(), json!([]));
        Ok(query.item(Value::Object(object)))
    })
    .await
}

/// A channel's name: its connection's, and its number in parentheses.
pub(super) fn name(connection: &ConnectionInfo, channel: ChannelId) -> String {
    format!("{} ({})", connection.name(), channel.0)
}

/// The two parts of a channel's name.
fn split(name: &str) -> Option<(&str, ChannelId)> {
    let (connection, number) = name.strip_suffix(')')?.rsplit_once(" (")?;
    Some((connection, ChannelId(number.parse().ok()?)))
}

/// Lists the channels of connections.
fn answer(api: &Api, query: &Query, connections: Vec<OpenConnection>) -> Result<Json, Failure> {
    let connections = connections.into_iter().map(Arc::new);
    let channels = connections.flat_map(|connection| {
        let channels = connection.info.channels();
        channels.into_iter().map(move |channel| (Arc::clone(&connection), channel))
    });
    query.list_with_past(
        api.history(),
        channels.collect(),
        |(connection, channel)| Cow::Owned(name(&connection.info, channel.id)),
        |(connection, channel), look| Some(Value::Object(describe(api, connection, channel, look))),
    )
}

fn describe(
    api: &Api,
    connection: &OpenConnection,
    channel: &ChannelInfo,
    look: &Look<'_>,
) -> Map<String, Value> {
    let OpenConnection { place, info } = connection;
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("name", json!(name(info, channel.id)));
    put("number", json!(channel.id.0));
    put("node", json!(api.config.node()));
    put("user", json!(place.user.as_str()));
    put("user_who_performed_action", json!(place.user.as_str()));
    put("vhost", json!(place.vhost.as_str()));
    put("state", json!("running"));
    put(
        "connection_details",
        json!({
            "name": info.name(),
            "peer_host": info.ends.peer.ip().to_string(),
            "peer_port": info.ends.peer.port(),
        }),
    );
    put("confirm", json!(channel.confirms.get() == 1));
    put("transactional", json!(channel.is_transactional.get() == 1));
    put("consumer_count", json!(channel.consumers.get()));
    put("prefetch_count", json!(channel.prefetch.get()));
    put("global_prefetch_count", json!(channel.global_prefetch.get()));
    put("messages_unacknowledged", json!(channel.unacked.get()));
    put("messages_unconfirmed", json!(channel.unconfirmed.get()));
    put("messages_uncommitted", json!(channel.uncommitted.get()));
    put("acks_uncommitted", json!(channel.uncommitted_acks.get()));
    put("pending_raft_commands", json!(0));
    put("cached_segments", json!(0));
    put("idle_since", json!(UnixTime(channel.used_at.get()).to_rfc3339()));
    erlang::put_process(&mut object);
    let tally = channel.tally.get();
    if !tally.is_zero() {
        let mut stats = Map::new();
        let past = look.of(&Subject::Channel(info.id, channel.id));
        past.put_tally(&mut stats, &tally, &Stat::ALL);
        object.insert("message_stats".to_owned(), Value::Object(stats));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    // HT-036
    #[test]
    fn a_channels_name_ends_with_its_number() {
        let name = "127.0.0.1:5 -> [::1]:6 (12)";
        assert_eq!(split(name), Some(("127.0.0.1:5 -> [::1]:6", ChannelId(12))));
        for wrong in ["", "a", "a (x)", "a (70000)", "a(1)"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
