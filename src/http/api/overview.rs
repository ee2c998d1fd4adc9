//! `/overview`, `/whoami`, `/version` and what else is said of the broker as a whole.

use axum::{
    Router,
    extract::State,
    response::{Html, IntoResponse},
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{Reply, nodes};
use crate::{
    broker::stats::Stat,
    http::{
        Api, Json, blocking,
        caller::Caller,
        census::{self, Depth},
        history::Subject,
        listing::Query,
    },
};

/// How much of the past is kept, in seconds (see [`history`](crate::http::history)).
const RETENTION: [u64; 1] = [600];

/// The page at `/api/`, for people.
const INDEX: &str = "<!DOCTYPE html><title>Management API</title><h1>Management API</h1>\
    <p>This is the HTTP API of RabbitMQ's management plugin, as Lepus serves it. Its reference is \
    <a href=\"https://www.rabbitmq.com/docs/http-api-reference\">RabbitMQ's</a>.</p>";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(|_: Caller| async { Html(INDEX) }))
        .route("/index.html", get(|_: Caller| async { Html(INDEX) }))
        .route("/overview", get(overview))
        .route("/whoami", get(whoami))
        .route("/version", get(version))
        .route("/extensions", get(extensions))
}

/// HT-051
async fn whoami(caller: Caller) -> Reply {
    Ok(Json(json!({
        "name": caller.user.as_str(),
        "tags": caller.tags,
        "is_internal_user": caller.is_internal(),
    }))
    .into_response())
}

/// HT-061
async fn version(State(api): State<Api>, _: Caller) -> Reply {
    Ok(Json(json!(api.config.server_version.as_str())).into_response())
}

/// HT-033
async fn extensions(_: Caller) -> Reply {
    Ok(Json(json!([{"javascript": "dispatcher.js"}])).into_response())
}

/// HT-070 to HT-074. Users who do not see everything get what their vhosts come to.
async fn overview(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || Ok(query.item(describe(&api, &caller, &query)))).await
}

fn describe(api: &Api, caller: &Caller, query: &Query) -> Value {
    let version = api.config.server_version.as_str();
    let node = api.config.node();
    let mut object = match json!({
        "management_version": version,
        "rates_mode": "basic",
        "sample_retention_policies":
            {"global": RETENTION, "basic": RETENTION, "detailed": RETENTION},
        "exchange_types": nodes::exchange_types(),
        "product_version": version,
        "product_name": "RabbitMQ",
        "rabbitmq_version": version,
        "cluster_name": api.cluster_name(),
        "cluster_tags": {},
        "node_tags": {},
        "erlang_version": nodes::NO_ERLANG,
        "erlang_full_version": nodes::platform(),
        "crypto_lib_version": nodes::NO_ERLANG,
        "disable_stats": false,
        "default_queue_type": api.broker.default_queue_type.as_str(),
        "is_op_policy_updating_enabled": true,
        "enable_queue_totals": false,
        "require_definition_json_extension": false,
        "statistics_db_event_queue": 0,
        "node": node,
    }) {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    if caller.is_monitor() {
        object.insert("listeners".to_owned(), nodes::listeners(api));
        object.insert("contexts".to_owned(), nodes::contexts(api, true));
    }
    put_totals(&mut object, api, caller, query);
    Value::Object(object)
}

fn put_totals(object: &mut Map<String, Value>, api: &Api, caller: &Caller, query: &Query) {
    let all = census::vhosts(api);
    let seen: Vec<_> = all.iter().filter(|(vhost, _)| caller.sees(api, vhost)).collect();
    // The past of the whole is not that of a part, nor for everybody to see.
    let subject = match &seen[..] {
        _ if caller.is_monitor() => Subject::Broker,
        [(vhost, _)] => Subject::Vhost((*vhost).clone()),
        _ => Subject::Nothing,
    };
    let (mut depth, mut tally) = (Depth::default(), crate::broker::stats::Tally::default());
    let mut objects = [0_u64; 5];
    for (_, census) in seen {
        depth += census.depth;
        tally += census.messages;
        let counts = [
            census.connections,
            census.channels,
            census.queues,
            census.exchanges,
            census.consumers,
        ];
        for (sum, count) in objects.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    if caller.is_monitor() {
        tally = api.broker.registry.totals().messages;
    }
    let look = api.history().look(query);
    let past = look.of(&subject);
    let mut stats = Map::new();
    if !tally.is_zero() {
        past.put_tally(&mut stats, &tally, &Stat::ALL);
        if caller.is_monitor() {
            for (name, value) in census::disk_messages(&api.broker.store.stats()) {
                past.put(&mut stats, name, value);
            }
        }
    }
    let mut totals = Map::new();
    for (name, value) in depth.named() {
        past.put(&mut totals, name, value);
    }
    let past = look.of(&Subject::Broker);
    let mut churn = Map::new();
    for (name, value) in census::churn(api) {
        past.put(&mut churn, name, value);
    }
    let names = ["connections", "channels", "queues", "exchanges", "consumers"];
    let objects = names.into_iter().zip(objects);
    let objects: Map<_, _> = objects.map(|(name, n)| (name.to_owned(), json!(n))).collect();
    object.insert("message_stats".to_owned(), Value::Object(stats));
    object.insert("queue_totals".to_owned(), Value::Object(totals));
    object.insert("churn_rates".to_owned(), Value::Object(churn));
    object.insert("object_totals".to_owned(), Value::Object(objects));
}
