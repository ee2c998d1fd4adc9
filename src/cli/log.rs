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

use tracing_subscriber::{EnvFilter, reload::Handle};

use crate::{
    admin::SetLogLevel,
    config::{Config, LogFilter, LogFormat},
};

/// Starts logging as the configuration has it, panics included. Returns what changes the level
/// later.
pub(super) fn start(config: &Config) -> Box<SetLogLevel> {
    let filter = EnvFilter::new(config.log.as_str());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    panic::set_hook(Box::new(log_panic));
    // Starting fails only if a log has been started before, and then there is one.
    match config.log_format {
        LogFormat::Text => {
            let log = log.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = log.reload_handle();
            let _ = log.try_init();
            Box::new(move |level| set_level(&handle, level))
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_filter_reloading();
            let handle = log.reload_handle();
            let _ = log.try_init();
            Box::new(move |level| set_level(&handle, level))
        }
    }
}

fn set_level<S>(handle: &Handle<EnvFilter, S>, level: &str) -> Result<(), String> {
    let filter = LogFilter::parse(level)
        .ok_or_else(|| format!("{level:?} is no level, and no list of targets with levels"))?;
    handle.reload(EnvFilter::new(filter.as_str())).map_err(|error| error.to_string())
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
