//! Races: what must hold however threads and sockets interleave. Nothing here depends on timing;
//! many rounds make the rare order likely.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::harness::*;

/// Ends the other threads of a test also where the test fails.
struct WhenDropped<'a>(&'a AtomicBool);

impl Drop for WhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Several publishers at once: the messages of each arrive in its order.
#[test]
fn order_of_each_publisher_holds_among_many() {
    let consumer = Channel::open();
    let q = consumer.shared_queue();
    consumer.call(&qos(50));
    consumer.subscribe(&q, "t");
    thread::scope(|scope| {
        for publisher in 0..4 {
            let q = &q;
            scope.spawn(move || {
                let channel = Channel::open();
                for n in 0..1000 {
                    channel.publish(&publish("", q, format!("{publisher} {n}")));
                }
                channel.connection().close();
            });
        }
        let mut next: BTreeMap<String, u32> = BTreeMap::new();
        for delivery_tag in 1..=4000 {
            let got = consumer.delivery();
            assert_eq!((got.delivery_tag, got.redelivered), (delivery_tag, false));
            let text = got.text();
            let (publisher, n) = text.split_once(' ').unwrap();
            let expected = next.entry(publisher.to_owned()).or_default();
            assert_eq!(n.parse(), Ok(*expected), "publisher {publisher}");
            *expected += 1;
            if delivery_tag % 10 == 0 {
                consumer.send(&ack(delivery_tag).multiple());
            }
        }
    });
    assert_eq!(consumer.count(&delete(&q)), 0);
}

/// Persistent messages that are acked before they can be on disk.
#[test]
fn ack_that_overtakes_the_confirm_settles_the_message() {
    let consumer = Channel::open();
    let q = consumer.shared_queue();
    consumer.subscribe(&q, "t");
    let publisher = Channel::open();
    publisher.confirm_select();
    for round in 0..30 {
        for _ in 0..50 {
            publisher.publish(&publish("", &q, "m").persistent());
        }
        for _ in 0..50 {
            consumer.send(&ack(consumer.delivery().delivery_tag));
        }
        let mut undecided = (round * 50 + 1..=round * 50 + 50).collect();
        assert!(publisher.confirms_of(&mut undecided).nacked.is_empty());
    }
    consumer.expect_nothing();
    consumer.cancel("t");
    assert_eq!(consumer.get(&q), None);
    consumer.call(&delete(&q));
}

/// A publisher that never stops, and consumers that keep leaving, each by `leave`. In the end
/// every message was acked once or is still there, in order.
#[track_caller]
fn conserve(rounds: u64, leave: impl Fn(&Channel)) {
    let watcher = Channel::open();
    let q = watcher.shared_queue();
    let (is_done, published) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut acked = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let channel = Channel::open();
            channel.confirm_select();
            let mut sent = 0;
            while !is_done.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    channel.publish(&publish("", &q, sent.to_string()));
                    sent += 1;
                }
                let mut undecided = (sent - 19..=sent).collect();
                channel.confirms_of(&mut undecided);
            }
            published.store(sent, Ordering::Relaxed);
        });
        let _done = WhenDropped(&is_done);
        for _ in 0..rounds {
            let channel = Channel::open();
            channel.call(&qos(10));
            channel.subscribe(&q, "t");
            // The first of each round is settled, the rest is given back by leaving.
            let got = channel.delivery();
            channel.send(&ack(got.delivery_tag));
            channel.expect_settled();
            acked.push(got.text().parse::<u64>().unwrap());
            leave(&channel);
        }
    });
    let total = published.load(Ordering::Relaxed);
    acked.sort_unstable();
    let all: std::collections::BTreeSet<u64> = (0..total).collect();
    let left: Vec<u64> = all.into_iter().filter(|n| acked.binary_search(n).is_err()).collect();
    watcher.expect_ready(&q, left.len() as u32);
    let got: Vec<u64> = watcher.drain(&q).iter().map(|text| text.parse().unwrap()).collect();
    assert!(got == left, "expected {} messages in order, got {}", left.len(), got.len());
    watcher.call(&delete(&q));
}

#[test]
fn connection_cut_with_deliveries_under_way_loses_nothing() {
    conserve(60, |channel| channel.connection().cut());
}

#[test]
fn connection_closed_with_deliveries_under_way_loses_nothing() {
    conserve(60, |channel| {
        channel.connection().control().call(&connection_close());
    });
}

#[test]
fn channel_closed_with_deliveries_under_way_loses_nothing() {
    conserve(60, |channel| {
        channel.send(&channel_close());
        while channel.next().method.id != (20, 41) {}
        // The connection lives on and is closed when the test lets go of it.
        channel.reopen();
        channel.expect_nothing();
    });
}

#[test]
fn consumer_cancelled_with_deliveries_under_way_loses_nothing() {
    conserve(60, |channel| {
        channel.send(&cancel("t"));
        while channel.next().method.id != (60, 31) {}
        channel.expect_nothing();
        channel.send(&nack(0, true).multiple());
        channel.expect_nothing();
    });
}

/// Consumers on several connections that return half of what they get: each message is acked once.
#[test]
fn requeue_storm_settles_each_message_once() {
    let publisher = Channel::open();
    let q = publisher.shared_queue();
    let total = 1000;
    for n in 0..total {
        publisher.publish(&publish("", &q, n.to_string()));
    }
    publisher.expect_ready(&q, total);
    let acked: Vec<u32> = thread::scope(|scope| {
        let work = |seed: u64| {
            let q = &q;
            move || {
                let channel = Channel::open();
                let mut random = Random(seed);
                let mut acked = Vec::new();
                // basic.get tells where the end is; an empty answer may only mean that others hold
                // the rest, and what they give back they get again themselves.
                while let Some(got) = channel.get(q) {
                    if random.below(2) == 0 {
                        channel.send(&nack(got.delivery_tag, true));
                    } else {
                        channel.send(&ack(got.delivery_tag));
                        acked.push(got.text().parse::<u32>().unwrap());
                    }
                }
                channel.connection().close();
                acked
            }
        };
        let threads: Vec<_> = (1..=3).map(|seed| scope.spawn(work(seed))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut all = acked;
    all.extend(publisher.drain(&q).iter().map(|text| text.parse::<u32>().unwrap()));
    all.sort_unstable();
    assert_eq!(all, (0..total).collect::<Vec<_>>());
    publisher.call(&delete(&q));
}

/// A queue that comes and goes under a publisher: every publish is decided and confirmed.
#[test]
fn publish_against_delete_is_decided_either_way() {
    let q = name("flicker");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let channel = Channel::open();
            while !is_done.load(Ordering::Relaxed) {
                channel.declare(&queue(&q).durable());
                channel.call(&delete(&q));
            }
        });
        let _done = WhenDropped(&is_done);
        let channel = Channel::open();
        channel.confirm_select();
        for round in 0..30 {
            for _ in 0..50 {
                channel.publish(&publish("", &q, "m").mandatory().persistent());
            }
            let mut undecided = (round * 50 + 1..=round * 50 + 50).collect();
            let confirms = channel.confirms_of(&mut undecided);
            assert!(confirms.nacked.is_empty() && confirms.returned <= 50, "{confirms:?}");
        }
    });
}

/// Consume against delete: the consumer is cancelled or refused, never forgotten.
#[test]
fn consume_against_delete_is_cancelled_or_refused() {
    let (deleter, consumer) = (Channel::open(), Channel::open());
    for _ in 0..200 {
        let q = deleter.shared_queue();
        consumer.send(&consume(&q, "t"));
        deleter.send(&delete(&q));
        let first = consumer.next();
        match first.method.id {
            (60, 21) => {
                consumer.expect((60, 30));
            }
            (20, 40) => {
                assert_eq!(first.method.close().0, 404);
                consumer.send(&channel_close_ok());
                consumer.reopen();
            }
            _ => panic!("expected consume-ok or a 404, got {first:?}"),
        }
        deleter.expect((50, 41));
    }
}

/// One write with thousands of methods: a consumer elsewhere is woken by a publish in the midst
/// of it, without anything further from the publisher.
#[test]
fn consumer_is_woken_by_a_message_in_a_long_batch() {
    let publisher = Channel::open();
    let q = publisher.shared_queue();
    let filler = publisher.queue();
    let consumer = Channel::open();
    consumer.consume(&consume(&q, "t").no_ack());
    let to = |q: &str, body: &str| -> Vec<u8> {
        publish("", q, body).frames(1, 131_072).iter().flat_map(Frame::bytes).collect()
    };
    for round in 0..20 {
        let mut batch = Vec::new();
        for n in 0..1000 {
            let target = if n == round * 50 { &q } else { &filler };
            batch.extend(to(target, &n.to_string()));
        }
        publisher.connection().send_bytes(&batch);
        assert_eq!(consumer.delivery().text(), (round * 50).to_string());
    }
    publisher.call(&delete(&q));
}

/// Exclusive queues with the same names, again and again from several connections.
#[test]
fn exclusive_queue_has_one_owner_at_a_time() {
    let q = name("contended");
    thread::scope(|scope| {
        for owner in 0..4 {
            let q = &q;
            scope.spawn(move || {
                for _ in 0..40 {
                    let connection = Connection::open();
                    let channel = connection.channel(1);
                    channel.send(&queue(q).exclusive());
                    let got = channel.next();
                    match got.method.id {
                        (50, 11) => {
                            let body = owner.to_string();
                            channel.publish(&publish("", q, body.as_str()));
                            assert_eq!(channel.drain(q), [body]);
                        }
                        (20, 40) => {
                            assert_eq!(got.method.close().0, 405);
                            channel.send(&channel_close_ok());
                        }
                        _ => panic!("expected declare-ok or 405, got {got:?}"),
                    }
                    connection.close();
                }
            });
        }
    });
}

/// Auto-delete queues and their consumers: the last one to leave takes the queue along, once.
#[test]
fn auto_delete_queue_goes_when_its_consumers_leave_together() {
    let watcher = Channel::open();
    for _ in 0..30 {
        let q = watcher.declare(&queue(name("auto")).auto_delete()).queue;
        let all_are_there = Barrier::new(3);
        thread::scope(|scope| {
            for n in 0..3 {
                let (q, all_are_there) = (&q, &all_are_there);
                scope.spawn(move || {
                    let channel = Channel::open();
                    channel.subscribe(q, "t");
                    all_are_there.wait();
                    match n {
                        0 => channel.cancel("t"),
                        1 => channel.close(),
                        _ => channel.connection().close(),
                    }
                });
            }
        });
        let text = format!("NOT_FOUND - no queue '{q}' in vhost '/'");
        watcher.refused(&queue(&q).passive(), 404, text);
        watcher.reopen();
    }
}
