//! Definitions: everything durable but messages, as RabbitMQ's JSON (EN-075).

use std::{fs, io};

use serde_json::Value;

use super::super::{
    call::{self, Call, Outcome},
    failure::{Failure, code},
    options::{Switch, flag, text},
    verb::{Section, Verb},
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "export_definitions",
        Section::Definitions,
        "<file_path | \"-\"> [--format json]",
        "Writes vhosts, users, permissions, queues, exchanges, bindings and policies to a file",
        export,
    )
    .takes(1, 1)
    .with(&[text("format")]),
    Verb::new(
        "import_definitions",
        Section::Definitions,
        "<file_path | \"-\"> [--format json] [--skip-if-unchanged]",
        "Reads such a file; without one, standard input",
        import,
    )
    .takes(0, 1)
    .with(IMPORT),
];

const IMPORT: &[Switch] = &[text("format"), flag("skip-if-unchanged")];

fn check_format(call: &Call) -> Result<(), Failure> {
    match call.options.text("format").unwrap_or("json") {
        format if format.eq_ignore_ascii_case("json") => Ok(()),
        _ => Err(call.misused(code::USAGE, "Formatter should be one of: json")),
    }
}

fn export(call: &mut Call) -> Result<(), Failure> {
    check_format(call)?;
    let path = call.argument(0).to_owned();
    let is_file = path != "-";
    if is_file {
        call.banner(format!("Exporting definitions in JSON to a file at \"{path}\" ..."));
    }
    let absent = || Failure::refused("the broker has no definitions to export");
    let definitions = call.get(&["definitions"])?.ok_or_else(absent)?;
    if !is_file {
        call::write(&definitions.to_string());
        return Ok(());
    }
    fs::write(&path, definitions.to_string()).map_err(|error| {
        Failure::error(code::DATA, format!("cannot write the file {path}: {error}"))
    })?;
    call.done()
}

fn import(call: &mut Call) -> Result<(), Failure> {
    check_format(call)?;
    let path = call.arguments.first().filter(|path| *path != "-").cloned();
    let text = match &path {
        Some(path) => fs::read_to_string(path).map_err(|error| {
            call.bad_argument(&match error.kind() {
                io::ErrorKind::NotFound => format!("File {path} does not exist"),
                _ => format!("File {path} cannot be read: {error}"),
            })
        })?,
        None => io::read_to_string(io::stdin().lock()).map_err(|error| {
            Failure::error(code::DATA, format!("cannot read standard input: {error}"))
        })?,
    };
    call.banner(match &path {
        Some(path) => format!("Importing definitions in JSON from a file at \"{path}\" ..."),
        None => "Importing definitions in JSON from standard input ...".into(),
    });
    let definitions: Value = serde_json::from_str(&text).map_err(|error| {
        let place = path.as_deref().unwrap_or("standard input");
        Failure::error(code::DATA, format!("{place} is no JSON: {error}"))
    })?;
    if !definitions.is_object() {
        return Err(Failure::error(code::DATA, "definitions are a JSON object"));
    }
    match call.post(&["definitions"], &definitions)? {
        Outcome::Done => {}
        Outcome::Absent => return Err(Failure::refused("the broker takes no definitions")),
        Outcome::Refused(reason) => return Err(Failure::error(code::DATA, reason)),
    }
    call.banner("Successfully imported the definitions");
    call.done()
}
