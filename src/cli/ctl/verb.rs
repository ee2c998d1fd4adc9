//! A command: what it is called, what it takes, what it does; and the book of all of them.

use serde_json::Value;

use super::{
    call::Call, cell::Kind, failure::Failure, guise::Guise, options::Switch, table::Column, verbs,
};
use crate::config::distance;

/// A command.
#[derive(Debug)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) section: Section,
    /// The tools whose help shows it; every tool but `rabbitmq-plugins` takes it.
    pub(super) guises: &'static [Guise],
    /// What follows the name, as RabbitMQ writes it.
    pub(super) usage: &'static str,
    pub(super) about: &'static str,
    pub(super) switches: &'static [Switch],
    /// The least and the most arguments that it takes.
    pub(super) arguments: (usize, usize),
    pub(super) action: Action,
}

/// Where a command stands in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Help,
    Nodes,
    Users,
    Access,
    Vhosts,
    Queues,
    Monitoring,
    Policies,
    Parameters,
    Features,
    Configuration,
    Definitions,
    Operations,
    Plugins,
    Checks,
    Other,
    Absent,
}

impl Section {
    pub(super) const ALL: [Self; 17] = [
        Self::Help,
        Self::Nodes,
        Self::Users,
        Self::Access,
        Self::Vhosts,
        Self::Queues,
        Self::Monitoring,
        Self::Policies,
        Self::Parameters,
        Self::Features,
        Self::Configuration,
        Self::Definitions,
        Self::Operations,
        Self::Plugins,
        Self::Checks,
        Self::Other,
        Self::Absent,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Help => "Help",
            Self::Nodes => "Nodes",
            Self::Users => "Users",
            Self::Access => "Access Control",
            Self::Vhosts => "Virtual hosts",
            Self::Queues => "Queues",
            Self::Monitoring => "Monitoring, observability and health checks",
            Self::Policies => "Policies",
            Self::Parameters => "Parameters",
            Self::Features => "Feature flags",
            Self::Configuration => "Configuration and Environment",
            Self::Definitions => "Definitions",
            Self::Operations => "Operations",
            Self::Plugins => "Plugin Management",
            Self::Checks => "Checks",
            Self::Other => "Other",
            Self::Absent => "Of RabbitMQ, without a meaning here",
        }
    }
}

/// What performs a command.
pub(super) type Run = fn(&mut Call) -> Result<(), Failure>;

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Run(Run),
    /// It writes a list; the arguments choose its columns.
    List(&'static Listing),
    /// It cannot be done here, for this reason.
    Refuse(&'static str),
}

/// A list.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) banner: fn(&Call) -> String,
    pub(super) fields: &'static [Field],
    /// The columns that are shown when none are chosen; all if this is empty.
    pub(super) defaults: &'static [&'static str],
    /// Whether columns may be chosen.
    pub(super) is_choosable: bool,
    pub(super) rows: fn(&mut Call) -> Result<Vec<Value>, Failure>,
}

/// A column of a list, and where its values come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) column: Column,
    pub(super) source: Source,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A field of the management API's object; a path with dots leads into objects in it.
    Of(&'static str),
    Made(fn(&Value) -> Value),
    /// There is no such thing here; RabbitMQ leaves it empty at times, too.
    Nowhere,
}

impl Field {
    pub(super) fn value(&self, object: &Value) -> Value {
        match self.source {
            Source::Of(path) => path.split('.').fold(object, |value, name| &value[name]).clone(),
            Source::Made(make) => make(object),
            Source::Nowhere => Value::Null,
        }
    }
}

/// A column that is called as in the management API.
pub(super) const fn field(name: &'static str) -> Field {
    from(name, name)
}

/// A column that is called otherwise there.
pub(super) const fn from(name: &'static str, path: &'static str) -> Field {
    Field { column: Column { name, kind: Kind::Plain }, source: Source::Of(path) }
}

/// A column that is worked out.
pub(super) const fn made(name: &'static str, make: fn(&Value) -> Value) -> Field {
    Field { column: Column { name, kind: Kind::Plain }, source: Source::Made(make) }
}

/// A column that stays empty.
pub(super) const fn nothing(name: &'static str) -> Field {
    Field { column: Column { name, kind: Kind::Plain }, source: Source::Nowhere }
}

impl Field {
    /// The same column, with values of this kind.
    pub(super) const fn kind(self, kind: Kind) -> Self {
        Self { column: Column { kind, ..self.column }, ..self }
    }
}

const CTL: &[Guise] = &[Guise::Ctl];
const CTL_AND_DIAGNOSTICS: &[Guise] = &[Guise::Ctl, Guise::Diagnostics];

impl Verb {
    pub(super) const fn new(
        name: &'static str,
        section: Section,
        usage: &'static str,
        about: &'static str,
        action: Run,
    ) -> Self {
        Self {
            name,
            section,
            guises: CTL,
            usage,
            about,
            switches: &[],
            arguments: (0, 0),
            action: Action::Run(action),
        }
    }

    /// A command that writes a list.
    pub(super) const fn list(
        name: &'static str,
        section: Section,
        usage: &'static str,
        about: &'static str,
        listing: &'static Listing,
    ) -> Self {
        Self {
            name,
            section,
            guises: CTL_AND_DIAGNOSTICS,
            usage,
            about,
            switches: &[],
            arguments: (0, if listing.is_choosable { usize::MAX } else { 0 }),
            action: Action::List(listing),
        }
    }

    /// A command of RabbitMQ that is refused here.
    pub(super) const fn refused(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            section: Section::Absent,
            guises: CTL,
            usage: "...",
            about,
            switches: &[],
            arguments: (0, usize::MAX),
            action: Action::Refuse(about),
        }
    }

    /// The same command, with so many arguments.
    pub(super) const fn takes(self, least: usize, most: usize) -> Self {
        Self { arguments: (least, most), ..self }
    }

    /// The same command, with options of its own.
    pub(super) const fn with(self, switches: &'static [Switch]) -> Self {
        Self { switches, ..self }
    }

    /// The same command, in the help of these tools.
    pub(super) const fn shown_by(self, guises: &'static [Guise]) -> Self {
        Self { guises, ..self }
    }
}

impl Verb {
    /// Whether it is there for the time when no broker answers yet, or needs none.
    pub(super) fn is_patient(&self) -> bool {
        const PATIENT: [&str; 5] =
            ["await_startup", "await_online_nodes", "wait", "hash_password", "stop"];
        PATIENT.contains(&self.name)
    }
}

/// All commands of a tool, whether its help shows them or not.
pub(super) fn all(guise: Guise) -> impl Iterator<Item = &'static Verb> {
    let groups = verbs::GROUPS.iter().flat_map(|group| group.iter());
    // `list` and `set` are words of the tool for plugins alone, `queue` of checks.
    groups.filter(move |verb| match verb.section {
        Section::Help => true,
        Section::Plugins => guise == Guise::Plugins,
        Section::Checks => guise == Guise::Check,
        _ => !matches!(guise, Guise::Plugins | Guise::Check),
    })
}

pub(super) fn find(guise: Guise, name: &str) -> Option<&'static Verb> {
    all(guise).find(|verb| verb.name == name)
}

/// The command whose name is nearest to what was typed, if one is near.
pub(super) fn nearest(guise: Guise, typed: &str) -> Option<&'static str> {
    let typed = typed.replace('-', "_");
    let most = (typed.chars().count() / 4).max(2);
    let near = all(guise).map(|verb| (distance(&typed, verb.name), verb.name));
    near.min().filter(|(distance, _)| *distance <= most).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::ctl::options::GENERAL;

    #[test]
    fn names_near_what_was_typed_are_found() {
        for (typed, name) in [
            ("list_quues", Some("list_queues")),
            ("list-queues", Some("list_queues")),
            ("lsit_users", Some("list_users")),
            ("add_vhsot", Some("add_vhost")),
            ("staus", Some("status")),
            ("frobnicate", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(Guise::Ctl, typed), name, "{typed}");
        }
    }

    #[test]
    fn commands_are_sound() {
        for guise in Guise::ALL {
            let mut names = BTreeSet::new();
            for verb in all(guise) {
                assert!(names.insert(verb.name), "{} is there twice", verb.name);
                assert!(!verb.about.is_empty() && !verb.about.ends_with('.'), "{}", verb.name);
                let clash = verb.switches.iter().find(|own| {
                    GENERAL.iter().any(|general| {
                        general.long == own.long
                            || (own.short.is_some() && general.short == own.short)
                    })
                });
                assert!(clash.is_none(), "{}: {clash:?}", verb.name);
                if let Action::List(listing) = verb.action {
                    let known =
                        |name: &&str| listing.fields.iter().any(|field| field.column.name == *name);
                    assert!(listing.defaults.iter().all(known), "{}", verb.name);
                }
            }
        }
    }
}
