//! `/parameters` and `/global-parameters` (HT-053).
//!
//! RabbitMQ keeps policies as parameters, and so shows them among these.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{Body, Reply, Sent, done_beside, policies, put_beside};
use crate::{
    admin,
    broker::{
        Vhost,
        parameter::{OPERATOR_POLICY, POLICY, Scope},
        policy::Authority,
    },
    http::{Api, Failure, blocking, caller::Caller, json, listing::Query},
};

/// The global parameter that is there from the start with nothing in it.
const CLUSTER_TAGS: &str = "cluster_tags";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/parameters", get(list))
        .route("/parameters/{component}", get(list_of_component))
        .route("/parameters/{component}/{vhost}", get(list_of_vhost))
        .route("/parameters/{component}/{vhost}/{name}", get(one).put(set).delete(remove))
        .route("/global-parameters", get(list_global))
        .route("/global-parameters/{name}", get(one_global).put(set_global).delete(remove_global))
}

/// A parameter as lists and definitions have it. An empty map is an empty list, as in RabbitMQ.
fn describe(vhost: &str, component: &str, name: &str, value: Value) -> Value {
    let value = if value == json!({}) { json!([]) } else { value };
    json!({"vhost": vhost, "component": component, "name": name, "value": value})
}

/// The parameters of a vhost, but for its policies; operator policies among them.
pub(in crate::http) fn of_vhost(api: &Api, vhost: &Vhost) -> Vec<Value> {
    let mut all = policies_of(vhost, Authority::Operator);
    for parameter in api.admin.parameters() {
        if let Scope::Vhost { vhost: of, component } = &parameter.scope
            && of == vhost.name()
        {
            let value = json::of_datum(&parameter.value);
            all.push(describe(vhost.name(), component, &parameter.name, value));
        }
    }
    all
}

/// The policies of a vhost as parameters.
fn policies_of(vhost: &Vhost, authority: Authority) -> Vec<Value> {
    let component = match authority {
        Authority::User => POLICY,
        Authority::Operator => OPERATOR_POLICY,
    };
    let described = policies::of_vhost(vhost, authority).into_iter().map(|policy| {
        let mut value = policies::describe(vhost, &policy);
        if let Value::Object(object) = &mut value {
            object.remove("vhost");
            object.remove("name");
        }
        describe(vhost.name(), component, &policy.name, value)
    });
    described.collect()
}

/// The parameters of some vhosts: of one component, or of all but policies.
fn listed(api: &Api, vhosts: &[Arc<Vhost>], component: Option<&str>) -> Vec<Value> {
    let all = vhosts.iter().flat_map(|vhost| match component {
        Some(POLICY) => policies_of(vhost, Authority::User),
        _ => of_vhost(api, vhost),
    });
    let is_meant = |item: &Value| component.is_none_or(|component| item["component"] == component);
    all.filter(is_meant).collect()
}

async fn list_some(
    api: Api,
    caller: Caller,
    query: Query,
    vhost: Option<String>,
    component: Option<String>,
) -> Reply {
    caller.policymaker()?;
    let vhosts = match vhost {
        Some(vhost) => vec![caller.entered(&api, &vhost)?],
        None => caller.entered_vhosts(&api),
    };
    blocking(move || query.list(listed(&api, &vhosts, component.as_deref()))).await
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    list_some(api, caller, query, None, None).await
}

async fn list_of_component(
    State(api): State<Api>,
    Path(component): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    list_some(api, caller, query, None, Some(component)).await
}

async fn list_of_vhost(
    State(api): State<Api>,
    Path((component, vhost)): Path<(String, String)>,
    caller: Caller,
    query: Query,
) -> Reply {
    list_some(api, caller, query, Some(vhost), Some(component)).await
}

/// A parameter, if it is there.
fn find(api: &Api, vhost: Arc<Vhost>, component: &str, name: &str) -> Option<Value> {
    let all = listed(api, &[vhost], Some(component));
    all.into_iter().find(|item| item["name"] == name)
}

async fn one(
    State(api): State<Api>,
    Path((component, vhost, name)): Path<(String, String, String)>,
    caller: Caller,
    query: Query,
) -> Reply {
    caller.policymaker()?;
    let vhost = caller.entered(&api, &vhost)?;
    let found = find(&api, vhost, &component, &name).ok_or(Failure::NotFound)?;
    Ok(query.item(found).into_response())
}

async fn set(
    State(api): State<Api>,
    Path((component, vhost, name)): Path<(String, String, String)>,
    caller: Caller,
    sent: Sent,
) -> Reply {
    caller.policymaker()?;
    let vhost = caller.entered(&api, &vhost).map_err(|error| error.missing("vhost_not_found"))?;
    let body = sent.read()?;
    body.require(&["value"])?;
    if component == OPERATOR_POLICY {
        caller.administrator()?;
    }
    let value = json::to_datum(&body.0["value"])?;
    put_beside(api, move |api| {
        let is_new = find(api, Arc::clone(&vhost), &component, &name).is_none();
        let set = api.admin.set_parameter(vhost.name(), &component, &name, value);
        Ok((is_new, set.map_err(of_parameter)?))
    })
    .await
}

/// Why a parameter was not set, as RabbitMQ puts it.
pub(in crate::http) fn of_parameter(error: admin::Error) -> Failure {
    match error {
        admin::Error::Limits(limits) => {
            Failure::BadRequest(format!("Validation failed\n\n{limits}\n"))
        }
        error => error.into(),
    }
}

async fn remove(
    State(api): State<Api>,
    Path((component, vhost, name)): Path<(String, String, String)>,
    caller: Caller,
) -> Reply {
    caller.policymaker()?;
    if component == OPERATOR_POLICY {
        caller.administrator()?;
    }
    let vhost = caller.entered(&api, &vhost)?;
    done_beside(api, move |api| Ok(api.admin.delete_parameter(vhost.name(), &component, &name)?))
        .await
}

/// All global parameters: those that were set, and those that are there in any case.
pub(in crate::http) fn global(api: &Api) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("cluster_name".to_owned(), json!(api.cluster_name()));
    if !api.untagged().load(Relaxed) {
        all.insert(CLUSTER_TAGS.to_owned(), json!([]));
    }
    for parameter in api.admin.parameters() {
        if parameter.scope == Scope::Global {
            let value = match json::of_datum(&parameter.value) {
                Value::Object(object) if object.is_empty() => json!([]),
                value => value,
            };
            all.insert(parameter.name, value);
        }
    }
    all
}

async fn list_global(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    caller.policymaker()?;
    let items = global(&api).into_iter();
    let items = items.map(|(name, value)| json!({"name": name, "value": value}));
    Ok(query.list(items.collect())?.into_response())
}

async fn one_global(
    State(api): State<Api>,
    Path(name): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    caller.policymaker()?;
    let value = global(&api).remove(&name).ok_or(Failure::NotFound)?;
    Ok(query.item(json!({"name": name, "value": value})).into_response())
}

async fn set_global(
    State(api): State<Api>,
    Path(name): Path<String>,
    caller: Caller,
    sent: Sent,
) -> Reply {
    caller.policymaker()?;
    let body: Body = sent.read()?;
    body.require(&["value"])?;
    let value = json::to_datum(&body.0["value"])?;
    put_beside(api, move |api| {
        let is_new = !global(api).contains_key(&name);
        Ok((is_new, api.admin.set_global_parameter(&name, value)))
    })
    .await
}

async fn remove_global(State(api): State<Api>, Path(name): Path<String>, caller: Caller) -> Reply {
    caller.policymaker()?;
    done_beside(api, move |api| {
        let removed = api.admin.delete_global_parameter(&name);
        // Tags that nobody set are there to be deleted, until the next start.
        if name == CLUSTER_TAGS && !api.untagged().swap(true, Relaxed) {
            return Ok(removed.unwrap_or_default());
        }
        Ok(removed?)
    })
    .await
}
