//! What the commands are and how they are used; what to do when one was used otherwise.

use std::{fmt::Write, io};

use super::{
    guise::Guise,
    options::{Switch, Takes},
    table::Format,
    target::Target,
    verb::{self, Action, Section, Verb},
};

/// What a line of usage begins with.
const GENERAL_USAGE: &str = "[--node <node>] [--longnames] [--quiet]";

/// Where the broker is, for those who do not know yet.
const PLACES: &str = "\
Where the broker is:

   By default the commands speak to the broker of this machine and user, through the socket
   lepus.sock in its data directory. Whoever may open it needs no password.

   --data-dir <dir>   its data directory (or LEPUS_DATA_DIR)
   --config <file>    the configuration file that it was started with (or LEPUS_CONFIG)
   --uri <uri>        another machine's management API: http://USER:PASSWORD@HOST:15672
                      (or LEPUS_URI); https:// is spoken, too
   --ca <file>        authorities that may vouch for an https URI, in PEM (or LEPUS_CA)
                      [those of the system]";

/// Where to begin.
const EXAMPLES: &str = "\
Speaks to a running broker; 'lepus' alone starts one.

   lepus ctl status                                   how it is
   lepus ctl list_queues name messages consumers      what waits, and for whom
   lepus ctl add_user alice secret                    a user, who then needs permissions:
   lepus ctl set_permissions alice '.*' '.*' '.*'

";

/// The options of every command.
fn general_options() -> String {
    format!(
        "\
Options of every command:

   -p, --vhost <vhost>     virtual host, where the command is about one [/]
   -q, --quiet             results only, nothing about what is done
   -s, --silent            the same, and lists without their header
       --json              results as JSON
       --formatter <name>  results as RabbitMQ's tools write them: {}
       --no-table-headers  lists without their header
   -t, --timeout <secs>    how long the broker may take to answer [60]; 0 is forever
   -n, --node <node>       the node that is meant: the command is refused if it is another

   -l, --longnames and other options of RabbitMQ's tools that mean nothing here are accepted",
        Format::NAMES
    )
}

/// All commands of a tool.
pub(super) fn overview(guise: Guise) -> String {
    let name = guise.name();
    let mut text = format!("\nUsage\n\n{name} {GENERAL_USAGE} <command> [<command options>]\n\n");
    // A String takes all that is written to it, here and below.
    if guise == Guise::Lepus {
        text.push_str(EXAMPLES);
    }
    text.push_str("Available commands:\n");
    let shown: Vec<_> = verb::all(guise).filter(|verb| is_shown(guise, verb)).collect();
    let width = shown.iter().map(|verb| verb.name.len()).max().unwrap_or_default();
    for section in Section::ALL {
        let mut verbs: Vec<_> = shown.iter().filter(|verb| verb.section == section).collect();
        verbs.sort_by_key(|verb| verb.name);
        if verbs.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{}:\n", section.title());
        for verb in verbs {
            let _ = writeln!(text, "   {:width$}  {}", verb.name, verb.about);
        }
    }
    let _ = writeln!(text, "\n{}\n\n{PLACES}\n", general_options());
    let _ = writeln!(text, "Use '{name} help <command>' to learn more about a specific command");
    text
}

/// Whether a tool's help has a command. Those that do nothing here take no room in ours.
pub(super) fn is_shown(guise: Guise, verb: &Verb) -> bool {
    match guise {
        Guise::Lepus => verb.section != Section::Absent,
        Guise::Plugins | Guise::Check => true,
        guise => verb.section == Section::Help || verb.guises.contains(&guise),
    }
}

/// One command.
pub(super) fn of(guise: Guise, verb: &Verb) -> String {
    let mut text = format!("\nUsage\n\n{}\n\n{}.\n", usage(guise, verb), verb.about);
    if let Action::List(listing) = verb.action
        && listing.is_choosable
    {
        let mut names: Vec<_> = listing.fields.iter().map(|field| field.column.name).collect();
        names.sort_unstable();
        let _ = writeln!(text, "\n<column>\n   one of {}", wrapped(&names.join(", "), 3));
        if !listing.defaults.is_empty() {
            let _ = writeln!(text, "   without any: {}", wrapped(&listing.defaults.join(", "), 3));
        }
    }
    if !verb.switches.is_empty() {
        text.push_str("\nOptions of this command:\n\n");
        for switch in verb.switches {
            let _ = writeln!(text, "   {}", shown(switch));
        }
    }
    let _ = writeln!(text, "\n{}\n\n{PLACES}", general_options());
    text
}

fn usage(guise: Guise, verb: &Verb) -> String {
    let text = format!("{} {GENERAL_USAGE} {} {}", guise.name(), verb.name, verb.usage);
    text.trim_end().to_owned()
}

fn shown(switch: &Switch) -> String {
    let letter = switch.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
    let value = match switch.takes {
        Takes::Nothing => "",
        Takes::Text => " <value>",
        Takes::Number => " <number>",
    };
    format!("{letter}--{}{value}", switch.long)
}

/// Breaks a long line at blanks.
fn wrapped(text: &str, indent: usize) -> String {
    const WIDTH: usize = 96;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.len() + word.len() + indent + 7 > WIDTH) {
            lines.push(" ".repeat(indent));
        } else if lines.last().is_some_and(|line| !line.trim().is_empty()) {
            lines.iter_mut().next_back().into_iter().for_each(|line| line.push(' '));
        }
        lines.iter_mut().next_back().into_iter().for_each(|line| line.push_str(word));
    }
    lines.join("\n")
}

/// What was typed, what is wrong with it, and how it should be.
pub(super) fn misused(guise: Guise, verb: &Verb, words: &[String], problem: &str) -> String {
    format!(
        "Error (argument validation): {problem}\nArguments given:\n\t{}\n\nUsage\n\n{}\n\n\
         See '{} help {}'",
        words.join(" "),
        usage(guise, verb),
        guise.name(),
        verb.name
    )
}

/// A command that does not exist.
pub(super) fn unknown(guise: Guise, typed: &str) -> String {
    let name = guise.name();
    match verb::nearest(guise, typed) {
        Some(nearest) => format!(
            "\nCommand '{typed}' not found. \nDid you mean '{nearest}'? \n\n\
             '{name} help' shows all commands"
        ),
        None => format!("\nCommand '{typed}' not found. \n\n'{name} help' shows all commands"),
    }
}

/// No broker answers.
pub(super) fn unreachable(guise: Guise, node: &str, target: &Target, error: &io::Error) -> String {
    let name = guise.name();
    let mut text = format!(
        "Error: unable to perform an operation on node '{node}': no broker answers at {target} \
         ({error})\n\n"
    );
    match target {
        Target::Socket(_) if error.kind() == io::ErrorKind::PermissionDenied => {
            let _ = write!(
                text,
                " * Run the command as the user that the broker runs as, or as root\n \
                 * Or speak to its management API: --uri http://USER:PASSWORD@HOST:15672"
            );
        }
        Target::Socket(_) => {
            let _ = write!(
                text,
                " * If it is not running, start it: lepus\n \
                 * If it keeps its data elsewhere or runs as another user, say where: {name} \
                 --data-dir DIR ..., or LEPUS_DATA_DIR\n \
                 * If it runs on another machine, name its management API: {name} --uri \
                 http://USER:PASSWORD@HOST:15672 ..., or LEPUS_URI"
            );
        }
        Target::Http { .. } => {
            let _ = write!(
                text,
                " * See whether it runs, and whether its management API listens there \
                 (http_port)\n \
                 * By default that API listens for its own machine only (bind)"
            );
        }
    }
    text
}
