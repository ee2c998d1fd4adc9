//! `/vhosts`: list, look, add and change, delete, protect (HT-048, HT-049).

use std::{borrow::Cow, collections::HashMap};

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::{Map, Value, json};

use super::{Body, Reply, done_beside, put_beside};
use crate::{
    auth::TAG_BYTES_MAX,
    broker::{Metadata, Vhost, arguments::QueueType, stats::Stat},
    http::{
        Api, Failure, blocking,
        caller::{Administrator, Caller},
        census::{self, VhostCensus},
        history::{Look, Subject},
        listing::Query,
    },
    names::Name,
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/vhosts", get(list))
        .route("/vhosts/{vhost}", get(one).put(change).delete(remove))
        .route("/vhosts/{vhost}/deletion/protection", post(protect).delete(expose))
        .route("/vhosts/{vhost}/start/{node}", post(start))
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || {
        let census = census::vhosts(&api);
        query.list_with_past(
            api.history(),
            caller.vhosts(&api),
            |vhost| Cow::Borrowed(vhost.name()),
            |vhost, look| Some(describe(&api, vhost, &census, look)),
        )
    })
    .await
}

async fn one(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    _: Administrator,
    query: Query,
) -> Reply {
    let vhost = api.admin.vhost(&vhost)?;
    blocking(move || {
        let census = census::vhosts(&api);
        Ok(query.item(describe(&api, &vhost, &census, &api.history().look(&query))))
    })
    .await
}

/// Whoever adds a vhost may do everything in it.
async fn change(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    Administrator(caller): Administrator,
    body: Body,
) -> Reply {
    let is_traced = body.flag_if_said("tracing")?;
    let description = body.text("description")?.unwrap_or_default().to_owned();
    let tags = body.0.get("tags").map_or(Ok(Vec::new()), tags)?;
    let queue_type = body.0.get("default_queue_type").or_else(|| body.0.get("defaultqueuetype"));
    let default_queue_type = queue_type.map_or(Ok(None), queue_type_of)?;
    put_beside(api, move |api| {
        let (is_new, mut needed) = api.admin.change_vhost(&vhost, |metadata| {
            let is_protected = metadata.is_protected;
            *metadata = Metadata { description, tags, default_queue_type, is_protected };
        })?;
        if let Some(is_traced) = is_traced {
            api.admin.trace_vhost(&vhost, is_traced)?;
        }
        let permit = || api.admin.set_permissions(&caller.user, &vhost, [".*"; 3]);
        if is_new && let Ok(permitted) = permit() {
            needed = needed.max(permitted);
        }
        Ok((is_new, needed))
    })
    .await
}

async fn remove(State(api): State<Api>, Path(vhost): Path<String>, _: Administrator) -> Reply {
    done_beside(api, move |api| Ok(api.admin.delete_vhost(&vhost)?)).await
}

async fn protect(State(api): State<Api>, Path(vhost): Path<String>, _: Administrator) -> Reply {
    set_protected(api, vhost, true).await
}

async fn expose(State(api): State<Api>, Path(vhost): Path<String>, _: Administrator) -> Reply {
    set_protected(api, vhost, false).await
}

async fn set_protected(api: Api, vhost: String, is_protected: bool) -> Reply {
    done_beside(api, move |api| {
        api.admin.vhost(&vhost)?;
        let protect = |metadata: &mut Metadata| metadata.is_protected = is_protected;
        Ok(api.admin.change_vhost(&vhost, protect)?.1)
    })
    .await
}

/// A vhost that is there is running.
async fn start(
    State(api): State<Api>,
    Path((vhost, node)): Path<(String, String)>,
    _: Administrator,
) -> Reply {
    if node != api.config.node() {
        return Err(Failure::BadRequest(format!("Unknown node: {node}")));
    }
    api.admin.vhost(&vhost)?;
    Ok(axum::http::StatusCode::NO_CONTENT.into_response())
}

/// Tags: a text with commas between them, or a list.
pub(in crate::http) fn tags(value: &Value) -> Result<Vec<String>, Failure> {
    let tags = match value {
        Value::String(text) => Some(text.split(',').map(str::to_owned).collect()),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let tags = tags.ok_or_else(|| Failure::bad_request("tags must be a string or strings"))?;
    let tags = tags.iter().map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty());
    let tags: Vec<String> = tags.collect();
    if tags.iter().any(|tag| tag.len() > TAG_BYTES_MAX) {
        return Err(Failure::BadRequest(format!("a tag has at most {TAG_BYTES_MAX} bytes")));
    }
    Ok(tags)
}

/// The type of queues whose declare says none.
pub(in crate::http) fn queue_type_of(value: &Value) -> Result<Option<QueueType>, Failure> {
    match value {
        Value::Null => Ok(None),
        Value::String(word) => match word.as_str() {
            "undefined" => Ok(None),
            "" => Err(Failure::bad_request("default_queue_type must not be an empty string")),
            word => QueueType::parse(word)
                .map(Some)
                .ok_or_else(|| Failure::BadRequest(format!("{word} is not a valid queue type"))),
        },
        other => {
            Err(Failure::BadRequest(format!("{other} is not a valid default_queue_type value")))
        }
    }
}

/// What is said about a vhost, as definitions have it.
pub(in crate::http) fn metadata(said: &Metadata) -> Value {
    let mut object = Map::new();
    object.insert("description".into(), json!(said.description));
    object.insert("tags".into(), json!(said.tags));
    object.insert("default_queue_type".into(), json!(default_queue_type(said)));
    if said.is_protected {
        object.insert("protected_from_deletion".into(), json!(true));
    }
    Value::Object(object)
}

fn default_queue_type(said: &Metadata) -> &'static str {
    said.default_queue_type.unwrap_or_default().as_str()
}

/// A vhost as lists have it (HT-083).
fn describe(
    api: &Api,
    vhost: &Vhost,
    census: &HashMap<Name, VhostCensus>,
    look: &Look<'_>,
) -> Value {
    let census = census.get(vhost.name()).copied().unwrap_or_default();
    let said = vhost.metadata();
    let state: HashMap<String, &str> = [(api.config.node(), "running")].into();
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("name", json!(vhost.name().as_str()));
    put("description", json!(said.description));
    put("tags", json!(said.tags));
    put("default_queue_type", json!(default_queue_type(&said)));
    put("protected_from_deletion", json!(said.is_protected));
    put("metadata", metadata(&said));
    put("tracing", json!(vhost.is_traced()));
    put("cluster_state", json!(state));
    let past = look.of(&Subject::Vhost(vhost.name().clone()));
    for (name, value) in census.depth.named().into_iter().chain(census.traffic.named()) {
        past.put(&mut object, name, value);
    }
    if !census.messages.is_zero() {
        let mut stats = Map::new();
        past.put_tally(&mut stats, &census.messages, &Stat::ALL);
        object.insert("message_stats".to_owned(), Value::Object(stats));
    }
    Value::Object(object)
}
