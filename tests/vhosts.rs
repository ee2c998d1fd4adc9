//! Vhosts: what they keep apart, their limits, and their end.

use lepus::{
    admin::Error,
    broker::{Metadata, arguments::QueueType, parameter::Scope},
};

use crate::harness::*;

#[test]
fn the_same_name_means_another_thing_in_another_vhost() {
    let realms = [Realm::permitting(EVERYTHING), Realm::permitting(EVERYTHING)];
    let channels = realms.each_ref().map(Realm::channel);
    for channel in &channels {
        channel.call(&exchange("x", "fanout"));
        channel.declare(&queue("q"));
        channel.call(&bind("q", "x", ""));
    }
    channels[0].publish(&publish("x", "", "first"));
    channels[0].expect_settled();
    assert_eq!(channels[1].drain("q"), [""; 0]);
    assert_eq!(channels[0].drain("q"), ["first"]);
    channels[0].call(&exchange_delete("x"));
    channels[1].publish(&publish("x", "", "second"));
    assert_eq!(channels[1].drain("q"), ["second"]);
    let text = realms[0].text("NOT_FOUND - no exchange 'x' in vhost '{v}'");
    channels[0].refused(&exchange("x", "fanout").passive(), 404, text);
}

// CN-081, CN-126
#[test]
fn deleting_a_vhost_closes_its_connections_and_deletes_what_is_in_it() {
    let realm = Realm::permitting(EVERYTHING);
    let bystander = Channel::open();
    let connection = realm.options().open();
    let channel = connection.channel(1);
    channel.declare(&queue("q").durable());
    channel.call(&exchange("x", "topic").durable());
    channel.call(&bind("q", "x", "#"));
    channel.subscribe("q", "c");
    realm.operator.delete_vhost(&realm.vhost);
    let text = realm.text("CONNECTION_FORCED - vhost '{v}' is deleted");
    connection.expect_close(320, text, (0, 0));
    bystander.expect_settled();
    let late = realm.options().until_tuned();
    late.control().send(&connection_open(&realm.vhost));
    late.expect_close(530, realm.text("NOT_ALLOWED - vhost {v} not found"), (10, 40));

    realm.operator.add_vhost(&realm.vhost);
    realm.permit(EVERYTHING);
    let channel = realm.channel();
    for request in [queue("q").passive(), exchange("x", "topic").passive()] {
        channel.refused(&request, 404, starts_with("NOT_FOUND - no "));
        channel.reopen();
    }
}

#[test]
fn a_deleted_vhost_stays_deleted_with_all_that_was_said_about_it() {
    let Some(mut private) = private_broker("") else { return };
    let operator = private.operator();
    operator.add_vhost("v");
    operator.add_vhost("kept");
    operator.add_user("u", &[]);
    operator.permit("u", "v", EVERYTHING);
    operator.permit_topic("u", "v", "amq.topic", ["", ""]);
    operator.limit_vhost("v", "max-queues", 1);
    operator.policy("v", "p", "", map([("alternate-exchange", "amq.fanout".into())]));
    for vhost in ["v", "kept"] {
        let channel = private.options().vhost(vhost).open().channel(1);
        channel.declare(&queue("q").durable().arg("x-max-priority", 3));
        channel.call(&exchange("x", "fanout").durable());
        channel.call(&bind("q", "x", ""));
        channel.confirm_select();
        channel.publish(&publish("x", "", "m").persistent());
        channel.expect_acked(1);
    }
    operator.delete_vhost("v");
    private.restart();
    let operator = private.operator();
    let Operator::Lepus(admin) = &operator else { unreachable!("ours") };
    let vhosts: Vec<_> = admin.vhosts().iter().map(|vhost| vhost.name().to_string()).collect();
    assert_eq!(vhosts, ["/", "kept"]);
    assert!(admin.permissions().iter().all(|permissions| &*permissions.user == "guest"));
    assert!(admin.topic_permissions().is_empty());
    assert!(admin.parameters().iter().all(|parameter| parameter.scope == Scope::Global));
    let kept = private.options().vhost("kept").open().channel(1);
    assert_eq!(kept.drain("q"), ["m"]);
    operator.add_vhost("v");
    assert!(admin.policies("v", lepus::broker::policy::Authority::User).unwrap().is_empty());
    let channel = private.options().vhost("v").open().channel(1);
    channel.declare(&queue("one"));
    channel.declare(&queue("two"));
    channel.refused(&queue("q").passive(), 404, "NOT_FOUND - no queue 'q' in vhost 'v'");
}

// CN-083, PO-070
#[test]
fn a_vhost_may_have_so_many_connections() {
    let realm = Realm::permitting(EVERYTHING);
    realm.operator.limit_vhost(&realm.vhost, "max-connections", 1);
    let first = realm.options().open();
    let refused = |user: &str, options: &Options| {
        let connection = options.until_tuned();
        connection.control().send(&connection_open(&realm.vhost));
        let text = format!(
            "NOT_ALLOWED - access to vhost '{}' refused for user '{user}': connection limit (1) is \
             reached",
            realm.vhost
        );
        connection.expect_close(530, text, (10, 40));
    };
    refused(&realm.user, &realm.options());
    refused("guest", &Options::new().vhost(&realm.vhost));
    // Other vhosts are not held up.
    Channel::open();
    first.close();
    realm.options().open();
}

// QU-019, PO-070
#[test]
fn a_vhost_may_have_so_many_queues() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("before"));
    realm.operator.limit_vhost(&realm.vhost, "max-queues", 2);
    channel.declare(&queue("l1").exclusive());
    let full = |name: &str, limit: usize| {
        realm.text(&format!(
            "PRECONDITION_FAILED - cannot declare queue '{name}': queue limit in vhost '{{v}}' \
             ({limit}) is reached"
        ))
    };
    channel.refused(&queue("l2"), 406, full("l2", 2));
    channel.reopen();
    // One that is there may be declared again, and one that goes makes room.
    channel.declare(&queue("before"));
    channel.call(&delete("before"));
    channel.declare(&queue("l2"));
    realm.operator.limit_vhost(&realm.vhost, "max-queues", -1);
    channel.declare(&queue("l3"));
    realm.operator.limit_vhost(&realm.vhost, "max-queues", 0);
    channel.refused(&queue("l4"), 406, full("l4", 0));
}

// PO-070, PO-076
#[test]
fn what_is_said_about_a_vhost_survives_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let Operator::Lepus(admin) = private.operator() else { unreachable!("ours") };
    let said = Metadata {
        description: "orders".to_owned(),
        tags: vec!["production".to_owned()],
        default_queue_type: Some(QueueType::Quorum),
        is_protected: true,
    };
    admin.put_vhost("v", said.clone()).unwrap();
    private.operator().permit("guest", "v", EVERYTHING);
    private.operator().limit_vhost("v", "max-queues", 1);
    assert_eq!(admin.delete_vhost("v"), Err(Error::Protected("v".into())));
    private.restart();
    let Operator::Lepus(admin) = private.operator() else { unreachable!("ours") };
    assert_eq!(admin.vhost("v").unwrap().metadata(), said);
    let channel = private.options().vhost("v").open().channel(1);
    // Where a quorum queue can be, it is one.
    channel.declare(&queue("q").durable());
    let text = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost 'v'";
    let classic = queue("q").durable().arg("x-queue-type", "classic");
    channel.refused(&classic, 406, starts_with(text));
    channel.reopen();
    channel.refused(&queue("r").durable(), 406, contains("queue limit in vhost 'v' (1)"));
    channel.reopen();
    private.operator().limit_vhost("v", "max-queues", -1);
    channel.declare(&queue("").exclusive());
}

// QU-018
#[test]
fn new_vhosts_take_the_default_queue_type_and_keep_it() {
    let Some(mut private) = private_broker("default_queue_type = \"quorum\"") else { return };
    private.operator().add_vhost("v");
    private.operator().permit("guest", "v", EVERYTHING);
    private.settings.clear();
    private.restart();
    for vhost in ["/", "v"] {
        let channel = private.options().vhost(vhost).open().channel(1);
        channel.declare(&queue("q").durable());
        channel.declare(&queue("q").durable().arg("x-queue-type", "quorum"));
        // What no quorum queue can be is a classic one.
        channel.declare(&queue("").exclusive());
        for (name, declare) in [
            ("transient", queue("transient")),
            ("auto-delete", queue("auto-delete").durable().auto_delete()),
        ] {
            channel.declare(&declare);
            let path = format!("/queues/{}/{name}", part(vhost));
            assert_eq!(private.api().get(&path)["type"], "classic", "{name}");
        }
    }
}

#[test]
fn the_last_vhost_may_go_and_another_come() {
    let Some(mut private) = private_broker("") else { return };
    private.operator().delete_vhost("/");
    let connection = private.options().until_tuned();
    connection.control().send(&connection_open("/"));
    connection.expect_close(530, "NOT_ALLOWED - vhost / not found", (10, 40));
    private.operator().add_vhost("v");
    private.restart();
    private.options().vhost("v").open();
}
