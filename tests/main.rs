//! The integration tests: one binary, one module for each area.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and says why it skips"
)]

mod bindings;
mod channel;
mod exchange;
mod exclusive;
mod handshake;
mod harness;
mod publish;
mod queue;
mod returns;
mod routing;
