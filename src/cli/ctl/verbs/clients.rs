//! Connections, channels and consumers (EN-069, EN-074).

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::super::{
    call::{Call, Outcome},
    cell::Kind,
    client::Ask,
    failure::Failure,
    options::{Switch, flag, number},
    pid,
    verb::{Field, Listing, Section, Verb, field, from, made, nothing},
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::list(
        "list_connections",
        Section::Monitoring,
        "[--no-table-headers] [<column> ...]",
        "Lists the connections",
        &CONNECTIONS,
    ),
    Verb::list(
        "list_channels",
        Section::Monitoring,
        "[--no-table-headers] [<column> ...]",
        "Lists the channels",
        &CHANNELS,
    ),
    Verb::list(
        "list_consumers",
        Section::Monitoring,
        "[--vhost <vhost>] [--no-table-headers] [<column> ...]",
        "Lists the consumers in a vhost",
        &CONSUMERS,
    ),
    Verb::new(
        "close_connection",
        Section::Operations,
        "<connection pid | connection name> <explanation>",
        "Closes a connection",
        close_connection,
    )
    .takes(2, 2),
    Verb::new(
        "close_all_connections",
        Section::Operations,
        "[--vhost <vhost> --limit <limit>] [--global] [--per-connection-delay <delay>] \
         <explanation>",
        "Closes the connections to a vhost, or all of them",
        close_all_connections,
    )
    .takes(1, 1)
    .with(CLOSE_ALL),
    Verb::new(
        "close_all_user_connections",
        Section::Operations,
        "<username> <explanation>",
        "Closes a user's connections",
        close_all_user_connections,
    )
    .takes(2, 2),
];

const CLOSE_ALL: &[Switch] = &[flag("global"), number("per-connection-delay"), number("limit")];

const CONNECTIONS: Listing = Listing {
    banner: |_| "Listing connections ...".into(),
    fields: CONNECTION_FIELDS,
    defaults: &["user", "peer_host", "peer_port", "state"],
    is_choosable: true,
    rows: |call| Ok(call.get_list(&["connections"])?.unwrap_or_default()),
};

const CONNECTION_FIELDS: &[Field] = &[
    made("pid", |connection| pid::of(&connection["node"], &connection["name"])),
    field("name"),
    field("user_provided_name"),
    field("user"),
    field("vhost"),
    field("host"),
    field("port"),
    field("peer_host"),
    field("peer_port"),
    field("state"),
    field("channels"),
    made("protocol", protocol),
    field("auth_mechanism"),
    field("ssl"),
    field("ssl_protocol"),
    field("ssl_key_exchange"),
    field("ssl_cipher"),
    field("ssl_hash"),
    field("peer_cert_subject"),
    field("peer_cert_issuer"),
    field("peer_cert_serial_number"),
    field("peer_cert_validity"),
    field("timeout"),
    field("frame_max"),
    field("channel_max"),
    field("client_properties").kind(Kind::Arguments),
    field("connected_at"),
    field("recv_oct"),
    field("recv_cnt"),
    field("send_oct"),
    field("send_cnt"),
    field("send_pend"),
    field("node"),
    nothing("container_id"),
];

/// RabbitMQ's tool writes a version as Erlang does, `{0,9,1}`; the management API as a name.
fn protocol(connection: &Value) -> Value {
    match connection["protocol"].as_str() {
        Some("AMQP 0-9-1") => "{0,9,1}".into(),
        _ => connection["protocol"].clone(),
    }
}

const CHANNELS: Listing = Listing {
    banner: |_| "Listing channels ...".into(),
    fields: CHANNEL_FIELDS,
    defaults: &["pid", "user", "consumer_count", "messages_unacknowledged"],
    is_choosable: true,
    rows: |call| Ok(call.get_list(&["channels"])?.unwrap_or_default()),
};

const CHANNEL_FIELDS: &[Field] = &[
    made("pid", |channel| pid::of(&channel["node"], &channel["name"])),
    made("connection", |channel| pid::of(&channel["node"], &channel["connection_details"]["name"])),
    field("name"),
    field("number"),
    field("user"),
    field("vhost"),
    field("transactional"),
    field("confirm"),
    field("consumer_count"),
    field("messages_unacknowledged"),
    field("messages_uncommitted"),
    field("acks_uncommitted"),
    field("messages_unconfirmed"),
    field("prefetch_count"),
    field("global_prefetch_count"),
    field("state"),
    field("idle_since"),
    field("node"),
];

const CONSUMERS: Listing = Listing {
    banner: |call| format!("Listing consumers in vhost {} ...", call.vhost()),
    fields: CONSUMER_FIELDS,
    defaults: &[
        "queue_name",
        "channel_pid",
        "consumer_tag",
        "ack_required",
        "prefetch_count",
        "active",
        "arguments",
    ],
    is_choosable: true,
    rows: |call| {
        let vhost = call.vhost();
        call.get_list(&["consumers", &vhost])?.ok_or_else(|| Failure::no_vhost(&vhost))
    },
};

const CONSUMER_FIELDS: &[Field] = &[
    from("queue_name", "queue.name"),
    made("channel_pid", |consumer| {
        let channel = &consumer["channel_details"];
        pid::of(&channel["node"], &channel["name"])
    }),
    from("channel_name", "channel_details.name"),
    field("consumer_tag"),
    field("ack_required"),
    field("prefetch_count"),
    field("active"),
    field("activity_status"),
    field("exclusive"),
    field("arguments").kind(Kind::Arguments),
];

fn close_connection(call: &mut Call) -> Result<(), Failure> {
    let (which, reason) = (call.argument(0).to_owned(), call.argument(1).to_owned());
    call.banner(format!("Closing connection {which}, reason: {reason}..."));
    let connections = call.get_list(&["connections"])?.unwrap_or_default();
    let is_meant = |connection: &&Value| {
        connection["name"] == which.as_str()
            || pid::of(&connection["node"], &connection["name"]) == which.as_str()
    };
    let is_pid = which.starts_with('<') && which.ends_with('>');
    match connections.iter().find(is_meant) {
        Some(connection) => {
            close(call, connection, &reason)?;
            call.done()
        }
        // RabbitMQ takes a process that is gone for one that is closed.
        None if is_pid => call.done(),
        None => Err(Failure::refused(format!(
            "no connection is called {which:?}; list_connections shows their pid and name"
        ))),
    }
}

/// Closes a connection; one that is gone already is closed.
fn close(call: &mut Call, connection: &Value, reason: &str) -> Result<bool, Failure> {
    let name = connection["name"].as_str().unwrap_or_default();
    // A header takes no line breaks and nothing that is not ASCII.
    let is_plain = |character: &char| character.is_ascii_graphic() || *character == ' ';
    let reason: String = reason.chars().filter(is_plain).collect();
    let headers: &[_] = &[("x-reason", reason.trim())];
    let ask = Ask {
        method: &Method::DELETE,
        path: &["connections", name],
        query: &[],
        body: None,
        headers,
    };
    match call.change(ask)? {
        Outcome::Done => Ok(true),
        Outcome::Absent => Ok(false),
        Outcome::Refused(reason) => Err(Failure::refused(reason)),
    }
}

fn close_all_connections(call: &mut Call) -> Result<(), Failure> {
    let (reason, vhost) = (call.argument(0).to_owned(), call.vhost());
    let limit = call.options.number("limit").unwrap_or_default() as usize;
    let is_global = call.options.has("global");
    if is_global {
        let node = call.node()?;
        call.banner(format!(
            "Closing all connections to node {node} (across all vhosts), reason: {reason}..."
        ));
    } else {
        let all_or_some = if limit == 0 { "all".to_owned() } else { limit.to_string() };
        call.banner(format!(
            "Closing {all_or_some} connections in vhost {vhost}, reason: {reason}..."
        ));
    }
    let mut connections = call.get_list(&["connections"])?.unwrap_or_default();
    if !is_global {
        connections.retain(|connection| connection["vhost"] == vhost.as_str());
        if limit > 0 {
            connections.truncate(limit);
        }
    }
    let count = close_each(call, &connections, &reason)?;
    let text = format!("Closed {count} connections");
    let node = call.node()?;
    call.result(&text, &json!({"node": node, "result": "ok", "value": text}));
    Ok(())
}

fn close_all_user_connections(call: &mut Call) -> Result<(), Failure> {
    let (user, reason) = (call.argument(0).to_owned(), call.argument(1).to_owned());
    call.banner(format!("Closing connections of user {user}, reason: {reason}..."));
    let mut connections = call.get_list(&["connections"])?.unwrap_or_default();
    connections.retain(|connection| connection["user"] == user.as_str());
    close_each(call, &connections, &reason)?;
    call.done()
}

fn close_each(call: &mut Call, connections: &[Value], reason: &str) -> Result<u64, Failure> {
    let delay = Duration::from_millis(call.options.number("per-connection-delay").unwrap_or(0));
    let mut count = 0;
    for (index, connection) in connections.iter().enumerate() {
        if index > 0 && !delay.is_zero() {
            call.client.wait(delay);
        }
        count += u64::from(close(call, connection, reason)?);
    }
    Ok(count)
}
