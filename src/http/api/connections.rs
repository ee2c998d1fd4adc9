//! `/connections` (HT-035, HT-076).

use std::borrow::Cow;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{Reply, erlang};
use crate::{
    broker::{
        client::TlsFacts,
        registry::{OpenConnection, Place},
    },
    http::{
        Api, Failure, Json, blocking,
        caller::{Caller, Entered},
        census::Traffic,
        history::{Look, Subject},
        json,
        listing::Query,
    },
    wire::table::{Table, Value as Field},
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/connections", get(list))
        .route("/connections/{connection}", get(one).delete(close))
        .route("/connections/username/{user}", get(list_of_user).delete(close_of_user))
        .route("/vhosts/{vhost}/connections", get(list_of_vhost))
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || answer(&api, &caller, &query, |_| true)).await
}

async fn list_of_vhost(
    State(api): State<Api>,
    Entered { caller, vhost }: Entered,
    query: Query,
) -> Reply {
    blocking(move || answer(&api, &caller, &query, |found| found.place.vhost == *vhost.name()))
        .await
}

async fn list_of_user(
    State(api): State<Api>,
    Path(user): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    caller.sees_object_of(&user)?;
    blocking(move || answer(&api, &caller, &query, |found| *found.place.user == *user)).await
}

async fn one(
    State(api): State<Api>,
    Path(name): Path<String>,
    caller: Caller,
    query: Query,
) -> Reply {
    blocking(move || {
        let connection = find(&api, &caller, &name)?;
        let look = api.history().look(&query);
        let mut object = describe(&api, &connection, &look);
        // Of one alone RabbitMQ says it with words where lists say null.
        if let Some(fields) = object.as_object_mut() {
            let untold = over_tls(None).map(|(key, _)| key);
            let is_untold = |key: &str, value: &Value| value.is_null() && untold.contains(&key);
            let untold = fields.iter_mut().filter(|(key, value)| is_untold(key, value));
            untold.for_each(|(_, value)| *value = json!(""));
        }
        Ok(query.item(object))
    })
    .await
}

/// Closes a connection (HT-021).
async fn close(
    State(api): State<Api>,
    Path(name): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> Reply {
    blocking(move || {
        let connection = find(&api, &caller, &name)?;
        may_close(&caller, &connection.place.user)?;
        // It may have been closed in the meantime.
        let _ = api.admin.close_connection(connection.info.id, &reason(&headers));
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Closes all connections of a user.
async fn close_of_user(
    State(api): State<Api>,
    Path(user): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> Reply {
    may_close(&caller, &user)?;
    blocking(move || {
        let is_meant = |place: &Place| *place.user == *user && caller.sees_connection(place);
        api.admin.close_connections(is_meant, &reason(&headers));
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Lets administrators close any connection, and everybody their own.
fn may_close(caller: &Caller, user: &str) -> Result<(), Failure> {
    if caller.is_administrator() || *caller.user == *user {
        return Ok(());
    }
    Err(Failure::NotAuthorised("User not authorised to access object".to_owned()))
}

/// Why a connection is closed, for its client to read.
fn reason(headers: &HeaderMap) -> String {
    let said = headers.get("x-reason").map(|reason| String::from_utf8_lossy(reason.as_bytes()));
    said.map_or_else(|| "Closed via management plugin".to_owned(), Cow::into_owned)
}

/// The connection of this name, if the caller may see it.
///
/// # Errors
/// [`Failure::NotFound`], [`Failure::NotAuthorised`].
pub(super) fn find(api: &Api, caller: &Caller, name: &str) -> Result<OpenConnection, Failure> {
    let connections = api.broker.registry.connections();
    let found = connections.into_iter().find(|connection| connection.info.name() == name);
    let found = found.ok_or(Failure::NotFound)?;
    if !caller.sees_connection(&found.place) {
        return Err(Failure::NotAuthorised("User not authorised to access object".to_owned()));
    }
    Ok(found)
}

/// The connections that the caller may see and that are meant.
pub(super) fn seen(
    api: &Api,
    caller: &Caller,
    is_meant: impl Fn(&OpenConnection) -> bool,
) -> Vec<OpenConnection> {
    let mut connections = api.broker.registry.connections();
    connections.retain(|found| caller.sees_connection(&found.place) && is_meant(found));
    connections
}

/// Lists those that are meant.
fn answer(
    api: &Api,
    caller: &Caller,
    query: &Query,
    is_meant: impl Fn(&OpenConnection) -> bool,
) -> Result<Json, Failure> {
    query.list_with_past(
        api.history(),
        seen(api, caller, is_meant),
        |connection| Cow::Owned(connection.info.name()),
        |connection, look| Some(describe(api, connection, look)),
    )
}

/// Whether its publishes wait, and for what (AL-008).
fn state(api: &Api, connection: &OpenConnection) -> &'static str {
    match (connection.info.blocked.get(), api.broker.gate.is_shut()) {
        (0, false) => "running",
        (0, true) => "blocking",
        _ => "blocked",
    }
}

fn describe(api: &Api, connection: &OpenConnection, look: &Look<'_>) -> Value {
    let OpenConnection { place, info } = connection;
    let (peer, local) = (info.ends.peer, info.ends.local);
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("name", json!(info.name()));
    put("node", json!(api.config.node()));
    put("type", json!("network"));
    put("protocol", json!("AMQP 0-9-1"));
    put("user", json!(place.user.as_str()));
    put("user_who_performed_action", json!(place.user.as_str()));
    put("vhost", json!(place.vhost.as_str()));
    put("state", json!(state(api, connection)));
    put("host", json!(local.ip().to_string()));
    put("port", json!(local.port()));
    put("peer_host", json!(peer.ip().to_string()));
    put("peer_port", json!(peer.port()));
    put("connected_at", json!(info.connected_at.0));
    put("channels", json!(info.channel_count()));
    put("send_pend", json!(info.pending_bytes.get()));
    put("recv_cnt", json!(info.reads.get()));
    put("send_cnt", json!(info.writes.get()));
    let introduction = info.introduction.get();
    put("ssl", json!(introduction.is_some_and(|introduction| introduction.tls.is_some())));
    for (key, fact) in over_tls(introduction.and_then(|introduction| introduction.tls.as_ref())) {
        put(key, json!(fact));
    }
    if let Some(introduction) = introduction {
        put("client_properties", json::of_table(&introduction.client_properties));
        put("auth_mechanism", json!(introduction.mechanism));
        put("frame_max", json!(introduction.frame_max));
        put("channel_max", json!(introduction.channel_max));
        put("timeout", json!(introduction.heartbeat));
        if let Some(name) = given_name(&introduction.client_properties) {
            put("user_provided_name", json!(name));
        }
    }
    erlang::put_process(&mut object);
    let past = look.of(&Subject::Connection(info.id));
    for (name, value) in Traffic::of(connection).named() {
        past.put(&mut object, name, value);
    }
    Value::Object(object)
}

/// What is told of TLS; nothing of any of it where it is not spoken.
fn over_tls(tls: Option<&TlsFacts>) -> [(&'static str, Option<String>); 8] {
    let suite = tls.map(|tls| suite_parts(tls.suite));
    let certificate = tls.and_then(|tls| tls.certificate.as_ref());
    [
        ("ssl_protocol", tls.map(|tls| tls.version.to_owned())),
        ("ssl_key_exchange", suite.as_ref().map(|suite| suite.key_exchange.clone())),
        ("ssl_cipher", suite.as_ref().map(|suite| suite.cipher.clone())),
        // All suites that are spoken here have a cipher that tells tampering by itself.
        ("ssl_hash", tls.map(|_| "aead".to_owned())),
        ("peer_cert_subject", certificate.map(|known| known.subject.clone())),
        ("peer_cert_issuer", certificate.map(|known| known.issuer.clone())),
        ("peer_cert_validity", certificate.map(|known| known.validity.clone())),
        ("peer_cert_serial_number", None),
    ]
}

/// A cipher suite in the words of Erlang, and so of RabbitMQ.
#[derive(Debug, PartialEq, Eq)]
struct SuiteParts {
    key_exchange: String,
    cipher: String,
}

/// Takes TLS's name of a suite apart: `TLS13_AES_256_GCM_SHA384`, whose key exchange is a matter of
/// its own, or `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384`.
fn suite_parts(suite: &str) -> SuiteParts {
    let suite = suite.to_ascii_lowercase();
    let (key_exchange, rest) = match suite.split_once("_with_") {
        Some((exchange, rest)) => (exchange.trim_start_matches("tls_"), rest),
        None => ("any", suite.trim_start_matches("tls13_")),
    };
    // What follows the last one is the hash that keys are derived with.
    let cipher = rest.rsplit_once('_').map_or(rest, |(cipher, _)| cipher);
    SuiteParts { key_exchange: key_exchange.to_owned(), cipher: cipher.to_owned() }
}

/// The name that the client gave its connection.
fn given_name(properties: &Table) -> Option<String> {
    match properties.inner().get("connection_name")? {
        Field::LongString(name) => Some(String::from_utf8_lossy(name.as_bytes()).into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // HT-076
    #[test]
    fn suites_are_told_in_erlangs_words() {
        for (suite, key_exchange, cipher) in [
            ("TLS13_AES_256_GCM_SHA384", "any", "aes_256_gcm"),
            ("TLS13_CHACHA20_POLY1305_SHA256", "any", "chacha20_poly1305"),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ecdhe_rsa", "aes_128_gcm"),
            ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ecdhe_ecdsa", "chacha20_poly1305"),
        ] {
            let (key_exchange, cipher) = (key_exchange.to_owned(), cipher.to_owned());
            assert_eq!(suite_parts(suite), SuiteParts { key_exchange, cipher });
        }
    }
}
