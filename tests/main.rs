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
mod ack_timeout;
mod alarm;
mod api;
mod arguments;
mod at_least_once;
mod bindings;
mod bursts;
mod channel;
mod complaints;
mod configured;
mod confirm;
mod connection;
mod consume;
mod crash;
mod ctl;
mod dead_letters;
mod deduplication;
mod delayed;
mod examples;
mod exchange;
mod exchange_types;
mod exclusive;
mod expires;
mod firehose;
mod frames;
mod get;
mod handshake;
mod harness;
mod heartbeat;
mod hostile;
mod image;
mod limits;
mod metrics;
mod oauth2;
mod open_files;
mod perf;
mod permissions;
mod policies;
mod priorities;
mod program;
mod publish;
mod qos;
mod queue;
mod quorum;
mod races;
mod recent_history;
mod recover;
mod reply_to;
mod restart;
mod retry;
mod returns;
mod routing;
mod single_active;
mod tidy;
mod tls;
mod ttl;
mod tx;
mod users;
mod vhosts;
