//! Virtual hosts (EN-072).

use serde_json::{Value, json};

use super::super::{
    call::{Call, Outcome},
    cell::Kind,
    failure::{Failure, code},
    options::{Switch, flag, text},
    verb::{Field, Listing, Section, Verb, field},
};

/// The queue types that a vhost may give to queues of none.
const QUEUE_TYPES: [&str; 3] = ["quorum", "stream", "classic"];

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "add_vhost",
        Section::Vhosts,
        "<vhost> [--description <text>] [--tags <tag>,<tag>] [--default-queue-type <type>]",
        "Creates a vhost, which nobody may enter yet",
        add_vhost,
    )
    .takes(1, 1)
    .with(METADATA),
    Verb::new(
        "update_vhost_metadata",
        Section::Vhosts,
        "<vhost> [--description <text>] [--tags <tag>,<tag>] [--default-queue-type <type>] \
         [--protected-from-deletion <true|false>]",
        "Changes what is kept about a vhost",
        update_vhost_metadata,
    )
    .takes(1, 1)
    .with(CHANGEABLE_METADATA),
    Verb::new(
        "delete_vhost",
        Section::Vhosts,
        "<vhost>",
        "Deletes a vhost with all that is in it, messages too",
        delete_vhost,
    )
    .takes(1, 1),
    Verb::new(
        "set_vhost_tags",
        Section::Vhosts,
        "<vhost> <tag> [...]",
        "Sets a vhost's tags",
        set_vhost_tags,
    )
    .takes(1, usize::MAX),
    Verb::new(
        "enable_vhost_deletion_protection",
        Section::Vhosts,
        "<vhost>",
        "Protects a vhost from being deleted",
        |call| protect(call, true),
    )
    .takes(1, 1),
    Verb::new(
        "disable_vhost_deletion_protection",
        Section::Vhosts,
        "<vhost>",
        "Lets a vhost be deleted again",
        |call| protect(call, false),
    )
    .takes(1, 1),
    Verb::new(
        "trace_on",
        Section::Vhosts,
        "[--vhost <vhost>]",
        "Has the messages of a vhost published to amq.rabbitmq.trace, too",
        |call| trace(call, true),
    ),
    Verb::new("trace_off", Section::Vhosts, "[--vhost <vhost>]", "Ends that", |call| {
        trace(call, false)
    }),
    Verb::new(
        "restart_vhost",
        Section::Vhosts,
        "[--vhost <vhost>]",
        "Does nothing: a vhost runs as long as the broker does",
        restart_vhost,
    ),
    Verb::new(
        "reconcile_vhosts",
        Section::Vhosts,
        "",
        "Does nothing: a vhost runs as long as the broker does",
        |call| {
            call.banner("Will try to initiate virtual host reconciliation on all nodes");
            call.done()
        },
    ),
    Verb::list(
        "list_vhosts",
        Section::Vhosts,
        "[--no-table-headers] [<column> ...]",
        "Lists the vhosts",
        &VHOSTS,
    ),
];

const METADATA: &[Switch] =
    &[text("description").or('d'), text("tags"), text("default-queue-type")];

const CHANGEABLE_METADATA: &[Switch] = &[
    text("description").or('d'),
    text("tags"),
    text("default-queue-type"),
    flag("protected-from-deletion"),
];

const VHOSTS: Listing = Listing {
    banner: |_| "Listing vhosts ...".into(),
    fields: VHOST_FIELDS,
    defaults: &["name"],
    is_choosable: true,
    rows: |call| Ok(call.get_list(&["vhosts"])?.unwrap_or_default()),
};

const VHOST_FIELDS: &[Field] = &[
    field("name"),
    field("description"),
    field("tags").kind(Kind::Words),
    field("default_queue_type"),
    field("tracing"),
    field("protected_from_deletion"),
    field("cluster_state").kind(Kind::States),
    field("metadata").kind(Kind::Metadata),
];

fn add_vhost(call: &mut Call) -> Result<(), Failure> {
    let vhost = call.argument(0).to_owned();
    let body = metadata(call)?;
    call.banner(format!("Adding vhost \"{vhost}\" ..."));
    call.put(&["vhosts", &vhost], &body)?.or_absent(|| Failure::no_vhost(&vhost))?;
    call.done()
}

fn update_vhost_metadata(call: &mut Call) -> Result<(), Failure> {
    let vhost = call.argument(0).to_owned();
    let changes = metadata(call)?;
    let protects = call.options.text("protected-from-deletion").is_some();
    if changes.as_object().is_none_or(serde_json::Map::is_empty) && !protects {
        return Err(call.misused(code::USAGE, "not enough arguments."));
    }
    call.banner(format!("Updating metadata of vhost \"{vhost}\" ..."));
    change(call, &vhost, changes)?;
    if let Some(is_protected) = call.options.text("protected-from-deletion") {
        let is_protected = is_protected == "true";
        set_protection(call, &vhost, is_protected)?;
    }
    call.done()
}

/// What the options say about a vhost.
fn metadata(call: &Call) -> Result<Value, Failure> {
    let mut body = json!({});
    if let Some(description) = call.options.text("description") {
        body["description"] = description.into();
    }
    if let Some(tags) = call.options.text("tags") {
        body["tags"] = tags.into();
    }
    if let Some(queue_type) = call.options.text("default-queue-type") {
        if !QUEUE_TYPES.contains(&queue_type) {
            return Err(call.bad_argument(&format!(
                "Default queue type must be one of: {}. Provided: {queue_type}",
                QUEUE_TYPES.join(", ")
            )));
        }
        body["default_queue_type"] = queue_type.into();
    }
    Ok(body)
}

/// Changes some of what is kept about a vhost that exists. The rest stays: a `PUT` replaces all.
fn change(call: &mut Call, vhost: &str, changes: Value) -> Result<(), Failure> {
    let Some(known) = call.get(&["vhosts", vhost])? else {
        return Err(Failure::no_vhost(vhost));
    };
    let words = known["tags"].as_array().cloned().unwrap_or_default();
    let tags: Vec<_> = words.iter().filter_map(Value::as_str).collect();
    let mut body = json!({
        "description": known["description"],
        "tags": tags.join(","),
        "tracing": known["tracing"],
    });
    // RabbitMQ writes the lack of a type as a word that it does not take.
    let queue_type = &known["default_queue_type"];
    if !queue_type.is_null() && queue_type != "undefined" {
        body["default_queue_type"] = queue_type.clone();
    }
    if let Value::Object(changes) = changes {
        for (key, value) in changes {
            body[key] = value;
        }
    }
    call.put(&["vhosts", vhost], &body)?.or_absent(|| Failure::no_vhost(vhost))
}

fn delete_vhost(call: &mut Call) -> Result<(), Failure> {
    let vhost = call.argument(0).to_owned();
    call.banner(format!("Deleting vhost \"{vhost}\" ..."));
    match call.delete(&["vhosts", &vhost])? {
        Outcome::Done => call.done(),
        Outcome::Absent => Err(Failure::no_vhost(&vhost)),
        Outcome::Refused(reason) => Err(Failure::error(code::DATA, reason)),
    }
}

fn set_vhost_tags(call: &mut Call) -> Result<(), Failure> {
    let vhost = call.argument(0).to_owned();
    let tags = &call.arguments[1..];
    call.banner(format!("Setting tags for virtual host \"{vhost}\" to [{}] ...", tags.join(", ")));
    let tags = json!({"tags": tags.join(",")});
    change(call, &vhost, tags)?;
    call.done()
}

fn protect(call: &mut Call, is_protected: bool) -> Result<(), Failure> {
    let vhost = call.argument(0).to_owned();
    call.banner(if is_protected {
        format!("Protecting virtual host \"{vhost}\" from removal by updating its metadata...")
    } else {
        format!(
            "Removing deletion protection from virtual host \"{vhost}\" by updating its metadata..."
        )
    });
    set_protection(call, &vhost, is_protected)?;
    call.done()
}

fn set_protection(call: &mut Call, vhost: &str, is_protected: bool) -> Result<(), Failure> {
    let path = ["vhosts", vhost, "deletion", "protection"];
    let outcome = if is_protected { call.post(&path, &json!({}))? } else { call.delete(&path)? };
    outcome.or_absent(|| Failure::no_vhost(vhost))
}

fn trace(call: &mut Call, is_on: bool) -> Result<(), Failure> {
    let vhost = call.vhost();
    let (doing, done) = if is_on { ("Starting", "enabled") } else { ("Stopping", "disabled") };
    call.banner(format!("{doing} tracing for vhost \"{vhost}\" ..."));
    let Some(known) = call.get(&["vhosts", &vhost])? else {
        return Err(Failure::no_vhost(&vhost));
    };
    if known["tracing"].as_bool() != Some(is_on) {
        change(call, &vhost, json!({"tracing": is_on}))?;
    }
    call.say(format!("Trace {done} for vhost {vhost}"));
    Ok(())
}

fn restart_vhost(call: &mut Call) -> Result<(), Failure> {
    let (vhost, node) = (call.vhost(), call.node()?);
    call.banner(format!("Trying to restart vhost '{vhost}' on node '{node}' ..."));
    if call.get(&["vhosts", &vhost])?.is_none() {
        return Err(Failure::no_vhost(&vhost));
    }
    call.say(format!("Vhost '{vhost}' is already running on node '{node}'"));
    Ok(())
}
