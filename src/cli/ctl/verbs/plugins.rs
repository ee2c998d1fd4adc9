//! `rabbitmq-plugins`: what is a plugin in RabbitMQ is a part of this program, or is not there
//! (EN-076).

use serde_json::json;

use super::super::{
    call::{Call, write},
    failure::{Failure, code},
    guise::Guise,
    options::{Switch, flag},
    verb::{Section, Verb},
};
use crate::config::{PLUGINS, is_built_in};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "list",
        Section::Plugins,
        "[pattern] [--verbose] [--minimal] [--enabled] [--implicitly-enabled]",
        "Lists the plugins of RabbitMQ whose work the broker does",
        |call| {
            list(call);
            Ok(())
        },
    )
    .takes(0, 1)
    .with(LIST)
    .shown_by(&[Guise::Plugins]),
    Verb::new(
        "enable",
        Section::Plugins,
        "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
        "Succeeds for the plugins that are built in, and says which are not",
        enable,
    )
    .takes(0, usize::MAX)
    .with(CHANGE)
    .shown_by(&[Guise::Plugins]),
    Verb::new(
        "disable",
        Section::Plugins,
        "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
        "Changes nothing: what is built in stays",
        disable,
    )
    .takes(0, usize::MAX)
    .with(CHANGE)
    .shown_by(&[Guise::Plugins]),
    Verb::new(
        "set",
        Section::Plugins,
        "<plugin1> [ <plugin2>] [--offline] [--online]",
        "The same as enable",
        enable,
    )
    .takes(0, usize::MAX)
    .with(CHANGE)
    .shown_by(&[Guise::Plugins]),
    Verb::new(
        "is_enabled",
        Section::Plugins,
        "<plugin1> [ <plugin2>]",
        "Tells whether plugins are built in",
        is_enabled,
    )
    .takes(1, usize::MAX)
    .with(CHANGE)
    .shown_by(&[Guise::Plugins]),
    Verb::new(
        "directories",
        Section::Plugins,
        "[--offline] [--online]",
        "Tells where plugins are kept: nowhere",
        |call| {
            call.say("Plugins are built in; there are no directories for them");
            Ok(())
        },
    )
    .with(CHANGE)
    .shown_by(&[Guise::Plugins]),
];

const LIST: &[Switch] = &[
    flag("verbose").or('v'),
    flag("minimal").or('m'),
    flag("enabled").or('E'),
    flag("implicitly-enabled").or('e'),
    flag("offline"),
    flag("online"),
];

const CHANGE: &[Switch] = &[flag("offline"), flag("online"), flag("all")];

fn list(call: &Call) {
    let pattern = call.arguments.first().map_or(".*", String::as_str).to_owned();
    call.banner(format!("Listing plugins with pattern \"{pattern}\" ..."));
    let has = |name: &str| call.options.has(name);
    let wanted = pattern.trim_matches(['.', '*', '^', '$']);
    let shown: Vec<_> = PLUGINS
        .iter()
        .filter(|(name, _)| name.contains(wanted))
        .filter(|(_, is_chosen)| !has("enabled") || *is_chosen)
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    if call.format.is_json() {
        let plugin = |(name, is_chosen): &(&str, bool)| {
            let enabled = if *is_chosen { "enabled" } else { "implicit" };
            json!({
                "name": name,
                "enabled": enabled,
                "running": true,
                "version": version,
                "running_version": version,
            })
        };
        let plugins: Vec<_> = shown.into_iter().map(plugin).collect();
        let format = if has("minimal") { "minimal" } else { "normal" };
        call.result("", &json!({"status": "running", "format": format, "plugins": plugins}));
    } else if has("minimal") {
        for (name, _) in shown {
            write(&format!("{name}\n"));
        }
    } else {
        call.banner(
            " Configured: E = explicitly enabled; e = implicitly enabled\n \
             | Status: * = built in\n |/",
        );
        let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, is_chosen) in shown {
            let letter = if *is_chosen { 'E' } else { 'e' };
            write(&format!("[{letter}*] {name:width$} {version}\n"));
        }
    }
}

fn enable(call: &mut Call) -> Result<(), Failure> {
    let is_all = call.options.has("all");
    if call.arguments.is_empty() && !is_all && call.verb.name != "set" {
        return Err(call.misused(code::USAGE, "not enough arguments."));
    }
    call.banner(format!("Enabling plugins:\n{}", call.arguments.join("\n")));
    let missing: Vec<_> = call.arguments.iter().filter(|name| !is_built_in(name)).collect();
    if !missing.is_empty() {
        let names = missing.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let text = format!("these plugins are not part of Lepus: {names}");
        return Err(Failure::error(code::UNAVAILABLE, text));
    }
    call.banner("They are built in and run already.");
    finish(call);
    Ok(())
}

fn disable(call: &mut Call) -> Result<(), Failure> {
    if call.arguments.is_empty() && !call.options.has("all") {
        return Err(call.misused(code::USAGE, "not enough arguments."));
    }
    call.banner(format!("Disabling plugins:\n{}", call.arguments.join("\n")));
    call.banner("Nothing is changed: what is built in stays.");
    finish(call);
    Ok(())
}

/// Tells programs that it is done, without asking the broker: it need not run.
fn finish(call: &Call) {
    if call.format.is_json() {
        call.result("", &json!({"result": "ok"}));
    }
}

fn is_enabled(call: &mut Call) -> Result<(), Failure> {
    let names = call.arguments.join(", ");
    let (noun, verb) =
        if call.arguments.len() == 1 { ("plugin", "is") } else { ("plugins", "are") };
    call.banner(format!("Asking if {noun} {names} {verb} enabled..."));
    let missing: Vec<_> = call.arguments.iter().filter(|name| !is_built_in(name)).collect();
    if let Some(name) = missing.first() {
        return Err(Failure::refused(format!("Plugin {name} is not part of Lepus")));
    }
    let noun = if call.arguments.len() == 1 { "Plugin" } else { "Plugins" };
    call.say(format!("{noun} {names} {verb} enabled"));
    Ok(())
}
