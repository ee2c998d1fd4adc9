//! `lepus perf`: measures a broker, ours or another, from the outside.
//!
//! Without more it takes a short tour of what matters; each stop of the tour can be had alone,
//! with numbers of one's own. The client behind it is made of [`wire`](crate::wire): it costs less
//! than a broker does, so that on a small machine it is the broker that is measured.

mod churn;
mod delayed;
mod flow;
mod histogram;
mod link;
mod report;
mod uri;

use std::{
    io::{self, IsTerminal, Write},
    process,
    time::Duration,
};

use clap::{Args, ValueEnum};

use self::{
    delayed::Delayed,
    flow::{Plan, STAMP_BYTES},
    link::{Error, Link},
    report::Row,
    uri::Uri,
};

/// Measure a broker: throughput, latency, confirms, backlog, what connections and queues cost
#[derive(Clone, Debug, Args)]
pub(super) struct Perf {
    /// What to measure
    #[arg(value_enum, default_value = "tour")]
    what: What,
    /// The broker
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672/", value_name = "URI")]
    uri: Uri,
    /// Connections that publish
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = at_least_one)]
    producers: usize,
    /// Connections that consume
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = at_least_one)]
    consumers: usize,
    /// Queues
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = at_least_one)]
    queues: usize,
    /// Bytes of a body, 16 at least
    #[arg(short, long, default_value_t = 100, value_name = "BYTES", value_parser = body_size)]
    size: usize,
    /// Durable queues and persistent messages
    #[arg(long)]
    persistent: bool,
    /// Publisher confirms, with so many publishes in flight; 0 for none
    #[arg(long, default_value_t = 0, value_name = "N")]
    confirm: u64,
    /// Deliveries that a consumer may have unacknowledged
    #[arg(long, default_value_t = 1000, value_name = "N")]
    prefetch: u16,
    /// Acknowledge every so many messages; 0 for automatic acknowledgement
    #[arg(long, default_value_t = 0, value_name = "N")]
    ack_every: u64,
    /// Messages a second for each producer; 0 for as many as go
    #[arg(long, default_value_t = 0, value_name = "N")]
    rate: u64,
    /// Messages of a backlog
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    backlog: u64,
    /// Type of the queues, such as quorum
    #[arg(long, default_value = "", value_name = "TYPE")]
    queue_type: String,
    /// Seconds to measure each thing
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = seconds)]
    time: f64,
    /// Seconds to warm up before
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    warm_up: f64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// A little of everything
    Tour,
    /// As many messages as go through
    Throughput,
    /// How long messages are on their way, at a steady pace (--rate, 1000 unless said)
    Latency,
    /// How long one persistent message at a time waits for its confirm
    Confirm,
    /// A backlog is filled, then drained
    Backlog,
    /// How late delayed messages come: --backlog of them, durable, 5,000 due each second (--rate)
    Delayed,
    /// Connections that come and go
    Connections,
    /// Durable queues that come and go
    Queues,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a number from 1 up".to_owned())
}

fn body_size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| *size >= STAMP_BYTES);
    size.ok_or_else(|| format!("a number of bytes, {STAMP_BYTES} at least"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|n| (0.0..=86_400.0).contains(n));
    seconds.ok_or_else(|| "a number of seconds, a day at the most".to_owned())
}

/// Why nothing, or something wrong, was measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum PerfFailure {
    /// The broker or the network does not let it.
    #[error("{uri}: {source}")]
    Broker { uri: String, source: Error },
    /// The broker does not take user and password.
    #[error("{uri}: {source}")]
    Login { uri: String, source: Error },
    /// The broker runs and does not want it.
    #[error("{uri}: {source}")]
    Closed { uri: String, source: Error },
    /// What was sent is not what came.
    #[error("{0} messages were lost, doubled or out of order")]
    Faults(u64),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// Measures what is asked for, and prints it.
pub(super) fn run(perf: &Perf) -> Result<(), PerfFailure> {
    let explain = |source| {
        let uri = format!("amqp://{}:{}", perf.uri.host, perf.uri.port);
        match source {
            Error::Login(_) => PerfFailure::Login { uri, source },
            Error::Closed { .. } => PerfFailure::Closed { uri, source },
            _ => PerfFailure::Broker { uri, source },
        }
    };
    let rows = perf.measure().map_err(explain)?;
    let text = if perf.json { report::json(&rows) + "\n" } else { report::table(&rows) };
    io::stdout().write_all(text.as_bytes())?;
    match rows.iter().map(Row::faults).sum() {
        0 => Ok(()),
        faults => Err(PerfFailure::Faults(faults)),
    }
}

impl Perf {
    fn plan(&self) -> Plan {
        Plan {
            producers: self.producers,
            consumers: self.consumers,
            queues: self.queues,
            size: self.size,
            persistent: self.persistent,
            confirm: self.confirm,
            // A consumer that may have fewer than it waits for would wait for ever.
            prefetch: self.prefetch.max(self.ack_every.min(u64::from(u16::MAX)) as u16),
            ack_every: self.ack_every,
            rate: self.rate,
            queue_type: self.queue_type.clone(),
            prefix: format!("lepus-perf-{}", process::id()),
        }
    }

    fn measure(&self) -> Result<Vec<Row>, Error> {
        let time = Duration::from_secs_f64(self.time);
        match self.what {
            What::Tour => self.tour(),
            What::Throughput => Ok(vec![self.flow("throughput", &self.plan())?]),
            What::Latency => {
                let rate = if self.rate == 0 { 1000 } else { self.rate };
                Ok(vec![self.latency("latency", &Plan { rate, ..self.plan() })?])
            }
            What::Confirm => {
                let plan = Plan { confirm: self.confirm.max(1), persistent: true, ..self.plan() };
                Ok(vec![self.flow("confirm", &plan)?])
            }
            What::Backlog => self.filled_and_drained(&self.plan(), ""),
            What::Delayed => {
                let rate = if self.rate == 0 { 5000 } else { self.rate };
                let plan = Plan { queues: 1, persistent: true, ..self.plan() };
                let delayed = Delayed { plan: &plan, count: self.backlog, rate };
                Ok(vec![self.delayed("delayed", &delayed)?])
            }
            What::Connections => {
                let churned = churn::connections(&self.uri, time)?;
                Ok(vec![Row::of_churn("connect, publish, close", "connections/s", churned)])
            }
            What::Queues => {
                let churned = churn::queues(&self.uri, time, &self.plan().prefix)?;
                Ok(vec![Row::of_churn("declare, delete durable", "queues/s", churned)])
            }
        }
    }

    fn tour(&self) -> Result<Vec<Row>, Error> {
        let time = Duration::from_secs_f64(self.time);
        let plan = self.plan();
        let acked = |size, persistent| Plan {
            size,
            persistent,
            confirm: 1000,
            ack_every: 1,
            ..plan.clone()
        };
        let mut rows = vec![
            self.flow("transient, auto-ack, 100 B", &Plan { size: 100, ..plan.clone() })?,
            self.flow("transient, auto-ack, 1 KiB", &Plan { size: 1024, ..plan.clone() })?,
            self.flow("transient, confirms, acks, 100 B", &acked(100, false))?,
            self.flow("persistent, confirms, acks, 100 B", &acked(100, true))?,
            self.flow("persistent, confirms, acks, 1 KiB", &acked(1024, true))?,
            self.latency("1,000/s, transient", &Plan { rate: 1000, ..plan.clone() })?,
            self.flow(
                "one persistent message at a time",
                &Plan { confirm: 1, ack_every: 1, ..acked(100, true) },
            )?,
        ];
        let backlog = Plan { size: 1024, ..acked(1024, true) };
        rows.extend(self.filled_and_drained(&backlog, "1 KiB persistent, ")?);
        let churned = churn::connections(&self.uri, time)?;
        rows.push(Row::of_churn("connect, publish, close", "connections/s", churned));
        let churned = churn::queues(&self.uri, time, &plan.prefix)?;
        rows.push(Row::of_churn("declare, delete durable", "queues/s", churned));
        Ok(rows)
    }

    fn flow(&self, name: &str, plan: &Plan) -> Result<Row, Error> {
        Ok(Row::of_messages(name, self.measured(name, plan)?))
    }

    fn latency(&self, name: &str, plan: &Plan) -> Result<Row, Error> {
        Ok(Row::of_latency(name, self.measured(name, plan)?))
    }

    fn measured(&self, name: &str, plan: &Plan) -> Result<flow::Outcome, Error> {
        let [warm_up, time] = [self.warm_up, self.time].map(Duration::from_secs_f64);
        let mut control = Link::open(&self.uri)?;
        plan.declare(&mut control)?;
        let outcome = plan.run(&self.uri, warm_up, time, &mut |count| self.tell(name, count));
        plan.delete(&mut control)?;
        control.close();
        outcome
    }

    fn delayed(&self, name: &str, delayed: &Delayed<'_>) -> Result<Row, Error> {
        let mut control = Link::open(&self.uri)?;
        delayed.plan.declare(&mut control)?;
        let outcome = delayed.run(&self.uri, &mut control);
        delayed.plan.delete(&mut control)?;
        control.close();
        Ok(Row::of_lateness(name, outcome?))
    }

    fn filled_and_drained(&self, plan: &Plan, what: &str) -> Result<Vec<Row>, Error> {
        let mut control = Link::open(&self.uri)?;
        plan.declare(&mut control)?;
        let outcomes = plan.backlog(&self.uri, self.backlog);
        plan.delete(&mut control)?;
        control.close();
        let [filled, drained] = outcomes?;
        Ok(vec![
            Row::of_messages(format!("{what}backlog filled"), filled),
            Row::of_messages(format!("{what}backlog drained"), drained),
        ])
    }

    /// Tells people who look on how it goes.
    fn tell(&self, name: &str, count: u64) {
        if !self.json && io::stderr().is_terminal() {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(io::stderr(), "{name}: {count}/s");
        }
    }
}
