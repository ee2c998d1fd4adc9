//! What the integration tests stand on: a raw client and the broker under test.
//!
//! Nothing here sleeps. Every wait ends with the thing waited for, with something else (the test
//! fails and says what came), or at the deadline.
//!
//! `cargo test` runs against Lepus inside the test process. With
//! `LEPUS_TEST_URI=amqp://127.0.0.1:5673` the same tests run against a broker that is there
//! already: a RabbitMQ 4.3 proves that they test RabbitMQ's behaviour and not ours. Tests that need
//! a broker of their own skip themselves then. What operators do goes to the management API at
//! `LEPUS_TEST_API` (127.0.0.1:15673), as guest; metrics are at `LEPUS_TEST_METRICS`
//! (127.0.0.1:15693).

mod broker;
mod channel;
mod connection;
mod http;
mod letters;
mod message;
mod metrics;
mod operator;
mod options;
mod program;
mod request;
mod socket;
mod tls;
mod wire;

use std::{
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

pub(crate) use broker::*;
pub(crate) use channel::*;
pub(crate) use connection::*;
pub(crate) use http::*;
pub(crate) use letters::*;
pub(crate) use message::*;
pub(crate) use metrics::*;
pub(crate) use operator::*;
pub(crate) use options::*;
pub(crate) use program::*;
pub(crate) use request::*;
pub(crate) use socket::End;
pub(crate) use tls::*;
pub(crate) use wire::*;

/// How long a test waits for something that is certain to come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A name that nothing else has used, in this run or before.
pub(crate) fn name(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static RUN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let run = RUN.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("the clock is past 1970").as_millis() as u64 ^ u64::from(process::id())
    });
    format!("{prefix}-{run:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs every case in a thread of its own: for cases that wait for the broker to hang up.
#[track_caller]
pub(crate) fn in_parallel<T: Sync>(cases: &[(&str, T)], check: impl Fn(&T) + Sync) {
    let check = &check;
    let failures: Vec<&str> = thread::scope(|scope| {
        let mut running = Vec::new();
        for (title, case) in cases {
            running.push((*title, scope.spawn(move || check(case))));
        }
        let failed =
            running.into_iter().filter_map(|(title, run)| run.join().is_err().then_some(title));
        failed.collect()
    });
    assert!(failures.is_empty(), "failed cases: {failures:?}");
}

/// Random numbers that are the same in every run (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
