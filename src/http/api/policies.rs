//! `/policies` and `/operator-policies` (HT-053, HT-085).

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{Reply, Sent, done_beside, put_beside};
use crate::{
    broker::{
        Vhost,
        datum::Datum,
        policy::{ApplyTo, Authority, Draft, Policy},
    },
    http::{Api, Failure, Json, blocking, caller::Caller, json, listing::Query},
};

pub(super) fn routes() -> Router<Api> {
    let user = routes_of(Authority::User, "/policies");
    user.merge(routes_of(Authority::Operator, "/operator-policies"))
}

fn routes_of(authority: Authority, path: &str) -> Router<Api> {
    let (of_vhost, one) = (format!("{path}/{{vhost}}"), format!("{path}/{{vhost}}/{{name}}"));
    Router::new()
        .route(path, get(move |api, caller, query| list(authority, api, caller, query)))
        .route(
            &of_vhost,
            get(move |api, path, caller, query| list_of_vhost(authority, api, path, caller, query)),
        )
        .route(
            &one,
            get(async move |State(api): State<Api>, Path(path), caller: Caller, query: Query| {
                look(authority, &api, &path, &caller, &query)
            })
            .put(move |api, path, caller, sent| set(authority, api, path, caller, sent))
            .delete(move |api, path, caller| remove(authority, api, path, caller)),
        )
}

/// A policy as lists and definitions have it (HT-085).
pub(in crate::http) fn describe(vhost: &Vhost, policy: &Policy) -> Value {
    json!({
        "vhost": vhost.name().as_str(),
        "name": policy.name.as_str(),
        "pattern": policy.pattern.as_str(),
        "apply-to": policy.apply_to.as_str(),
        "definition": json::of_map(&policy.definition),
        "priority": json::of_datum(&policy.priority),
    })
}

/// The policies of a vhost, the lowest priority first.
pub(in crate::http) fn of_vhost(vhost: &Vhost, authority: Authority) -> Vec<Arc<Policy>> {
    let mut policies: Vec<_> = vhost.policies().of(authority).cloned().collect();
    policies.reverse();
    policies
}

/// A policy as an object describes it, of which nothing is known to make sense.
///
/// # Errors
/// [`Failure::BadRequest`] if it is nested too deep to be kept.
pub(in crate::http) fn draft(object: &Map<String, Value>) -> Result<Draft, Failure> {
    let datum = |key: &str, default: Datum| object.get(key).map_or(Ok(default), json::to_datum);
    Ok(Draft {
        pattern: datum("pattern", Datum::Null)?,
        apply_to: datum("apply-to", ApplyTo::All.as_str().into())?,
        priority: datum("priority", 0.into())?,
        definition: datum("definition", Datum::Null)?,
    })
}

fn listed(authority: Authority, vhosts: &[Arc<Vhost>], query: &Query) -> Result<Json, Failure> {
    let items = vhosts.iter().flat_map(|vhost| {
        let policies = of_vhost(vhost, authority);
        policies.into_iter().map(|policy| describe(vhost, &policy)).collect::<Vec<_>>()
    });
    query.list(items.collect())
}

async fn list(authority: Authority, State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || listed(authority, &caller.entered_vhosts(&api), &query)).await
}

async fn list_of_vhost(
    authority: Authority,
    State(api): State<Api>,
    Path(vhost): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    let vhost = caller.entered(&api, &vhost)?;
    blocking(move || listed(authority, &[vhost], &query)).await
}

/// A vhost in which the caller may set policies of this kind.
fn governed(
    authority: Authority,
    api: &Api,
    caller: &Caller,
    vhost: &str,
) -> Result<Arc<Vhost>, Failure> {
    match authority {
        Authority::User => caller.policymaker()?,
        Authority::Operator => caller.administrator()?,
    }
    caller.entered(api, vhost)
}

fn look(
    authority: Authority,
    api: &Api,
    (vhost, name): &(String, String),
    caller: &Caller,
    query: &Query,
) -> Reply {
    let vhost = governed(authority, api, caller, vhost)?;
    let policies = vhost.policies();
    let policy = policies.get(authority, name).ok_or(Failure::NotFound)?;
    Ok(query.item(describe(&vhost, policy)).into_response())
}

async fn set(
    authority: Authority,
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    caller: Caller,
    sent: Sent,
) -> Reply {
    let vhost = governed(authority, &api, &caller, &vhost)
        .map_err(|error| error.missing("vhost_not_found"))?;
    let body = sent.read()?;
    body.require(&["pattern", "definition"])?;
    let draft = draft(&body.0)?;
    put_beside(api, move |api| {
        let is_new = vhost.policies().get(authority, &name).is_none();
        Ok((is_new, api.admin.set_policy(vhost.name(), authority, &name, draft)?))
    })
    .await
}

async fn remove(
    authority: Authority,
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    caller: Caller,
) -> Reply {
    let vhost = governed(authority, &api, &caller, &vhost)?;
    done_beside(api, move |api| Ok(api.admin.delete_policy(vhost.name(), authority, &name)?)).await
}
