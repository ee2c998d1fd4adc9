//! `/vhost-limits` and `/user-limits` (HT-054).

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::{get, put},
};
use serde_json::{Value, json};

use super::{Body, Reply, done_beside, parameters::of_parameter, users};
use crate::{
    admin,
    auth::User,
    broker::{
        datum::Map,
        parameter::{LIMITS, Scope, VHOST_LIMITS},
    },
    http::{
        Api, Failure,
        caller::{Administrator, Caller},
        json,
        listing::Query,
    },
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/vhost-limits", get(vhosts))
        .route("/vhost-limits/{vhost}", get(vhost))
        .route("/vhost-limits/{vhost}/{limit}", put(limit_vhost).delete(free_vhost))
        .route("/user-limits", get(all_users))
        .route("/user-limits/{user}", get(user))
        .route("/user-limits/{user}/{limit}", put(limit_user).delete(free_user))
}

/// The limits that a body sets: one.
fn limit(name: String, body: &Body) -> Result<Map, Failure> {
    body.require(&["value"])?;
    Ok(Map::from([(name, json::to_datum(&body.0["value"])?)]))
}

/// The vhosts that ever had limits, even if none is left.
async fn vhosts(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    let seen = caller.vhosts(&api).into_iter().filter_map(|vhost| {
        let name = vhost.name();
        let scope = Scope::Vhost { vhost: name.clone(), component: VHOST_LIMITS.to_owned() };
        let limits = api.broker.parameter(&scope, LIMITS)?;
        Some(json!({"vhost": name.as_str(), "value": json::of_datum(&limits)}))
    });
    Ok(query.list(seen.collect())?.into_response())
}

async fn vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    let vhost = caller.seen(&api, &vhost)?;
    let limits = api.broker.vhost_limits(vhost.name());
    let found = json!({"vhost": vhost.name().as_str(), "value": json::of_map(&limits)});
    let list = if limits.is_empty() { Vec::new() } else { vec![found] };
    Ok(query.list(list)?.into_response())
}

async fn limit_vhost(
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    _: Administrator,
    sent: super::Sent,
) -> Reply {
    let no_vhost = |error: admin::Error| Failure::from(error).missing("vhost_not_found");
    api.admin.vhost(&vhost).map_err(no_vhost)?;
    let limits = limit(name, &sent.read()?)?;
    let set = move |api: &Api| api.admin.set_vhost_limits(&vhost, limits).map_err(of_parameter);
    done_beside(api, set).await
}

async fn free_vhost(
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    _: Administrator,
) -> Reply {
    done_beside(api, move |api| {
        let cleared = api.admin.clear_vhost_limits(&vhost, Some(&name));
        cleared.map_err(|error| Failure::from(error).missing("vhost_not_found"))
    })
    .await
}

/// A user's limits, if there are some.
fn describe(user: &User) -> Option<Value> {
    let limits = users::limits_of(user);
    (!limits.is_empty()).then(|| json!({"user": user.name.as_str(), "value": limits}))
}

async fn all_users(State(api): State<Api>, _: Administrator, query: Query) -> Reply {
    let all = api.admin.users().iter().filter_map(|user| describe(user)).collect();
    Ok(query.list(all)?.into_response())
}

/// Users see their own limits, and those who see everything see all.
async fn user(
    State(api): State<Api>,
    Path(user): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    caller.sees_object_of(&user)?;
    let user = api.admin.user(&user)?;
    Ok(query.list(describe(&user).into_iter().collect())?.into_response())
}

async fn limit_user(
    State(api): State<Api>,
    Path((user, name)): Path<(String, String)>,
    _: Administrator,
    body: Body,
) -> Reply {
    done_beside(api, move |api| {
        let set = api.admin.set_user_limits(&user, limit(name, &body)?);
        set.map_err(|error| match error {
            admin::Error::NoSuchUser => Failure::BadTerm("no_such_user", json!(user)),
            error => error.into(),
        })
    })
    .await
}

/// `all` stands for all of them.
async fn free_user(
    State(api): State<Api>,
    Path((user, name)): Path<(String, String)>,
    _: Administrator,
) -> Reply {
    done_beside(api, move |api| {
        let limit = (name != "all").then_some(name.as_str());
        let cleared = api.admin.clear_user_limits(&user, limit);
        // RabbitMQ says so of a user.
        cleared.map_err(|error| Failure::from(error).missing("vhost_not_found"))
    })
    .await
}
