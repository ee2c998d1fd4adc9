//! What the configuration gives new vhosts, and how much it lets there be on the whole node.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

use serde_json::json;

use crate::harness::*;

// PO-075
#[test]
fn a_new_vhost_is_given_what_is_configured_for_names_like_its_own() {
    let settings = r#"
        default_users = ["qa.vhost_pattern=^qa", "qa.password=s,e=c", "qa.configure=^c",
            "qa.tags=monitoring,policymaker", "bare.vhost_pattern=^qa"]
        default_operator_policies = ["dev.vhost_pattern=^qa", "dev.queue_pattern=^d",
            "dev.apply_to=queues", "dev.expires=1h", "dev.max_length_bytes=1MiB",
            "dev.delivery_limit=7", "none.vhost_pattern=^none", "none.max_length=1"]
        default_vhost_limits = ["2.pattern=^qa", "2.max_queues=1", "10.pattern=^qa9",
            "10.max_queues=9"]
    "#;
    let Some(mut private) = private_broker(settings) else { return };
    let api = private.api();
    for vhost in ["qa1", "qa99", "other"] {
        assert_eq!(api.put(&format!("/vhosts/{vhost}"), &json!({})).status, 201);
    }
    // As RabbitMQ 4.3.6 answers.
    let policies = json!([{
        "vhost": "qa1", "name": "dev", "pattern": "^d", "apply-to": "queues", "priority": 0,
        "definition": {"delivery-limit": 7, "expires": 3_600_000, "max-length-bytes": 1_048_576},
    }]);
    for _ in 0..2 {
        let api = private.api();
        assert_eq!(api.get("/operator-policies/qa1"), policies);
        assert_eq!(api.get("/operator-policies/other"), json!([]));
        let limits = api.get("/vhost-limits/qa1");
        assert_eq!(limits, json!([{"vhost": "qa1", "value": {"max-queues": 1}}]));
        assert_eq!(api.get("/vhost-limits/qa99")[0]["value"], json!({"max-queues": 9}));
        assert_eq!(api.get("/vhost-limits/other"), json!([]));
        let mut permissions = api.get("/vhosts/qa1/permissions");
        let permissions = permissions.as_array_mut().unwrap();
        permissions.sort_by_key(|of| of["user"].as_str().unwrap().to_owned());
        let may = |user, configure| {
            let mut of = json!({"vhost": "qa1", "write": ".*", "read": ".*"});
            (of["user"], of["configure"]) = (json!(user), json!(configure));
            of
        };
        assert_eq!(*permissions, [may("bare", ".*"), may("guest", ".*"), may("qa", "^c")]);
        let qa = api.get("/users/qa");
        assert_eq!(qa["tags"], json!(["monitoring", "policymaker"]));
        assert_eq!(api.get("/users/bare")["password_hash"], "");
        private.restart();
    }
    // It is in effect for who connects.
    let channel = private.options().vhost("qa1").login("qa", "s,e=c").open().channel(1);
    channel.declare(&queue("c"));
    let text = "PRECONDITION_FAILED - cannot declare queue 'c2': queue limit in vhost 'qa1' (1) \
                is reached";
    channel.refused(&queue("c2"), 406, text);
    // A user who is there keeps the password.
    private.operator().change_password("qa", "other");
    private.operator().add_vhost("qa2");
    private.options().vhost("qa2").login("qa", "other").open();
}

// PO-075: also the one that is made at the start.
#[test]
fn the_default_vhost_is_given_something_too_and_only_once() {
    let settings = r#"default_vhost_limits = ["all.max_queues=3"]"#;
    let Some(mut private) = private_broker(settings) else { return };
    let limits = private.api().get("/vhost-limits/%2F");
    assert_eq!(limits[0]["value"], json!({"max-queues": 3}));
    private.api().delete("/vhost-limits/%2F/max-queues");
    private.restart();
    assert_ne!(private.api().get("/vhost-limits/%2F")[0]["value"], json!({"max-queues": 3}));
}

// EN-051: run against RabbitMQ 4.3.6.
#[test]
fn there_are_no_more_vhosts_than_there_may_be() {
    let Some(private) = private_broker("vhosts_max = 2") else { return };
    let api = private.api();
    assert_eq!(api.put("/vhosts/a", &json!({})).status, 201);
    assert_eq!(api.put("/vhosts/a", &json!({"description": "again"})).status, 204);
    let reason = "cannot create vhost 'b': vhost limit of 2 is reached".to_owned();
    let refusal = api.put("/vhosts/b", &json!({})).refusal();
    assert_eq!(refusal, (400, "bad_request".to_owned(), reason));
    api.delete("/vhosts/a");
    assert_eq!(api.put("/vhosts/b", &json!({})).status, 201);
}

// EN-047, CH-005: run against RabbitMQ 4.3.6.
#[test]
fn there_are_no_more_queues_exchanges_and_channels_than_there_may_be() {
    let settings = "queues_max = 2\nexchanges_max = 15\nchannels_max = 2\nnode_name = \"n@h\"";
    let Some(private) = private_broker(settings) else { return };
    private.operator().add_vhost("v");
    private.operator().permit("guest", "v", EVERYTHING);
    let connections = [private.open(), private.options().vhost("v").open()];
    let [one, other] = connections.each_ref().map(|connection| connection.channel(1));
    one.declare(&queue("a"));
    other.declare(&queue("b"));
    let text =
        "PRECONDITION_FAILED - cannot declare queue 'c': queue limit in cluster (2) is reached";
    one.refused(&queue("c"), 406, text);
    one.reopen();
    one.declare(&queue("a"));
    other.call(&delete("b"));
    one.declare(&queue("c"));

    other.call(&exchange("x", "fanout"));
    let text = "PRECONDITION_FAILED - cannot declare exchange 'y' in vhost 'v': exchange limit of \
                15 is reached";
    other.refused(&exchange("y", "fanout"), 406, text);
    other.reopen();
    other.call(&exchange("x", "fanout"));

    connections[0].channel_as_is(2).send(&channel_open());
    let text = "NOT_ALLOWED - number of channels opened on node 'n@h' has reached the maximum \
                allowed limit of 2";
    connections[0].expect_close(530, text, (0, 0));
    connections[1].channel(2);
}

// Run against RabbitMQ 4.3.6.
#[test]
fn messages_get_the_headers_that_are_configured() {
    let came = |settings: &str| {
        let private = private_broker(&format!("node_name = \"n@h\"\n{settings}"))?;
        let channel = private.open().channel(1);
        let q = channel.queue();
        let own = Table::new().with("timestamp_in_ms", 7_i64).with("x-routed-by", "me");
        channel.publish(&publish("", &q, "bare"));
        let own = Properties { headers: Some(own), timestamp: Some(5), ..Properties::default() };
        channel.publish(&publish("", &q, "own").properties(own));
        channel.expect_ready(&q, 2);
        let get = || channel.get(&q).expect("it is there").properties;
        Some([get(), get()])
    };
    let Some([bare, own]) = came("") else { return };
    assert_eq!((bare.headers, bare.timestamp), (None, None));
    assert_eq!(own.timestamp, Some(5));
    let settings = "set_header_timestamp = \"overwrite\"\nset_header_routing_node = \"missing\"";
    let Some(both) = came(settings) else { return };
    for (properties, node) in both.iter().zip(["n@h", "me"]) {
        let headers = properties.headers.clone().expect("there are headers");
        let Some(&Value::I64(millis)) = headers.get("timestamp_in_ms") else {
            panic!("{headers:?}")
        };
        assert!(millis > 1_600_000_000_000, "{headers:?}");
        assert_eq!(properties.timestamp, Some(millis.unsigned_abs() / 1000));
        assert_eq!(headers.text("x-routed-by"), node);
        assert_eq!(headers.0.len(), 2, "{headers:?}");
    }
}

// HT-127: run against RabbitMQ 4.3.6.
#[test]
fn new_passwords_are_as_the_configuration_wants_them() {
    for (settings, bad, good) in [
        ("password_length_min = 6", "short", "long enough"),
        ("password_pattern = \"^[a-z]+$\"", "Capital", "small"),
    ] {
        let Some(private) = private_broker(settings) else { return };
        let api = private.api();
        let put = |password: &str| api.put("/users/u", &json!({"password": password, "tags": ""}));
        let refusal = (400, "bad_request".to_owned(), "credential_validation_failed".to_owned());
        assert_eq!(put(bad).refusal(), refusal, "{settings}");
        assert_eq!(api.call("GET", "/users/u", "").status, 404);
        assert_eq!(put(good).status, 201);
        assert_eq!(put(bad).refusal(), refusal);
        let hash = json!({"password_hash": "", "tags": ""});
        assert_eq!(api.put("/users/u", &hash).status, 204);
    }
}

#[test]
fn vhosts_may_be_traced_from_the_start_on() {
    let Some(private) = private_broker("trace_vhosts = [\"/\", \"nowhere\"]") else { return };
    assert_eq!(private.api().get("/vhosts/%2F")["tracing"], json!(true));
    let channel = private.open().channel(1);
    let q = channel.queue();
    channel.call(&bind(&q, "amq.rabbitmq.trace", "publish.#"));
    channel.publish(&publish("amq.direct", "k", "told"));
    channel.expect_ready(&q, 1);
}

// EN-044
#[test]
fn definitions_may_come_from_a_url() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let lines = stream.by_ref().lines().map_while(Result::ok);
        let request: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let text = r#"{"vhosts": [{"name": "fetched"}], "queues": [], "exchanges": []}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        stream.get_mut().write_all((head + text).as_bytes()).unwrap();
        request[0].clone()
    });
    let settings = format!("load_definitions = \"http://{address}/d.json\"");
    let Some(private) = private_broker(&settings) else { return };
    assert_eq!(private.api().get("/vhosts/fetched")["name"], json!("fetched"));
    assert_eq!(server.join().unwrap(), "GET /d.json HTTP/1.1");
}
