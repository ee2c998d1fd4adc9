//! What the commands are, and which version this is.

use super::super::{
    call::{Call, write},
    failure::{Failure, code},
    guise::Guise,
    help,
    options::flag,
    verb::{self, Section, Verb},
};
use crate::config::ServerVersion;

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "help",
        Section::Help,
        "(<command> | [--list-commands])",
        "Shows all commands, or how one is used",
        show,
    )
    .takes(0, 1)
    .with(&[flag("list-commands")]),
    Verb::new("version", Section::Help, "", "Shows the version of RabbitMQ it stands for", |_| {
        // Scripts choose by it what they may ask for; `--version` tells our own.
        write(&format!("{}\n", ServerVersion::default().as_str()));
        Ok(())
    }),
    Verb::new(
        "autocomplete",
        Section::Help,
        "[prefix]",
        "Shows the commands that begin like this",
        |call| {
            let prefix = call.argument(0).to_owned();
            names(call.guise, &prefix);
            Ok(())
        },
    )
    .takes(0, 1),
];

fn show(call: &mut Call) -> Result<(), Failure> {
    if call.options.has("list-commands") {
        names(call.guise, "");
        return Ok(());
    }
    let Some(name) = call.arguments.first() else {
        write(&help::overview(call.guise));
        return Ok(());
    };
    match verb::find(call.guise, name) {
        Some(verb) => write(&help::of(call.guise, verb)),
        None => return Err(Failure::plain(code::USAGE, help::unknown(call.guise, name))),
    }
    Ok(())
}

fn names(guise: Guise, prefix: &str) {
    let shown = verb::all(guise).filter(|verb| help::is_shown(guise, verb));
    let mut names: Vec<_> = shown.map(|verb| verb.name).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort_unstable();
    for name in names {
        write(&format!("{name}\n"));
    }
}
