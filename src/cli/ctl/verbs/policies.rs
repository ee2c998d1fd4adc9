//! Policies and operator policies (EN-073).

use serde_json::{Value, json};

use super::super::{
    call::{Call, Outcome},
    cell::Kind,
    failure::Failure,
    options::{Switch, number, text},
    verb::{Field, Listing, Section, Verb, field},
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "set_policy",
        Section::Policies,
        "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> \
         <definition>",
        "Sets a policy: what its definition, a JSON object, says holds for all queues and \
         exchanges whose name the pattern matches",
        |call| set(call, POLICY),
    )
    .takes(3, 3)
    .with(SET),
    Verb::new(
        "clear_policy",
        Section::Policies,
        "[--vhost <vhost>] <name>",
        "Removes a policy",
        |call| clear(call, POLICY),
    )
    .takes(1, 1),
    Verb::list(
        "list_policies",
        Section::Policies,
        "[--vhost <vhost>] [--no-table-headers]",
        "Lists the policies of a vhost",
        &POLICIES,
    ),
    Verb::new(
        "set_operator_policy",
        Section::Policies,
        "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> \
         <definition>",
        "Sets an operator policy, which limits what policies and clients may set",
        |call| set(call, OPERATOR_POLICY),
    )
    .takes(3, 3)
    .with(SET),
    Verb::new(
        "clear_operator_policy",
        Section::Policies,
        "[--vhost <vhost>] <name>",
        "Removes an operator policy",
        |call| clear(call, OPERATOR_POLICY),
    )
    .takes(1, 1),
    Verb::list(
        "list_operator_policies",
        Section::Policies,
        "[--vhost <vhost>] [--no-table-headers]",
        "Lists the operator policies of a vhost",
        &OPERATOR_POLICIES,
    ),
];

const SET: &[Switch] = &[number("priority"), text("apply-to")];

/// What the management API and RabbitMQ's texts call a policy.
#[derive(Clone, Copy)]
struct Names {
    path: &'static str,
    setting: &'static str,
    clearing: &'static str,
}

const POLICY: Names = Names { path: "policies", setting: "policy", clearing: "policy" };

const OPERATOR_POLICY: Names = Names {
    path: "operator-policies",
    setting: "operator policy override",
    clearing: "operator policy",
};

const POLICIES: Listing = Listing {
    banner: |call| format!("Listing policies for vhost \"{}\" ...", call.vhost()),
    fields: FIELDS,
    defaults: &[],
    is_choosable: false,
    rows: |call| of_vhost(call, POLICY),
};

const OPERATOR_POLICIES: Listing = Listing {
    banner: |call| format!("Listing operator policy overrides for vhost \"{}\" ...", call.vhost()),
    fields: FIELDS,
    defaults: &[],
    is_choosable: false,
    rows: |call| of_vhost(call, OPERATOR_POLICY),
};

/// The columns of policies.
pub(super) const FIELDS: &[Field] = &[
    field("vhost"),
    field("name"),
    field("pattern"),
    field("apply-to"),
    field("definition").kind(Kind::Document),
    field("priority"),
];

fn of_vhost(call: &mut Call, names: Names) -> Result<Vec<Value>, Failure> {
    let vhost = call.vhost();
    call.get_list(&[names.path, &vhost])?.ok_or_else(|| Failure::no_vhost(&vhost))
}

fn set(call: &mut Call, names: Names) -> Result<(), Failure> {
    let vhost = call.vhost();
    let (name, pattern) = (call.argument(0).to_owned(), call.argument(1).to_owned());
    let definition = call.argument(2).to_owned();
    let priority = call.options.number("priority").unwrap_or_default();
    call.banner(format!(
        "Setting {} \"{name}\" for pattern \"{pattern}\" to \"{definition}\" with priority \
         \"{priority}\" for vhost \"{vhost}\" ...",
        names.setting
    ));
    let definition: Value = serde_json::from_str(&definition).map_err(|error| {
        Failure::refused(format!("Could not parse JSON document: {error}: {definition}"))
    })?;
    let body = json!({
        "pattern": pattern,
        "definition": definition,
        "priority": priority,
        "apply-to": call.options.text("apply-to").unwrap_or("all"),
    });
    let outcome = call.put(&[names.path, &vhost, &name], &body)?;
    outcome.or_absent(|| Failure::no_vhost(&vhost))?;
    call.done()
}

fn clear(call: &mut Call, names: Names) -> Result<(), Failure> {
    let (name, vhost) = (call.argument(0).to_owned(), call.vhost());
    call.banner(format!("Clearing {} \"{name}\" on vhost \"{vhost}\" ...", names.clearing));
    match call.delete(&[names.path, &vhost, &name])? {
        Outcome::Done => call.done(),
        Outcome::Absent => Err(Failure::refused("Parameter does not exist")),
        Outcome::Refused(reason) => Err(Failure::refused(reason)),
    }
}
