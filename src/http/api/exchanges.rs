//! `/exchanges` (HT-038, HT-080). Publishing is in `messages`.

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{Body, Reply, done, put};
use crate::{
    auth::Permission,
    broker::{
        Error, Vhost,
        arguments::ALTERNATE_EXCHANGE,
        exchange::make,
        topology::{Exchange, ExchangeSpec, check_deletable},
    },
    http::{
        Api, Failure, blocking,
        caller::Caller,
        history::{Look, Subject},
        json,
        listing::Query,
    },
};

/// The name under which paths have the default exchange, which has none.
const DEFAULT: &str = "amq.default";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/exchanges", get(list))
        .route("/exchanges/{vhost}", get(list_of_vhost))
        .route("/exchanges/{vhost}/{exchange}", get(one).put(declare).delete(remove))
}

/// The exchange that a path names.
pub(super) fn name_in_path(name: &str) -> &str {
    if name == DEFAULT { "" } else { name }
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || {
        let vhosts = caller.vhosts(&api);
        let items = vhosts.iter().flat_map(|vhost| exchanges(&api, vhost, &query)).collect();
        query.list(items)
    })
    .await
}

async fn list_of_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    let vhost = caller.vhost(&api, &vhost)?;
    blocking(move || query.list(exchanges(&api, &vhost, &query))).await
}

async fn one(
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    caller: Caller,
    query: Query,
) -> Reply {
    let vhost = caller.vhost(&api, &vhost)?;
    let look = api.history().look(&query);
    let mut object = {
        let topology = vhost.topology();
        let exchange = topology.exchange(name_in_path(&name)).ok_or(Failure::NotFound)?;
        describe(&vhost, exchange, &look)
    };
    drop(look);
    object.insert("incoming".to_owned(), json!([]));
    object.insert("outgoing".to_owned(), json!([]));
    Ok(query.item(Value::Object(object)).into_response())
}

async fn declare(
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    caller: Caller,
    body: Body,
) -> Reply {
    let vhost = caller.vhost(&api, &vhost)?;
    let name = name_in_path(&name);
    caller.check(&api, &vhost, Permission::Configure, name)?;
    let spec = ExchangeSpec {
        type_name: body.text("type")?.unwrap_or("direct").to_owned(),
        durable: body.flag("durable", false)?,
        auto_delete: body.flag("auto_delete", false)?,
        internal: body.flag("internal", false)?,
        arguments: body.arguments()?,
    };
    let refused = |error| Failure::of_broker(&error, vhost.name());
    make(&spec.type_name, &spec.arguments).map_err(|error| match error {
        // The API has a word of its own for this.
        Error::UnknownExchangeType { type_name } => {
            Failure::BadRequest(format!("invalid exchange type '{type_name}'"))
        }
        other => refused(other),
    })?;
    let is_new = vhost.topology().exchange(name).is_none();
    if is_new {
        caller.check_onward(&api, &vhost, name, &spec.arguments, ALTERNATE_EXCHANGE)?;
    }
    let needed = vhost.declare_exchange(name, spec).map_err(refused)?;
    put(&api, is_new, needed).await
}

async fn remove(
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    caller: Caller,
    query: Query,
) -> Reply {
    let vhost = caller.vhost(&api, &vhost)?;
    let name = name_in_path(&name);
    caller.check(&api, &vhost, Permission::Configure, name)?;
    let refused = |error| Failure::of_broker(&error, vhost.name());
    check_deletable(name).map_err(refused)?;
    if vhost.topology().exchange(name).is_none() {
        return Err(Failure::NotFound);
    }
    let needed = vhost.delete_exchange(name, query.is_true("if-unused")).map_err(refused)?;
    done(&api, needed).await
}

/// All exchanges of a vhost, by name.
fn exchanges(api: &Api, vhost: &Vhost, query: &Query) -> Vec<Value> {
    let look = api.history().look(query);
    let mut exchanges: Vec<_> =
        vhost.topology().exchanges().map(|exchange| describe(vhost, exchange, &look)).collect();
    exchanges.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    exchanges.into_iter().map(Value::Object).collect()
}

fn describe(vhost: &Vhost, exchange: &Exchange, look: &Look<'_>) -> Map<String, Value> {
    let (name, spec) = (exchange.name(), exchange.spec());
    let applied = vhost.policies().for_exchange(name);
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("name", json!(name.as_str()));
    put("vhost", json!(vhost.name().as_str()));
    put("type", json!(spec.type_name));
    put("durable", json!(spec.durable));
    put("auto_delete", json!(spec.auto_delete));
    put("internal", json!(spec.internal));
    put("arguments", json::of_table(&spec.arguments));
    if let Some(policy) = &applied.policy {
        put("policy", json!(policy.name.as_str()));
    }
    if let Some(delayed) = exchange.messages_delayed() {
        put("messages_delayed", json!(delayed));
    }
    let stats = exchange.stats();
    if stats.publish_in() > 0 {
        let subject = Subject::Exchange(vhost.name().clone(), name.clone());
        let mut counts = Map::new();
        look.put(&mut counts, &subject, "publish_in", stats.publish_in());
        look.put(&mut counts, &subject, "publish_out", stats.publish_out());
        object.insert("message_stats".to_owned(), Value::Object(counts));
    }
    object
}
