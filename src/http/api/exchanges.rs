//! `/exchanges` (HT-038, HT-080). Publishing is in `messages`.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
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
        topology::{ExchangeSpec, check_deletable},
    },
    http::{
        Api, Failure, Json, blocking,
        caller::{Caller, Entered},
        history::{Look, Subject},
        json,
        listing::Query,
    },
    names::Name,
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
    blocking(move || answer(&api, &query, caller.entered_vhosts(&api))).await
}

async fn list_of_vhost(
    State(api): State<Api>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    blocking(move || answer(&api, &query, vec![vhost])).await
}

async fn one(
    State(api): State<Api>,
    Path((_, name)): Path<(String, String)>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    blocking(move || {
        let look = api.history().look(&query);
        let described = describe(&vhost, name_in_path(&name), &look);
        let mut object = described.ok_or(Failure::NotFound)?;
        object.insert("incoming".to_owned(), json!([]));
        object.insert("outgoing".to_owned(), json!([]));
        Ok(query.item(Value::Object(object)))
    })
    .await
}

async fn declare(
    State(api): State<Api>,
    Path((_, name)): Path<(String, String)>,
    Entered { caller, vhost }: Entered,
    body: Body,
) -> Reply {
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
    Path((_, name)): Path<(String, String)>,
    Entered { caller, vhost }: Entered,
    query: Query,
) -> Reply {
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

/// Lists the exchanges of vhosts, those of each by name.
fn answer(api: &Api, query: &Query, vhosts: Vec<Arc<Vhost>>) -> Result<Json, Failure> {
    let mut all = Vec::new();
    for vhost in vhosts {
        let mut names: Vec<Name> = {
            let topology = vhost.topology();
            topology.exchanges().map(|exchange| exchange.name().clone()).collect()
        };
        names.sort_unstable();
        all.extend(names.into_iter().map(|name| (Arc::clone(&vhost), name)));
    }
    query.list_with_past(
        api.history(),
        all,
        |(_, name)| Cow::Borrowed(name),
        |(vhost, name), look| describe(vhost, name, look).map(Value::Object),
    )
}

/// An exchange as lists have it (HT-080); none if there is none.
fn describe(vhost: &Vhost, name: &str, look: &Look<'_>) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    let stats = {
        let topology = vhost.topology();
        let exchange = topology.exchange(name)?;
        let spec = exchange.spec();
        put("name", json!(name));
        put("vhost", json!(vhost.name().as_str()));
        put("type", json!(spec.type_name));
        put("durable", json!(spec.durable));
        put("auto_delete", json!(spec.auto_delete));
        put("internal", json!(spec.internal));
        put("arguments", json::of_table(&spec.arguments));
        if let Some(policy) = &vhost.policies().for_exchange(name).policy {
            put("policy", json!(policy.name.as_str()));
        }
        if let Some(delayed) = exchange.messages_delayed() {
            put("messages_delayed", json!(delayed));
        }
        let stats = exchange.stats();
        (stats.publish_in(), stats.publish_out())
    };
    if let (publish_in @ 1.., publish_out) = stats {
        let past = look.of(&Subject::Exchange(vhost.name().clone(), name.into()));
        let mut counts = Map::new();
        past.put(&mut counts, "publish_in", publish_in);
        past.put(&mut counts, "publish_out", publish_out);
        object.insert("message_stats".to_owned(), Value::Object(counts));
    }
    Some(object)
}
