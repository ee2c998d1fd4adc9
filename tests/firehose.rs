//! The firehose: what is published and delivered in a vhost that is traced.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::json;

use crate::harness::*;

const EXCHANGE: &str = "amq.rabbitmq.trace";

/// A vhost that is traced, and somebody who is told.
struct Firehose {
    realm: Realm,
    listener: Channel,
}

impl Firehose {
    #[track_caller]
    fn open() -> Self {
        let realm = Realm::permitting(EVERYTHING);
        let listener = realm.guest();
        listener.declare(&queue("told").exclusive());
        listener.call(&bind("told", EXCHANGE, "#"));
        listener.consume(&consume("told", "listener").no_ack());
        realm.operator.trace(&realm.vhost, true);
        Self { realm, listener }
    }

    /// What is told next.
    #[track_caller]
    fn next(&self) -> Message {
        let told = self.listener.delivery();
        assert_eq!(told.exchange, EXCHANGE);
        told
    }

    /// The key and the headers of what is told next.
    #[track_caller]
    fn told(&self) -> (String, Table) {
        let told = self.next();
        (told.routing_key, told.properties.headers.expect("headers"))
    }

    /// The keys of what is told next, in order.
    #[track_caller]
    fn keys<const N: usize>(&self) -> [String; N] {
        std::array::from_fn(|_| self.next().routing_key)
    }

    /// What is told of a message: what is of its event's own, and the rest.
    fn about<const N: usize>(
        &self,
        channel: &Channel,
        exchange: &str,
        keys: [&str; N],
        properties: Table,
        (own, value): (&str, impl Into<Value>),
    ) -> Table {
        let node = api().get("/overview")["node"].as_str().unwrap().to_owned();
        Table::new()
            .with("channel", i32::from(channel.number))
            .with("connection", connection_name(channel))
            .with("exchange_name", exchange)
            .with("node", node)
            .with("properties", properties)
            .with(own, value)
            .with("routing_keys", texts(keys))
            .with("user", &self.realm.user)
            .with("vhost", &self.realm.vhost)
    }
}

/// The name that brokers give a connection: its two ends.
fn connection_name(channel: &Channel) -> String {
    let socket = channel.connection().socket();
    format!("{} -> {}", socket.local_addr().unwrap(), socket.peer_addr().unwrap())
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Value> {
    texts.into_iter().map(Value::from).collect()
}

// FH-003, FH-004, FH-005, FH-006
#[test]
fn a_publish_and_its_delivery_are_told_with_all_that_is_known_of_them() {
    let firehose = Firehose::open();
    let channel = firehose.realm.options().open().channel(7);
    let (q, x) = (channel.queue(), channel.exchange("direct"));
    channel.call(&bind(&q, &x, "key"));
    channel.subscribe(&q, "c");
    let headers = Table::new().with("k", true).with("t", Table::new().with("n", 5));
    let user = &firehose.realm.user;
    let sent = Properties {
        content_type: Some("a/b".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        headers: Some(headers.clone()),
        delivery_mode: Some(2),
        priority: Some(200),
        correlation_id: Some("corr".to_owned()),
        reply_to: Some("reply".to_owned()),
        expiration: Some("60000".to_owned()),
        message_id: Some("id".to_owned()),
        timestamp: Some(1_700_000_000),
        kind: Some("kind".to_owned()),
        user_id: Some(user.clone()),
        app_id: Some("app".to_owned()),
        cluster_id: Some("cluster".to_owned()),
    };
    channel.publish(&publish(&x, "key", "body").properties(sent.clone()));
    let delivered = channel.delivery();
    assert_eq!((delivered.text(), &delivered.properties), ("body".to_owned(), &sent));
    let properties = Table::new()
        .with("cluster_id", "cluster")
        .with("app_id", "app")
        .with("user_id", user)
        .with("type", "kind")
        .with("timestamp", 1_700_000_000)
        .with("message_id", "id")
        .with("expiration", "60000")
        .with("reply_to", "reply")
        .with("correlation_id", "corr")
        .with("priority", 200)
        .with("delivery_mode", 2)
        .with("headers", headers)
        .with("content_encoding", "utf-8")
        .with("content_type", "a/b");
    let about = |own: (&str, Value)| {
        let headers = Some(firehose.about(&channel, &x, ["key"], properties.clone(), own));
        Properties { headers, ..Properties::default() }
    };

    let told = firehose.next();
    assert_eq!((told.routing_key.as_str(), told.text()), (&*format!("publish.{x}"), "body".into()));
    assert_eq!(told.properties, about(("routed_queues", texts([&q]).into())));

    let told = firehose.next();
    assert_eq!((told.routing_key.as_str(), told.text()), (&*format!("deliver.{q}"), "body".into()));
    assert_eq!(told.properties, about(("redelivered", 0.into())));
    // What is told is told of no more.
    channel.expect_settled();
    firehose.listener.expect_nothing();
}

// FH-004
#[test]
fn a_message_that_is_got_is_told_and_whether_it_was_delivered_before() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let q = channel.queue();
    channel.fill(&q, ["m"]);
    let about = |own: (&str, Value)| firehose.about(&channel, "", [&q], Table::new(), own);
    let (key, headers) = firehose.told();
    assert_eq!(key, "publish.");
    assert_eq!(headers, about(("routed_queues", texts([&q]).into())));
    for (redelivered, is_requeued) in [(0, true), (1, false)] {
        let message = channel.get(&q).expect("the message");
        channel.send(&reject(message.delivery_tag, is_requeued));
        let (key, headers) = firehose.told();
        assert_eq!(key, format!("deliver.{q}"));
        assert_eq!(headers, about(("redelivered", redelivered.into())));
    }
    assert_eq!(channel.get(&q), None);
    firehose.listener.expect_nothing();
}

// FH-003, FH-007
#[test]
fn what_goes_nowhere_is_told_and_comes_back_and_is_confirmed() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    channel.confirm_select();
    channel.publish(&publish("amq.fanout", "nowhere", "lost"));
    channel.publish(&publish("amq.topic", "nowhere", "back").mandatory().persistent());
    let confirms = channel.confirms(2);
    assert_eq!((confirms.acked.len(), confirms.nacked.len(), confirms.returned), (2, 0, 1));
    for (key, body) in [("publish.amq.fanout", "lost"), ("publish.amq.topic", "back")] {
        let told = firehose.next();
        assert_eq!((told.routing_key.as_str(), told.text()), (key, body.to_owned()));
        assert_eq!(told.headers().get("routed_queues"), Some(&Value::Array(Vec::new())));
    }
    // What is refused was not published.
    channel.publish(&publish("missing", "", "refused"));
    channel.expect_close(404, starts_with("NOT_FOUND"), (60, 40));
    channel.reopen();
    channel.publish(&publish(EXCHANGE, "publish.", "refused"));
    channel.expect_close(403, starts_with("ACCESS_REFUSED"), (60, 40));
    firehose.listener.expect_nothing();
}

// FH-007
#[test]
fn a_queue_that_is_not_there_is_not_told() {
    if !only_on_lepus("RabbitMQ tells whatever the default exchange is given as a queue") {
        return;
    }
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    for key in ["nowhere", "amq.rabbitmq.reply-to.nobody"] {
        channel.publish(&publish("", key, "m"));
        assert_eq!(firehose.next().headers().get("routed_queues"), Some(&Value::Array(Vec::new())));
    }
}

// FH-005, FH-006
#[test]
fn every_queue_and_every_key_is_told_but_not_the_header_bcc() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let queues: [String; 3] = std::array::from_fn(|_| channel.queue());
    let [to, cc, bcc] = queues.each_ref().map(String::as_str);
    let carbon = Table::new().with("CC", texts([cc]));
    let sent = carbon.clone().with("BCC", texts([bcc]));
    channel.publish(&publish("", to, "m").headers(sent));
    let (_, headers) = firehose.told();
    assert_eq!(headers.get("routing_keys"), Some(&Value::Array(texts([to, cc, bcc]))));
    assert_eq!(headers.get("properties"), Some(&Table::new().with("headers", carbon).into()));
    let Some(Value::Array(routed)) = headers.get("routed_queues") else { panic!("{headers:?}") };
    let mut routed: Vec<_> = routed.iter().map(|queue| format!("{queue:?}")).collect();
    routed.sort();
    let mut expected = queues.each_ref().map(|queue| format!("{:?}", Value::from(queue)));
    expected.sort();
    assert_eq!(routed, expected);
    channel.get(bcc).expect("the copy");
    let (_, headers) = firehose.told();
    assert_eq!(headers.get("routing_keys"), Some(&Value::Array(texts([to, cc, bcc]))));
    assert!(matches!(headers.get("properties"), Some(Value::Table(shown)) if {
        matches!(shown.get("headers"), Some(Value::Table(shown)) if shown.keys() == ["CC"])
    }));
}

// FH-003
#[test]
fn a_publish_is_told_before_its_queue_has_it() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let q = channel.queue();
    channel.call(&bind(&q, EXCHANGE, "publish.#"));
    let bodies: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let frames = bodies.iter().flat_map(|body| publish("", &q, body.as_str()).frames(1, 131_072));
    channel.connection().send_bytes(&frames.flat_map(|frame| frame.bytes()).collect::<Vec<_>>());
    let expected: Vec<String> =
        bodies.iter().flat_map(|body| [body.clone(), body.clone()]).collect();
    assert_eq!(channel.drain(&q), expected);
    let exchanges: Vec<_> = bodies.iter().map(|_| firehose.next().routing_key).collect();
    assert!(exchanges.iter().all(|key| key == "publish."), "{exchanges:?}");
}

// FH-003, FH-004, FH-008
#[test]
fn who_publishes_and_consumes_may_listen_on_the_same_channel() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    let (q, told) = (channel.queue(), channel.queue());
    channel.call(&bind(&told, EXCHANGE, "#"));
    channel.consume(&consume(&q, "own").no_ack());
    channel.consume(&consume(&told, "told").no_ack());
    realm.operator.trace(&realm.vhost, true);
    let count = 500;
    for n in 0..count {
        channel.publish(&publish("", &q, n.to_string()));
    }
    let expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let all: Vec<_> = (0..3 * count).map(|_| channel.delivery()).collect();
    let deliver = format!("deliver.{q}");
    for (tag, key) in [("own", q.as_str()), ("told", "publish."), ("told", &deliver)] {
        let found = all.iter().filter(|m| m.consumer_tag == tag && m.routing_key == key);
        assert_eq!(found.map(Message::text).collect::<Vec<_>>(), expected, "{tag} {key}");
    }
    channel.expect_nothing();
}

// FH-006, FH-009
#[test]
fn dead_letters_are_delivered_but_nobody_publishes_them() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let letters = channel.queue();
    let q = channel.queue_with(letters_to(&letters));
    channel.fill(&q, ["m"]);
    let message = channel.get(&q).expect("the message");
    channel.send(&reject(message.delivery_tag, false));
    channel.subscribe(&letters, "letters");
    let letter = channel.delivery();
    assert_eq!(firehose.keys(), ["publish.".to_owned(), format!("deliver.{q}")]);
    let (key, headers) = firehose.told();
    assert_eq!((key, headers.text("exchange_name")), (format!("deliver.{letters}"), ""));
    assert_eq!(headers.get("routing_keys"), Some(&Value::Array(texts([&letters]))));
    let Some(Value::Table(properties)) = headers.get("properties") else { panic!("{headers:?}") };
    let Some(Value::Table(shown)) = properties.get("headers") else { panic!("{properties:?}") };
    assert_eq!(shown.clone().sorted(), letter.headers());
    firehose.listener.expect_nothing();
}

// FH-008
#[test]
fn what_was_told_and_dies_is_delivered_like_any_other_letter() {
    let firehose = Firehose::open();
    let (channel, others) = (firehose.realm.channel(), firehose.realm.guest());
    let letters = others.queue();
    let short = others.queue_with(letters_to(&letters).with("x-max-length", 1));
    others.call(&bind(&short, EXCHANGE, "publish.#"));
    for body in ["one", "two"] {
        channel.publish(&publish("", "nowhere", body));
        assert_eq!(firehose.next().text(), body);
    }
    others.subscribe(&letters, "letters");
    assert_eq!(others.delivery().text(), "one");
    let told = firehose.next();
    assert_eq!(told.text(), "one");
    assert_eq!(told.routing_key, format!("deliver.{letters}"));
    others.expect_settled();
    firehose.listener.expect_nothing();
}

// FH-003
#[test]
fn a_transaction_is_told_when_it_is_made() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let q = channel.queue();
    channel.call(&tx_select());
    channel.fill(&q, ["undone"]);
    assert_eq!(firehose.next().text(), "undone");
    channel.call(&tx_rollback());
    channel.fill(&q, ["done"]);
    channel.call(&tx_commit());
    assert_eq!(firehose.next().text(), "done");
    assert_eq!(channel.drain(&q), ["done"]);
    assert_eq!(firehose.keys(), [format!("deliver.{q}")]);
    firehose.listener.expect_nothing();
}

// FH-005
#[test]
fn long_bodies_are_told_whole() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let q = channel.queue();
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    channel.publish(&publish("", &q, body.clone()).persistent());
    assert!(channel.get(&q).is_some_and(|message| message.body == body));
    for key in ["publish.", &format!("deliver.{q}")] {
        let told = firehose.next();
        assert_eq!(told.routing_key, key);
        assert!(told.body == body);
        assert_eq!(told.properties.delivery_mode, None, "what is told is transient");
    }
}

// FH-004
#[test]
fn replies_that_go_straight_to_who_asked_are_told() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    channel.consume(&consume("amq.rabbitmq.reply-to", "replies").no_ack());
    let q = channel.queue();
    let reply_to = Some("amq.rabbitmq.reply-to".to_owned());
    let asked = Properties { reply_to, ..Properties::default() };
    channel.publish(&publish("", &q, "request").properties(asked));
    let name = channel.get_by(&get(&q).no_ack()).unwrap().properties.reply_to.unwrap();
    let (_, headers) = firehose.told();
    assert_eq!(
        headers.get("properties"),
        Some(&Table::new().with("reply_to", &name).into()),
        "the name that stands for who asked"
    );
    assert_eq!(firehose.keys(), [format!("deliver.{q}")]);
    channel.publish(&publish("", &name, "reply"));
    assert_eq!(channel.delivery().text(), "reply");
    for expected in ["publish.".to_owned(), format!("deliver.{name}")] {
        let (key, headers) = firehose.told();
        assert_eq!(key, expected);
        assert_eq!(headers.get("routing_keys"), Some(&Value::Array(texts([&name]))));
    }
}

#[test]
fn a_trace_that_takes_no_more_refuses_nobody_elses_messages() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    // It keeps all in the store, has room for one message, and then says no.
    let full = Table::new()
        .with("x-queue-type", "quorum")
        .with("x-max-length", 1)
        .with("x-overflow", "reject-publish");
    channel.declare(&queue("full").durable().args(full));
    channel.call(&bind("full", EXCHANGE, "publish.#"));
    let q = channel.shared_queue();
    channel.confirm_select();
    let count = 200;
    for n in 0..count {
        channel.publish(&publish("", &q, n.to_string()).persistent());
    }
    channel.expect_acked(count);
    let expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(channel.drain(&q), expected);
    let told: Vec<_> = (0..count).map(|_| firehose.next().text()).collect();
    assert_eq!(told, expected);
}

#[test]
fn who_takes_a_long_queue_apart_waits_for_what_is_told_of_it() {
    let Some(private) = private_broker("store_inbox_max = \"1MiB\"") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("told").durable().arg("x-queue-type", "quorum"));
    channel.call(&bind("told", EXCHANGE, "deliver.#"));
    let q = channel.queue();
    let bodies: Vec<String> = (0..100).map(|n| format!("{n}{}", ".".repeat(200_000))).collect();
    for body in &bodies {
        channel.publish(&publish("", &q, body.as_str()));
    }
    channel.expect_ready(&q, 100);
    private.operator().trace("/", true);
    channel.consume(&consume(&q, "c").no_ack());
    assert!(channel.deliveries(100) == bodies);
    channel.cancel("c");
    assert!(channel.drain("told") == bodies);
}

/// Whether something is over.
#[derive(Default)]
struct Over(AtomicBool);

/// Says that it is, when dropped: whether the test fails or not.
struct AtTheEnd<'a>(&'a Over);

impl Over {
    fn at_the_end(&self) -> AtTheEnd<'_> {
        AtTheEnd(self)
    }
}

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn tracing_that_comes_and_goes_leaves_confirmed_messages_alone() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let q = channel.shared_queue();
    channel.confirm_select();
    let (operator, vhost) = (&firehose.realm.operator, &firehose.realm.vhost);
    let is_over = Over::default();
    let (count, batch) = (2_000, 100);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut is_traced = false;
            while !is_over.0.load(Ordering::Relaxed) {
                operator.trace(vhost, is_traced);
                is_traced = !is_traced;
            }
        });
        let _over = is_over.at_the_end();
        for first in (0..count).step_by(batch) {
            for n in first..first + batch {
                channel.publish(&publish("", &q, n.to_string()).persistent());
            }
            let mut undecided = (first as u64 + 1..=(first + batch) as u64).collect();
            assert!(channel.confirms_of(&mut undecided).nacked.is_empty());
        }
    });
    let expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(channel.drain(&q), expected);
}

// FH-001
#[test]
fn a_vhost_is_told_of_alone_and_as_long_as_it_is_traced() {
    let firehose = Firehose::open();
    let quiet = Realm::permitting(EVERYTHING);
    let channels = [firehose.realm.channel(), quiet.channel()];
    let listener = quiet.guest();
    listener.declare(&queue("told").exclusive());
    listener.call(&bind("told", EXCHANGE, "#"));
    for channel in &channels {
        channel.publish(&publish("", "nowhere", "m"));
        channel.expect_settled();
    }
    assert_eq!(firehose.keys(), ["publish."]);
    assert_eq!(listener.get("told"), None);
    firehose.realm.operator.trace(&firehose.realm.vhost, false);
    channels[0].publish(&publish("", "nowhere", "m"));
    channels[0].expect_settled();
    firehose.listener.expect_nothing();
}

#[test]
fn keys_are_told_by_topic() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let others = firehose.realm.guest();
    let exchanges = ["a.b", "c"];
    for (name, key) in [("ab", "publish.a.*"), ("published", "publish.#"), ("dq", "deliver.q")] {
        others.declare(&queue(name).exclusive());
        others.call(&bind(name, EXCHANGE, key));
    }
    channel.declare(&queue("q").exclusive());
    for x in exchanges {
        channel.call(&exchange(x, "fanout"));
        channel.call(&bind("q", x, ""));
        channel.publish(&publish(x, "", x));
    }
    assert_eq!(channel.drain("q"), exchanges);
    channel.expect_settled();
    assert_eq!(others.drain("ab"), ["a.b"]);
    assert_eq!(others.drain("published"), exchanges);
    assert_eq!(others.drain("dq"), exchanges);
}

// FH-001, FH-002
#[test]
fn the_flag_is_set_and_shown_through_the_api() {
    let firehose = Firehose::open();
    let path = format!("/vhosts/{}", part(&firehose.realm.vhost));
    let is_traced = || api().get(&path)["tracing"].clone();
    assert_eq!(is_traced(), true);
    // What says nothing of it leaves it.
    assert_eq!(api().put(&path, &json!({"description": "d"})).status, 204);
    assert_eq!(is_traced(), true);
    for (said, expected) in [(json!(false), false), (json!("true"), true), (json!("false"), false)]
    {
        assert_eq!(api().put(&path, &json!({"tracing": said})).status, 204);
        assert_eq!(is_traced(), expected);
    }
    let definitions = json!({"vhosts": [{"name": firehose.realm.vhost, "tracing": true}]});
    assert_eq!(api().post("/definitions", &definitions).status, 204);
    assert_eq!(is_traced(), true);
    for bad in [json!("x"), json!(1), json!(null)] {
        let refused = json!({"error": "bad_request", "reason": ["not_boolean", bad]});
        assert_eq!(api().put(&path, &json!({"tracing": bad})).json(), refused);
    }
    for bad in ["x", "false"] {
        let definitions = json!({"vhosts": [{"name": firehose.realm.vhost, "tracing": bad}]});
        assert_eq!(api().post("/definitions", &definitions).status, 400);
    }
    assert_eq!(is_traced(), true);
    // Definitions do not say whether a vhost is traced.
    let all = api().get("/definitions");
    let vhosts = all["vhosts"].as_array().unwrap();
    let own = vhosts.iter().find(|vhost| vhost["name"] == *firehose.realm.vhost).unwrap();
    assert!(own.get("tracing").is_none() && own["metadata"].get("tracing").is_none(), "{own}");
}

// FH-010
#[test]
fn what_the_api_publishes_and_gets_is_told() {
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let q = channel.shared_queue();
    let vhost = part(&firehose.realm.vhost);
    let body = json!({
        "routing_key": q, "properties": {}, "payload": "m", "payload_encoding": "string",
    });
    let answer = api().post(&format!("/exchanges/{vhost}/amq.default/publish"), &body);
    assert_eq!(answer.json(), json!({"routed": true}));
    let body = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
    assert_eq!(api().post(&format!("/queues/{vhost}/{q}/get"), &body).status, 200);
    for key in ["publish.", &format!("deliver.{q}")] {
        let (told, headers) = firehose.told();
        assert_eq!(told, key);
        assert_eq!(headers.text("user"), "guest");
        assert_eq!(headers.get("channel"), Some(&Value::I32(1)));
        assert_eq!(headers.get("routing_keys"), Some(&Value::Array(texts([&q]))));
    }
    firehose.listener.expect_nothing();
}

// FH-001
#[test]
fn no_restart_keeps_it() {
    let Some(mut private) = private_broker("") else { return };
    private.operator().add_vhost("v");
    private.operator().trace("v", true);
    assert_eq!(private.api().get("/vhosts/v")["tracing"], true);
    private.restart();
    assert_eq!(private.api().get("/vhosts/v")["tracing"], false);
}

// FH-011
#[test]
fn the_longest_names_are_told_cut_short() {
    if !only_on_lepus("RabbitMQ ends the publisher's connection with an internal error") {
        return;
    }
    let firehose = Firehose::open();
    let channel = firehose.realm.channel();
    let q = "q".repeat(255);
    channel.declare(&queue(&q).exclusive());
    channel.fill(&q, ["m"]);
    assert_eq!(channel.drain(&q), ["m"]);
    firehose.next();
    let (key, headers) = firehose.told();
    assert_eq!(key, format!("deliver.{}", &q[..247]));
    assert_eq!(headers.get("routing_keys"), Some(&Value::Array(texts([&q]))));
}
