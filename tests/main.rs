//! The integration tests: one binary, one module for each area.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and says why it skips"
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
mod publish;
mod qos;
mod queue;
mod recover;
mod returns;
mod routing;
mod tx;
