//! Dead letters: where they come to, and what they tell of themselves.

use std::time::{Duration, Instant};

use super::{Channel, Connection, Message, Options, Table, Value, consume, publish, queue};

/// A queue for dead letters with a consumer, on a connection of its own.
pub(crate) struct DeadLetters {
    pub(crate) queue: String,
    channel: Channel,
}

impl DeadLetters {
    #[track_caller]
    pub(crate) fn open() -> Self {
        Self::on(&Options::new().open())
    }

    #[track_caller]
    pub(crate) fn on(connection: &Connection) -> Self {
        let channel = connection.channel(99);
        let queue = channel.declare(&queue(super::name("letters")).auto_delete()).queue;
        channel.consume(&consume(&queue, "letters").no_ack());
        Self { queue, channel }
    }

    /// The arguments of a queue that sends its dead letters here.
    pub(crate) fn args(&self) -> Table {
        letters_to(&self.queue)
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Message {
        self.channel.delivery()
    }

    /// The bodies of the next ones.
    #[track_caller]
    pub(crate) fn bodies(&self, count: usize) -> Vec<String> {
        self.channel.deliveries(count)
    }

    /// Nothing else has come so far.
    #[track_caller]
    pub(crate) fn expect_none(&self) {
        self.channel.expect_nothing();
    }
}

/// The arguments of a queue whose dead letters go to this one.
pub(crate) fn letters_to(queue: &str) -> Table {
    Table::new().with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", queue)
}

/// Waits until a message that lives so long, published now, is dead: all that was published before
/// and lives no longer is over then.
#[track_caller]
pub(crate) fn outlive(connection: &Connection, ms: i32) {
    let (channel, start) = (connection.channel(98), Instant::now());
    let end = channel.queue();
    let clock = channel.queue_with(letters_to(&end).with("x-message-ttl", ms));
    channel.fill(&clock, ["tick"]);
    channel.consume(&consume(&end, "end").no_ack());
    channel.delivery();
    channel.cancel("end");
    channel.call(&super::delete(&clock));
    channel.call(&super::delete(&end));
    channel.close();
    assert_not_before(start, ms);
}

/// At least so much time has passed. A broker's clock may tick once a millisecond.
#[track_caller]
pub(crate) fn assert_not_before(start: Instant, ms: i32) {
    let (passed, least) = (start.elapsed(), Duration::from_millis(ms as u64));
    assert!(passed + Duration::from_millis(2) >= least, "came after {passed:?}, not {least:?}");
}

impl Channel {
    /// A new durable queue of this type and with these arguments; it stays until it is deleted.
    #[track_caller]
    pub(crate) fn durable_queue(&self, arguments: Table) -> String {
        self.declare(&queue(super::name("durable")).durable().args(arguments)).queue
    }

    /// Publishes persistent messages to a queue by its name.
    pub(crate) fn fill_persistent<const N: usize>(&self, queue: &str, bodies: [&str; N]) {
        for body in bodies {
            self.publish(&publish("", queue, body).persistent());
        }
    }

    /// Gets the next message, which must be this one; returns its delivery tag.
    #[track_caller]
    pub(crate) fn take(&self, queue: &str, body: &str) -> u64 {
        let message = self.get(queue);
        let message = message.unwrap_or_else(|| panic!("expected {body:?}, the queue is empty"));
        assert_eq!(message.text(), body);
        message.delivery_tag
    }
}

impl Message {
    /// The entries of `x-death`.
    #[track_caller]
    pub(crate) fn deaths(&self) -> Vec<Table> {
        let headers = self.properties.headers.clone().unwrap_or_default();
        let Some(Value::Array(entries)) = headers.get("x-death") else {
            panic!("expected x-death, got {headers:?}");
        };
        let entry = |value: &Value| match value {
            Value::Table(entry) => entry.clone(),
            other => panic!("expected a table in x-death, got {other:?}"),
        };
        entries.iter().map(entry).collect()
    }

    /// Queue, reason and count of each entry of `x-death`.
    #[track_caller]
    pub(crate) fn history(&self) -> Vec<(String, String, i64)> {
        let deaths = self.deaths();
        let brief = |entry: &Table| match entry.get("count") {
            Some(Value::I64(count)) => {
                (entry.text("queue").to_owned(), entry.text("reason").to_owned(), *count)
            }
            other => panic!("expected a long count, got {other:?}"),
        };
        deaths.iter().map(brief).collect()
    }
}

/// An expected [`Message::history`].
pub(crate) fn history<const N: usize>(rows: [(&str, &str, i64); N]) -> Vec<(String, String, i64)> {
    rows.map(|(queue, reason, count)| (queue.to_owned(), reason.to_owned(), count)).to_vec()
}
