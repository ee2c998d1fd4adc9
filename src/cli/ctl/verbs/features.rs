//! Feature flags and deprecated features.

use serde_json::json;

use super::super::{
    call::{Call, Outcome},
    failure::{Failure, code},
    guise::Guise,
    options::flag,
    verb::{Field, Listing, Section, Verb, field},
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::list(
        "list_feature_flags",
        Section::Features,
        "[<column> ...]",
        "Lists the feature flags, of which all are enabled",
        &FLAGS,
    ),
    Verb::new(
        "enable_feature_flag",
        Section::Features,
        "[--opt-in] <all | feature_flag>",
        "Enables a feature flag or all of them, which they are already",
        enable,
    )
    .takes(1, 1)
    .with(&[flag("opt-in").or('o'), flag("experimental").or('e')]),
    Verb::list(
        "list_deprecated_features",
        Section::Features,
        "[--used] [<column> ...]",
        "Lists the deprecated features",
        &DEPRECATED,
    )
    .with(&[flag("used")]),
    Verb::new(
        "check_if_any_deprecated_features_are_used",
        Section::Monitoring,
        "",
        "Checks that no deprecated feature is used",
        check_deprecated,
    )
    .shown_by(&[Guise::Ctl, Guise::Diagnostics]),
];

const FLAGS: Listing = Listing {
    banner: |_| "Listing feature flags ...".into(),
    fields: FLAG_FIELDS,
    defaults: &["name", "state"],
    is_choosable: true,
    rows: |call| Ok(call.get_list(&["feature-flags"])?.unwrap_or_default()),
};

const FLAG_FIELDS: &[Field] = &[
    field("name"),
    field("state"),
    field("stability"),
    field("provided_by"),
    field("desc"),
    field("doc_url"),
];

const DEPRECATED: Listing = Listing {
    banner: |_| "Listing deprecated features ...".into(),
    fields: DEPRECATED_FIELDS,
    defaults: &["name", "deprecation_phase", "state"],
    is_choosable: true,
    rows: |call| {
        let is_about_used = call.options.has("used");
        let path = ["deprecated-features", "used"];
        Ok(call.get_list(&path[..=usize::from(is_about_used)])?.unwrap_or_default())
    },
};

const DEPRECATED_FIELDS: &[Field] = &[
    field("name"),
    field("deprecation_phase"),
    field("state"),
    field("provided_by"),
    field("desc"),
    field("doc_url"),
];

fn enable(call: &mut Call) -> Result<(), Failure> {
    let name = call.argument(0).to_owned();
    if name == "all" {
        call.banner("Enabling all feature flags ...");
        let flags = call.get_list(&["feature-flags"])?.unwrap_or_default();
        for flag in flags.iter().filter(|flag| flag["state"] == "disabled") {
            // As in RabbitMQ, `all` are those that are stable.
            if flag["stability"] != "experimental" {
                enable_one(call, flag["name"].as_str().unwrap_or_default())?;
            }
        }
    } else {
        call.banner(format!("Enabling feature flag \"{name}\" ..."));
        enable_one(call, &name)?;
    }
    call.done()
}

fn enable_one(call: &mut Call, name: &str) -> Result<(), Failure> {
    match call.put(&["feature-flags", name, "enable"], &json!({"name": name}))? {
        Outcome::Done => Ok(()),
        Outcome::Absent | Outcome::Refused(_) => {
            let node = call.node()?;
            let text = format!("This feature flag is not supported by node {node}");
            Err(Failure::error(code::USAGE, text))
        }
    }
}

fn check_deprecated(call: &mut Call) -> Result<(), Failure> {
    call.banner("Checking if any deprecated features are used ...");
    let used = call.get_list(&["deprecated-features", "used"])?.unwrap_or_default();
    let names: Vec<_> = used.iter().filter_map(|feature| feature["name"].as_str()).collect();
    if !names.is_empty() {
        return Err(Failure::plain(code::UNAVAILABLE, names.join("\n")));
    }
    if call.format.is_json() || !call.options.has("silent") {
        let text = "Cluster reported no deprecated features in use";
        call.result(text, &json!({"result": "ok"}));
    }
    Ok(())
}
