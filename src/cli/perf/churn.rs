//! What comes and goes: connections and queues.

use std::time::Duration;

use super::{
    histogram::Histogram,
    link::{CHANNEL, Error, Link},
    uri::Uri,
};
use crate::{
    clock,
    wire::{
        encode,
        method::{AMQPClass, basic, queue},
        table::Table,
    },
};

/// What came and went.
#[derive(Clone, Debug, Default)]
pub(super) struct Churned {
    pub(super) count: u64,
    pub(super) seconds: f64,
    /// From the first byte to the last.
    pub(super) times: Histogram,
}

/// One after the other: connects, opens a channel, publishes a message, closes.
pub(super) fn connections(uri: &Uri, time: Duration) -> Result<Churned, Error> {
    let publish = basic::Publish {
        exchange: "".into(),
        routing_key: "lepus-perf-nowhere".into(),
        mandatory: false,
        immediate: false,
    };
    let mut message = Vec::new();
    let publish = AMQPClass::Basic(basic::AMQPMethod::Publish(publish));
    encode::method(&mut message, CHANNEL, &publish);
    encode::content(&mut message, CHANNEL, &[0, 0], &[0; 16], 4096);
    churn(time, || {
        let mut link = Link::open(uri)?;
        link.send(&message)?;
        link.close();
        Ok(())
    })
}

/// One after the other: declares a durable queue and deletes it.
pub(super) fn queues(uri: &Uri, time: Duration, prefix: &str) -> Result<Churned, Error> {
    let mut link = Link::open(uri)?;
    let declare = queue::AMQPMethod::Declare(queue::Declare {
        queue: prefix.into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::default(),
    });
    let delete = queue::AMQPMethod::Delete(queue::Delete {
        queue: prefix.into(),
        if_unused: false,
        if_empty: false,
        nowait: false,
    });
    let (declare, delete) = (AMQPClass::Queue(declare), AMQPClass::Queue(delete));
    let churned = churn(time, || {
        link.call(&declare, (50, 11))?;
        link.call(&delete, (50, 41))?;
        Ok(())
    })?;
    link.close();
    Ok(churned)
}

fn churn(time: Duration, mut once: impl FnMut() -> Result<(), Error>) -> Result<Churned, Error> {
    let begin = clock::now();
    let mut churned = Churned::default();
    while clock::now().since(begin) < time {
        let started = clock::now();
        once()?;
        churned.times.add(clock::now().since(started));
        churned.count += 1;
    }
    churned.seconds = clock::now().since(begin).as_secs_f64();
    Ok(churned)
}
