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
mod connection;
mod consume;
mod exchange;
mod exclusive;
mod frames;
mod get;
mod handshake;
mod harness;
mod heartbeat;
mod hostile;
mod publish;
mod qos;
mod queue;
mod races;
mod recover;
mod restart;
mod returns;
mod routing;
mod tx;
