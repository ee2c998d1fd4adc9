//! Messages that wait in an `x-delayed-message` exchange: how late they come.
//!
//! All of them are scheduled before the first is due; then so many are due each second. A message
//! is sent and confirmed in a small batch, so that what is measured is not how long it waited to be
//! read by the broker, which counts its delay from then on.

use std::time::Duration;

use super::{
    flow::{Arriving, Outcome, Plan, STAMP_BYTES},
    link::{CHANNEL, Error, Link},
    uri::Uri,
};
use crate::{
    clock::{self, Now},
    wire::{
        encode,
        method::{AMQPClass, basic, confirm, exchange, queue},
        table::{Table, Value},
    },
};

/// Publishes that are sent and confirmed at a time.
const BATCH: u64 = 16;
/// A broker is given this long for each message before the first is due.
const FOR_EACH: Duration = Duration::from_micros(100);
/// And this long on top of it.
const LEAD: Duration = Duration::from_secs(1);

/// Messages that are scheduled, and come.
pub(super) struct Delayed<'a> {
    /// The queue and what else is as always.
    pub(super) plan: &'a Plan,
    /// Messages.
    pub(super) count: u64,
    /// Messages that are due each second.
    pub(super) rate: u64,
}

impl Delayed<'_> {
    /// How late they came, as the latency of the outcome. A message that came early, twice or not
    /// at all is a fault. The queue is declared already.
    pub(super) fn run(&self, uri: &Uri, control: &mut Link) -> Result<Outcome, Error> {
        self.declare(control)?;
        let outcome = self.measure(uri);
        let name = self.name().into();
        let delete = exchange::Delete { exchange: name, if_unused: false, nowait: false };
        control.call(&AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)), (40, 21))?;
        outcome
    }

    fn name(&self) -> &str {
        &self.plan.prefix
    }

    fn declare(&self, control: &mut Link) -> Result<(), Error> {
        let mut arguments = Table::default();
        arguments.insert("x-delayed-type".into(), Value::LongString("fanout".into()));
        let declare = exchange::Declare {
            exchange: self.name().into(),
            kind: "x-delayed-message".into(),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments,
        };
        control.call(&AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)), (40, 11))?;
        let bind = queue::Bind {
            queue: self.plan.queue(0).into(),
            exchange: self.name().into(),
            routing_key: "".into(),
            nowait: false,
            arguments: Table::default(),
        };
        control.call(&AMQPClass::Queue(queue::AMQPMethod::Bind(bind)), (50, 21))?;
        Ok(())
    }

    fn measure(&self, uri: &Uri) -> Result<Outcome, Error> {
        let arrivals = Arriving::start(self.plan, uri)?;
        let mut link = Link::open(uri)?;
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        link.call(&AMQPClass::Confirm(select), (85, 11))?;
        let begin = clock::now();
        let first_due =
            begin.after(LEAD + FOR_EACH * u32::try_from(self.count).unwrap_or(u32::MAX));
        self.schedule(&mut link, first_due)?;
        link.close();
        clock::rest_blocking(first_due.since(clock::now()));
        let mut outcome = arrivals.finish(self.count)?;
        outcome.seconds = clock::now().since(first_due).as_secs_f64();
        Ok(outcome)
    }

    fn schedule(&self, link: &mut Link, first_due: Now) -> Result<(), Error> {
        let publish = basic::Publish {
            exchange: self.name().into(),
            routing_key: "".into(),
            mandatory: false,
            immediate: false,
        };
        let publish = AMQPClass::Basic(basic::AMQPMethod::Publish(publish));
        let between = Duration::from_secs(1) / u32::try_from(self.rate).unwrap_or(u32::MAX);
        let mut body = vec![0; self.plan.size.max(STAMP_BYTES)];
        let (mut out, mut done) = (Vec::new(), 0);
        while done < self.count {
            let batch = BATCH.min(self.count - done);
            out.clear();
            let now = clock::now();
            for number in done..done + batch {
                let due = first_due.after(between * u32::try_from(number).unwrap_or(u32::MAX));
                // A delay is a whole number of milliseconds.
                let delay = u32::try_from(due.since(now).as_millis()).unwrap_or(u32::MAX);
                let due = now.after(Duration::from_millis(delay.into()));
                body[..8].copy_from_slice(&number.to_be_bytes());
                body[8..STAMP_BYTES].copy_from_slice(&due.as_nanos().to_be_bytes());
                encode::method(&mut out, CHANNEL, &publish);
                let properties = properties(self.plan.persistent, delay);
                encode::content(&mut out, CHANNEL, &properties, &body, link.frame_max());
            }
            link.send(&out)?;
            done += batch;
            await_confirms(link, done)?;
        }
        Ok(())
    }
}

/// The headers with their one entry, and the delivery mode.
fn properties(is_persistent: bool, delay: u32) -> Vec<u8> {
    let mut bytes = vec![0x30, 0, 0, 0, 0, 13];
    bytes.extend_from_slice(b"\x07x-delayI");
    bytes.extend_from_slice(&delay.to_be_bytes());
    bytes.push(if is_persistent { 2 } else { 1 });
    bytes
}

/// Waits until so many publishes are confirmed.
fn await_confirms(link: &mut Link, count: u64) -> Result<(), Error> {
    let mut confirmed = 0;
    while confirmed < count {
        let has_come = link.receive(|incoming| {
            if let Some((60, 80)) = incoming.ids() {
                let tag = incoming.payload.get(4..12).and_then(|tag| tag.try_into().ok());
                confirmed = tag.map_or(0, u64::from_be_bytes);
            }
            Ok(true)
        })?;
        if !has_come {
            return Err(Error::Garbage("a confirm does not come".to_owned()));
        }
    }
    Ok(())
}
