//! The commands, by what they are about.

mod access;
mod check;
mod clients;
mod definitions;
mod features;
mod health;
mod help;
mod host;
mod limits;
mod node;
mod parameters;
mod plugins;
mod policies;
mod queues;
mod refused;
mod settings;
mod startup;
mod status;
mod users;
mod vhosts;

use super::verb::Verb;

/// All commands.
pub(super) const GROUPS: &[&[Verb]] = &[
    help::VERBS,
    users::VERBS,
    access::VERBS,
    vhosts::VERBS,
    limits::VERBS,
    queues::VERBS,
    clients::VERBS,
    policies::VERBS,
    parameters::VERBS,
    features::VERBS,
    definitions::VERBS,
    check::VERBS,
    health::VERBS,
    host::VERBS,
    node::VERBS,
    settings::VERBS,
    startup::VERBS,
    status::VERBS,
    plugins::VERBS,
    refused::VERBS,
];
