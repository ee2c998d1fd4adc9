//! Exchange types beyond the four of AMQP: hashing and random ones.

use crate::harness::*;

/// The types that a RabbitMQ has as plugins, which may not be there.
fn has_plugins() -> bool {
    only_on_lepus("its plugins may not be enabled")
}

/// How many of 1000 messages with different keys each queue has got.
fn spread(channel: &Channel, exchange: &str, queues: &[String]) -> Vec<u32> {
    for n in 0..1000 {
        channel.publish(&publish(exchange, &format!("key {n}"), n.to_string()).mandatory());
    }
    queues.iter().map(|queue| channel.count(&purge(queue))).collect()
}

// EX-090
#[test]
fn weights_of_a_consistent_hash_are_checked() {
    if !has_plugins() {
        return;
    }
    let channel = Channel::open();
    let x = channel.exchange("x-consistent-hash");
    let q = channel.queue();
    for (key, text) in [
        ("abc", "The binding key must be an integer: <<\"abc\">>"),
        ("", "The binding key must be an integer: <<>>"),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
    ] {
        let request = bind(&q, &x, key);
        channel.refused(&request, 406, format!("PRECONDITION_FAILED - {text}"));
        channel.reopen();
    }
    channel.call(&bind(&q, &x, "10000"));
    channel.call(&exchange_bind("amq.fanout", &x, "1"));
    channel.call(&exchange_unbind("amq.fanout", &x, "1"));
}

// EX-091
#[test]
fn arguments_of_a_consistent_hash_are_checked() {
    if !has_plugins() {
        return;
    }
    let channel = Channel::open();
    let declare = || exchange(name("x"), "x-consistent-hash");
    for (request, text) in [
        (declare().arg("hash-property", "foo"), "Unsupported property: foo"),
        (
            declare().arg("hash-property", "message_id").arg("hash-header", "h"),
            "hash-header and hash-property are mutually exclusive",
        ),
        (declare().arg("hash-header", 1), "hash-header must be a string"),
    ] {
        channel.refused(&request, 406, format!("PRECONDITION_FAILED - {text}"));
        channel.reopen();
    }
}

// EX-090, EX-092
#[test]
fn consistent_hash_spreads_by_weight_and_an_unbind_moves_nothing_else() {
    if !has_plugins() {
        return;
    }
    let channel = Channel::open();
    let x = channel.exchange("x-consistent-hash");
    let queues = [channel.queue(), channel.queue(), channel.queue()];
    for (queue, weight) in queues.iter().zip(["1", "1", "2"]) {
        channel.call(&bind(queue, &x, weight));
    }
    // A second binding adds nothing.
    channel.call(&bind(&queues[0], &x, "7"));
    let counts = spread(&channel, &x, &queues);
    assert_eq!(counts.iter().sum::<u32>(), 1000);
    for (count, fair) in counts.iter().zip([250, 250, 500]) {
        assert!(count.abs_diff(fair) < 80, "{counts:?}");
    }
    let route = |key: &str| {
        channel.publish(&publish(&x, key, "m"));
        queues.iter().position(|queue| channel.get_by(&get(queue).no_ack()).is_some()).unwrap()
    };
    let keys: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let before: Vec<usize> = keys.iter().map(|key| route(key)).collect();
    assert_eq!(keys.iter().map(|key| route(key)).collect::<Vec<_>>(), before);
    channel.call(&unbind(&queues[1], &x, "1"));
    let after: Vec<usize> = keys.iter().map(|key| route(key)).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| *before == 1 || before == after));
    assert!(!after.contains(&1));
    channel.call(&bind(&queues[1], &x, "1"));
    assert_eq!(keys.iter().map(|key| route(key)).collect::<Vec<_>>(), before);
}

// EX-091
#[test]
fn consistent_hash_of_a_header_or_a_property_ignores_the_key() {
    if !has_plugins() {
        return;
    }
    let channel = Channel::open();
    let queues = [channel.queue(), channel.queue(), channel.queue()];
    let by_header = |n: usize| Properties {
        headers: Some(Table::new().with("h", n.to_string())),
        ..Properties::default()
    };
    let by_id = |n: usize| Properties { message_id: Some(n.to_string()), ..Properties::default() };
    let by_time = |n: usize| Properties { timestamp: Some(n as u64), ..Properties::default() };
    for (argument, value, properties) in [
        ("hash-header", "h", &by_header as &dyn Fn(usize) -> Properties),
        ("hash-property", "message_id", &by_id),
        ("hash-property", "timestamp", &by_time),
    ] {
        let x = name("hash");
        channel.call(&exchange(&x, "x-consistent-hash").auto_delete().arg(argument, value));
        for queue in &queues {
            channel.call(&bind(queue, &x, "1"));
        }
        let mut used = [0; 3];
        for n in 0..30 {
            // Whatever the key, it is one queue.
            for key in ["a", "b"] {
                channel.publish(&publish(&x, key, "m").properties(properties(n)));
            }
            let counts = queues.each_ref().map(|queue| channel.count(&purge(queue)));
            let at = counts.iter().position(|count| *count == 2).unwrap();
            used[at] += 1;
        }
        assert!(used.iter().all(|count| *count > 0), "{used:?}");
    }
}

// EX-090, EX-092
#[test]
fn hashes_are_the_same_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let queues = ["q1", "q2", "q3", "q4"];
    let channel = private.open().channel(1);
    for kind in ["x-consistent-hash", "x-modulus-hash"] {
        channel.call(&exchange(kind, kind).durable());
    }
    for queue_name in queues {
        channel.declare(&queue(queue_name).durable());
    }
    // In another order than that of the names.
    for queue_name in ["q3", "q1", "q4", "q2"] {
        channel.call(&bind(queue_name, "x-consistent-hash", "3"));
        channel.call(&bind(queue_name, "x-modulus-hash", ""));
    }
    let routes = |channel: &Channel| -> Vec<usize> {
        let pairs = (0..40).flat_map(|n| ["x-consistent-hash", "x-modulus-hash"].map(|x| (x, n)));
        let route = |(x, n): (&str, u32)| {
            channel.publish(&publish(x, &n.to_string(), "m"));
            queues.iter().position(|queue| channel.get_by(&get(queue).no_ack()).is_some()).unwrap()
        };
        pairs.map(route).collect()
    };
    let before = routes(&channel);
    private.restart();
    assert_eq!(routes(&private.open().channel(1)), before);
}

// EX-093
#[test]
fn random_exchange_picks_one_queue_whatever_the_key() {
    if !has_plugins() {
        return;
    }
    let channel = Channel::open();
    let x = channel.exchange("x-random");
    let queues = [channel.queue(), channel.queue(), channel.queue()];
    for (queue, key) in queues.iter().zip(["", "a", "b"]) {
        channel.call(&bind(queue, &x, key));
    }
    for _ in 0..300 {
        channel.publish(&publish(&x, "same", "m"));
    }
    let counts = queues.each_ref().map(|queue| channel.count(&purge(queue)));
    assert_eq!(counts.iter().sum::<u32>(), 300);
    assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
}

// EX-094
#[test]
fn local_random_takes_classic_queues_without_a_key() {
    let channel = Channel::open();
    let x = channel.exchange("x-local-random");
    let queues = [channel.queue(), channel.queue()];
    let refused = |request: &Request, text: &str| {
        channel.refused(request, 406, format!("PRECONDITION_FAILED - {text}"));
        channel.reopen();
    };
    refused(&bind(&queues[0], &x, "k"), "Non empty binding 'k' key not permitted");
    refused(&exchange_bind("amq.fanout", &x, ""), "Destination not found");
    refused(&exchange_bind("amq.fanout", &x, "k"), "Non empty binding 'k' key not permitted");
    for queue in &queues {
        channel.call(&bind(queue, &x, ""));
    }
    for _ in 0..100 {
        channel.publish(&publish(&x, "any", "m").mandatory());
    }
    let counts = queues.each_ref().map(|queue| channel.count(&purge(queue)));
    assert_eq!(counts.iter().sum::<u32>(), 100);
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

// EX-095
#[test]
fn modulus_hash_gives_each_key_one_queue() {
    let channel = Channel::open();
    let x = channel.exchange("x-modulus-hash");
    let queues = [channel.queue(), channel.queue(), channel.queue()];
    for (queue, key) in queues.iter().zip(["", "a", "b"]) {
        channel.call(&bind(queue, &x, key));
    }
    let counts = spread(&channel, &x, &queues);
    assert_eq!(counts.iter().sum::<u32>(), 1000);
    assert!(counts.iter().all(|count| (230..440).contains(count)), "{counts:?}");
    for _ in 0..9 {
        channel.publish(&publish(&x, "same", "m"));
    }
    let counts = queues.each_ref().map(|queue| channel.count(&purge(queue)));
    assert!(counts.contains(&9), "{counts:?}");
}
