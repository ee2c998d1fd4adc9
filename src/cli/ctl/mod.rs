//! `lepus ctl`: the commands that speak to a running broker, and RabbitMQ's tools in whose place
//! the program may be called.
//!
//! Responsible for
//!
//! * the commands of `rabbitmqctl`, `rabbitmq-diagnostics` and their kin, with the arguments, the
//!   output and the exit codes that scripts expect of them (EN-060 to EN-078). `verb` is what a
//!   command is, `verbs` has them all;
//! * speaking to the broker: all commands use its management API, through the socket in its data
//!   directory or over the network (`target`, `client`);
//! * lists as tables for people and as text or JSON for programs (`table`, `cell`).
//!
//! A command is a plain function that asks and says. It waits for each answer, since nothing else
//! goes on in the program.

mod call;
mod cell;
mod client;
pub(in crate::cli) mod completion;
mod failure;
mod guise;
mod help;
mod list;
mod listener;
mod options;
mod pid;
mod range;
mod table;
mod target;
mod tls;
mod verb;
mod verbs;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use call::Call;
use failure::{Failure, code};
use guise::Guise;
use verb::{Action, Section, Verb};

/// Runs a command if the program was called for one: as `lepus ctl`, or by the name of one of
/// RabbitMQ's tools.
pub(super) fn main(words: &[OsString]) -> Option<ExitCode> {
    let (program, words) = words.split_first()?;
    let (guise, words) = match Guise::of_program(Path::new(program)) {
        Some(guise) => (guise, words),
        None if words.first().is_some_and(|word| word == "ctl") => (Guise::Lepus, &words[1..]),
        None if words.first().is_some_and(|word| word == "check") => (Guise::Check, &words[1..]),
        None => return None,
    };
    Some(match texts(words).and_then(|words| run(guise, words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let is_check = guise == Guise::Check;
            let failure = if is_check { failure.into_verdict() } else { failure };
            // There is nobody to tell if that cannot be written.
            let _ = if failure.is_verdict {
                writeln!(io::stdout(), "{failure}")
            } else {
                writeln!(io::stderr(), "{failure}")
            };
            failure.code.into()
        }
    })
}

/// The words as text: names in AMQP are UTF-8, and nothing else is.
fn texts(words: &[OsString]) -> Result<Vec<String>, Failure> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| {
            let text = format!("Error: the argument {} is no UTF-8", word.to_string_lossy());
            Failure::plain(code::USAGE, text)
        })
    };
    words.iter().map(text).collect()
}

fn run(guise: Guise, words: Vec<String>) -> Result<(), Failure> {
    let typed = options::parse(&words, &[options::GENERAL]);
    let Some(name) = typed.arguments.first() else {
        let overview = help::overview(guise);
        if words.iter().any(|word| word == "--version") {
            call::write(concat!(env!("CARGO_PKG_VERSION"), "\n"));
        } else if typed.options.has("help") {
            call::write(&overview);
        } else {
            return Err(Failure::plain(code::USAGE, overview));
        }
        return Ok(());
    };
    if guise != Guise::Plugins && name == "plugins" {
        let words = words.iter().filter(|word| *word != name).cloned().collect();
        return run(Guise::Plugins, words);
    }
    let verb = verb::find(guise, name)
        .ok_or_else(|| Failure::plain(code::USAGE, help::unknown(guise, name)))?;
    run_verb(guise, verb, words)
}

fn run_verb(guise: Guise, verb: &'static Verb, words: Vec<String>) -> Result<(), Failure> {
    let parsed = options::parse(&words, &[options::GENERAL, verb.switches]);
    if parsed.options.has("help") {
        call::write(&help::of(guise, verb));
        return Ok(());
    }
    let misused =
        |problem: &str| Failure::plain(code::USAGE, help::misused(guise, verb, &words, problem));
    if let Action::Refuse(reason) = verb.action {
        return Err(Failure::refused(format!("{}: {reason}", verb.name)));
    }
    if !parsed.invalid.is_empty() {
        let line = |invalid: &options::Invalid| format!("\n{} : {}", invalid.option, invalid.value);
        let lines: String = parsed.invalid.iter().map(line).collect();
        return Err(misused(&format!("Invalid options for this command:{lines}")));
    }
    let mut arguments = parsed.arguments;
    // The first is the command itself.
    arguments.drain(..arguments.len().min(1));
    let (least, most) = verb.arguments;
    if arguments.len() < least {
        return Err(misused("not enough arguments."));
    }
    if arguments.len() > most {
        return Err(misused("too many arguments."));
    }
    let mut call = Call::new(guise, verb, arguments, parsed.options, words)?;
    perform(&mut call).map_err(|failure| {
        let is_for_json = call.format.is_json() && !failure.is_verdict;
        if is_for_json { failure.into_json() } else { failure }
    })
}

/// Does what the command does.
fn perform(call: &mut Call) -> Result<(), Failure> {
    // Some commands need no broker, or wait until there is one.
    if !matches!(call.verb.section, Section::Help | Section::Plugins) && !call.verb.is_patient() {
        call.check_node()?;
    }
    match call.verb.action {
        Action::Run(run) => run(call),
        Action::List(listing) => list::run(call, listing),
        Action::Refuse(reason) => Err(Failure::refused(reason)),
    }
}
