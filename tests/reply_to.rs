//! Direct reply-to: `amq.rabbitmq.reply-to`.

use crate::harness::*;

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// A channel that waits for direct replies.
#[track_caller]
fn requester() -> Channel {
    let channel = Channel::open();
    channel.consume(&consume(REPLY_TO, "replies").no_ack());
    channel
}

fn request(q: &str) -> Publish {
    let reply_to = Some(REPLY_TO.to_owned());
    publish("", q, "request").properties(Properties { reply_to, ..Properties::default() })
}

/// Sends a request and returns the name that the responder sees.
#[track_caller]
fn name_of(requester: &Channel, responder: &Channel, q: &str) -> String {
    requester.publish(&request(q));
    requester.expect_settled();
    let got = responder.get_by(&get(q).no_ack()).expect("the request");
    got.properties.reply_to.expect("a name to reply to")
}

// BA-160, BA-162, BA-163, BA-164
#[test]
fn reply_goes_straight_to_who_asked() {
    let (requester, responder) = (requester(), Channel::open());
    let q = responder.durable_queue(Table::new());
    let to = name_of(&requester, &responder, &q);
    assert!(to.starts_with("amq.rabbitmq.reply-to.") && to.len() > 30, "{to}");
    assert_eq!(name_of(&requester, &responder, &q), to, "it stays the same");
    let properties = Properties { correlation_id: Some("c".to_owned()), ..Properties::default() };
    responder.publish(&publish("", &to, "reply").properties(properties.clone()));
    let reply = requester.delivery();
    assert_eq!(reply.text(), "reply");
    assert_eq!(reply.consumer_tag, "replies");
    assert_eq!((reply.exchange.as_str(), &reply.routing_key), ("", &to));
    assert!(!reply.redelivered);
    assert_eq!(reply.properties, properties);
    responder.call(&delete(&q));
}

// BA-164
#[test]
fn replies_keep_their_order_and_their_size() {
    let (requester, responder) = (requester(), Channel::open());
    let q = responder.durable_queue(Table::new());
    let to = name_of(&requester, &responder, &q);
    let long = "x".repeat(400_000);
    for n in 0..100 {
        responder.publish(&publish("", &to, n.to_string()).persistent());
    }
    responder.publish(&publish("", &to, long.clone()));
    let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(requester.deliveries(100), expected);
    assert!(requester.delivery().text() == long, "the long reply is another");
    responder.call(&delete(&q));
}

// BA-161
#[test]
fn reply_consumer_cannot_acknowledge() {
    let channel = Channel::open();
    let text = "PRECONDITION_FAILED - reply consumer cannot acknowledge";
    channel.refused(&consume(REPLY_TO, "t"), 406, text);
}

// BA-160, BA-161
#[test]
fn channel_has_one_reply_consumer() {
    let channel = requester();
    let text = "PRECONDITION_FAILED - reply consumer already set";
    channel.refused(&consume(REPLY_TO, "other").no_ack(), 406, text);
}

// BA-162
#[test]
fn request_needs_a_reply_consumer_on_its_channel() {
    let connection = Connection::open();
    let (with, without) = (connection.channel(1), connection.channel(2));
    with.consume(&consume(REPLY_TO, "replies").no_ack());
    without.publish(&request("nowhere"));
    let text = "PRECONDITION_FAILED - fast reply consumer does not exist";
    without.expect_close(406, text, (60, 40));
    with.publish(&request("nowhere"));
    with.expect_nothing();
}

// BA-165, BA-168
#[test]
fn replies_are_confirmed_and_never_returned() {
    let (requester, responder) = (requester(), Channel::open());
    let q = responder.durable_queue(Table::new());
    let to = name_of(&requester, &responder, &q);
    responder.confirm_select();
    responder.publish(&publish("", &to, "alive").mandatory());
    assert_eq!(responder.next_confirm().1, 1);
    assert_eq!(requester.delivery().text(), "alive");
    requester.cancel("replies");
    responder.publish(&publish("", &to, "dead").mandatory());
    assert_eq!(responder.next_confirm().1, 2);
    responder.expect_nothing();
    responder.call(&delete(&q));
}

// BA-166
#[test]
fn passive_declare_tells_whether_a_requester_is_alive() {
    let (requester, responder) = (requester(), Channel::open());
    let q = responder.durable_queue(Table::new());
    let to = name_of(&requester, &responder, &q);
    let alive = responder.declare(&queue(&to).passive());
    assert_eq!(alive, Declared { queue: to.clone(), messages: 0, consumers: 1 });
    requester.cancel("replies");
    let text = format!("NOT_FOUND - no queue '{to}' in vhost '/'");
    responder.refused(&queue(&to).passive(), 404, text);
    responder.reopen();
    responder.call(&delete(&q));
}

// BA-167
#[test]
fn new_reply_consumer_has_a_new_name() {
    let (requester, responder) = (requester(), Channel::open());
    let q = responder.durable_queue(Table::new());
    let first = name_of(&requester, &responder, &q);
    requester.cancel("replies");
    requester.consume(&consume(REPLY_TO, "again").no_ack());
    let second = name_of(&requester, &responder, &q);
    assert_ne!(first, second);
    responder.publish(&publish("", &first, "too late"));
    responder.publish(&publish("", &second, "in time"));
    assert_eq!(requester.delivery().text(), "in time");
    responder.call(&delete(&q));
}

// BA-160
#[test]
fn every_channel_has_replies_of_its_own() {
    let connection = Connection::open();
    let (one, two, responder) = (connection.channel(1), connection.channel(2), Channel::open());
    let q = responder.durable_queue(Table::new());
    one.consume(&consume(REPLY_TO, "replies").no_ack());
    two.consume(&consume(REPLY_TO, "replies").no_ack());
    let to_one = name_of(&one, &responder, &q);
    let to_two = name_of(&two, &responder, &q);
    responder.publish(&publish("", &to_two, "two"));
    responder.publish(&publish("", &to_one, "one"));
    assert_eq!(one.delivery().text(), "one");
    assert_eq!(two.delivery().text(), "two");
    responder.call(&delete(&q));
}

// BA-162
#[test]
fn other_reply_names_are_left_alone() {
    let channel = Channel::open();
    let q = channel.queue();
    for reply_to in ["my-queue", "amq.rabbitmq.reply-to.mine"] {
        let properties =
            Properties { reply_to: Some(reply_to.to_owned()), ..Properties::default() };
        channel.publish(&publish("", &q, "m").properties(properties));
        assert_eq!(channel.get(&q).unwrap().properties.reply_to.as_deref(), Some(reply_to));
    }
}

// QU-020
#[test]
fn every_declare_of_a_reply_name_only_asks_whether_it_is_alive() {
    let (requester, responder) = (requester(), Channel::open());
    let q = responder.durable_queue(Table::new());
    let to = name_of(&requester, &responder, &q);
    let declares = |name: &str| {
        let plain = queue(name);
        [plain.clone(), plain.clone().passive(), plain.clone().durable(), plain.exclusive()]
    };
    // Where replies go to is there even for those who wait for none.
    for name in [REPLY_TO, &to] {
        let alive = Declared { queue: name.to_owned(), messages: 0, consumers: 1 };
        for declare in declares(name) {
            assert_eq!(responder.declare(&declare), alive, "{declare:?}");
        }
    }
    requester.cancel("replies");
    for declare in declares(&to) {
        let text = format!("NOT_FOUND - no queue '{to}' in vhost '/'");
        responder.refused(&declare, 404, text);
        responder.reopen();
    }
    responder.call(&delete(&q));
}

// BA-064
#[test]
fn replies_are_not_got() {
    let channel = requester();
    channel.refused(&get(REPLY_TO), 404, format!("NOT_FOUND - no queue '{REPLY_TO}' in vhost '/'"));
}

// EX-052
#[test]
fn nothing_is_bound_to_a_reply_name() {
    let (requester, responder) = (requester(), Channel::open());
    let q = responder.durable_queue(Table::new());
    let to = name_of(&requester, &responder, &q);
    for request in [bind(&to, "amq.direct", "k"), unbind(&to, "amq.direct", "k")] {
        let text = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue";
        responder.refused(&request, 403, text);
        responder.reopen();
    }
    // The name that stands for all of them is no queue's, even to those who wait for replies.
    let text = format!("NOT_FOUND - no queue '{REPLY_TO}' in vhost '/'");
    for channel in [&requester, &responder] {
        channel.call(&unbind(REPLY_TO, "amq.direct", "k"));
        channel.refused(&bind(REPLY_TO, "amq.direct", "k"), 404, text.as_str());
        channel.reopen();
    }
    responder.call(&delete(&q));
}
