//! What an operator does to the broker under test: directly where it is ours, over RabbitMQ's
//! management API where it is not.

use lepus::{
    admin::{Admin, NewPassword},
    broker::{
        Metadata,
        datum::{Datum, Map},
        policy::{ApplyTo, Authority, Draft},
    },
};
use serde_json::{Value as Json, json};

use super::{Api, Channel, Options, api, broker, name, part};

/// The password of every user that tests make.
pub(crate) const PASSWORD: &str = "secret";

/// Permission to do everything.
pub(crate) const EVERYTHING: [&str; 3] = [".*", ".*", ".*"];

/// An operator of a broker.
#[derive(Clone, Debug)]
pub(crate) enum Operator {
    Lepus(Admin),
    RabbitMq(Api),
}

/// The operator of the broker that all tests share.
pub(crate) fn operator() -> Operator {
    if let Some(admin) = &broker().admin {
        return Operator::Lepus(admin.clone());
    }
    Operator::RabbitMq(api())
}

/// A definition of a policy, or limits.
pub(crate) fn map<const N: usize>(pairs: [(&str, Datum); N]) -> Map {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn json(value: &Datum) -> Json {
    match value {
        Datum::Null => Json::Null,
        Datum::Boolean(value) => json!(value),
        Datum::Integer(value) => json!(value),
        Datum::Float(value) => json!(value),
        Datum::Text(text) => json!(text),
        Datum::List(values) => values.iter().map(json).collect(),
        Datum::Map(map) => map.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
    }
}

/// Asks the API for a path of these parts; the reason if it refuses.
fn ask(api: &Api, method: &str, parts: &[&str], body: &Json) -> Result<(), String> {
    let path: Vec<_> = parts.iter().map(|name| part(name)).collect();
    let answer = api.call(method, &format!("/{}", path.join("/")), &body.to_string());
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    let reason = &answer.json()["reason"];
    Err(reason.as_str().map_or_else(|| reason.to_string(), str::to_owned))
}

impl Operator {
    /// Does it in the one way or the other; it must work.
    #[track_caller]
    fn must<T, E: std::fmt::Display>(
        &self,
        lepus: impl FnOnce(&Admin) -> Result<T, E>,
        method: &str,
        parts: &[&str],
        body: &Json,
    ) {
        let done = match self {
            Self::Lepus(admin) => lepus(admin).map(drop).map_err(|error| error.to_string()),
            Self::RabbitMq(api) => ask(api, method, parts, body),
        };
        done.unwrap_or_else(|reason| panic!("{method} {parts:?}: {reason}"));
    }

    #[track_caller]
    pub(crate) fn add_vhost(&self, vhost: &str) {
        let add = |admin: &Admin| admin.put_vhost(vhost, Metadata::default());
        self.must(add, "PUT", &["vhosts", vhost], &json!({}));
        self.permit("guest", vhost, EVERYTHING);
    }

    #[track_caller]
    pub(crate) fn delete_vhost(&self, vhost: &str) {
        self.must(|admin| admin.delete_vhost(vhost), "DELETE", &["vhosts", vhost], &json!({}));
    }

    /// Has a vhost traced, or no more.
    #[track_caller]
    pub(crate) fn trace(&self, vhost: &str, is_traced: bool) {
        let trace = |admin: &Admin| admin.trace_vhost(vhost, is_traced);
        self.must(trace, "PUT", &["vhosts", vhost], &json!({"tracing": is_traced}));
    }

    /// Adds a user with the password that all have.
    #[track_caller]
    pub(crate) fn add_user(&self, user: &str, tags: &[&str]) {
        let add = |admin: &Admin| admin.put_user(user, NewPassword::Plain(PASSWORD), tags);
        let body = json!({"password": PASSWORD, "tags": tags.join(",")});
        self.must(add, "PUT", &["users", user], &body);
    }

    #[track_caller]
    pub(crate) fn change_password(&self, user: &str, password: &str) {
        let change = |admin: &Admin| admin.change_password(user, NewPassword::Plain(password));
        let body = json!({"password": password, "tags": ""});
        self.must(change, "PUT", &["users", user], &body);
    }

    #[track_caller]
    pub(crate) fn delete_user(&self, user: &str) {
        self.must(|admin| admin.delete_user(user), "DELETE", &["users", user], &json!({}));
    }

    #[track_caller]
    pub(crate) fn permit(&self, user: &str, vhost: &str, patterns: [&str; 3]) {
        let [configure, write, read] = patterns;
        let body = json!({"configure": configure, "write": write, "read": read});
        let permit = |admin: &Admin| admin.set_permissions(user, vhost, patterns);
        self.must(permit, "PUT", &["permissions", vhost, user], &body);
    }

    #[track_caller]
    pub(crate) fn forbid(&self, user: &str, vhost: &str) {
        let forbid = |admin: &Admin| admin.clear_permissions(user, vhost);
        self.must(forbid, "DELETE", &["permissions", vhost, user], &json!({}));
    }

    #[track_caller]
    pub(crate) fn permit_topic(
        &self,
        user: &str,
        vhost: &str,
        exchange: &str,
        write_and_read: [&str; 2],
    ) {
        let [write, read] = write_and_read;
        let body = json!({"exchange": exchange, "write": write, "read": read});
        let permit =
            |admin: &Admin| admin.set_topic_permissions(user, vhost, exchange, write_and_read);
        self.must(permit, "PUT", &["topic-permissions", vhost, user], &body);
    }

    #[track_caller]
    pub(crate) fn limit_vhost(&self, vhost: &str, limit: &str, value: i64) {
        let set = |admin: &Admin| admin.set_vhost_limits(vhost, map([(limit, value.into())]));
        let body = json!({"value": value});
        self.must(set, "PUT", &["vhost-limits", vhost, limit], &body);
    }

    #[track_caller]
    pub(crate) fn limit_user(&self, user: &str, limit: &str, value: i64) {
        let set = |admin: &Admin| admin.set_user_limits(user, map([(limit, value.into())]));
        let body = json!({"value": value});
        self.must(set, "PUT", &["user-limits", user, limit], &body);
    }

    /// Sets a policy; the reason if it is refused.
    pub(crate) fn try_policy(
        &self,
        vhost: &str,
        authority: Authority,
        name: &str,
        draft: Draft,
    ) -> Result<(), String> {
        match self {
            Self::Lepus(admin) => {
                let set = admin.set_policy(vhost, authority, name, draft);
                set.map(drop).map_err(|error| error.to_string())
            }
            Self::RabbitMq(api) => {
                let body = json!({
                    "pattern": json(&draft.pattern),
                    "apply-to": json(&draft.apply_to),
                    "priority": json(&draft.priority),
                    "definition": json(&draft.definition),
                });
                ask(api, "PUT", &[policies(authority), vhost, name], &body)
            }
        }
    }

    /// Sets a policy for whatever matches.
    #[track_caller]
    pub(crate) fn policy(&self, vhost: &str, name: &str, pattern: &str, definition: Map) {
        let set = self.try_policy(vhost, Authority::User, name, Draft::new(pattern, definition));
        set.unwrap_or_else(|reason| panic!("policy {name}: {reason}"));
    }

    /// Sets an operator policy for queues.
    #[track_caller]
    pub(crate) fn operator_policy(&self, vhost: &str, name: &str, pattern: &str, definition: Map) {
        let apply_to = ApplyTo::Queues.as_str().into();
        let draft = Draft { apply_to, ..Draft::new(pattern, definition) };
        let set = self.try_policy(vhost, Authority::Operator, name, draft);
        set.unwrap_or_else(|reason| panic!("operator policy {name}: {reason}"));
    }

    #[track_caller]
    pub(crate) fn delete_policy(&self, vhost: &str, authority: Authority, name: &str) {
        let delete = |admin: &Admin| admin.delete_policy(vhost, authority, name);
        self.must(delete, "DELETE", &[policies(authority), vhost, name], &json!({}));
    }
}

fn policies(authority: Authority) -> &'static str {
    match authority {
        Authority::User => "policies",
        Authority::Operator => "operator-policies",
    }
}

/// A vhost and a user of a test's own, who may not enter it yet. Both go when dropped.
#[derive(Debug)]
pub(crate) struct Realm {
    pub(crate) operator: Operator,
    pub(crate) vhost: String,
    pub(crate) user: String,
}

impl Realm {
    pub(crate) fn new() -> Self {
        let realm = Self { operator: operator(), vhost: name("vhost"), user: name("user") };
        realm.operator.add_vhost(&realm.vhost);
        realm.operator.add_user(&realm.user, &[]);
        realm
    }

    /// A realm whose user may do that.
    pub(crate) fn permitting(patterns: [&str; 3]) -> Self {
        let realm = Self::new();
        realm.permit(patterns);
        realm
    }

    pub(crate) fn permit(&self, patterns: [&str; 3]) {
        self.operator.permit(&self.user, &self.vhost, patterns);
    }

    /// How the user connects.
    pub(crate) fn options(&self) -> Options {
        Options::new().vhost(&self.vhost).login(&self.user, PASSWORD)
    }

    /// The user's channel, on a connection of its own.
    #[track_caller]
    pub(crate) fn channel(&self) -> Channel {
        self.options().open().channel(1)
    }

    /// A channel of somebody who may do everything.
    #[track_caller]
    pub(crate) fn guest(&self) -> Channel {
        Options::new().vhost(&self.vhost).open().channel(1)
    }

    /// A text about the realm: `{v}` stands for its vhost, `{u}` for its user.
    pub(crate) fn text(&self, text: &str) -> String {
        text.replace("{v}", &self.vhost).replace("{u}", &self.user)
    }

    /// The refusal of a permission on a resource, such as `queue 'q'`.
    pub(crate) fn refusal(&self, permission: &str, resource: &str) -> String {
        self.text(&format!(
            "ACCESS_REFUSED - {permission} access to {resource} in vhost '{{v}}' refused for user \
             '{{u}}'"
        ))
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        if !std::thread::panicking() && matches!(self.operator, Operator::RabbitMq(_)) {
            let _ = self.operator.try_delete(&["vhosts", &self.vhost]);
            let _ = self.operator.try_delete(&["users", &self.user]);
        }
    }
}

impl Operator {
    fn try_delete(&self, parts: &[&str]) -> Result<(), String> {
        match self {
            Self::Lepus(_) => Ok(()),
            Self::RabbitMq(api) => ask(api, "DELETE", parts, &json!({})),
        }
    }
}
