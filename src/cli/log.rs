//! The log of the program, on standard error. A program that embeds the broker has its own.
//!
//! An event is one line. What it is about stands in fields, not in the text: `connection`,
//! `channel`, `queue`, `peer`, `error`. At `info`, the default, a message's way through the broker
//! logs nothing.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
};

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Starts logging as the configuration has it, panics included.
pub(super) fn start(config: &Config) {
    let filter = EnvFilter::new(config.log.as_str());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Fails only if a log has been started before, and then there is one.
    let _ = match config.log_format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    panic::set_hook(Box::new(log_panic));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(location, %backtrace, "panicked: {message}");
    } else {
        tracing::error!(location, "panicked: {message}");
    }
}
