//! The integration tests: one binary, one module for each area.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says why it skips, and may look at the clock"
)]

mod ack;
mod bindings;
mod channel;
mod confirm;
mod consume;
mod exchange;
mod exclusive;
mod get;
mod handshake;
mod harness;
mod program;
mod publish;
mod qos;
mod queue;
mod recover;
mod returns;
mod routing;
mod tidy;
mod tx;
