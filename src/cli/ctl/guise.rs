//! The names under which the program is called, and what each stands for.

use std::path::Path;

/// A tool of RabbitMQ that the program stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guise {
    /// `lepus ctl`, which has all commands.
    Lepus,
    /// `rabbitmqctl`
    Ctl,
    /// `rabbitmq-diagnostics`
    Diagnostics,
    /// `rabbitmq-plugins`, and `lepus ctl plugins`.
    Plugins,
    /// `rabbitmq-queues`
    Queues,
    /// `rabbitmq-upgrade`
    Upgrade,
    /// `lepus check`
    Check,
}

impl Guise {
    #[cfg(test)]
    pub(super) const ALL: [Self; 7] = [
        Self::Lepus,
        Self::Ctl,
        Self::Diagnostics,
        Self::Plugins,
        Self::Queues,
        Self::Upgrade,
        Self::Check,
    ];

    /// The tool that a path to the program stands for, if it is one.
    pub(super) fn of_program(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        Some(match name.strip_suffix(".exe").unwrap_or(name) {
            "lepusctl" => Self::Lepus,
            "rabbitmqctl" => Self::Ctl,
            "rabbitmq-diagnostics" => Self::Diagnostics,
            "rabbitmq-plugins" => Self::Plugins,
            "rabbitmq-queues" => Self::Queues,
            "rabbitmq-upgrade" => Self::Upgrade,
            _ => return None,
        })
    }

    /// How it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lepus => "lepus ctl",
            Self::Ctl => "rabbitmqctl",
            Self::Diagnostics => "rabbitmq-diagnostics",
            Self::Plugins => "rabbitmq-plugins",
            Self::Queues => "rabbitmq-queues",
            Self::Upgrade => "rabbitmq-upgrade",
            Self::Check => "lepus check",
        }
    }
}
