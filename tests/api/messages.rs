//! Messages through the API: publish, get, move.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Api, Channel, EVERYTHING, PASSWORD, Realm, Table, Value as Field, api, exchange,
    letters_to, name, only_on_lepus, part, private_broker, publish, queue,
};

/// A queue of the vhost `/` through the API.
struct Inbox {
    api: Api,
    name: String,
    path: String,
}

impl Inbox {
    fn of(channel: &Channel) -> Self {
        Self::named(channel.shared_queue())
    }

    fn with(channel: &Channel, arguments: Table) -> Self {
        let name = name("inbox");
        channel.call(&queue(&name).auto_delete().args(arguments));
        Self::named(name)
    }

    fn named(name: String) -> Self {
        let path = format!("/queues/%2F/{}", part(&name));
        Self { api: api(), name, path }
    }

    /// Publishes to the queue; what is in `more` takes the place of what is usual.
    #[track_caller]
    fn publish(&self, more: &Value) -> Answer {
        publish_to(&self.api, "/exchanges/%2F/amq.default", &self.name, more)
    }

    #[track_caller]
    fn get(&self, more: &Value) -> Vec<Value> {
        let answer = self.try_get(more);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json().as_array().unwrap().clone()
    }

    #[track_caller]
    fn try_get(&self, more: &Value) -> Answer {
        let usual = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        self.api.post(&format!("{}/get", self.path), &with(usual, more))
    }

    #[track_caller]
    fn payloads(&self, more: &Value) -> Vec<String> {
        self.get(more).iter().map(|m| m["payload"].as_str().unwrap().to_owned()).collect()
    }

    fn shift(&self, body: &Value) -> Answer {
        self.api.post(&format!("{}/move", self.path), body)
    }
}

fn with(mut usual: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        usual[key] = value.clone();
    }
    usual
}

#[track_caller]
fn publish_to(api: &Api, exchange: &str, key: &str, more: &Value) -> Answer {
    let usual = json!({
        "properties": {}, "routing_key": key, "payload": "hi", "payload_encoding": "string",
    });
    api.post(&format!("{exchange}/publish"), &with(usual, more))
}

// HT-039
#[test]
fn a_publish_says_whether_there_was_somewhere_to_go() {
    let channel = Channel::open();
    let inbox = Inbox::of(&channel);
    let routed = |answer: Answer| (answer.status, answer.json());
    assert_eq!(routed(inbox.publish(&json!({}))), (200, json!({"routed": true})));
    let nowhere = inbox.publish(&json!({"routing_key": name("none")}));
    assert_eq!(routed(nowhere), (200, json!({"routed": false})));
    let base64 = json!({"payload": "AP8=", "payload_encoding": "base64"});
    assert_eq!(routed(inbox.publish(&base64)), (200, json!({"routed": true})));
    assert_eq!(channel.get(&inbox.name).unwrap().text(), "hi");
    assert_eq!(channel.get(&inbox.name).unwrap().body, [0, 255]);
    assert_eq!(channel.get(&inbox.name), None);
}

// HT-039
#[test]
fn properties_go_to_clients_and_come_back() {
    let channel = Channel::open();
    let inbox = Inbox::of(&channel);
    let properties = json!({
        "content_type": "text/plain", "content_encoding": "utf8", "delivery_mode": 2,
        "priority": 5, "correlation_id": "c", "reply_to": "r", "expiration": "100000",
        "message_id": "m", "timestamp": 1_700_000_000, "type": "t", "user_id": "guest",
        "app_id": "a", "cluster_id": "cl",
        "headers": {
            "n": 1, "big": 9_999_999_999_i64, "d": 0.5, "on": true, "l": [1, "a"], "t": {"s": ""},
        },
    });
    inbox.publish(&json!({"properties": properties}));
    let shown = &inbox.get(&json!({}))[0];
    assert_eq!(shown["properties"], properties);
    let message = channel.get(&inbox.name).unwrap();
    let headers = message.headers();
    assert_eq!(headers.get("n"), Some(&Field::I64(1)));
    assert_eq!(headers.get("l"), Some(&Field::Array(vec![Field::I64(1), "a".into()])));
    assert_eq!(message.properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(message.properties.delivery_mode, Some(2));
    // HT-018
    inbox.publish(&json!({}));
    inbox.publish(&json!({"properties": {"headers": {}, "unknown": 1}}));
    let shown = inbox.get(&json!({"count": 2}));
    assert_eq!(shown[0]["properties"], json!([]));
    assert_eq!(shown[1]["properties"], json!({"headers": {}}));
}

// HT-006, HT-007, HT-039
#[test]
fn a_publish_that_makes_no_sense_is_refused() {
    let channel = Channel::open();
    let inbox = Inbox::of(&channel);
    let missing = api().post("/exchanges/%2F/amq.default/publish", &json!({}));
    let keys = "[{key_missing,routing_key},\n {key_missing,properties},\n {key_missing,payload},\n \
                {key_missing,payload_encoding}]";
    assert_eq!(missing.refusal(), (400, "bad_request".to_owned(), keys.to_owned()));
    for (more, reason) in [
        (json!({"payload": 5}), json!("payload_not_string")),
        (json!({"payload_encoding": "x"}), json!(["unsupported_encoding", "x"])),
        (json!({"payload": "!", "payload_encoding": "base64"}), json!(["not_base64", "!"])),
        (json!({"properties": {"priority": "5"}}), json!(["not_int", "priority"])),
        (json!({"properties": {"type": 5}}), json!(["not_string", "type"])),
        (json!({"properties": {"headers": {"a": null}}}), json!("null_not_allowed")),
        (
            json!({"properties": {"expiration": "x"}}),
            json!("406 PRECONDITION_FAILED - invalid expiration 'x': no_integer"),
        ),
        (
            json!({"properties": {"user_id": "x"}}),
            json!(
                "406 PRECONDITION_FAILED - user_id property set to 'x' but authenticated user was \
                 'guest'"
            ),
        ),
        (
            json!({"properties": {"reply_to": "amq.rabbitmq.reply-to"}}),
            json!("406 PRECONDITION_FAILED - fast reply consumer does not exist"),
        ),
        (
            json!({"properties": {"headers": {"CC": "x"}}}),
            json!(
                "406 PRECONDITION_FAILED - invalid message: \
                 {unacceptable_type_in_header,\"CC\",longstr}"
            ),
        ),
        (
            json!({"properties": {"message_id": "x".repeat(256)}}),
            json!("506 failed to deliver message: content_properties_shortstr_overflow"),
        ),
    ] {
        let answer = inbox.publish(&more);
        let expected = json!({"error": "bad_request", "reason": reason});
        assert_eq!((answer.status, answer.json()), (400, expected), "{more}");
    }
    assert_eq!(channel.get(&inbox.name), None);
    let not_found = |path: &str| publish_to(&api(), path, "k", &json!({})).refusal();
    let missing = |word: &str| (404, "not_found".to_owned(), word.to_owned());
    assert_eq!(not_found("/exchanges/%2F/none"), missing("exchange_not_found"));
    assert_eq!(not_found("/exchanges/none/none"), missing("vhost_not_found"));
    let internal = name("internal");
    channel.call(&exchange(&internal, "fanout").internal());
    let reason = format!(
        "403 ACCESS_REFUSED - cannot publish to internal exchange '{internal}' in vhost '/'"
    );
    assert_eq!(not_found(&format!("/exchanges/%2F/{internal}")).2, reason);
}

// HT-039, BA-010, BA-011
#[test]
fn carbon_copies_go_where_they_should_and_blind_ones_are_not_shown() {
    let channel = Channel::open();
    let [to, cc, bcc] = [0; 3].map(|_| Inbox::of(&channel));
    let headers = json!({"CC": [cc.name], "BCC": [bcc.name]});
    to.publish(&json!({"properties": {"headers": headers}}));
    for inbox in [&to, &cc, &bcc] {
        let shown = &inbox.get(&json!({}))[0];
        assert_eq!(shown["properties"], json!({"headers": {"CC": [cc.name]}}));
        assert_eq!((&shown["exchange"], &shown["routing_key"]), (&json!(""), &json!(to.name)));
    }
}

// HT-039, QU-114
#[test]
fn a_publish_that_a_queue_refuses_is_said_to_be_refused() {
    let channel = Channel::open();
    let arguments = Table::new().with("x-max-length", 1).with("x-overflow", "reject-publish");
    let inbox = Inbox::with(&channel, arguments);
    assert_eq!(inbox.publish(&json!({})).status, 200);
    let reason = "rejected Unable to publish message. Check queue limits.";
    let refused = (400, "bad_request".to_owned(), reason.to_owned());
    assert_eq!(inbox.publish(&json!({})).refusal(), refused);
}

// HT-086
#[test]
fn a_message_is_shown_with_all_that_is_known_of_it() {
    let channel = Channel::open();
    let inbox = Inbox::of(&channel);
    channel.fill(&inbox.name, ["a", "b"]);
    channel.expect_ready(&inbox.name, 2);
    let expected = json!({
        "payload_bytes": 1, "redelivered": false, "exchange": "", "routing_key": inbox.name,
        "message_count": 1, "properties": [], "payload": "a", "payload_encoding": "string",
    });
    assert_eq!(inbox.get(&json!({"ackmode": "ack_requeue_false"})), [expected]);
    assert_eq!(inbox.payloads(&json!({"count": 10, "ackmode": "ack_requeue_false"})), ["b"]);
    assert!(inbox.get(&json!({})).is_empty());
}

// HT-044
#[test]
fn what_becomes_of_shown_messages_is_what_was_asked_for() {
    let channel = Channel::open();
    let letters = Inbox::of(&channel);
    let inbox = Inbox::with(&channel, letters_to(&letters.name));
    channel.fill(&inbox.name, ["a", "b", "c"]);
    channel.expect_ready(&inbox.name, 3);
    let get = |count: u32, mode: &str| inbox.get(&json!({"count": count, "ackmode": mode}));
    let told = |shown: &[Value]| {
        let told = shown.iter().map(|m| (m["payload"].clone(), m["redelivered"] == true));
        told.collect::<Vec<_>>()
    };
    let all = |is_redelivered| ["a", "b", "c"].map(|body| (json!(body), is_redelivered)).to_vec();
    assert_eq!(told(&get(3, "ack_requeue_true")), all(false));
    assert_eq!(told(&get(5, "reject_requeue_true")), all(true));
    assert_eq!(told(&get(1, "reject_requeue_false")), all(true)[..1]);
    assert_eq!(letters.payloads(&json!({"count": 3})), ["a"]);
    assert_eq!(told(&get(2, "ack_requeue_false")), all(true)[1..]);
    assert!(get(1, "ack_requeue_true").is_empty());
    assert!(get(0, "ack_requeue_true").is_empty());
}

// HT-044
#[test]
fn payloads_are_cut_and_encoded() {
    let channel = Channel::open();
    let inbox = Inbox::of(&channel);
    inbox.publish(&json!({"payload": "\u{e4}bc"}));
    let shown = |more: Value| {
        let shown = inbox.get(&more)[0].clone();
        assert_eq!(shown["payload_bytes"], 4);
        (shown["payload"].clone(), shown["payload_encoding"].clone())
    };
    let pair = |payload: &str, encoding: &str| (json!(payload), json!(encoding));
    assert_eq!(shown(json!({})), pair("\u{e4}bc", "string"));
    assert_eq!(shown(json!({"truncate": 3})), pair("\u{e4}b", "string"));
    assert_eq!(shown(json!({"truncate": "50"})), pair("\u{e4}bc", "string"));
    // A half of a letter is no text.
    assert_eq!(shown(json!({"truncate": 1})), pair("ww==", "base64"));
    assert_eq!(shown(json!({"truncate": 0})), pair("", "string"));
    assert_eq!(shown(json!({"encoding": "base64", "count": "1"})), pair("w6RiYw==", "base64"));
    inbox.get(&json!({"ackmode": "ack_requeue_false"}));
    inbox.publish(&json!({"payload": "/w==", "payload_encoding": "base64"}));
    assert_eq!(inbox.get(&json!({}))[0]["payload_encoding"], "base64");
}

// HT-007, HT-044
#[test]
fn a_get_that_makes_no_sense_is_refused() {
    let channel = Channel::open();
    let inbox = Inbox::of(&channel);
    let empty = api().post(&format!("{}/get", inbox.path), &json!({}));
    let keys = "[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]";
    assert_eq!(empty.refusal(), (400, "bad_request".to_owned(), keys.to_owned()));
    for (more, reason) in [
        (
            json!({"ackmode": "x"}),
            json!(
                "Invalid ackmode value: x. Valid values are: ack_requeue_true, ack_requeue_false, \
                 reject_requeue_true, reject_requeue_false"
            ),
        ),
        (json!({"count": "x"}), json!(["not_integer", "x"])),
        (json!({"truncate": "x"}), json!(["not_integer", "x"])),
        (json!({"encoding": "x"}), json!("Unsupported encoding. Please use auto or base64.")),
    ] {
        let answer = inbox.try_get(&more);
        let expected = json!({"error": "bad_request", "reason": reason});
        assert_eq!((answer.status, answer.json()), (400, expected), "{more}");
    }
    let missing = |word: &str| (404, "not_found".to_owned(), word.to_owned());
    let get = |path: &str| api().post(path, &json!({})).refusal();
    assert_eq!(get("/queues/%2F/none/get"), missing("queue_not_found"));
    assert_eq!(get("/queues/none/none/get"), missing("vhost_not_found"));
    let exclusive = name("exclusive");
    channel.call(&queue(&exclusive).exclusive());
    let (status, _, reason) = Inbox::named(exclusive).try_get(&json!({})).refusal();
    assert_eq!(status, 400);
    assert!(reason.starts_with("405 RESOURCE_LOCKED - cannot obtain exclusive access"), "{reason}");
}

// PO-021, PO-020, HT-004
#[test]
fn publish_and_get_take_the_rights_of_a_client() {
    let realm = Realm::new();
    let vhost = part(&realm.vhost);
    realm.operator.add_user(&realm.user, &["management"]);
    let me = api().login(&realm.user, PASSWORD);
    let exchange_path = format!("/exchanges/{vhost}/amq.topic");
    let publish = |key: &str| publish_to(&me, &exchange_path, key, &json!({}));
    let get = || {
        let body = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        me.post(&format!("/queues/{vhost}/q/get"), &body)
    };
    realm.guest().call(&queue("q"));
    // Somebody else's vhost is as if it were not there.
    let hidden = (404, "not_found".to_owned(), "Not Found".to_owned());
    assert_eq!([publish("k").refusal(), get().refusal()], [hidden.clone(), hidden]);
    realm.permit(["", "", ""]);
    let refused = format!("403 {}", realm.refusal("write", "exchange 'amq.topic'"));
    assert_eq!(publish("k").refusal(), (400, "bad_request".to_owned(), refused));
    let refused = realm.refusal("read", "queue 'q'");
    assert_eq!(get().refusal(), (401, "not_authorised".to_owned(), refused));
    realm.permit(EVERYTHING);
    realm.operator.permit_topic(&realm.user, &realm.vhost, "amq.topic", ["^a", ".*"]);
    assert_eq!([publish("a.b").status, get().status], [200, 200]);
    let refused = realm.text(
        "403 ACCESS_REFUSED - write access to topic 'b' in exchange 'amq.topic' in vhost '{v}' \
         refused for user '{u}'",
    );
    assert_eq!(publish("b").refusal().2, refused);
}

// BA-262
#[test]
fn a_look_counts_towards_no_limit() {
    if !only_on_lepus("classic queues have no limit there") {
        return;
    }
    let channel = Channel::open();
    let arguments = Table::new().with("x-delivery-limit", 1).with("x-retry-delay", 600_000);
    let inbox = Inbox::with(&channel, arguments);
    inbox.publish(&json!({}));
    for is_redelivered in [false, true, true, true] {
        assert_eq!(inbox.get(&json!({}))[0]["redelivered"], json!(is_redelivered));
    }
    // Nor does it wait before it is there again.
    assert_eq!(channel.get(&inbox.name).unwrap().text(), "hi");
}

// QT-027, BA-261
#[test]
fn quorum_queues_show_how_often_a_message_came_back() {
    let channel = Channel::open();
    let name = name("quorum");
    channel.call(&queue(&name).durable().arg("x-queue-type", "quorum"));
    let inbox = Inbox::named(name.clone());
    inbox.publish(&json!({}));
    let count = |mode: &str| {
        inbox.get(&json!({"ackmode": mode}))[0]["properties"]["headers"]["x-delivery-count"].clone()
    };
    // Those who put a message back at once see it at once.
    let counts = ["reject_requeue_true", "reject_requeue_true", "ack_requeue_false"].map(count);
    assert_eq!(counts, [Value::Null, json!(1), json!(2)]);
    api().delete(&inbox.path);
}

#[test]
fn messages_that_left_memory_are_shown_and_moved() {
    let Some(broker) = private_broker("resident_max = \"1MiB\"") else { return };
    let connection = broker.open();
    let channel = connection.channel(1);
    let (from, to) = (channel.shared_queue(), channel.shared_queue());
    let body = vec![b'x'; 10_000];
    for _ in 0..500 {
        channel.publish(&publish("", &from, body.clone()).persistent());
    }
    channel.expect_ready(&from, 500);
    let mut inbox = Inbox::named(from);
    inbox.api = broker.api();
    let shown = inbox.get(&json!({"count": 500, "truncate": 1}));
    assert_eq!(shown.len(), 500);
    assert!(shown.iter().all(|message| message["payload"] == "x"));
    let moved = inbox.shift(&json!({"destination": to}));
    assert_eq!((moved.status, moved.json()), (200, json!({"moved": 500})));
    channel.expect_ready(&to, 500);
    channel.expect_ready(&inbox.name, 0);
    assert_eq!(channel.get(&to).unwrap().body, body);
}

#[test]
fn messages_are_moved_in_order_and_as_they_are() {
    if !only_on_lepus("RabbitMQ makes a shovel for that") {
        return;
    }
    let channel = Channel::open();
    let (from, to) = (Inbox::of(&channel), Inbox::of(&channel));
    channel.fill(&from.name, ["a", "b", "c", "d"]);
    channel.expect_ready(&from.name, 4);
    let moved = |answer: Answer| answer.json()["moved"].clone();
    assert_eq!(moved(from.shift(&json!({"destination": to.name, "count": 3}))), json!(3));
    let shown = to.get(&json!({"count": 9}));
    let told: Vec<_> =
        shown.iter().map(|m| (m["payload"].clone(), m["redelivered"].clone())).collect();
    assert_eq!(told, ["a", "b", "c"].map(|body| (json!(body), json!(false))));
    assert_eq!(shown[0]["routing_key"], json!(from.name));
    assert_eq!(from.payloads(&json!({"count": 9})), ["d"]);
    assert_eq!(moved(to.shift(&json!({"destination": from.name}))), json!(3));
    assert_eq!(moved(to.shift(&json!({"destination": from.name}))), json!(0));
    assert_eq!(from.payloads(&json!({"count": 9})), ["d", "a", "b", "c"]);
}

#[test]
fn what_does_not_fit_stays_where_it_was() {
    if !only_on_lepus("RabbitMQ makes a shovel for that") {
        return;
    }
    let channel = Channel::open();
    let from = Inbox::of(&channel);
    let arguments = Table::new().with("x-max-length", 1).with("x-overflow", "reject-publish");
    let to = Inbox::with(&channel, arguments);
    channel.fill(&from.name, ["a", "b", "c"]);
    channel.expect_ready(&from.name, 3);
    let reason = format!("queue '{}' in vhost '/' takes no more", to.name);
    let expected = json!({"moved": 1, "reason": reason});
    assert_eq!(from.shift(&json!({"destination": to.name})).json(), expected);
    assert_eq!(from.payloads(&json!({"count": 9})), ["b", "c"]);
    let refused = |body: Value| {
        let (status, _, reason) = from.shift(&body).refusal();
        (status, reason)
    };
    let bad = |reason: &str| (400, reason.to_owned());
    assert_eq!(refused(json!({})), bad("[{key_missing,destination}]"));
    assert_eq!(refused(json!({"destination": "none"})), bad("no queue 'none' in vhost '/'"));
    let itself = "a queue's messages cannot be moved to itself";
    assert_eq!(refused(json!({"destination": from.name})), bad(itself));
}

#[test]
fn moved_messages_are_where_they_went_after_a_restart() {
    let Some(mut broker) = private_broker("") else { return };
    let (from, to) = (name("from"), name("to"));
    {
        let connection = broker.open();
        let channel = connection.channel(1);
        for name in [&from, &to] {
            channel.call(&queue(name).durable());
        }
        channel.fill_persistent(&from, ["a", "b", "c"]);
        channel.expect_ready(&from, 3);
        let mut inbox = Inbox::named(from.clone());
        inbox.api = broker.api();
        let moved = inbox.shift(&json!({"destination": to, "count": 2}));
        assert_eq!(moved.json(), json!({"moved": 2}));
    }
    broker.restart();
    let channel = broker.open().channel(1);
    assert_eq!(
        (channel.drain(&from), channel.drain(&to)),
        (vec!["c".to_owned()], vec!["a".to_owned(), "b".to_owned()])
    );
}
