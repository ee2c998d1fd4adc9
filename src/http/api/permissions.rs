//! `/permissions` and `/topic-permissions`, also of one user or of one vhost (HT-049, HT-050,
//! HT-052).

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};

use super::{Body, Reply, done_beside, exchanges::name_in_path, put_beside};
use crate::{
    admin,
    auth::permissions::{TopicPermissions, UserPermissions},
    http::{Api, Failure, blocking, caller::Administrator, listing::Query},
    names::CommitSeq,
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/permissions", get(list))
        .route("/permissions/{vhost}/{user}", get(one).put(set).delete(clear))
        .route("/users/{user}/permissions", get(list_of_user))
        .route("/vhosts/{vhost}/permissions", get(list_of_vhost))
        .route("/topic-permissions", get(list_topics))
        .route("/topic-permissions/{vhost}/{user}", get(topics).put(set_topic).delete(clear_topics))
        .route(
            "/topic-permissions/{vhost}/{user}/{exchange}",
            get(topics_on_exchange).put(set_topic_on_exchange).delete(clear_topic),
        )
        .route("/users/{user}/topic-permissions", get(list_topics_of_user))
        .route("/vhosts/{vhost}/topic-permissions", get(list_topics_of_vhost))
}

/// A user's permissions in a vhost as lists and definitions have them (HT-084).
pub(in crate::http) fn describe(found: &UserPermissions) -> Value {
    json!({
        "user": found.user.as_str(),
        "vhost": found.vhost.as_str(),
        "configure": found.configure.as_str(),
        "write": found.write.as_str(),
        "read": found.read.as_str(),
    })
}

/// A user's topic permissions as lists and definitions have them (HT-084).
pub(in crate::http) fn describe_topic(found: &TopicPermissions) -> Value {
    json!({
        "user": found.user.as_str(),
        "vhost": found.vhost.as_str(),
        "exchange": found.exchange.as_str(),
        "write": found.write,
        "read": found.read,
    })
}

/// Lists the permissions that are meant.
async fn listed(
    api: Api,
    query: Query,
    is_meant: impl Fn(&UserPermissions) -> bool + Send + 'static,
) -> Reply {
    blocking(move || {
        let all = api.admin.permissions();
        query
            .list(all.iter().filter(|found| is_meant(found)).map(|found| describe(found)).collect())
    })
    .await
}

async fn list(State(api): State<Api>, _: Administrator, query: Query) -> Reply {
    listed(api, query, |_| true).await
}

async fn list_of_user(
    State(api): State<Api>,
    Path(user): Path<String>,
    _: Administrator,
    query: Query,
) -> Reply {
    api.admin.user(&user)?;
    listed(api, query, move |found| *found.user == *user).await
}

async fn list_of_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    _: Administrator,
    query: Query,
) -> Reply {
    api.admin.vhost(&vhost)?;
    listed(api, query, move |found| *found.vhost == *vhost).await
}

/// A user's permissions in a vhost, if there are some.
fn find(api: &Api, vhost: &str, user: &str) -> Option<Value> {
    let all = api.admin.permissions();
    let found = all.iter().find(|found| &*found.vhost == vhost && &*found.user == user);
    found.map(|found| describe(found))
}

async fn one(
    State(api): State<Api>,
    Path((vhost, user)): Path<(String, String)>,
    _: Administrator,
    query: Query,
) -> Reply {
    let found = find(&api, &vhost, &user).ok_or(Failure::NotFound)?;
    Ok(query.item(found).into_response())
}

async fn set(
    State(api): State<Api>,
    Path((vhost, user)): Path<(String, String)>,
    _: Administrator,
    body: Body,
) -> Reply {
    put_beside(api, move |api| {
        check_both(api, &vhost, &user)?;
        let patterns = body.texts(["configure", "write", "read"])?;
        let is_new = find(api, &vhost, &user).is_none();
        Ok((is_new, api.admin.set_permissions(&user, &vhost, patterns)?))
    })
    .await
}

async fn clear(
    State(api): State<Api>,
    Path((vhost, user)): Path<(String, String)>,
    _: Administrator,
) -> Reply {
    done_beside(api, move |api| Ok(api.admin.clear_permissions(&user, &vhost)?)).await
}

/// Nobody is permitted anything somewhere that is not there.
fn check_both(api: &Api, vhost: &str, user: &str) -> Result<(), Failure> {
    let both = api.admin.vhost(vhost).and_then(|_| api.admin.user(user));
    both.map(drop).map_err(|_: admin::Error| Failure::bad_request("vhost_or_user_not_found"))
}

/// Lists the topic permissions that are meant.
async fn listed_topics(
    api: Api,
    query: Query,
    is_meant: impl Fn(&TopicPermissions) -> bool + Send + 'static,
) -> Reply {
    blocking(move || {
        let all = api.admin.topic_permissions();
        let meant = all.iter().filter(|found| is_meant(found));
        query.list(meant.map(|found| describe_topic(found)).collect())
    })
    .await
}

async fn list_topics(State(api): State<Api>, _: Administrator, query: Query) -> Reply {
    listed_topics(api, query, |_| true).await
}

async fn list_topics_of_user(
    State(api): State<Api>,
    Path(user): Path<String>,
    _: Administrator,
    query: Query,
) -> Reply {
    api.admin.user(&user)?;
    listed_topics(api, query, move |found| *found.user == *user).await
}

async fn list_topics_of_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    _: Administrator,
    query: Query,
) -> Reply {
    api.admin.vhost(&vhost)?;
    listed_topics(api, query, move |found| *found.vhost == *vhost).await
}

/// A user's topic permissions in a vhost.
fn find_topics(api: &Api, vhost: &str, user: &str) -> Vec<Value> {
    let all = api.admin.topic_permissions();
    let found = all.iter().filter(|found| &*found.vhost == vhost && &*found.user == user);
    found.map(|found| describe_topic(found)).collect()
}

async fn topics(
    State(api): State<Api>,
    Path((vhost, user)): Path<(String, String)>,
    _: Administrator,
    query: Query,
) -> Reply {
    let found = find_topics(&api, &vhost, &user);
    if found.is_empty() {
        return Err(Failure::NotFound);
    }
    Ok(query.list(found)?.into_response())
}

/// RabbitMQ shows those on all exchanges.
async fn topics_on_exchange(
    api: State<Api>,
    Path((vhost, user, _)): Path<(String, String, String)>,
    caller: Administrator,
    query: Query,
) -> Reply {
    topics(api, Path((vhost, user)), caller, query).await
}

async fn set_topic(
    State(api): State<Api>,
    Path((vhost, user)): Path<(String, String)>,
    _: Administrator,
    body: Body,
) -> Reply {
    put_beside(api, move |api| {
        check_both(api, &vhost, &user)?;
        let [exchange, write, read] = body.texts(["exchange", "write", "read"])?;
        let is_new = find_topics(api, &vhost, &user).is_empty();
        let patterns = [write, read];
        Ok((is_new, api.admin.set_topic_permissions(&user, &vhost, exchange, patterns)?))
    })
    .await
}

/// What the body says of the exchange counts, as in RabbitMQ.
async fn set_topic_on_exchange(
    api: State<Api>,
    Path((vhost, user, _)): Path<(String, String, String)>,
    caller: Administrator,
    body: Body,
) -> Reply {
    set_topic(api, Path((vhost, user)), caller, body).await
}

async fn clear_topics(
    State(api): State<Api>,
    Path((vhost, user)): Path<(String, String)>,
    _: Administrator,
) -> Reply {
    done_beside(api, move |api| remove_topics(api, &vhost, &user, None)).await
}

async fn clear_topic(
    State(api): State<Api>,
    Path((vhost, user, exchange)): Path<(String, String, String)>,
    _: Administrator,
) -> Reply {
    let of_exchange =
        move |api: &Api| remove_topics(api, &vhost, &user, Some(name_in_path(&exchange)));
    done_beside(api, of_exchange).await
}

fn remove_topics(
    api: &Api,
    vhost: &str,
    user: &str,
    exchange: Option<&str>,
) -> Result<CommitSeq, Failure> {
    if find_topics(api, vhost, user).is_empty() {
        return Err(Failure::NotFound);
    }
    Ok(api.admin.clear_topic_permissions(user, vhost, exchange)?)
}
