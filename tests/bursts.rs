//! What comes in one write takes effect as if it came one by one: publishes are handed over in
//! runs, and whatever comes between them finds them in their queue.

use crate::harness::*;

/// Frames to be sent at once.
#[derive(Default)]
struct Burst(Vec<u8>);

impl Burst {
    fn call(mut self, channel: u16, request: &Request) -> Self {
        self.0.extend(request.frame(channel).bytes());
        self
    }

    fn publish(mut self, channel: u16, publish: &Publish) -> Self {
        self.0.extend(publish.frames(channel, 4096).iter().flat_map(Frame::bytes));
        self
    }

    fn fill<const N: usize>(self, channel: u16, queue: &str, bodies: [&str; N]) -> Self {
        let publishes = bodies.map(|body| publish("", queue, body).persistent());
        publishes.iter().fold(self, |burst, message| burst.publish(channel, message))
    }

    fn send(self, connection: &Connection) {
        connection.send_bytes(&self.0);
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

#[test]
fn every_method_finds_what_was_published_before_it() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.durable_queue(Table::new());
    let burst = Burst::default();
    let burst = burst.fill(1, &q, ["a", "b", "c"]).call(1, &get(&q).no_ack());
    let burst = burst.fill(1, &q, ["d"]).call(1, &purge(&q));
    let burst = burst.fill(1, &q, ["e"]).call(1, &queue(&q).durable().passive());
    burst.fill(1, &q, ["f"]).call(1, &delete(&q)).send(&connection);
    channel.expect((60, 71));
    assert_eq!(channel.expect((50, 31)).read().long(), 3, "purged");
    let declared = channel.expect((50, 11));
    let mut read = declared.read();
    read.short_string();
    assert_eq!(read.long(), 1, "declared");
    assert_eq!(channel.expect((50, 41)).read().long(), 2, "deleted");
}

// BA-044
#[test]
fn long_burst_to_several_queues_keeps_the_order_of_each() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    channel.confirm_select();
    let queues = [channel.shared_queue(), channel.shared_queue(), channel.shared_queue()];
    let bodies = names(1000);
    let mut burst = Burst::default();
    for (number, body) in bodies.iter().enumerate() {
        // Runs of all lengths, those above the limit of one run too.
        let queue = &queues[number * number / 1000 % 3];
        burst = burst.publish(1, &publish("", queue, body.as_str()));
    }
    burst.send(&connection);
    channel.expect_acked(1000);
    let drained: Vec<Vec<String>> = queues.iter().map(|queue| channel.drain(queue)).collect();
    for (number, body) in bodies.iter().enumerate() {
        assert!(drained[number * number / 1000 % 3].contains(body), "{body} is lost");
    }
    assert_eq!(drained.iter().map(Vec::len).sum::<usize>(), 1000);
    for got in drained {
        let numbers: Vec<usize> = got.iter().map(|body| body[1..].parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[test]
fn publish_to_many_queues_comes_behind_one_to_a_single_queue() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let (q, other) = (channel.queue(), channel.queue());
    let x = channel.exchange("fanout");
    channel.call(&bind(&q, &x, ""));
    channel.call(&bind(&other, &x, ""));
    let burst = Burst::default().fill(1, &q, ["a"]).publish(1, &publish(&x, "", "b"));
    burst.fill(1, &q, ["c"]).send(&connection);
    assert_eq!(channel.drain(&q), ["a", "b", "c"]);
    assert_eq!(channel.drain(&other), ["b"]);
}

// BA-041
#[test]
fn channels_that_take_turns_count_for_themselves() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    one.confirm_select();
    two.confirm_select();
    let q = one.shared_queue();
    let burst = Burst::default().fill(1, &q, ["a"]).fill(2, &q, ["b", "c"]).fill(1, &q, ["d"]);
    burst.send(&connection);
    one.expect_acked(2);
    two.expect_acked(2);
    assert_eq!(one.drain(&q), ["a", "b", "c", "d"]);
}

// BA-045, QU-114
#[test]
fn refused_publishes_in_a_burst_are_nacked_and_no_others() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    channel.confirm_select();
    let limit = Table::new().with("x-max-length", 2).with("x-overflow", "reject-publish");
    let (full, free) = (channel.queue_with(limit), channel.queue());
    let burst = Burst::default().fill(1, &full, ["a", "b", "c", "d"]).fill(1, &free, ["e"]);
    burst.fill(1, &full, ["f"]).send(&connection);
    let confirms = channel.confirms(6);
    assert_eq!(confirms.acked, [1, 2, 5].into());
    assert_eq!(confirms.nacked, [3, 4, 6].into());
    assert_eq!(channel.drain(&full), ["a", "b"]);
    assert_eq!(channel.drain(&free), ["e"]);
}

// BA-005, BA-042
#[test]
fn returns_in_a_burst_stand_before_their_own_confirms() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    channel.confirm_select();
    let q = channel.queue();
    let burst = Burst::default().publish(1, &publish("", &q, "a"));
    let burst = burst.publish(1, &publish("", "nowhere", "b").mandatory());
    burst.publish(1, &publish("", &q, "c")).send(&connection);
    let mut acked = 0;
    while acked < 3 {
        let got = channel.next();
        match got.method.id {
            (60, 80) => acked = got.method.read().longlong(),
            (60, 50) => assert!(acked < 2, "the return came behind its confirm"),
            _ => panic!("{got:?}"),
        }
    }
    assert_eq!(channel.drain(&q), ["a", "c"]);
}

// BA-047, CH-013
#[test]
fn what_came_before_a_failure_is_in_the_queue() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.shared_queue();
    let burst = Burst::default().fill(1, &q, ["a", "b"]);
    let burst = burst.publish(1, &publish("no-such-exchange", "k", "c"));
    burst.fill(1, &q, ["d"]).send(&connection);
    let text = "NOT_FOUND - no exchange 'no-such-exchange' in vhost '/'";
    channel.expect_close(404, text, (60, 40));
    assert_eq!(connection.channel(2).drain(&q), ["a", "b"]);
}

#[test]
fn what_came_before_a_goodbye_is_in_the_queue() {
    let connection = Connection::open();
    let q = connection.channel(1).shared_queue();
    let burst = Burst::default().fill(1, &q, ["a", "b"]).call(1, &channel_close());
    burst.call(0, &connection_close()).send(&connection);
    let other = Channel::open();
    other.expect_ready(&q, 2);
    assert_eq!(other.drain(&q), ["a", "b"]);
}

// BA-125
#[test]
fn what_is_requeued_in_a_burst_comes_before_what_was_published_behind_it() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.queue();
    channel.fill(&q, ["a"]);
    let first = channel.get_by(&get(&q)).unwrap();
    assert_eq!(first.body, b"a");
    let burst = Burst::default().fill(1, &q, ["b"]).call(1, &nack(first.delivery_tag, true));
    burst.fill(1, &q, ["c"]).send(&connection);
    channel.expect_ready(&q, 3);
    assert_eq!(channel.drain(&q), ["a", "b", "c"]);
}
