//! Who may do what: COMPATIBILITY chapter 6.1. All of it runs against RabbitMQ 4.3 too.

use crate::harness::*;

/// What a client asks for.
#[derive(Clone, Debug)]
enum Ask {
    Call(Request),
    Publish(Box<Publish>),
}

impl From<Request> for Ask {
    fn from(request: Request) -> Self {
        Self::Call(request)
    }
}

impl From<Publish> for Ask {
    fn from(publish: Publish) -> Self {
        Self::Publish(Box::new(publish))
    }
}

impl Ask {
    #[track_caller]
    fn is_granted(&self, channel: &Channel) {
        match self {
            Self::Call(request) => {
                channel.send(request);
                let got = channel.next().method;
                let is_granted = got.id == request.reply() || got.id == (60, 72);
                assert!(is_granted, "{request:?} was answered with {got}");
            }
            Self::Publish(publish) => {
                channel.publish(publish);
                channel.expect_settled();
            }
        }
    }

    #[track_caller]
    fn is_refused(&self, channel: &Channel, text: &str) {
        match self {
            Self::Call(request) => channel.refused(request, 403, text),
            Self::Publish(publish) => {
                channel.publish(publish);
                channel.expect_close(403, text, publish.method.id);
            }
        }
    }
}

/// A permission and what it is on: `("write", "exchange", "x")`.
type Needed = (&'static str, &'static str, &'static str);

const ORDER: [&str; 3] = ["configure", "write", "read"];

/// The patterns that allow exactly this and nothing else.
fn only(needed: &[Needed]) -> [String; 3] {
    ORDER.map(|permission| {
        let names: Vec<_> =
            needed.iter().filter(|(p, ..)| *p == permission).map(|(.., name)| *name).collect();
        if names.is_empty() { String::new() } else { format!("^({})$", names.join("|")) }
    })
}

/// In RabbitMQ's order of checks: with exactly what is needed the request is granted, and without
/// any one of it refused for that one; with nothing at all for the first.
#[track_caller]
fn takes(ask: impl Into<Ask>, needed: &[Needed]) {
    let ask = ask.into();
    let realm = Realm::new();
    let prepare = || {
        let guest = realm.guest();
        for exchange_name in ["x", "source", "destination", "other"] {
            guest.call(&exchange(exchange_name, "direct").durable());
        }
        guest.declare(&queue("q").durable());
        guest.call(&delete("new"));
        guest.call(&exchange_delete("new"));
    };
    let permit = |patterns: [String; 3]| {
        realm.permit([&patterns[0], &patterns[1], &patterns[2]]);
        realm.channel()
    };
    prepare();
    ask.is_granted(&permit(only(needed)));
    let refusal =
        |(permission, kind, name): Needed| realm.refusal(permission, &format!("{kind} '{name}'"));
    for missing in needed {
        prepare();
        let rest: Vec<_> = needed.iter().filter(|one| *one != missing).copied().collect();
        ask.is_refused(&permit(only(&rest)), &refusal(*missing));
    }
    if let Some(first) = needed.first() {
        ask.is_refused(&permit(only(&[])), &refusal(*first));
    }
}

// PO-010, PO-013
#[test]
fn exchanges_are_declared_and_deleted_with_configure() {
    takes(exchange("new", "fanout"), &[("configure", "exchange", "new")]);
    takes(exchange("x", "direct").durable(), &[("configure", "exchange", "x")]);
    takes(exchange_delete("x"), &[("configure", "exchange", "x")]);
}

// PO-011, EX-011
#[test]
fn a_new_exchange_with_an_alternate_takes_reading_it_and_writing_to_the_alternate() {
    takes(
        exchange("new", "fanout").arg("alternate-exchange", "other"),
        &[
            ("configure", "exchange", "new"),
            ("read", "exchange", "new"),
            ("write", "exchange", "other"),
        ],
    );
}

// PO-011, PO-016
#[test]
fn a_redeclare_takes_configure_alone() {
    let realm = Realm::permitting(["^mine$", "", ""]);
    let guest = realm.guest();
    let exchange = exchange("mine", "direct").arg("alternate-exchange", "x");
    let queue = queue("mine").arg("x-dead-letter-exchange", "x");
    guest.call(&exchange);
    guest.declare(&queue);
    let channel = realm.channel();
    channel.call(&exchange);
    channel.declare(&queue);
}

// PO-015, PO-016, PO-018
#[test]
fn queues_are_declared_and_deleted_with_configure() {
    takes(queue("new"), &[("configure", "queue", "new")]);
    takes(queue("q").durable(), &[("configure", "queue", "q")]);
    takes(delete("q"), &[("configure", "queue", "q")]);
    for (dead_letter_exchange, asked) in [("other", "other"), ("", "amq.default")] {
        takes(
            queue("new").arg("x-dead-letter-exchange", dead_letter_exchange),
            &[
                ("configure", "queue", "new"),
                ("read", "queue", "new"),
                ("write", "exchange", asked),
            ],
        );
    }
}

// PO-014, PO-019
#[test]
fn bindings_take_writing_to_the_destination_and_reading_from_the_source() {
    let queues = [("write", "queue", "q"), ("read", "exchange", "x")];
    takes(bind("q", "x", "k"), &queues);
    takes(unbind("q", "x", "k"), &queues);
    let exchanges = [("write", "exchange", "destination"), ("read", "exchange", "source")];
    takes(exchange_bind("destination", "source", "k"), &exchanges);
    takes(exchange_unbind("destination", "source", "k"), &exchanges);
}

// PO-020, BA-093
#[test]
fn queues_are_read_with_read() {
    takes(purge("q"), &[("read", "queue", "q")]);
    takes(get("q"), &[("read", "queue", "q")]);
    takes(consume("q", "c"), &[("read", "queue", "q")]);
}

// PO-002, PO-021
#[test]
fn publishing_takes_writing_to_the_exchange() {
    takes(publish("x", "k", "m"), &[("write", "exchange", "x")]);
    takes(publish("", "q", "m"), &[("write", "exchange", "amq.default")]);
}

// PO-012, PO-017, VM-07
#[test]
fn a_passive_declare_takes_any_permission() {
    let realm = Realm::new();
    let guest = realm.guest();
    guest.call(&exchange("it", "direct"));
    guest.declare(&queue("it"));
    for at in 0..3 {
        let mut patterns = [""; 3];
        patterns[at] = "^it$";
        realm.permit(patterns);
        let channel = realm.channel();
        channel.call(&exchange("it", "direct").passive());
        channel.declare(&queue("it").passive());
    }
    realm.permit(["", "", ""]);
    let channel = realm.channel();
    let text = realm.refusal("configure", "exchange 'it'");
    channel.refused(&exchange("it", "direct").passive(), 403, text);
    channel.reopen();
    channel.refused(&queue("it").passive(), 403, realm.refusal("configure", "queue 'it'"));
}

// PO-004
#[test]
fn a_missing_thing_without_permission_is_refused_not_missed() {
    let realm = Realm::permitting(["", "", ""]);
    let cases = [
        (queue("gone").passive(), "configure", "queue 'gone'"),
        (delete("gone"), "configure", "queue 'gone'"),
        (get("gone"), "read", "queue 'gone'"),
        (consume("gone", ""), "read", "queue 'gone'"),
        (purge("gone"), "read", "queue 'gone'"),
        (bind("gone", "amq.direct", ""), "write", "queue 'gone'"),
        (exchange_delete("gone"), "configure", "exchange 'gone'"),
        (exchange("gone", "direct").passive(), "configure", "exchange 'gone'"),
    ];
    for (request, permission, resource) in cases {
        realm.channel().refused(&request, 403, realm.refusal(permission, resource));
    }
    let channel = realm.channel();
    let message = publish("gone", "k", "m");
    channel.publish(&message);
    let text = realm.refusal("write", "exchange 'gone'");
    channel.expect_close(403, text, message.method.id);
}

// PO-005
#[test]
fn a_name_that_the_server_gives_must_be_permitted_too() {
    let realm = Realm::permitting(["^amq\\.gen-", "", ""]);
    assert!(realm.channel().declare(&queue("").exclusive()).queue.starts_with("amq.gen-"));
    realm.permit(["^mine", "", ""]);
    let start = "ACCESS_REFUSED - configure access to queue 'amq.gen-";
    realm.channel().refused(&queue("").exclusive(), 403, starts_with(start));
}

// PO-022, EX-003, EX-004, EX-005, EX-015, QU-002
#[test]
fn what_nobody_may_do_is_refused_in_its_own_words() {
    let realm = Realm::permitting(["", "", ""]);
    let default = "ACCESS_REFUSED - operation not permitted on the default exchange";
    let refused = |request: &Request, text: &str| realm.channel().refused(request, 403, text);
    refused(&exchange_delete(""), default);
    refused(&exchange("", "direct").passive(), default);
    refused(
        &exchange_delete("amq.topic"),
        &realm.text(
            "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '{v}' not allowed",
        ),
    );
    refused(
        &queue("amq.mine"),
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    );
    // The destination first, then the default exchange, then the source.
    refused(&bind("q", "", "k"), &realm.refusal("write", "queue 'q'"));
    refused(&exchange_bind("", "x", "k"), &realm.refusal("write", "exchange 'amq.default'"));
    realm.permit(["", "^q$", ""]);
    refused(&bind("q", "", "k"), default);
}

// PO-001
#[test]
fn patterns_are_searched_for_and_the_empty_one_allows_nothing() {
    let realm = Realm::permitting(["mine", "", ""]);
    realm.channel().declare(&queue("not-mine-alone"));
    realm.channel().refused(&queue("other"), 403, realm.refusal("configure", "queue 'other'"));
    realm.permit(["^(?!secret).*", "", ""]);
    realm.channel().declare(&queue("public"));
    realm.channel().refused(&queue("secrets"), 403, realm.refusal("configure", "queue 'secrets'"));
    realm.permit(["", "", ""]);
    realm.channel().refused(&queue("mine"), 403, realm.refusal("configure", "queue 'mine'"));
}

// PO-023
#[test]
fn direct_replies_take_writing_to_the_default_exchange_alone() {
    let realm = Realm::permitting(["", "^amq\\.default$", ""]);
    let channel = realm.channel();
    channel.consume(&consume("amq.rabbitmq.reply-to", "").no_ack());
    let reply_to =
        Properties { reply_to: Some("amq.rabbitmq.reply-to".into()), ..Properties::default() };
    channel.publish(&publish("", "nowhere", "m").properties(reply_to));
    channel.expect_settled();
}

// PO-026, PO-027, PO-028
#[test]
fn topic_permissions_restrict_the_keys_of_one_exchange() {
    let realm = Realm::permitting(EVERYTHING);
    realm.operator.permit_topic(&realm.user, &realm.vhost, "amq.topic", ["^w\\.", "^r\\."]);
    let guest = realm.guest();
    guest.declare(&queue("q").durable());
    guest.call(&exchange("t", "topic").durable());
    let refused = |permission: &str, key: &str| {
        realm.text(&format!(
            "ACCESS_REFUSED - {permission} access to topic '{key}' in exchange 'amq.topic' in \
             vhost '{{v}}' refused for user '{{u}}'"
        ))
    };
    let channel = realm.channel();
    channel.call(&bind("q", "amq.topic", "r.#"));
    channel.call(&unbind("q", "amq.topic", "r.#"));
    channel.call(&exchange_bind("t", "amq.topic", "r.#"));
    channel.publish(&publish("amq.topic", "w.x", "m"));
    // Another topic exchange, and one of another type.
    channel.publish(&publish("t", "x", "m"));
    channel.publish(&publish("amq.direct", "x", "m"));
    channel.call(&bind("q", "t", "x"));
    channel.expect_settled();
    for request in [
        bind("q", "amq.topic", "x.r.#"),
        unbind("q", "amq.topic", "x.r.#"),
        exchange_bind("t", "amq.topic", "x.r.#"),
        exchange_unbind("t", "amq.topic", "x.r.#"),
    ] {
        channel.refused(&request, 403, refused("read", "x.r.#"));
        channel.reopen();
    }
    let copied = Table::new().with("CC", vec!["w.y".into(), "x.w".into()]);
    for (message, key) in [
        (publish("amq.topic", "x", "m"), "x"),
        (publish("amq.topic", "w.x", "m").headers(copied), "x.w"),
    ] {
        channel.publish(&message);
        channel.expect_close(403, refused("write", key), (60, 40));
        channel.reopen();
    }
}

// PO-029
#[test]
fn names_stand_for_themselves_in_topic_permissions() {
    let realm = Realm::permitting(EVERYTHING);
    let patterns = ["^{username}\\.{vhost}$", ""];
    realm.operator.permit_topic(&realm.user, &realm.vhost, "amq.topic", patterns);
    let channel = realm.channel();
    channel.publish(&publish("amq.topic", &realm.text("{u}.{v}"), "m"));
    channel.expect_settled();
    let other = publish("amq.topic", "other", "m");
    channel.publish(&other);
    let start = "ACCESS_REFUSED - write access to topic 'other' in exchange 'amq.topic'";
    channel.expect_close(403, starts_with(start), (60, 40));
}

// PO-003, CN-082, CN-086
#[test]
fn nobody_enters_a_vhost_without_permissions() {
    let realm = Realm::new();
    let refused = |text: &str| {
        let connection = realm.options().until_tuned();
        connection.control().send(&connection_open(&realm.vhost));
        connection.expect_close(530, realm.text(text), (10, 40));
    };
    refused("NOT_ALLOWED - access to vhost '{v}' refused for user '{u}'");
    realm.permit(["", "", ""]);
    realm.options().open();
    // The limits are looked at before.
    realm.operator.forbid(&realm.user, &realm.vhost);
    realm.operator.limit_user(&realm.user, "max-connections", 0);
    refused(
        "NOT_ALLOWED - connection refused for user '{u}': user connection limit (0) is reached",
    );
    realm.operator.limit_vhost(&realm.vhost, "max-connections", 0);
    refused(
        "NOT_ALLOWED - access to vhost '{v}' refused for user '{u}': connection limit (0) is \
         reached",
    );
}

// CN-130, TOP-38
#[test]
fn permissions_that_change_count_at_once_on_open_connections() {
    if !only_on_lepus("RabbitMQ remembers for a while what a channel was allowed") {
        return;
    }
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q"));
    for key in ["q", "q", "nowhere"] {
        channel.publish(&publish("", key, "m"));
    }
    channel.publish(&publish("amq.topic", "k", "m"));
    channel.subscribe("q", "c");
    assert_eq!(channel.deliveries(2), ["m", "m"]);
    realm.permit([".*", "^amq\\.topic$", ""]);
    // Routes that are known are no way around.
    channel.publish(&publish("", "q", "m"));
    let text = realm.refusal("write", "exchange 'amq.default'");
    channel.expect_close(403, text, (60, 40));
    channel.reopen();
    channel.refused(&get("q"), 403, realm.refusal("read", "queue 'q'"));
    channel.reopen();
    channel.publish(&publish("amq.topic", "k", "m"));
    channel.expect_settled();
    realm.operator.permit_topic(&realm.user, &realm.vhost, "amq.topic", ["", ""]);
    channel.publish(&publish("amq.topic", "k", "m"));
    channel.expect_close(403, contains("write access to topic 'k'"), (60, 40));
    channel.reopen();
    realm.permit(EVERYTHING);
    assert_eq!(channel.drain("q"), ["m", "m"]);
    realm.operator.forbid(&realm.user, &realm.vhost);
    channel.refused(&get("q"), 403, realm.refusal("read", "queue 'q'"));
}

// CN-130
#[test]
fn consumers_stay_when_their_permission_goes() {
    if !only_on_lepus("RabbitMQ remembers for a while what a channel was allowed") {
        return;
    }
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q"));
    channel.subscribe("q", "c");
    realm.permit(["", "", ""]);
    realm.guest().fill("q", ["still"]);
    assert_eq!(channel.deliveries(1), ["still"]);
    channel.send(&ack(1));
    channel.expect_settled();
}

#[test]
fn permissions_survive_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let operator = private.operator();
    operator.add_user("u", &["monitoring"]);
    operator.permit("u", "/", ["^mine", "", ".*"]);
    operator.permit_topic("u", "/", "amq.topic", ["^w", "^r"]);
    private.restart();
    let channel = private.options().login("u", PASSWORD).open().channel(1);
    channel.declare(&queue("mine"));
    let text =
        "ACCESS_REFUSED - configure access to queue 'other' in vhost '/' refused for user 'u'";
    channel.refused(&queue("other"), 403, text);
    private.operator().permit("u", "/", EVERYTHING);
    channel.reopen();
    channel.publish(&publish("amq.topic", "x", "m"));
    channel.expect_close(403, contains("write access to topic 'x'"), (60, 40));
    private.operator().forbid("u", "/");
    private.restart();
    let connection = private.options().login("u", PASSWORD).until_tuned();
    connection.control().send(&connection_open("/"));
    let text = "NOT_ALLOWED - access to vhost '/' refused for user 'u'";
    connection.expect_close(530, text, (10, 40));
}
