//! The commands as clap knows commands, for scripts that complete them in a shell.

use clap::{Arg, ArgAction, Command, builder::PossibleValuesParser};

use super::{
    guise::Guise,
    help,
    options::{GENERAL, Switch, Takes},
    table::Format,
    verb::{self, Action, Verb},
};

/// The general options that are worth completing; the others mean nothing here.
const OFFERED: [&str; 9] =
    ["help", "vhost", "quiet", "silent", "timeout", "formatter", "json", "uri", "data-dir"];

/// A tool's commands; none where the tool is not one of ours.
pub(in crate::cli) fn of_program(name: &str) -> Option<Command> {
    let guise = Guise::of_program(name.as_ref())?;
    Some(of(guise, Command::new(guise.name())))
}

/// The commands of `lepus ctl`, below this command.
pub(in crate::cli) fn of_ctl(command: Command) -> Command {
    let plugins = of(Guise::Plugins, Command::new("plugins").about("Plugins of RabbitMQ"));
    of(Guise::Lepus, command).subcommand(plugins)
}

/// The checks of `lepus check`, below this command.
pub(in crate::cli) fn of_check(command: Command) -> Command {
    of(Guise::Check, command)
}

fn of(guise: Guise, command: Command) -> Command {
    let shown = verb::all(guise).filter(|verb| help::is_shown(guise, verb));
    let general = GENERAL.iter().filter(|switch| OFFERED.contains(&switch.long));
    // Of two letters for one option the first is enough.
    let general = general.filter(|switch| switch.short != Some('h')).map(argument);
    command
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args(general.map(|argument| argument.global(true)))
        .subcommands(shown.map(|verb| of_verb(guise, verb)))
}

fn of_verb(guise: Guise, verb: &'static Verb) -> Command {
    let command = Command::new(verb.name)
        .about(verb.about)
        .disable_help_flag(true)
        .args(verb.switches.iter().map(argument));
    let values: Vec<&str> = match verb.action {
        Action::List(listing) if listing.is_choosable => {
            listing.fields.iter().map(|field| field.column.name).collect()
        }
        _ if verb.name == "help" => verb::all(guise).map(|verb| verb.name).collect(),
        _ => return command,
    };
    command.arg(Arg::new("value").num_args(0..).value_parser(PossibleValuesParser::new(values)))
}

fn argument(switch: &Switch) -> Arg {
    let mut argument = Arg::new(switch.long).long(switch.long);
    if let Some(letter) = switch.short {
        argument = argument.short(letter);
    }
    match (switch.takes, switch.long) {
        (Takes::Nothing, _) => argument.action(ArgAction::SetTrue),
        (_, "formatter") => {
            argument.value_parser(PossibleValuesParser::new(Format::NAMES.split(", ")))
        }
        _ => argument.action(ArgAction::Set),
    }
}
