//! `/users`: list, look, add and change, delete (HT-050).

use std::{collections::HashSet, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::{Map, Value, json};

use super::{Body, Reply, done_beside, put_beside, vhosts};
use crate::{
    admin::{self, Admin, NewPassword},
    auth::{HashingAlgorithm, PasswordHash, User, permissions::UserPermissions},
    broker::{datum::Map as DatumMap, parameter},
    http::{Api, Failure, blocking, caller::Administrator, json, listing::Query},
    names::CommitSeq,
};

/// The tag of users whom the API does not change.
const PROTECTED: &str = "protected";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/users", get(list))
        .route("/users/without-permissions", get(without_permissions))
        .route("/users/bulk-delete", post(remove_all))
        .route("/users/{user}", get(one).put(change).delete(remove))
}

async fn list(State(api): State<Api>, _: Administrator, query: Query) -> Reply {
    blocking(move || query.list(api.admin.users().iter().map(|user| describe(user)).collect()))
        .await
}

async fn without_permissions(State(api): State<Api>, _: Administrator, query: Query) -> Reply {
    blocking(move || {
        let permissions = api.admin.permissions();
        let permitted: HashSet<&str> = permissions.iter().map(|found| &*found.user).collect();
        let mut users = api.admin.users();
        users.retain(|user| !permitted.contains(user.name.as_str()));
        query.list(users.iter().map(|user| describe(user)).collect())
    })
    .await
}

async fn one(
    State(api): State<Api>,
    Path(user): Path<String>,
    _: Administrator,
    query: Query,
) -> Reply {
    Ok(query.item(describe(&*api.admin.user(&user)?)).into_response())
}

async fn change(
    State(api): State<Api>,
    Path(name): Path<String>,
    _: Administrator,
    body: Body,
) -> Reply {
    put_beside(api, move |api| {
        let found = check_protected(api, &name)?;
        let draft = UserDraft::read(&body.0, HashingAlgorithm::default())?;
        Ok((found.is_none(), draft.put(&api.admin, &name)?))
    })
    .await
}

async fn remove(State(api): State<Api>, Path(name): Path<String>, _: Administrator) -> Reply {
    done_beside(api, move |api| {
        check_protected(api, &name)?;
        Ok(api.admin.delete_user(&name)?)
    })
    .await
}

/// Those that are not there are deleted already.
async fn remove_all(State(api): State<Api>, _: Administrator, body: Body) -> Reply {
    body.require(&["users"])?;
    done_beside(api, move |api| {
        let names = body.0["users"].as_array();
        let names: Option<Vec<&str>> =
            names.and_then(|names| names.iter().map(Value::as_str).collect());
        let names = names.ok_or_else(|| Failure::bad_request("users must be a list of names"))?;
        let mut needed = CommitSeq(0);
        for name in names {
            if check_protected(api, name).is_ok()
                && let Ok(deleted) = api.admin.delete_user(name)
            {
                needed = needed.max(deleted);
            }
        }
        Ok(needed)
    })
    .await
}

/// The user of this name, if there is one; it must not be protected.
fn check_protected(api: &Api, name: &str) -> Result<Option<Arc<User>>, Failure> {
    let user = api.admin.user(name).ok();
    if user.as_ref().is_some_and(|user| user.tags.iter().any(|tag| tag == PROTECTED)) {
        let reason = "Protected users cannot be modified via the HTTP API";
        return Err(Failure::bad_request(reason));
    }
    Ok(user)
}

/// A user as lists and definitions have it (HT-082, HT-123).
pub(in crate::http) fn describe(user: &User) -> Value {
    let password = user.password.as_ref();
    let algorithm = password.map_or(HashingAlgorithm::default(), PasswordHash::algorithm);
    json!({
        "name": user.name.as_str(),
        "password_hash": password.map(PasswordHash::to_base64).unwrap_or_default(),
        "hashing_algorithm": algorithm.as_str(),
        "tags": user.tags,
        "limits": limits_of(user),
    })
}

/// The limits that were set for a user.
pub(super) fn limits_of(user: &User) -> Map<String, Value> {
    let limits = [
        (parameter::MAX_CONNECTIONS, user.limits.max_connections),
        (parameter::MAX_CHANNELS, user.limits.max_channels),
    ];
    let set = limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?)));
    set.map(|(name, limit)| (name, json!(limit))).collect()
}

/// A user as somebody wants to have it.
#[derive(Debug)]
pub(in crate::http) struct UserDraft {
    password: Password,
    tags: Vec<String>,
    limits: DatumMap,
    /// What the user is to be permitted, if this adds the user.
    permissions: Vec<(String, [String; 3])>,
}

#[derive(Debug)]
enum Password {
    Plain(String),
    Hash(PasswordHash),
    None,
}

impl UserDraft {
    /// Reads an object. `algorithm` is that of a hash which does not say.
    ///
    /// # Errors
    /// [`Failure::BadRequest`].
    pub(in crate::http) fn read(
        object: &Map<String, Value>,
        algorithm: HashingAlgorithm,
    ) -> Result<Self, Failure> {
        let tags = match (object.get("tags"), object.get("administrator")) {
            (Some(said), _) => vhosts::tags(said)?,
            (None, Some(Value::Bool(true))) => vec!["administrator".to_owned()],
            (None, Some(_)) => Vec::new(),
            (None, None) => return Err(Failure::bad_request("tags_not_present")),
        };
        Ok(Self {
            password: Password::read(object, algorithm)?,
            tags,
            limits: limits(object.get("limits"))?,
            permissions: permissions(object.get("permissions"))?,
        })
    }

    /// Whether it can be made so, before anything is.
    ///
    /// # Errors
    /// [`admin::Error::NoSuchVhost`], [`admin::Error::Pattern`]: of what is to be permitted.
    pub(in crate::http) fn check(&self, admin: &Admin) -> Result<(), admin::Error> {
        self.permissions.iter().try_for_each(|(vhost, patterns)| {
            let patterns = patterns.each_ref().map(String::as_str);
            UserPermissions::new("", admin.vhost(vhost)?.name().clone(), patterns)?;
            Ok(())
        })
    }

    /// Adds the user, or changes the one of that name.
    ///
    /// # Errors
    /// Those of [`Self::check`]; [`admin::Error::Name`], [`admin::Error::Random`].
    pub(in crate::http) fn put(self, admin: &Admin, name: &str) -> Result<CommitSeq, admin::Error> {
        self.check(admin)?;
        let is_new = admin.user(name).is_err();
        let tags: Vec<&str> = self.tags.iter().map(String::as_str).collect();
        let password = match &self.password {
            Password::Plain(password) => NewPassword::Plain(password),
            Password::Hash(hash) => NewPassword::Hash(hash.clone()),
            Password::None => NewPassword::None,
        };
        let mut needed = admin.put_user(name, password, &tags)?;
        if !self.limits.is_empty() {
            needed = needed.max(admin.set_user_limits(name, self.limits)?);
        }
        for (vhost, patterns) in self.permissions.iter().filter(|_| is_new) {
            let patterns = patterns.each_ref().map(String::as_str);
            needed = needed.max(admin.set_permissions(name, vhost, patterns)?);
        }
        Ok(needed)
    }
}

impl Password {
    fn read(object: &Map<String, Value>, algorithm: HashingAlgorithm) -> Result<Self, Failure> {
        match (object.get("password"), object.get("password_hash")) {
            (Some(_), Some(_)) => {
                Err(Failure::bad_request("both_password_and_password_hash_are_provided"))
            }
            (Some(Value::String(password)), None) => Ok(Self::Plain(password.clone())),
            (None, None | Some(Value::Null)) => Ok(Self::None),
            (None, Some(Value::String(hash))) if hash.is_empty() => Ok(Self::None),
            (None, Some(Value::String(hash))) => {
                let algorithm = match object.get("hashing_algorithm") {
                    None | Some(Value::Null) => algorithm,
                    Some(said) => {
                        said.as_str().and_then(HashingAlgorithm::parse).ok_or_else(|| {
                            Failure::BadRequest(format!("unknown hashing_algorithm {said}"))
                        })?
                    }
                };
                // RabbitMQ takes whatever it is told, and some clients count on it.
                let read = PasswordHash::from_base64_like(algorithm, hash);
                read.map(Self::Hash).ok_or_else(|| {
                    let word = algorithm.as_str();
                    Failure::BadRequest(format!("password_hash is no hash of {word} in base64"))
                })
            }
            (Some(_), None) => Err(Failure::bad_request("password must be a string")),
            (None, Some(_)) => Err(Failure::bad_request("password_hash must be a string")),
        }
    }
}

/// Limits that make sense.
fn limits(value: Option<&Value>) -> Result<DatumMap, Failure> {
    let limits = match value {
        None | Some(Value::Null) => return Ok(DatumMap::new()),
        Some(Value::Array(items)) if items.is_empty() => return Ok(DatumMap::new()),
        Some(Value::Object(object)) => json::to_map(object)?,
        Some(_) => return Err(Failure::bad_request("limits must be an object")),
    };
    parameter::user_limits(limits.clone())
        .map_err(|error| Failure::BadRequest(error.to_string()))?;
    Ok(limits)
}

/// Permissions by vhost.
fn permissions(value: Option<&Value>) -> Result<Vec<(String, [String; 3])>, Failure> {
    let wrong = || Failure::bad_request("permissions must be objects with configure, write, read");
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let read = |(vhost, said): (&String, &Value)| {
        let pattern = |key: &str| said.get(key)?.as_str().map(str::to_owned);
        let patterns = [pattern("configure")?, pattern("write")?, pattern("read")?];
        Some((vhost.clone(), patterns))
    };
    value.as_object().and_then(|object| object.iter().map(read).collect()).ok_or_else(wrong)
}
