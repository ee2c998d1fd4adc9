//! basic.get.

use crate::harness::*;

// BA-060
#[test]
fn get_ok_describes_the_message_and_what_is_left() {
    let channel = Channel::open();
    let q = channel.queue();
    let x = channel.exchange("direct");
    channel.call(&bind(&q, &x, "key"));
    channel.publish(&publish(&x, "key", "a").properties(Properties::persistent()));
    channel.fill(&q, ["b", "c"]);
    let got = channel.get(&q).unwrap();
    assert_eq!((got.delivery_tag, got.redelivered, got.left), (1, false, 2));
    assert_eq!((got.exchange, got.routing_key), (x, "key".to_owned()));
    assert_eq!((got.properties, got.body), (Properties::persistent(), b"a".to_vec()));
    let got = channel.get(&q).unwrap();
    assert_eq!((got.delivery_tag, got.left, got.exchange.as_str()), (2, 1, ""));
}

// BA-061
#[test]
fn empty_queue_answers_get_empty() {
    let channel = Channel::open();
    let q = channel.queue();
    assert_eq!(channel.get(&q), None);
    channel.fill(&q, ["a"]);
    channel.get(&q).unwrap();
    assert_eq!(channel.get(&q), None, "an unacked message is not ready");
}

// BA-062
#[test]
fn tags_count_gets_and_deliveries_of_the_channel_together() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["a", "b"]);
    assert_eq!(channel.get_by(&get(&q).no_ack()).unwrap().delivery_tag, 1);
    assert_eq!(channel.get(&q).unwrap().delivery_tag, 2);
    channel.consume(&consume(&q, "one").no_ack());
    channel.fill(&q, ["c"]);
    assert_eq!(channel.delivery().delivery_tag, 3);
    channel.cancel("one");
    channel.subscribe(&q, "two");
    channel.fill(&q, ["d"]);
    assert_eq!(channel.delivery().delivery_tag, 4);
    channel.send(&ack(2));
    channel.send(&ack(4));
    channel.refused(&ack(3), 406, "PRECONDITION_FAILED - unknown delivery tag 3");
}

// BA-062
#[test]
fn message_got_without_ack_is_settled() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["a"]);
    channel.get_by(&get(&q).no_ack()).unwrap();
    channel.call(&recover(true));
    assert_eq!(channel.get(&q), None);
    channel.refused(&ack(1), 406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

// BA-063
#[test]
fn get_stands_outside_every_prefetch() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(1));
    channel.fill(&q, ["a", "b", "c", "d"]);
    for _ in 0..3 {
        channel.get(&q).unwrap();
    }
    channel.subscribe(&q, "t");
    assert_eq!(channel.delivery().text(), "d");
    channel.fill(&q, ["e"]);
    assert_eq!(
        channel.get(&q).unwrap().text(),
        "e",
        "the consumer has no credit and get needs none"
    );
}

// BA-064
#[test]
fn get_from_a_missing_queue_is_not_found() {
    let channel = Channel::open();
    let text = "NOT_FOUND - no queue 'no-such-queue' in vhost '/'";
    channel.refused(&get("no-such-queue"), 404, text);
}

// QU-012
#[test]
fn get_is_not_a_consumer() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["a"]);
    channel.get(&q).unwrap();
    assert_eq!(channel.declare(&queue(&q).passive()).consumers, 0);
    channel.call(&delete(&q).if_unused());
}

// TOP-37
#[test]
fn get_that_races_a_deletion_is_answered() {
    let connection = Connection::open();
    let (getter, deleter) = (connection.channel(1), connection.channel(2));
    for _ in 0..200 {
        let q = deleter.queue();
        deleter.fill(&q, ["m"]);
        getter.send(&get(&q));
        deleter.send(&delete(&q));
        let id = getter.next().method.id;
        match id {
            (60, 71 | 72) => {}
            (20, 40) => {
                getter.send(&channel_close_ok());
                getter.reopen();
            }
            _ => panic!("expected get-ok, get-empty or a 404, got {}", method_name(id)),
        }
        deleter.expect((50, 41));
    }
}
