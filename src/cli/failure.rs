//! What ends the program early: one line that says what to do, and an exit code.

use std::{fmt, io, path::PathBuf};

use super::perf::PerfFailure;
use crate::{config, http::FilesError, server::StartError, store::StoreError};

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
                StartError::Web { .. } | StartError::PortTaken(_) | StartError::Listen { .. } => {
                    UNAVAILABLE
                }
                StartError::PortForbidden(_) => NOT_PERMITTED,
                StartError::NoSuchAddress(_)
                | StartError::Tls(_)
                | StartError::Oauth2(_)
                | StartError::NoListener
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
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Perf(PerfFailure::Broker { .. }) => {
                Some("is a broker running there? --uri says which one to measure")
            }
            Self::Perf(PerfFailure::Login { .. }) => {
                Some("who logs in is named by --uri amqp://user:password@host")
            }
            Self::Configuration(_)
            | Self::Perf(_)
            | Self::System(_)
            | Self::Store(_)
            | Self::PidFile { .. } => None,
            Self::Start(StartError::Web { setting: "http_port", .. }) => Some(
                "stop the program that listens there (perhaps another lepus, or RabbitMQ), \
                 choose another port with --http-port, or turn the management API off with \
                 LEPUS_HTTP=false",
            ),
            Self::Start(StartError::Web { .. }) => Some(
                "stop the program that listens there (perhaps another lepus, or RabbitMQ), or \
                 choose another port with --metrics-port, or turn the metrics off with \
                 LEPUS_METRICS=false",
            ),
            Self::Start(error) => Some(match error {
                StartError::PortTaken(_) => {
                    "stop the program that listens there (perhaps another lepus, or RabbitMQ), \
                     or choose another port with --amqp-port"
                }
                StartError::PortForbidden(_) => {
                    "choose a port from 1024 up with --amqp-port, or give the program the right \
                     to listen on lower ones"
                }
                StartError::NoSuchAddress(_) => "choose one of its addresses with --bind",
                StartError::Listen { .. } => "choose another address or port",
                StartError::DataDirectory { .. } => "choose another with --data-dir",
                StartError::Thread(_) => {
                    "raise the limit of processes for its user (ulimit -u, TasksMax of its unit)"
                }
                StartError::Definitions(FilesError::Read { .. }) => {
                    "`load_definitions` names the file or directory"
                }
                // These say it themselves.
                StartError::Web { .. }
                | StartError::Definitions(_)
                | StartError::Admin(_)
                | StartError::Store(_)
                | StartError::Restore(_)
                | StartError::User(_)
                | StartError::Tls(_)
                | StartError::Oauth2(_)
                | StartError::NoListener
                | StartError::Random(_) => return None,
            }),
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
