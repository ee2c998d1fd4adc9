//! Writes definitions.

use serde_json::{Map, Value, json};

use super::RESERVED_PREFIX;
use crate::{
    broker::{Vhost, policy::Authority, topology::Destination},
    http::{
        Api,
        api::{parameters, permissions, policies, users, vhosts},
        json,
    },
};

/// Lists what a vhost has of one kind.
type List = fn(&Api, &Vhost) -> Vec<Value>;

const LISTS: [(&str, List); 5] = [
    ("parameters", parameters::of_vhost),
    ("policies", policies_of),
    ("queues", queues),
    ("exchanges", exchanges),
    ("bindings", bindings),
];

/// Everything (HT-120).
pub(in crate::http) fn of_all(api: &Api) -> Value {
    let mut object = head(api, "cluster");
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    let cluster = api.cluster_name();
    put("explanation", json!(format!("Definitions of cluster '{cluster}'")));
    put("original_cluster_name", json!(cluster));
    put("users", api.admin.users().iter().map(|user| users::describe(user)).collect());
    let all = api.admin.vhosts();
    let vhosts = all.iter().map(|vhost| {
        let metadata = vhosts::metadata(&vhost.metadata());
        let limits = api.admin.vhost_limits(vhost.name()).unwrap_or_default();
        let (name, limits) = (vhost.name().as_str(), json::of_map(&limits));
        json!({"name": name, "metadata": metadata, "limits": limits})
    });
    put("vhosts", vhosts.collect());
    let found = api.admin.permissions();
    put("permissions", found.iter().map(|found| permissions::describe(found)).collect());
    let found = api.admin.topic_permissions();
    put(
        "topic_permissions",
        found.iter().map(|found| permissions::describe_topic(found)).collect(),
    );
    let globals = parameters::global(api).into_iter();
    // What makes a cluster this one is not for others, nor the name it has when nobody gave one.
    let is_named = api.is_named();
    let globals = globals
        .filter(|(name, _)| !name.starts_with("internal") && (is_named || name != "cluster_name"));
    let globals = globals.map(|(name, value)| json!({"name": name, "value": value}));
    put("global_parameters", globals.collect());
    for (key, list) in LISTS {
        put(key, all.iter().flat_map(|vhost| list(api, vhost)).collect());
    }
    Value::Object(object)
}

/// What is in a vhost, and what is said about it (HT-121).
pub(in crate::http) fn of_vhost(api: &Api, vhost: &Vhost) -> Value {
    let mut object = head(api, "single_virtual_host");
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    let (name, metadata) = (vhost.name(), vhost.metadata());
    put("explanation", json!(format!("Definitions of virtual host '{name}'")));
    put("original_vhost_name", json!(name.as_str()));
    put("description", json!(metadata.description));
    put("metadata", vhosts::metadata(&metadata));
    put("limits", json::of_map(&api.admin.vhost_limits(name).unwrap_or_default()));
    for (key, list) in LISTS {
        let mut items = list(api, vhost);
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.remove("vhost");
        }
        put(key, items.into());
    }
    Value::Object(object)
}

fn head(api: &Api, format: &str) -> Map<String, Value> {
    let version = api.config.server_version.as_str();
    let mut object = Map::new();
    for key in ["rabbit_version", "rabbitmq_version", "product_version"] {
        object.insert(key.to_owned(), json!(version));
    }
    object.insert("product_name".to_owned(), json!("RabbitMQ"));
    object.insert("rabbitmq_definition_format".to_owned(), json!(format));
    object
}

fn policies_of(_: &Api, vhost: &Vhost) -> Vec<Value> {
    let policies = policies::of_vhost(vhost, Authority::User);
    policies.iter().map(|policy| policies::describe(vhost, policy)).collect()
}

/// Queues, but for those that belong to a connection.
fn queues(_: &Api, vhost: &Vhost) -> Vec<Value> {
    let topology = vhost.topology();
    let queues =
        topology.queues().filter(|(_, queue)| queue.owner.is_none()).map(|(name, queue)| {
            json!({
                "vhost": vhost.name().as_str(),
                "name": name.as_str(),
                "type": queue.queue_type.as_str(),
                "durable": queue.spec.durable,
                "auto_delete": queue.spec.auto_delete,
                "arguments": json::of_table(&queue.spec.arguments),
            })
        });
    queues.collect()
}

/// Exchanges, but for those that every vhost has. deviation: RabbitMQ leaves internal ones out, and
/// then refuses their bindings.
fn exchanges(_: &Api, vhost: &Vhost) -> Vec<Value> {
    let topology = vhost.topology();
    let exchanges = topology.exchanges().filter(|exchange| {
        let name = exchange.name();
        !name.is_empty() && !name.starts_with(RESERVED_PREFIX)
    });
    let exchanges = exchanges.map(|exchange| {
        let spec = exchange.spec();
        let mut item = json!({
            "vhost": vhost.name().as_str(),
            "name": exchange.name().as_str(),
            "type": spec.type_name,
            "durable": spec.durable,
            "auto_delete": spec.auto_delete,
            "arguments": json::of_table(&spec.arguments),
        });
        if spec.internal {
            item["internal"] = json!(true);
        }
        item
    });
    exchanges.collect()
}

/// Bindings, but for those of the default exchange and those that lead to queues of connections.
fn bindings(_: &Api, vhost: &Vhost) -> Vec<Value> {
    let topology = vhost.topology();
    let is_exclusive = |name: &str| topology.queue(name).is_some_and(|queue| queue.owner.is_some());
    let bindings = topology.bindings().filter_map(|binding| {
        let (kind, destination) = match &binding.destination {
            Destination::Queue(name) if is_exclusive(name) => return None,
            Destination::Queue(name) => ("queue", name),
            Destination::Exchange(name) => ("exchange", name),
        };
        Some(json!({
            "vhost": vhost.name().as_str(),
            "source": binding.source.as_str(),
            "destination": destination.as_str(),
            "destination_type": kind,
            "routing_key": String::from_utf8_lossy(&binding.key),
            "arguments": json::of_table(&binding.arguments),
        }))
    });
    bindings.collect()
}
