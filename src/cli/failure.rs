//! What ends the program early: one line that says what to do, and an exit code.

use std::{fmt, io, path::PathBuf};

use super::perf::PerfFailure;
use crate::{admin, config, http::FilesError, server::StartError, store::StoreError};

/// The exit codes, as `sysexits.h` numbers them.
pub(super) const USAGE: u8 = 64;
const DATA: u8 = 65;
const UNAVAILABLE: u8 = 69;
const SYSTEM: u8 = 71;
const CANNOT_CREATE: u8 = 73;
const INPUT_OUTPUT: u8 = 74;
const NOT_PERMITTED: u8 = 77;
const CONFIGURATION: u8 = 78;

/// The exit code after a second signal: 128 and the number of SIGINT, as shells have it.
pub(super) const INTERRUPTED: i32 = 130;

/// Why the program ends early.
#[derive(Debug)]
pub(super) enum Failure {
    Configuration(config::Error),
    Perf(PerfFailure),
    Start(StartError),
    /// The store has failed while the broker ran.
    Store(StoreError),
    /// The pid file that is asked for cannot be written.
    PidFile {
        path: PathBuf,
        source: io::Error,
    },
    /// The operating system refused something that every program gets.
    System(io::Error),
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::Configuration(error)
    }
}

impl From<PerfFailure> for Failure {
    fn from(error: PerfFailure) -> Self {
        Self::Perf(error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => CONFIGURATION,
            Self::Perf(PerfFailure::Broker { .. } | PerfFailure::Closed { .. }) => UNAVAILABLE,
            Self::Perf(PerfFailure::Login { .. }) => NOT_PERMITTED,
            Self::Perf(PerfFailure::Faults(_)) => DATA,
            Self::Perf(PerfFailure::Output(_)) | Self::System(_) => SYSTEM,
            Self::PidFile { .. } => CANNOT_CREATE,
            Self::Store(_) => INPUT_OUTPUT,
            Self::Start(error) => match error.cause() {
                StartError::Port { .. }
                | StartError::PortTaken(_)
                | StartError::Listen { .. }
                | StartError::Definitions(FilesError::Fetch(_)) => UNAVAILABLE,
                StartError::PortForbidden(_) => NOT_PERMITTED,
                StartError::NoSuchAddress(_)
                | StartError::Tls(_)
                | StartError::Oauth2(_)
                | StartError::NoListener
                | StartError::Admin(admin::Error::Gift { .. })
                | StartError::Definitions(FilesError::Read { .. }) => CONFIGURATION,
                StartError::DataDirectory { .. } => CANNOT_CREATE,
                StartError::Store(StoreError::DiskFull { .. }) => INPUT_OUTPUT,
                StartError::Store(_)
                | StartError::Restore(_)
                | StartError::User(_)
                | StartError::Definitions(FilesError::Definitions { .. })
                | StartError::Admin(_) => DATA,
                StartError::Random(_) | StartError::Thread(_) => SYSTEM,
            },
        }
    }

    /// What whoever started the program can do about it, where the error does not say it itself.
    fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Perf(PerfFailure::Broker { .. }) => {
                "is a broker running there? --uri says which one to measure"
            }
            Self::Perf(PerfFailure::Login { .. }) => {
                "who logs in is named by --uri amqp://user:password@host"
            }
            Self::Configuration(_)
            | Self::Perf(_)
            | Self::System(_)
            | Self::Store(_)
            | Self::PidFile { .. } => return None,
            Self::Start(StartError::Port { setting, source }) => {
                return Listener::of(setting).advice(source.cause());
            }
            Self::Start(error) => match error {
                StartError::DataDirectory { .. } => "choose another with --data-dir",
                StartError::Thread(_) => {
                    "raise the limit of processes for its user (ulimit -u, TasksMax of its unit)"
                }
                StartError::Definitions(FilesError::Read { .. } | FilesError::Fetch(_)) => {
                    "`load_definitions` names the file, directory or URL"
                }
                error => return Listener::of("amqp_port").advice(error),
            },
        };
        Some(text.to_owned())
    }
}

/// How somebody chooses where something is listened for.
struct Listener {
    port: &'static str,
    addresses: &'static str,
    /// How to do without it.
    off: &'static str,
}

impl Listener {
    fn of(setting: &str) -> Self {
        let (port, addresses, off) = match setting {
            "tls_port" => ("--tls-port", "LEPUS_TLS_BIND", ""),
            "http_port" => (
                "--http-port",
                "LEPUS_HTTP_BIND",
                ", or turn the management API off with LEPUS_HTTP=false",
            ),
            "https_port" => ("LEPUS_HTTPS_PORT", "LEPUS_HTTPS_BIND", ""),
            "metrics_port" => (
                "--metrics-port",
                "LEPUS_METRICS_BIND",
                ", or turn the metrics off with LEPUS_METRICS=false",
            ),
            _ => ("--amqp-port", "--bind", ""),
        };
        Self { port, addresses, off }
    }

    /// What to do about an error of a port or an address; other errors say it themselves.
    fn advice(&self, error: &StartError) -> Option<String> {
        let Self { port, addresses, off } = self;
        match error {
            StartError::PortTaken(_) => Some(format!(
                "stop the program that listens there (perhaps another lepus, or RabbitMQ), or \
                 choose another port with {port}{off}"
            )),
            StartError::PortForbidden(_) => Some(format!(
                "choose a port from 1024 up with {port}, or give the program the right to listen \
                 on lower ones"
            )),
            StartError::NoSuchAddress(_) => {
                Some(format!("choose one of its addresses with {addresses}"))
            }
            StartError::Listen { .. } => {
                Some(format!("choose another address with {addresses}, or port with {port}"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(error) => write!(f, "{error}")?,
            Self::Start(error) => write!(f, "{error}")?,
            Self::Store(error) => write!(f, "{error}")?,
            Self::PidFile { path, source } => {
                write!(f, "cannot write the pid file {}: {source}", path.display())?;
            }
            Self::Perf(error) => write!(f, "{error}")?,
            Self::System(error) => write!(f, "the operating system refused: {error}")?,
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}
