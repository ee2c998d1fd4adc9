//! Why a command failed: what it says on standard error, and its exit code (EN-077).

use std::{fmt, time::Duration};

use serde_json::json;

/// The exit codes of RabbitMQ's tools, which are those of `sysexits.h`.
pub(super) mod code {
    /// Wrong arguments or options, or a command that does not exist.
    pub(in crate::cli) const USAGE: u8 = 64;
    /// An argument with a value that cannot be, or something that does not exist.
    pub(in crate::cli) const DATA: u8 = 65;
    /// The user does not exist.
    pub(in crate::cli) const NO_USER: u8 = 67;
    /// No broker answers, or it refuses; every other error.
    pub(in crate::cli) const UNAVAILABLE: u8 = 69;
    /// What RabbitMQ takes for a mistake in the program, such as a user who exists already.
    pub(in crate::cli) const SOFTWARE: u8 = 70;
    /// It took too long.
    pub(in crate::cli) const TIMEOUT: u8 = 75;
    /// A check finds something critical.
    pub(in crate::cli) const CRITICAL: u8 = 2;
    /// A check was asked for something that cannot be.
    pub(in crate::cli) const UNKNOWN: u8 = 3;
    /// The settings that say where the broker is are wrong.
    pub(in crate::cli) const CONFIGURATION: u8 = 78;
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The exit code.
    pub(super) code: u8,
    /// What is wrong, for people.
    pub(super) text: String,
    /// Whether RabbitMQ writes a line `Error:` above it.
    has_heading: bool,
    /// Whether it is the result of a check.
    pub(super) is_verdict: bool,
}

impl Failure {
    /// A failure that is said below a line `Error:`.
    pub(super) fn error(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), has_heading: true, is_verdict: false }
    }

    /// A failure that is said as it is.
    pub(super) fn plain(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), has_heading: false, is_verdict: false }
    }

    /// What a check found, which is said on standard output.
    pub(super) fn verdict(code: u8, text: impl Into<String>) -> Self {
        Self { is_verdict: true, ..Self::plain(code, text) }
    }

    /// The failure of a check, in one line and with the codes of checks: what keeps it from being
    /// made is critical, but for how it was asked.
    pub(super) fn into_verdict(self) -> Self {
        if self.is_verdict {
            return self;
        }
        if self.code == code::USAGE || self.code == code::DATA {
            return Self::verdict(code::UNKNOWN, format!("LEPUS UNKNOWN - {}", self.line()));
        }
        Self::verdict(code::CRITICAL, format!("LEPUS CRITICAL - {}", self.line()))
    }

    /// The first line of the text, as monitoring tools take it.
    fn line(&self) -> String {
        let line = self.text.trim_start().lines().next().unwrap_or_default();
        line.strip_prefix("Error: ").unwrap_or(line).replace('|', "/")
    }

    /// What the broker or the system refused, for a reason that has no code of its own.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::error(code::UNAVAILABLE, text)
    }

    /// The same failure, for programs that read JSON.
    pub(super) fn into_json(self) -> Self {
        let object = json!({"message": self.text, "result": "error"});
        Self::plain(self.code, object.to_string())
    }

    pub(super) fn no_vhost(name: &str) -> Self {
        Self::plain(code::DATA, format!("Virtual host '{name}' does not exist"))
    }

    pub(super) fn no_user(name: &str) -> Self {
        Self::error(code::NO_USER, format!("User \"{name}\" does not exist"))
    }

    /// The broker does not know what was asked for, because it is a RabbitMQ.
    pub(super) fn no_lepus(what: &str) -> Self {
        Self::refused(format!("this broker is no Lepus, or an older one; it cannot {what}"))
    }

    /// The time for the command was over.
    pub(super) fn timed_out(command: &str, node: &str, limit: Duration) -> Self {
        let text = format!(
            "Error: operation {command} on node {node} timed out. Timeout value used: {}",
            limit.as_millis()
        );
        Self::plain(code::TIMEOUT, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_heading {
            f.write_str("Error:\n")?;
        }
        f.write_str(&self.text)
    }
}
