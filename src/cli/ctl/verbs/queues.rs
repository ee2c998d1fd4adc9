//! Queues, exchanges and bindings (EN-068, EN-069, EN-074).

use hyper::Method;
use serde_json::{Value, json};

use super::super::{
    call::{Call, Outcome},
    cell::Kind,
    client::Ask,
    failure::{Failure, code},
    options::{Switch, flag, number},
    pid,
    verb::{Field, Listing, Section, Verb, field, from, made, nothing},
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::list(
        "list_queues",
        Section::Queues,
        "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column> ...]",
        "Lists the queues of a vhost",
        &QUEUES,
    )
    .with(ON_NODES),
    Verb::list(
        "list_unresponsive_queues",
        Section::Monitoring,
        "[--local] [--queue-timeout <milliseconds>] [<column> ...] [--no-table-headers]",
        "Lists nothing: a queue that does not answer does not exist here",
        &UNRESPONSIVE_QUEUES,
    )
    .with(&[flag("local"), number("queue-timeout")]),
    Verb::new(
        "purge_queue",
        Section::Queues,
        "[--vhost <vhost>] <queue>",
        "Removes a queue's messages but for those that wait for an acknowledgement",
        purge_queue,
    )
    .takes(1, 1),
    Verb::new(
        "delete_queue",
        Section::Queues,
        "[--vhost <vhost>] <queue_name> [--if-empty|-e] [--if-unused|-u] [--force]",
        "Deletes a queue with its messages",
        delete_queue,
    )
    .takes(1, 1)
    .with(&[flag("if-empty").or('e'), flag("if-unused").or('u'), flag("force")]),
    Verb::list(
        "list_exchanges",
        Section::Queues,
        "[--vhost <vhost>] [--no-table-headers] [<column> ...]",
        "Lists the exchanges of a vhost",
        &EXCHANGES,
    ),
    Verb::list(
        "list_bindings",
        Section::Queues,
        "[--vhost <vhost>] [--no-table-headers] [<column> ...]",
        "Lists the bindings of a vhost",
        &BINDINGS,
    ),
];

const ON_NODES: &[Switch] = &[flag("online"), flag("offline"), flag("local")];

const QUEUES: Listing = Listing {
    banner: |call| {
        let seconds = call.client.timeout.map_or(60.0, |limit| limit.as_secs_f64());
        format!("Timeout: {seconds:.1} seconds ...\nListing queues for vhost {} ...", call.vhost())
    },
    fields: QUEUE_FIELDS,
    defaults: &["name", "messages"],
    is_choosable: true,
    rows: |call| {
        let queues = of_vhost(call, "queues")?;
        // There is one node, and it answers.
        Ok(if call.options.has("offline") { Vec::new() } else { queues })
    },
};

const UNRESPONSIVE_QUEUES: Listing = Listing {
    banner: |call| format!("Listing unresponsive queues for vhost {} ...", call.vhost()),
    fields: QUEUE_FIELDS,
    defaults: &["name"],
    is_choosable: true,
    rows: |_| Ok(Vec::new()),
};

const QUEUE_FIELDS: &[Field] = &[
    field("name"),
    field("vhost"),
    field("type"),
    field("state"),
    field("durable"),
    field("auto_delete"),
    field("exclusive"),
    field("arguments").kind(Kind::Arguments),
    field("policy"),
    field("operator_policy"),
    field("effective_policy_definition").kind(Kind::Definition),
    field("messages"),
    field("messages_ready"),
    field("messages_unacknowledged"),
    field("messages_persistent"),
    field("messages_ram"),
    field("messages_ready_ram"),
    field("messages_unacknowledged_ram"),
    field("messages_paged_out"),
    field("message_bytes"),
    field("message_bytes_ready"),
    field("message_bytes_unacknowledged"),
    field("message_bytes_persistent"),
    field("message_bytes_ram"),
    field("message_bytes_paged_out"),
    field("head_message_timestamp"),
    field("consumers"),
    field("consumer_capacity"),
    field("consumer_utilisation"),
    field("exclusive_consumer_tag"),
    field("single_active_consumer_tag"),
    field("memory"),
    field("idle_since"),
    from("disk_reads", "message_stats.disk_reads"),
    from("disk_writes", "message_stats.disk_writes"),
    field("leader"),
    field("members").kind(Kind::Words),
    field("online").kind(Kind::Words),
    made("pid", |queue| pid::of(&queue["node"], &json!([queue["vhost"], queue["name"]]))),
    made("owner_pid", |queue| pid::of(&queue["node"], &queue["owner_pid_details"]["name"])),
    nothing("exclusive_consumer_pid"),
    nothing("single_active_consumer_pid"),
    nothing("slave_pids"),
    nothing("synchronised_slave_pids"),
    nothing("mirror_pids"),
    nothing("synchronised_mirror_pids"),
];

const EXCHANGES: Listing = Listing {
    banner: |call| format!("Listing exchanges for vhost {} ...", call.vhost()),
    fields: EXCHANGE_FIELDS,
    defaults: &["name", "type"],
    is_choosable: true,
    rows: |call| of_vhost(call, "exchanges"),
};

const EXCHANGE_FIELDS: &[Field] = &[
    field("name"),
    field("vhost"),
    field("type"),
    field("durable"),
    field("auto_delete"),
    field("internal"),
    field("arguments").kind(Kind::Arguments),
    field("policy"),
];

const BINDINGS: Listing = Listing {
    banner: |call| format!("Listing bindings for vhost {}...", call.vhost()),
    fields: BINDING_FIELDS,
    defaults: &[
        "source_name",
        "source_kind",
        "destination_name",
        "destination_kind",
        "routing_key",
        "arguments",
    ],
    is_choosable: true,
    rows: |call| of_vhost(call, "bindings"),
};

const BINDING_FIELDS: &[Field] = &[
    from("source_name", "source"),
    made("source_kind", |_| "exchange".into()),
    from("destination_name", "destination"),
    from("destination_kind", "destination_type"),
    field("routing_key"),
    field("arguments").kind(Kind::Arguments),
    field("vhost"),
    field("properties_key"),
];

fn of_vhost(call: &mut Call, what: &str) -> Result<Vec<Value>, Failure> {
    let vhost = call.vhost();
    call.get_list(&[what, &vhost])?.ok_or_else(|| Failure::no_vhost(&vhost))
}

fn purge_queue(call: &mut Call) -> Result<(), Failure> {
    let (queue, vhost) = (call.argument(0).to_owned(), call.vhost());
    call.banner(format!("Purging queue '{queue}' in vhost '{vhost}' ..."));
    match call.delete(&["queues", &vhost, &queue, "contents"])? {
        Outcome::Done => call.done(),
        Outcome::Absent => {
            let text = "Object (queue, stream, exchange, etc) was not found";
            Err(Failure::plain(code::DATA, text))
        }
        Outcome::Refused(reason) => Err(Failure::refused(reason)),
    }
}

fn delete_queue(call: &mut Call) -> Result<(), Failure> {
    let (queue, vhost) = (call.argument(0).to_owned(), call.vhost());
    let conditions = [("if-empty", "queue is empty"), ("if-unused", "queue is unused")];
    let given: Vec<_> = conditions.iter().filter(|(name, _)| call.options.has(name)).collect();
    let ifs: Vec<_> = given.iter().map(|(_, condition)| format!(" if {condition}")).collect();
    call.banner(format!("Deleting queue '{queue}' on vhost '{vhost}'{} ...", ifs.join(" and")));
    let path = ["queues", &vhost, &queue];
    let absent = || Failure::error(code::USAGE, "No such queue was found");
    let known = call.get(&path)?.ok_or_else(absent)?;
    let query: Vec<_> = given.iter().map(|(name, _)| (*name, "true")).collect();
    let ask = Ask { method: &Method::DELETE, path: &path, query: &query, body: None, headers: &[] };
    call.change(ask)?.or_absent(absent)?;
    let count = known["messages_ready"].as_u64().unwrap_or_default();
    call.say(format!("Queue was successfully deleted with {count} ready messages"));
    Ok(())
}
