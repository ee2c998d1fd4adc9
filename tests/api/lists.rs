//! What the API shows of connections, channels, consumers, exchanges, bindings and the node. The
//! fields are compared with those that tools read (COMPATIBILITY 8.3).

use serde_json::{Value as Json, json};

use crate::harness::{
    Channel, DEADLINE, Options, Properties, Realm, Table, ack, api, broker, get, nack, name,
    only_on_lepus, part, publish, qos, queue, reject,
};

/// Asserts that an object has these keys, each of the type of the value here.
#[track_caller]
fn assert_shape(found: &Json, shape: &Json) {
    for (key, like) in shape.as_object().unwrap() {
        let value = &found[key];
        let is_alike = match like {
            Json::Null => found.get(key).is_some(),
            Json::Bool(_) => value.is_boolean(),
            Json::Number(_) => value.is_number(),
            Json::String(_) => value.is_string(),
            Json::Array(_) => value.is_array(),
            Json::Object(_) => value.is_object(),
        };
        assert!(is_alike, "{key} is {value} and not like {like}: {found}");
    }
}

/// Waits until the API shows what is looked for: RabbitMQ's lists are late, ours are not.
#[track_caller]
fn shown(path: &str, is_meant: impl Fn(&Json) -> bool) -> Json {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let list = api().get(path);
        let items = list.as_array().expect("a list");
        if let Some(item) = items.iter().find(|item| is_meant(item)) {
            return item.clone();
        }
        let is_late = broker().is_external && std::time::Instant::now() < deadline;
        assert!(is_late, "not in {path} at once: {list}");
    }
}

/// Waits until a queue is what it is to be.
#[track_caller]
fn comes_to(queue: &str, is_so: impl Fn(&Json) -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let found = api().get(&format!("/queues/%2F/{}", part(queue)));
        if is_so(&found) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{found}");
    }
}

fn of_queue(queue: &str) -> impl Fn(&Json) -> bool {
    move |item| item["queue"]["name"] == queue
}

// HT-076, HT-077, HT-079
#[test]
fn a_connection_its_channel_and_its_consumer_are_shown_at_once() {
    let channel = Channel::open();
    let queue = channel.queue();
    channel.subscribe(&queue, "its-tag");
    let consumer = shown("/consumers/%2F", of_queue(&queue));
    assert_shape(
        &consumer,
        &json!({
            "consumer_tag": "", "active": true, "ack_required": true, "prefetch_count": 0,
            "exclusive": true, "arguments": {}, "queue": {}, "channel_details": {},
            "activity_status": "", "consumer_timeout": 0,
        }),
    );
    assert_eq!(consumer["consumer_tag"], "its-tag");
    let connection = consumer["channel_details"]["connection_name"].as_str().unwrap().to_owned();
    let found = shown("/connections", |item| item["name"] == connection.as_str());
    assert_shape(
        &found,
        &json!({
            "name": "", "node": "", "protocol": "", "user": "", "connected_at": 0,
            "client_properties": {}, "vhost": "", "state": "", "host": "", "port": 0,
            "peer_host": "", "peer_port": 0, "channels": 0, "channel_max": 0, "frame_max": 0,
            "timeout": 0, "ssl": true, "ssl_protocol": null, "peer_cert_subject": null,
            "auth_mechanism": "", "type": "", "recv_oct": 0, "send_oct": 0, "recv_cnt": 0,
            "send_cnt": 0, "send_pend": 0, "recv_oct_details": {}, "send_oct_details": {},
            "user_who_performed_action": "", "reductions": 0, "reductions_details": {},
            "garbage_collection": {},
        }),
    );
    assert_eq!((&found["protocol"], &found["state"]), (&json!("AMQP 0-9-1"), &json!("running")));
    let channels = format!("/connections/{}/channels", part(&connection));
    let found = shown(&channels, |item| item["consumer_count"] == 1);
    assert_shape(
        &found,
        &json!({
            "number": 0, "name": "", "connection_details": {}, "vhost": "", "state": "",
            "consumer_count": 0, "confirm": true, "prefetch_count": 0, "node": "", "user": "",
            "messages_unacknowledged": 0, "messages_unconfirmed": 0, "transactional": true,
            "messages_uncommitted": 0, "acks_uncommitted": 0, "pending_raft_commands": 0,
            "reductions": 0, "reductions_details": {}, "garbage_collection": {},
        }),
    );
    assert_eq!(found["name"], format!("{connection} ({})", found["number"]));
    let one = api().get(&format!("/channels/{}", part(found["name"].as_str().unwrap())));
    assert_eq!(one["consumer_details"][0]["consumer_tag"], "its-tag");
}

// HT-079: clients read it as a number.
#[test]
fn the_timeout_of_a_consumer_is_told() {
    let channel = Channel::open();
    let declare = queue(name("timeout")).durable().arg("x-queue-type", "quorum");
    let queue = channel.declare(&declare.arg("x-consumer-timeout", 70_000)).queue;
    channel.subscribe(&queue, "its-tag");
    let consumer = shown("/consumers/%2F", of_queue(&queue));
    assert_eq!(consumer["consumer_timeout"], 70_000);
    let found = api().get(&format!("/queues/%2F/{}", part(&queue)));
    assert_eq!(found["internal"], false);
    api().delete(&format!("/queues/%2F/{}", part(&queue)));
}

// CN-027
#[test]
fn what_a_client_says_of_itself_is_shown() {
    let name = name("client");
    let mut options = Options::new();
    let more = Table::new().with("n", 5).with("inner", Table::new().with("on", true));
    options.properties = more.with("connection_name", &name);
    let _connection = options.open();
    let found = shown("/connections", |item| item["user_provided_name"] == *name);
    let expected = json!({"n": 5, "inner": {"on": true}, "connection_name": name});
    assert_eq!(found["client_properties"], expected);
}

// CN-125
#[test]
fn a_connection_is_closed_with_a_reason() {
    let reasons = [
        ("x-reason: go home\r\n", "CONNECTION_FORCED - go home"),
        ("", "CONNECTION_FORCED - Closed via management plugin"),
    ];
    for (header, text) in reasons {
        let connection = Options::new().open();
        let port = connection.socket().local_addr().unwrap().port();
        let found = shown("/connections", |item| item["peer_port"] == port);
        let path = format!("/api/connections/{}", part(found["name"].as_str().unwrap()));
        assert_eq!(api().ask("DELETE", &path, header, "").status, 204);
        connection.expect_close(320, text, (0, 0));
    }
}

// HT-078: lists are true at once.
#[test]
fn counts_of_messages_are_true_at_once() {
    if !only_on_lepus("RabbitMQ's counts are late") {
        return;
    }
    let channel = Channel::open();
    let queue = channel.queue();
    let path = format!("/queues/%2F/{}", part(&queue));
    channel.confirm_select();
    channel.fill(&queue, ["a", "b", "c"]);
    channel.expect_acked(3);
    let counts = |found: &Json| {
        ["messages", "messages_ready", "messages_unacknowledged"].map(|key| found[key].clone())
    };
    let bytes = |found: &Json| {
        ["message_bytes", "message_bytes_ready", "message_bytes_unacknowledged"]
            .map(|key| found[key].as_u64().unwrap())
    };
    let found = api().get(&path);
    assert_eq!(counts(&found), [json!(3), json!(3), json!(0)]);
    assert_eq!(found["message_stats"]["publish"], 3);
    channel.get(&queue).expect("a message");
    let found = api().get(&path);
    assert_eq!(counts(&found), [json!(3), json!(2), json!(1)]);
    assert_eq!(bytes(&found), [3, 2, 1]);
    assert_eq!(found["message_stats"]["get"], 1);
    assert_eq!(found["message_stats"]["deliver_get"], 1);
}

// HT-078: a transient message is none of those, nor is any in a queue that is not durable.
#[test]
fn persistent_messages_are_counted_at_once() {
    if !only_on_lepus("RabbitMQ's counts are late") {
        return;
    }
    let channel = Channel::open();
    channel.confirm_select();
    let (classic, transient) = (channel.durable_queue(Table::new()), channel.queue());
    let quorum = channel.durable_queue(Table::new().with("x-queue-type", "quorum"));
    for queue in [&classic, &transient, &quorum] {
        channel.fill_persistent(queue, ["aa", "bb"]);
        channel.fill(queue, ["c"]);
    }
    channel.expect_acked(9);
    let persistent = |queue: &str| {
        let found = api().get(&format!("/queues/%2F/{}", part(queue)));
        ["messages_persistent", "message_bytes_persistent"].map(|key| found[key].as_u64().unwrap())
    };
    assert_eq!(persistent(&classic), [2, 4]);
    assert_eq!(persistent(&transient), [0, 0]);
    // QT-027
    assert_eq!(persistent(&quorum), [3, 5]);
    let tag = channel.take(&classic, "aa");
    assert_eq!(persistent(&classic), [2, 4], "who has it is no matter");
    channel.send(&ack(tag));
    channel.get_by(&get(&classic).no_ack()).unwrap();
    assert_eq!(persistent(&classic), [0, 0]);
    for queue in [&classic, &quorum] {
        api().delete(&format!("/queues/%2F/{}/contents", part(queue)));
        assert_eq!(persistent(queue), [0, 0]);
        api().delete(&format!("/queues/%2F/{}", part(queue)));
    }
}

// HT-078, QT-026
#[test]
fn quorum_queues_tell_what_came_back_and_of_which_priority_the_others_are() {
    let channel = Channel::open();
    let queue = channel.durable_queue(Table::new().with("x-queue-type", "quorum"));
    for priority in [0, 5, 5, 5] {
        let properties = Properties { priority: Some(priority), ..Properties::default() };
        channel.publish(&publish("", &queue, "m").properties(properties));
    }
    channel.publish(&publish("", &queue, "usual"));
    channel.expect_ready(&queue, 5);
    let tag = channel.take(&queue, "m");
    channel.take(&queue, "m");
    channel.send(&nack(tag, true));
    channel.expect_ready(&queue, 4);
    let found = shown("/queues/detailed", |item| {
        item["name"] == queue.as_str() && item["messages_ready_returned"] == 1
    });
    assert_eq!(found["messages_by_priority"], json!({"0": 1, "4": 1, "5": 1}));
    assert_eq!(found["messages_active_priorities"], 3);
    assert_eq!((&found["messages_dlx"], &found["message_bytes_dlx"]), (&json!(0), &json!(0)));
    api().delete(&format!("/queues/%2F/{}", part(&queue)));
}

// HT-078, QU-120
#[test]
fn dead_letters_that_have_nowhere_to_go_are_counted_apart() {
    let channel = Channel::open();
    let arguments = Table::new()
        .with("x-queue-type", "quorum")
        .with("x-dead-letter-exchange", name("nowhere").as_str())
        .with("x-dead-letter-strategy", "at-least-once")
        .with("x-overflow", "reject-publish");
    let queue = channel.durable_queue(arguments);
    channel.publish(&publish("", &queue, "body"));
    channel.expect_ready(&queue, 1);
    channel.send(&reject(channel.take(&queue, "body"), false));
    // While it is tried again it is not there for a moment.
    comes_to(&queue, |found| {
        let counts = ["messages", "messages_dlx", "messages_ready", "messages_delayed"];
        counts.map(|key| &found[key]) == [1, 1, 0, 0].map(|count| json!(count)).each_ref()
            && found["message_bytes_dlx"].as_u64() >= Some(4)
            && found["message_bytes"].as_u64() >= Some(4)
    });
    api().delete(&format!("/queues/%2F/{}", part(&queue)));
}

// HT-014
#[test]
fn what_is_told_at_no_cost_is_what_a_queue_is_and_what_holds_for_it() {
    let channel = Channel::open();
    let queue = channel.durable_queue(Table::new().with("x-queue-type", "quorum"));
    let is_it = |item: &Json| item["name"] == queue.as_str();
    let found = shown("/queues/%2F?disable_stats=true", is_it);
    let shape = json!({
        "arguments": {}, "auto_delete": true, "delivery_limit": 0, "durable": true,
        "effective_policy_definition": {}, "exclusive": true, "internal": true,
        "internal_owner": true, "leader": "", "members": [], "name": "", "node": "",
        "online": [], "operator_policy": null, "policy": null, "state": "", "type": "",
        "vhost": "",
    });
    assert_shape(&found, &shape);
    assert!(found.get("messages").is_none(), "{found}");
    let path = "/queues/%2F?disable_stats=true&enable_queue_totals=true";
    let found = shown(path, |item| is_it(item) && item["messages"] == 0);
    assert!(found.get("memory").is_none(), "{found}");
    api().delete(&format!("/queues/%2F/{}", part(&queue)));
}

// HT-076
#[test]
fn what_a_connection_without_tls_has_no_word_for_is_empty_when_it_is_looked_at_alone() {
    let channel = Channel::open();
    let queue = channel.queue();
    channel.subscribe(&queue, "tag");
    let consumer = shown("/consumers/%2F", of_queue(&queue));
    let name = consumer["channel_details"]["connection_name"].as_str().unwrap().to_owned();
    let listed = shown("/connections", |item| item["name"] == name.as_str());
    let alone = api().get(&format!("/connections/{}", part(&name)));
    for key in ["ssl_protocol", "ssl_cipher", "peer_cert_subject", "peer_cert_serial_number"] {
        assert_eq!((&listed[key], &alone[key]), (&json!(null), &json!("")), "{key}");
    }
}

// HT-079
#[test]
fn what_consumers_do_is_told() {
    let channel = Channel::open();
    let single = Table::new().with("x-single-active-consumer", true);
    let (turns, queue) = (channel.queue_with(single), channel.queue());
    channel.call(&qos(1));
    for (queue, tag) in [(&turns, "first"), (&turns, "second"), (&queue, "alone")] {
        channel.subscribe(queue, tag);
    }
    let is = |tag: &'static str, status: &'static str| {
        comes_to(if tag == "alone" { &queue } else { &turns }, |found| {
            let consumers = found["consumer_details"].as_array().unwrap().iter();
            let mut consumers = consumers.filter(|consumer| consumer["consumer_tag"] == tag);
            consumers.any(|consumer| consumer["activity_status"] == status)
        });
    };
    is("first", "single_active");
    is("second", "waiting");
    channel.fill(&queue, ["a"]);
    let held = channel.delivery();
    is("alone", "up");
    channel.fill(&queue, ["b"]);
    is("alone", "blocked");
    channel.send(&ack(held.delivery_tag));
    is("alone", "up");
}

// HT-078
#[test]
fn how_well_consumers_keep_up_is_told() {
    if !only_on_lepus("RabbitMQ looks at a queue again only when something happens to it") {
        return;
    }
    let channel = Channel::open();
    let queue = channel.queue();
    let capacity_is = |is_so: &dyn Fn(f64) -> bool| {
        comes_to(&queue, |found| {
            assert_eq!(found["consumer_capacity"], found["consumer_utilisation"], "{found}");
            found["consumer_capacity"].as_f64().is_some_and(is_so)
        });
    };
    capacity_is(&|capacity| capacity <= 0.0);
    channel.call(&qos(1));
    channel.subscribe(&queue, "tag");
    capacity_is(&|capacity| capacity >= 1.0);
    channel.fill(&queue, ["a", "b"]);
    let held = channel.delivery();
    capacity_is(&|capacity| capacity < 0.5);
    channel.send(&ack(held.delivery_tag));
    channel.delivery();
    capacity_is(&|capacity| capacity > 0.9);
}

// HT-038, HT-080
#[test]
fn an_exchange_is_declared_shown_and_deleted() {
    let exchange = name("an exchange/x");
    let path = format!("/exchanges/%2F/{}", part(&exchange));
    assert_eq!(api().put(&path, &json!({"type": "topic", "durable": true})).status, 201);
    assert_eq!(api().put(&path, &json!({"type": "topic", "durable": true})).status, 204);
    let found = api().get(&path);
    let expected = json!({"name": exchange, "vhost": "/", "type": "topic", "durable": true,
        "auto_delete": false, "internal": false, "arguments": {}});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&found[key], value, "{key}");
    }
    let (status, _, reason) = api().put(&path, &json!({"type": "fanout"})).refusal();
    assert_eq!(status, 400);
    assert!(reason.starts_with("inequivalent arg 'type' for exchange"), "{reason}");
    assert_eq!(api().delete(&path).status, 204);
    assert_eq!(api().delete(&path).status, 404);
    let (status, _, reason) = api().put(&path, &json!({"type": "none"})).refusal();
    assert_eq!((status, reason.as_str()), (400, "invalid exchange type 'none'"));
    let list = api().get("/exchanges/%2F");
    let names: Vec<_> = list.as_array().unwrap().iter().map(|item| &item["name"]).collect();
    for known in ["", "amq.direct", "amq.topic", "amq.fanout", "amq.headers", "amq.match"] {
        assert!(names.contains(&&json!(known)), "{known:?} is not in {names:?}");
    }
}

// HT-040, HT-042, HT-046, HT-047, HT-081
#[test]
fn a_binding_is_made_found_by_its_key_and_undone() {
    let channel = Channel::open();
    let (queue, exchange) = (channel.shared_queue(), name("exchange"));
    api().put(&format!("/exchanges/%2F/{exchange}"), &json!({"type": "topic"}));
    let path = format!("/bindings/%2F/e/{}/q/{}", part(&exchange), part(&queue));
    for (key, arguments, properties) in [
        ("a.#", json!({}), Some("a.%23")),
        ("", json!({}), Some("~")),
        ("a b/~*", json!({}), None),
        ("k", json!({"x": 1}), None),
    ] {
        let body = json!({"routing_key": key, "arguments": arguments});
        let made = api().post(&path, &body);
        assert_eq!(made.status, 201, "{}", made.text);
        let found = api().get(&path);
        let found = found.as_array().unwrap().iter().find(|found| found["routing_key"] == key);
        let found = found.unwrap();
        assert_eq!(found["arguments"], arguments);
        let properties_key = found["properties_key"].as_str().unwrap();
        assert!(properties.is_none_or(|properties| properties == properties_key), "{found}");
        let in_path = part(properties_key).replace("%7E", "~");
        let location = made.header("location").unwrap();
        assert_eq!(location, format!("{}/{}", part(&queue), in_path));
        // Clients quote the key once more, as a part of the path.
        let one = format!("{path}/{}", part(properties_key));
        assert_eq!(&api().get(&one), found);
        assert_eq!(api().delete(&one).status, 204, "{one}");
        assert_eq!(api().call("GET", &one, "").status, 404);
    }
    let implicit = api().get(&format!("/queues/%2F/{}/bindings", part(&queue)));
    assert_eq!(
        implicit,
        json!([{"source": "", "vhost": "/", "destination": queue, "destination_type": "queue",
            "routing_key": queue, "arguments": {}, "properties_key": queue}])
    );
    api().delete(&format!("/exchanges/%2F/{exchange}"));
    let missing = api().post("/bindings/%2F/e/none/q/none", &json!({}));
    assert_eq!(missing.status, 404);
}

// HT-070 to HT-073, HT-075
#[test]
fn overview_and_node_have_what_tools_read() {
    let channel = Channel::open();
    let queue = channel.queue();
    channel.fill(&queue, ["a"]);
    channel.expect_ready(&queue, 1);
    let overview = api().get("/overview");
    assert_shape(
        &overview,
        &json!({
            "cluster_name": "", "node": "", "erlang_version": "", "erlang_full_version": "",
            "rabbitmq_version": "", "product_name": "", "product_version": "",
            "statistics_db_event_queue": 0, "churn_rates": {}, "queue_totals": {},
            "object_totals": {}, "message_stats": {}, "listeners": [], "management_version": "",
            "rates_mode": "", "sample_retention_policies": {}, "exchange_types": [],
            "contexts": [], "disable_stats": true, "enable_queue_totals": true,
            "default_queue_type": "", "cluster_tags": {}, "node_tags": {},
            "is_op_policy_updating_enabled": true, "require_definition_json_extension": true,
        }),
    );
    assert_shape(
        &overview["object_totals"],
        &json!({"connections": 0, "channels": 0, "queues": 0, "exchanges": 0, "consumers": 0}),
    );
    assert_shape(
        &overview["churn_rates"],
        &json!({
            "connection_created": 0, "connection_closed": 0, "queue_declared": 0,
            "queue_created": 0, "queue_deleted": 0, "channel_created": 0, "channel_closed": 0,
            "queue_declared_details": {},
        }),
    );
    let nodes = api().get("/nodes");
    assert_shape(
        &nodes[0],
        &json!({
            "name": "", "uptime": 0, "run_queue": 0, "processors": 0, "os_pid": "",
            "fd_total": 0, "proc_total": 0, "mem_limit": 0, "mem_alarm": true,
            "disk_free_limit": 0, "disk_free_alarm": true, "rates_mode": "",
            "enabled_plugins": [], "being_drained": true, "running": true, "type": "",
            "mem_used": 0, "fd_used": 0, "sockets_used": 0, "proc_used": 0, "disk_free": 0,
            "partitions": [], "applications": [], "exchange_types": [], "auth_mechanisms": [],
            "contexts": [], "log_files": [], "db_dir": "", "config_files": [],
            "net_ticktime": 0, "mem_calculation_strategy": "", "rabbitmq_version": "",
            "erlang_version": "", "gc_num": 0, "context_switches": 0, "cluster_links": [],
        }),
    );
    assert_shape(
        &nodes[0],
        &json!({
            "gc_bytes_reclaimed": 0, "io_read_avg_time": 0, "io_write_avg_time": 0,
            "io_sync_avg_time": 0, "io_seek_avg_time": 0, "io_seek_count": 0,
            "io_reopen_count": 0, "msg_store_read_count": 0, "msg_store_write_count": 0,
            "queue_index_read_count": 0, "queue_index_write_count": 0,
            "mnesia_disk_tx_count": 0, "mnesia_ram_tx_count": 0, "io_sync_avg_time_details": {},
            "metrics_gc_queue_length": {}, "ra_open_file_metrics": {},
        }),
    );
    assert_shape(&overview["message_stats"], &json!({"disk_reads": 0, "disk_writes": 0}));
    assert_eq!(overview["node"], nodes[0]["name"]);
    let node = format!("/nodes/{}", part(nodes[0]["name"].as_str().unwrap()));
    assert_eq!(api().get(&node)["name"], nodes[0]["name"]);
    let memory = &api().get(&format!("{node}?memory=true"))["memory"];
    let keys = |memory: &Json| memory.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let alone = &api().get(&format!("{node}/memory"))["memory"];
    assert_eq!(keys(memory), keys(alone));
    // RabbitMQ's second rabbitmqadmin reads all of it.
    assert_shape(
        memory,
        &json!({
            "connection_readers": 0, "connection_writers": 0, "connection_channels": 0,
            "connection_other": 0, "queue_procs": 0, "quorum_queue_procs": 0,
            "stream_queue_procs": 0, "stream_queue_replica_reader_procs": 0,
            "stream_queue_coordinator_procs": 0, "plugins": 0, "metadata_store": 0,
            "other_proc": 0, "metrics": 0, "mgmt_db": 0, "mnesia": 0, "quorum_ets": 0,
            "metadata_store_ets": 0, "other_ets": 0, "binary": 0, "msg_index": 0, "code": 0,
            "atom": 0, "other_system": 0, "allocated_unused": 0, "reserved_unallocated": 0,
            "strategy": "", "total": {},
        }),
    );
    assert_shape(&memory["total"], &json!({"rss": 0, "allocated": 0, "erlang": 0}));
    let number = |key: &str| nodes[0][key].as_u64().unwrap();
    assert!(number("proc_used") <= number("proc_total"), "{}", nodes[0]);
    assert_eq!(api().call("GET", "/nodes/none@nowhere", "").status, 404);
}

// HT-015
#[test]
fn the_past_is_told_when_it_is_asked_for() {
    let channel = Channel::open();
    let queue = channel.queue();
    channel.fill(&queue, ["a"]);
    channel.expect_ready(&queue, 1);
    let overview = api().get("/overview?lengths_age=60&lengths_incr=5");
    let samples = &overview["queue_totals"]["messages_details"]["samples"];
    assert!(samples.as_array().is_some_and(|samples| samples.len() >= 12), "{overview}");
    assert_shape(&samples[0], &json!({"sample": 0, "timestamp": 0}));
}

// HT-015
#[test]
fn pages_tell_the_past_and_lists_of_many_things_do_not() {
    if !only_on_lepus("RabbitMQ tells the past of everything at once") {
        return;
    }
    let realm = Realm::new();
    let channel = realm.guest();
    for n in 0..100 {
        channel.call(&queue(format!("q{n:02}")));
    }
    let list = |query: &str| {
        let past = "lengths_age=600&lengths_incr=5";
        let list = api().get(&format!("/queues/{}?{past}{query}", part(&realm.vhost)));
        let items = list.get("items").unwrap_or(&list).as_array().unwrap().clone();
        let samples = |item: &Json| item["messages_details"]["samples"].as_array().map(Vec::len);
        (items[0]["name"].clone(), items.iter().map(samples).collect::<Vec<_>>())
    };
    assert_eq!(list(""), (json!("q00"), vec![None; 100]));
    assert_eq!(list("&page=2&page_size=10"), (json!("q10"), vec![Some(121); 10]));
    let last_first = "&page=1&page_size=3&sort=messages&sort_reverse=true";
    assert_eq!(list(last_first), (json!("q99"), vec![Some(121); 3]));
    assert_eq!(list("&page=1&name=9&sort=name"), (json!("q09"), vec![Some(121); 19]));
}
