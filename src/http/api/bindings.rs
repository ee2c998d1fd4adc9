//! Bindings: `/bindings`, and those of an exchange or a queue (HT-040, HT-042, HT-046, HT-047,
//! HT-081).

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};

use super::{Body, Reply, done, effects, exchanges::name_in_path, queues};
use crate::{
    auth::Permission,
    broker::{
        Vhost,
        topology::{Binding, Destination},
    },
    http::{
        Api, Failure, blocking,
        caller::{Caller, Entered},
        json,
        listing::Query,
    },
    names::Name,
    wire::table::Table,
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/bindings", get(list))
        .route("/bindings/{vhost}", get(list_of_vhost))
        .route("/bindings/{vhost}/e/{source}/{kind}/{destination}", get(between).post(bind))
        .route(
            "/bindings/{vhost}/e/{source}/{kind}/{destination}/{properties}",
            get(one).delete(unbind),
        )
        .route("/exchanges/{vhost}/{exchange}/bindings/source", get(from_exchange))
        .route("/exchanges/{vhost}/{exchange}/bindings/destination", get(to_exchange))
        .route("/queues/{vhost}/{queue}/bindings", get(to_queue))
}

async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    blocking(move || {
        query.list(caller.entered_vhosts(&api).iter().flat_map(|vhost| all(vhost)).collect())
    })
    .await
}

async fn list_of_vhost(Entered { vhost, .. }: Entered, query: Query) -> Reply {
    blocking(move || query.list(all(&vhost))).await
}

/// Where a path says that bindings lead from and to.
type Ends = (String, String, String, String);

async fn between(
    Path((_, source, kind, destination)): Path<Ends>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    let (source, destination) = ends(&vhost, &source, &kind, &destination)?;
    blocking(move || {
        let bindings = to(&vhost, &destination);
        let bindings = bindings.into_iter().filter(|binding| *binding.source == *source);
        query.list(bindings.map(|binding| describe(&vhost, &binding)).collect())
    })
    .await
}

async fn bind(
    State(api): State<Api>,
    Path((_, source, kind, destination)): Path<Ends>,
    Entered { caller, vhost }: Entered,
    body: Body,
) -> Reply {
    let (source, destination) = ends(&vhost, &source, &kind, &destination)?;
    caller.check(&api, &vhost, Permission::Write, name_of(&destination))?;
    caller.check(&api, &vhost, Permission::Read, &source)?;
    if let Destination::Queue(name) = &destination {
        queues::find_free(&vhost, name)?;
    }
    let (key, arguments) = (body.text("routing_key")?.unwrap_or_default(), body.arguments()?);
    caller.check_topic(&api, &vhost, Permission::Read, &source, key.as_bytes())?;
    let needed = {
        let mut fx = effects();
        let needed = vhost.bind(&source, &destination, key.as_bytes(), &arguments, &mut fx);
        fx.wakes.pay();
        needed
    };
    let needed = needed.map_err(|error| Failure::of_broker(&error, vhost.name()))?;
    api.admin.durable(needed).await?;
    let properties = properties_key(key.as_bytes(), &arguments);
    // Both are parts of a path, and quoted as such, the key for the second time.
    let (queue, properties) =
        (quoted(name_of(&destination).as_bytes()), quoted(properties.as_bytes()));
    let location = format!("{queue}/{}", properties.replace("%7E", "~"));
    Ok((StatusCode::CREATED, [(LOCATION, location)]).into_response())
}

/// A binding that a path names.
type Named = (String, String, String, String, String);

async fn one(
    Path((_, source, kind, destination, properties)): Path<Named>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    let (source, destination) = ends(&vhost, &source, &kind, &destination)?;
    let binding = find(&vhost, &source, &destination, &properties)?;
    Ok(query.item(describe(&vhost, &binding)).into_response())
}

async fn unbind(
    State(api): State<Api>,
    Path((_, source, kind, destination, properties)): Path<Named>,
    Entered { caller, vhost }: Entered,
) -> Reply {
    let (source, destination) = ends(&vhost, &source, &kind, &destination)?;
    caller.check(&api, &vhost, Permission::Write, name_of(&destination))?;
    caller.check(&api, &vhost, Permission::Read, &source)?;
    if let Destination::Queue(name) = &destination {
        queues::find_free(&vhost, name)?;
    }
    let binding = find(&vhost, &source, &destination, &properties)?;
    caller.check_topic(&api, &vhost, Permission::Read, &source, &binding.key)?;
    let needed = vhost
        .unbind(&source, &destination, &binding.key, &binding.arguments)
        .map_err(|error| Failure::of_broker(&error, vhost.name()))?;
    done(&api, needed).await
}

async fn from_exchange(
    Path((_, exchange)): Path<(String, String)>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    let exchange = name_in_path(&exchange).to_owned();
    if vhost.topology().exchange(&exchange).is_none() {
        return Err(Failure::NotFound);
    }
    blocking(move || {
        let bindings: Vec<Binding> = match exchange.as_str() {
            "" => implicit_bindings(&vhost),
            _ => vhost.topology().bindings_from(&exchange).collect(),
        };
        query.list(bindings.iter().map(|binding| describe(&vhost, binding)).collect())
    })
    .await
}

async fn to_exchange(
    Path((_, exchange)): Path<(String, String)>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    let exchange = name_in_path(&exchange);
    if vhost.topology().exchange(exchange).is_none() {
        return Err(Failure::NotFound);
    }
    let destination = Destination::Exchange(exchange.into());
    let bindings: Vec<Binding> = vhost.topology().bindings_to(&destination).collect();
    let list = bindings.iter().map(|binding| describe(&vhost, binding)).collect();
    Ok(query.list(list)?.into_response())
}

async fn to_queue(
    Path((_, queue)): Path<(String, String)>,
    Entered { vhost, .. }: Entered,
    query: Query,
) -> Reply {
    let bindings = to(&vhost, &Destination::Queue(queue.as_str().into()));
    let list = bindings.iter().map(|binding| describe(&vhost, binding)).collect();
    Ok(query.list(list)?.into_response())
}

/// Source and destination that a path names; both must be there.
fn ends(
    vhost: &Vhost,
    source: &str,
    kind: &str,
    destination: &str,
) -> Result<(String, Destination), Failure> {
    let source = name_in_path(source);
    let topology = vhost.topology();
    let (destination, is_there) = match kind {
        "q" => (Destination::Queue(destination.into()), topology.queue(destination).is_some()),
        "e" => {
            let name = name_in_path(destination);
            (Destination::Exchange(name.into()), topology.exchange(name).is_some())
        }
        _ => return Err(Failure::NotFound),
    };
    if !is_there || topology.exchange(source).is_none() {
        return Err(Failure::NotFound);
    }
    Ok((source.to_owned(), destination))
}

fn name_of(destination: &Destination) -> &Name {
    match destination {
        Destination::Queue(name) | Destination::Exchange(name) => name,
    }
}

/// The binding to a queue that every queue has, from the default exchange by its own name.
fn implicit(queue: &Name) -> Binding {
    Binding {
        source: "".into(),
        destination: Destination::Queue(queue.clone()),
        key: queue.as_bytes().into(),
        arguments: Table::default(),
        is_durable: false,
    }
}

fn implicit_bindings(vhost: &Vhost) -> Vec<Binding> {
    vhost.topology().queues().map(|(name, _)| implicit(name)).collect()
}

/// All bindings that lead there.
fn to(vhost: &Vhost, destination: &Destination) -> Vec<Binding> {
    let implicit = match destination {
        Destination::Queue(name) => Some(implicit(name)),
        Destination::Exchange(_) => None,
    };
    implicit.into_iter().chain(vhost.topology().bindings_to(destination)).collect()
}

fn all(vhost: &Vhost) -> Vec<Value> {
    let mut bindings = implicit_bindings(vhost);
    bindings.extend(vhost.topology().bindings());
    bindings.iter().map(|binding| describe(vhost, binding)).collect()
}

fn find(
    vhost: &Vhost,
    source: &str,
    destination: &Destination,
    properties: &str,
) -> Result<Binding, Failure> {
    // The path has taken one layer of quoting away where the client put one on.
    let is_meant = |binding: &Binding| {
        let key = properties_key(&binding.key, &binding.arguments);
        key == properties || unquoted(&key) == properties
    };
    let mut found = to(vhost, destination).into_iter().filter(|binding| *binding.source == *source);
    found.find(is_meant).ok_or(Failure::NotFound)
}

fn describe(vhost: &Vhost, binding: &Binding) -> Value {
    let (kind, destination) = match &binding.destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Exchange(name) => ("exchange", name),
    };
    json!({
        "source": binding.source.as_str(),
        "vhost": vhost.name().as_str(),
        "destination": destination.as_str(),
        "destination_type": kind,
        "routing_key": String::from_utf8_lossy(&binding.key),
        "arguments": json::of_table(&binding.arguments),
        "properties_key": properties_key(&binding.key, &binding.arguments),
    })
}

/// What tells a binding from the others between the same ends (HT-047): its key, quoted, and a
/// hash of its arguments, if it has any.
fn properties_key(key: &[u8], arguments: &Table) -> String {
    let quoted = quoted(key);
    if !arguments.inner().is_empty() {
        return format!("{quoted}~{}", hash(arguments));
    }
    if key.is_empty() { "~".to_owned() } else { quoted }
}

/// Six characters that differ where arguments do.
fn hash(arguments: &Table) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut hasher = DefaultHasher::new();
    // Objects have their keys in order, so equal arguments are equal texts.
    json::of_table(arguments).to_string().hash(&mut hasher);
    let mut bits = hasher.finish();
    let mut text = String::new();
    for _ in 0..6 {
        text.push(char::from(ALPHABET[(bits & 63) as usize]));
        bits >>= 6;
    }
    text
}

/// A key as a form would have it, blanks as `+`.
fn quoted(key: &[u8]) -> String {
    let quoted: String = form_urlencoded::byte_serialize(key).collect();
    // Python and Erlang leave these as they are.
    quoted.replace('*', "%2A")
}

fn unquoted(text: &str) -> String {
    let pairs = format!("={text}");
    let first = form_urlencoded::parse(pairs.as_bytes()).next();
    first.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // HT-047
    #[test]
    fn a_properties_key_tells_bindings_apart() {
        let none = Table::default();
        let key = |key: &str| properties_key(key.as_bytes(), &none);
        assert_eq!(key(""), "~");
        assert_eq!(key("a.#"), "a.%23");
        assert_eq!(key("a b/c~"), "a+b%2Fc%7E");
        let mut some = Table::default();
        some.insert("k".into(), crate::wire::table::Value::LongInt(1));
        let one = properties_key(b"", &some);
        some.insert("k".into(), crate::wire::table::Value::LongInt(2));
        let other = properties_key(b"", &some);
        assert!(one.starts_with('~') && one.len() == 7 && one != other, "{one} {other}");
        assert_eq!(unquoted("a+b%2Fc%7E"), "a b/c~");
    }
}
