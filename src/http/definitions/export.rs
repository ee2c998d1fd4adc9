//! Writes definitions.

use serde_json::{Map, Value, json};

use super::{OPERATOR_POLICY, RESERVED_PREFIX};
use crate::{
    broker::{
        Vhost,
        parameter::{Parameter, Scope},
        policy::{Authority, Policy},
        topology::Destination,
    },
    http::{
        Api,
        api::{users, vhosts},
        json,
    },
};

/// Lists what a vhost has of one kind.
type List = fn(&Api, &Vhost) -> Vec<Value>;

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
    let permissions = api.admin.permissions();
    let permissions = permissions.iter().map(|permission| {
        json!({
            "user": permission.user.as_str(),
            "vhost": permission.vhost.as_str(),
            "configure": permission.configure.as_str(),
            "write": permission.write.as_str(),
            "read": permission.read.as_str(),
        })
    });
    put("permissions", permissions.collect());
    let topics = api.admin.topic_permissions();
    let topics = topics.iter().map(|permission| {
        json!({
            "user": permission.user.as_str(),
            "vhost": permission.vhost.as_str(),
            "exchange": permission.exchange.as_str(),
            "write": permission.write.as_str(),
            "read": permission.read.as_str(),
        })
    });
    put("topic_permissions", topics.collect());
    let globals = api.admin.parameters().into_iter().filter_map(|parameter| match parameter {
        // What makes a cluster this one is not for others.
        Parameter { scope: Scope::Global, name, .. } if name.starts_with("internal") => None,
        Parameter { scope: Scope::Global, name, value } => {
            Some(json!({"name": name, "value": json::of_datum(&value)}))
        }
        Parameter { .. } => None,
    });
    put("global_parameters", globals.collect());
    let lists: [(&str, List); 5] = [
        ("parameters", parameters),
        ("policies", policies),
        ("queues", queues),
        ("exchanges", exchanges),
        ("bindings", bindings),
    ];
    for (key, list) in lists {
        let items = all.iter().flat_map(|vhost| {
            let mut items = list(api, vhost);
            for item in &mut items {
                item["vhost"] = json!(vhost.name().as_str());
            }
            items
        });
        put(key, items.collect());
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
    put("parameters", parameters(api, vhost).into());
    put("policies", policies(api, vhost).into());
    put("queues", queues(api, vhost).into());
    put("exchanges", exchanges(api, vhost).into());
    put("bindings", bindings(api, vhost).into());
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

/// Parameters, and operator policies with them.
fn parameters(api: &Api, vhost: &Vhost) -> Vec<Value> {
    let own = api.admin.parameters().into_iter().filter_map(|parameter| match parameter.scope {
        Scope::Vhost { vhost: of, component } if of == *vhost.name() => Some(json!({
            "component": component,
            "name": parameter.name,
            "value": json::of_datum(&parameter.value),
        })),
        _ => None,
    });
    let policies = vhost.policies();
    let operators = policies.of(Authority::Operator).map(|policy| {
        let mut value = policy_value(policy);
        value["definition"] = json::of_map(&policy.definition);
        json!({"component": OPERATOR_POLICY, "name": policy.name.as_str(), "value": value})
    });
    own.chain(operators).collect()
}

fn policy_value(policy: &Policy) -> Value {
    json!({
        "pattern": policy.pattern.as_str(),
        "apply-to": policy.apply_to.as_str(),
        "priority": json::of_datum(&policy.priority),
        "definition": json::of_map(&policy.definition),
    })
}

fn policies(_: &Api, vhost: &Vhost) -> Vec<Value> {
    let policies = vhost.policies();
    let policies = policies.of(Authority::User).map(|policy| {
        let mut value = policy_value(policy);
        value["name"] = json!(policy.name.as_str());
        value
    });
    policies.collect()
}

/// Queues, but for those that belong to a connection.
fn queues(_: &Api, vhost: &Vhost) -> Vec<Value> {
    let topology = vhost.topology();
    let queues =
        topology.queues().filter(|(_, queue)| queue.owner.is_none()).map(|(name, queue)| {
            json!({
                "name": name.as_str(),
                "type": queue.queue_type.as_str(),
                "durable": queue.spec.durable,
                "auto_delete": queue.spec.auto_delete,
                "arguments": json::of_table(&queue.spec.arguments),
            })
        });
    queues.collect()
}

/// Exchanges, but for those that every vhost has.
fn exchanges(_: &Api, vhost: &Vhost) -> Vec<Value> {
    let topology = vhost.topology();
    let exchanges = topology.exchanges().filter(|exchange| {
        let name = exchange.name();
        !name.is_empty() && !name.starts_with(RESERVED_PREFIX) && !exchange.spec().internal
    });
    let exchanges = exchanges.map(|exchange| {
        let spec = exchange.spec();
        json!({
            "name": exchange.name().as_str(),
            "type": spec.type_name,
            "durable": spec.durable,
            "auto_delete": spec.auto_delete,
            "arguments": json::of_table(&spec.arguments),
        })
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
            "source": binding.source.as_str(),
            "destination": destination.as_str(),
            "destination_type": kind,
            "routing_key": String::from_utf8_lossy(&binding.key),
            "arguments": json::of_table(&binding.arguments),
        }))
    });
    bindings.collect()
}
