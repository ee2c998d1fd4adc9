//! Runtime parameters of vhosts and of the whole broker (EN-073).

use serde_json::{Value, json};

use super::super::{
    call::{Call, Outcome},
    cell::Kind,
    failure::Failure,
    verb::{Field, Listing, Section, Verb, field},
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "set_parameter",
        Section::Parameters,
        "[--vhost <vhost>] <component_name> <name> <value>",
        "Sets a parameter of a component in a vhost; the value is JSON",
        set_parameter,
    )
    .takes(3, 3),
    Verb::new(
        "clear_parameter",
        Section::Parameters,
        "[--vhost <vhost>] <component_name> <name>",
        "Removes a parameter",
        clear_parameter,
    )
    .takes(2, 2),
    Verb::list(
        "list_parameters",
        Section::Parameters,
        "[--vhost <vhost>] [--no-table-headers]",
        "Lists the parameters of a vhost",
        &PARAMETERS,
    ),
    Verb::new(
        "set_global_parameter",
        Section::Parameters,
        "<name> <value>",
        "Sets a parameter of the whole broker; the value is JSON",
        set_global_parameter,
    )
    .takes(2, 2),
    Verb::new(
        "clear_global_parameter",
        Section::Parameters,
        "<name>",
        "Removes a parameter of the whole broker",
        clear_global_parameter,
    )
    .takes(1, 1),
    Verb::list(
        "list_global_parameters",
        Section::Parameters,
        "[--no-table-headers]",
        "Lists the parameters of the whole broker",
        &GLOBAL_PARAMETERS,
    ),
    Verb::new(
        "set_cluster_name",
        Section::Configuration,
        "<name>",
        "Sets the cluster's name, as clients and tools see it",
        set_cluster_name,
    )
    .takes(1, 1),
];

const NAME: Field = field("name");
const VALUE: Field = field("value").kind(Kind::Document);

const PARAMETERS: Listing = Listing {
    banner: |call| format!("Listing runtime parameters for vhost \"{}\" ...", call.vhost()),
    fields: &[field("component"), NAME, VALUE],
    defaults: &[],
    is_choosable: false,
    rows: |call| {
        let vhost = call.vhost();
        let mut all = call.get_list(&["parameters"])?.unwrap_or_default();
        all.retain(|parameter| parameter["vhost"] == vhost.as_str());
        if all.is_empty() && call.get(&["vhosts", &vhost])?.is_none() {
            return Err(Failure::no_vhost(&vhost));
        }
        Ok(all)
    },
};

const GLOBAL_PARAMETERS: Listing = Listing {
    banner: |_| "Listing global runtime parameters ...".into(),
    fields: &[NAME, VALUE],
    defaults: &[],
    is_choosable: false,
    rows: |call| Ok(call.get_list(&["global-parameters"])?.unwrap_or_default()),
};

fn value(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::refused(format!("Could not parse JSON document: {error}: {text}"))
    })
}

fn set_parameter(call: &mut Call) -> Result<(), Failure> {
    let (component, name) = (call.argument(0).to_owned(), call.argument(1).to_owned());
    let (text, vhost) = (call.argument(2).to_owned(), call.vhost());
    call.banner(format!(
        "Setting runtime parameter \"{name}\" for component \"{component}\" to \"{text}\" in \
         vhost \"{vhost}\" ..."
    ));
    let body = json!({
        "vhost": vhost,
        "component": component,
        "name": name,
        "value": value(&text)?,
    });
    let outcome = call.put(&["parameters", &component, &vhost, &name], &body)?;
    outcome.or_absent(|| Failure::no_vhost(&vhost))?;
    call.done()
}

fn clear_parameter(call: &mut Call) -> Result<(), Failure> {
    let (component, name) = (call.argument(0).to_owned(), call.argument(1).to_owned());
    let vhost = call.vhost();
    call.banner(format!(
        "Clearing runtime parameter \"{name}\" for component \"{component}\" on vhost \
         \"{vhost}\" ..."
    ));
    clear(call, &["parameters", &component, &vhost, &name])
}

fn set_global_parameter(call: &mut Call) -> Result<(), Failure> {
    let (name, text) = (call.argument(0).to_owned(), call.argument(1).to_owned());
    call.banner(format!("Setting global runtime parameter \"{name}\" to \"{text}\" ..."));
    let body = json!({"name": name, "value": value(&text)?});
    let outcome = call.put(&["global-parameters", &name], &body)?;
    outcome.or_absent(|| Failure::refused("Parameter does not exist"))?;
    call.done()
}

fn clear_global_parameter(call: &mut Call) -> Result<(), Failure> {
    let name = call.argument(0).to_owned();
    call.banner(format!("Clearing global runtime parameter \"{name}\" ..."));
    clear(call, &["global-parameters", &name])
}

fn clear(call: &mut Call, path: &[&str]) -> Result<(), Failure> {
    match call.delete(path)? {
        Outcome::Done => call.done(),
        Outcome::Absent => Err(Failure::refused("Parameter does not exist")),
        Outcome::Refused(reason) => Err(Failure::refused(reason)),
    }
}

fn set_cluster_name(call: &mut Call) -> Result<(), Failure> {
    let name = call.argument(0).to_owned();
    call.banner(format!("Setting cluster name to {name} ..."));
    let outcome = call.put(&["cluster-name"], &json!({"name": name}))?;
    outcome.or_absent(|| Failure::refused("the broker has no name to set"))?;
    call.done()
}
