//! The endpoints, one file for each kind of thing (COMPATIBILITY 8.2).
//!
//! A handler finds out who asks ([`Caller`]), reads what it is to do, does it, waits until it is
//! durable, and answers. Lists are made in [`blocking`](super::blocking), and what the
//! administration changes is changed in [`put_beside`].

mod bindings;
mod channels;
mod cluster;
mod connections;
mod consumers;
mod definitions;
mod erlang;
mod exchanges;
mod health;
mod lepus;
mod limits;
mod login;
mod messages;
mod nodes;
mod overview;
pub(super) mod parameters;
pub(super) mod permissions;
pub(super) mod policies;
pub(super) mod queues;
pub(super) mod users;
pub(super) mod vhosts;

use axum::{
    Router,
    body::Bytes,
    extract::{
        FromRequest, Request,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    http::StatusCode,
    response::IntoResponse,
};
use serde_json::{Map, Value};

use super::{Api, Failure, Reply, beside, caller::Caller, json};
use crate::{broker::queue::Effects, clock, names::CommitSeq, wire::table::Table};

/// Bytes of a request's body at most (HT-023).
const BODY_BYTES_MAX: usize = 20_000_000;

/// Where RabbitMQ breaks lines.
const LINE: usize = 80;

/// All routes below `/api`.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .merge(bindings::routes())
        .merge(channels::routes())
        .merge(cluster::routes())
        .merge(connections::routes())
        .merge(consumers::routes())
        .merge(definitions::routes())
        .merge(exchanges::routes())
        .merge(health::routes())
        .merge(limits::routes())
        .merge(lepus::routes())
        .merge(login::routes())
        .merge(messages::routes())
        .merge(nodes::routes())
        .merge(overview::routes())
        .merge(parameters::routes())
        .merge(permissions::routes())
        .merge(policies::routes())
        .merge(queues::routes())
        .merge(users::routes())
        .merge(vhosts::routes())
        .fallback(|_: Caller| async { Failure::NotFound })
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// A request's body as it came, for those who have something to refuse before they read it.
#[derive(Debug)]
struct Sent(Bytes);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        use FailedToBufferBody::LengthLimitError;
        Bytes::from_request(request, state).await.map(Self).map_err(|error| match error {
            BytesRejection::FailedToBufferBody(LengthLimitError(_)) => Failure::TooLarge,
            _ => Failure::TooSlow,
        })
    }
}

impl Sent {
    /// The object in it.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] if there is another thing, or nothing that is JSON.
    fn read(&self) -> Result<Body, Failure> {
        if self.0.is_empty() {
            return Ok(Body(Map::new()));
        }
        match serde_json::from_slice(&self.0) {
            Ok(Value::Object(object)) => Ok(Body(object)),
            Ok(Value::Null) => Ok(Body(Map::new())),
            Ok(Value::String(_)) => Err(Failure::bad_request(
                "invalid payload: the request body JSON-decoded to a string. Is the input \
                 doubly-JSON-encoded?",
            )),
            Ok(_) | Err(_) => Err(Failure::bad_request("not_json")),
        }
    }
}

/// The JSON object in a request's body; an empty body is an empty object (HT-009).
#[derive(Debug)]
struct Body(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        Sent::from_request(request, state).await?.read()
    }
}

impl Body {
    /// A flag, `true` or `"true"`; `default` where nothing is said.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for anything else.
    fn flag(&self, key: &str, default: bool) -> Result<bool, Failure> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(Failure::BadTerm("not_boolean", other.clone())),
        }
    }

    /// A flag, if something is said.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for anything else.
    fn flag_if_said(&self, key: &str) -> Result<Option<bool>, Failure> {
        match self.0.get(key) {
            Some(Value::Null) => Err(Failure::BadTerm("not_boolean", Value::Null)),
            said => said.map(|_| self.flag(key, false)).transpose(),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for anything else.
    fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Failure::bad_request(format!("{key} must be a string"))),
        }
    }

    /// An object.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for anything else.
    fn object(&self, key: &str) -> Result<Map<String, Value>, Failure> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            // An empty object may be written as an empty array (HT-018).
            Some(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(_) => Err(Failure::bad_request(format!("{key} must be an object"))),
        }
    }

    /// The arguments.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] if they are none.
    fn arguments(&self) -> Result<Table, Failure> {
        json::to_table(&self.object("arguments")?)
    }

    /// Texts that must be there.
    ///
    /// # Errors
    /// [`Failure::BadRequest`].
    fn texts<const N: usize>(&self, keys: [&str; N]) -> Result<[&str; N], Failure> {
        self.require(&keys)?;
        let mut texts = [""; N];
        for (text, key) in texts.iter_mut().zip(keys) {
            let found = self.0[key].as_str();
            *text = found.ok_or_else(|| Failure::BadRequest(format!("{key} must be a string")))?;
        }
        Ok(texts)
    }

    /// Asks for keys that must be there (HT-007).
    ///
    /// # Errors
    /// [`Failure::BadRequest`] that names those that are not.
    fn require(&self, keys: &[&str]) -> Result<(), Failure> {
        let missing: Vec<String> = keys
            .iter()
            .filter(|key| !self.0.contains_key(**key))
            .map(|key| format!("{{key_missing,{key}}}"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let line = format!("[{}]", missing.join(","));
        // RabbitMQ breaks what does not fit a line.
        let reason = if line.len() < LINE { line } else { format!("[{}]", missing.join(",\n ")) };
        Err(Failure::BadRequest(reason))
    }
}

/// What the methods of queues and vhosts are given. Its wakes are to be paid.
pub(super) fn effects() -> Effects {
    let mut fx = Effects::default();
    (fx.now, fx.time) = (clock::now(), clock::unix_time());
    fx
}

/// Answers a PUT once it is durable: 201 for something new, 204 for what was there (HT-008).
async fn put(api: &Api, is_new: bool, needed: CommitSeq) -> Reply {
    api.admin.durable(needed).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    Ok(status.into_response())
}

/// Answers with 204 once it is durable.
async fn done(api: &Api, needed: CommitSeq) -> Reply {
    put(api, false, needed).await
}

/// Makes a change of the administration's, and answers as [`put`] does. The administration makes
/// one change at a time, and one of many queues takes long: it is waited for beside the tasks that
/// serve clients.
async fn put_beside<F>(api: Api, change: F) -> Reply
where
    F: FnOnce(&Api) -> Result<(bool, CommitSeq), Failure> + Send + 'static,
{
    let changed = api.clone();
    let (is_new, needed) = beside(move || change(&changed)).await?;
    put(&api, is_new, needed).await
}

/// The same, and answers as [`done`] does.
async fn done_beside<F>(api: Api, change: F) -> Reply
where
    F: FnOnce(&Api) -> Result<CommitSeq, Failure> + Send + 'static,
{
    put_beside(api, |api| Ok((false, change(api)?))).await
}
