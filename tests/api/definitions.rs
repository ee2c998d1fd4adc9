//! Definitions, out and in.

use std::fs;

use serde_json::{Value as Json, json};

use crate::harness::{
    Api, Options, PROTOCOL_HEADER, Program, address, api, lepus, name, only_on_lepus, part,
    private_broker, starts_with,
};

/// Definitions with something of every kind.
fn everything(vhost: &str, user: &str) -> Json {
    let of = |mut item: Json| {
        item["vhost"] = json!(vhost);
        item
    };
    json!({
        "rabbitmq_version": "4.3.6",
        "users": [{
            "name": user,
            "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["monitoring"],
            "limits": {"max-connections": 3},
        }],
        "vhosts": [{
            "name": vhost,
            "metadata": {"description": "a test", "tags": ["x"], "default_queue_type": "quorum"},
        }],
        "permissions": [of(json!({
            "user": user, "configure": ".*", "write": "^a", "read": "b$"}))],
        "topic_permissions": [of(json!({
            "user": user, "exchange": "amq.topic", "write": "^a", "read": "b$"}))],
        "parameters": [
            of(json!({"component": "vhost-limits", "name": "limits",
                "value": {"max-queues": 10}})),
            of(json!({"component": "operator_policy", "name": "op", "value": {
            "pattern": "^q", "apply-to": "queues", "priority": 2,
            "definition": {"max-length": 100}}})),
        ],
        "policies": [of(json!({
            "name": "p", "pattern": "^q", "apply-to": "all", "priority": 1,
            "definition": {"message-ttl": 5000}}))],
        "queues": [
            of(json!({"name": "q 1/\u{f6}", "durable": true, "auto_delete": false,
                "arguments": {"x-max-length": 5, "x-queue-type": "classic"}})),
            of(json!({"name": "q2", "durable": true, "auto_delete": false,
                "arguments": {"x-queue-type": "quorum"}})),
        ],
        "exchanges": [
            of(json!({"name": "e1", "type": "topic", "durable": true, "auto_delete": false,
                "internal": false, "arguments": {"alternate-exchange": "e2"}})),
            of(json!({"name": "e2", "type": "fanout", "durable": true, "auto_delete": false,
                "internal": false, "arguments": {}})),
        ],
        "bindings": [
            of(json!({"source": "e1", "destination": "q 1/\u{f6}", "destination_type": "queue",
                "routing_key": "a.#", "arguments": {"k": "v", "n": 1}})),
            of(json!({"source": "e1", "destination": "e2", "destination_type": "exchange",
                "routing_key": "", "arguments": {}})),
            of(json!({"source": "amq.direct", "destination": "q2", "destination_type": "queue",
                "routing_key": "k", "arguments": {}})),
        ],
    })
}

/// The entries of a list of an export that are about a vhost or a user, in one order.
fn own(export: &Json, list: &str, vhost: &str, user: &str) -> Vec<Json> {
    let items = export[list].as_array().unwrap_or_else(|| panic!("no {list} in {export}"));
    let is_own = |item: &&Json| match list {
        "users" => item["name"] == user,
        "vhosts" => item["name"] == vhost,
        // Whoever makes a vhost may do everything there.
        "permissions" => item["vhost"] == vhost && item["user"] == user,
        _ => item["vhost"] == vhost,
    };
    let mut own: Vec<Json> = items.iter().filter(is_own).cloned().collect();
    for item in &mut own {
        // What brokers add of their own accord.
        let item = item.as_object_mut().unwrap();
        if list == "queues" {
            item.remove("type");
        }
        if list == "exchanges" {
            item.remove("internal");
        }
        if list == "vhosts" {
            item.remove("limits");
        }
        if let Some(metadata) = item.get_mut("metadata").and_then(Json::as_object_mut) {
            metadata.remove("protected_from_deletion");
            metadata.remove("tracing");
        }
    }
    own.sort_by_key(Json::to_string);
    own
}

const LISTS: [&str; 9] = [
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "policies",
    "parameters",
    "queues",
    "exchanges",
    "bindings",
];

type Change = dyn Fn(&mut Json);

#[track_caller]
fn assert_exported(api: &Api, file: &Json, vhost: &str, user: &str) {
    let export = api.get("/definitions");
    for list in LISTS {
        let (found, expected) = (own(&export, list, vhost, user), own(file, list, vhost, user));
        assert_eq!(json!(found), json!(expected), "{list}");
    }
}

// HT-120, HT-123, HT-124, HT-125, HT-127
#[test]
fn what_is_imported_is_exported_and_in_effect() {
    let (vhost, user) = (name("vhost"), name("user"));
    let file = everything(&vhost, &user);
    let answer = api().post("/definitions", &file);
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_exported(&api(), &file, &vhost, &user);
    let own = api().get(&format!("/permissions/{vhost}/guest"));
    assert_eq!(own["configure"], ".*");
    // A second time nothing changes.
    assert_eq!(api().post("/definitions", &file).status, 204);
    assert_exported(&api(), &file, &vhost, &user);
    // The hash is that of the password `test12`.
    assert_eq!(api().login(&user, "test12").get("/whoami")["name"], json!(user));
    if only_on_lepus("RabbitMQ shows policies late") {
        let queue = api().get(&format!("/queues/{}/q2", part(&vhost)));
        assert_eq!(queue["policy"], "p");
        assert_eq!(queue["operator_policy"], "op");
    }
    assert_eq!(api().delete(&format!("/vhosts/{vhost}")).status, 204);
    assert_eq!(api().delete(&format!("/users/{user}")).status, 204);
}

#[test]
fn the_identity_of_a_cluster_is_not_exported() {
    let has_internal = |list: &Json| {
        let mut parameters = list.as_array().unwrap().iter();
        parameters.any(|parameter| parameter["name"].as_str().unwrap().starts_with("internal"))
    };
    let all = api().get("/global-parameters");
    assert!(has_internal(&all), "{all}");
    let exported = &api().get("/definitions")["global_parameters"];
    assert!(!has_internal(exported), "{exported}");
}

// As with RabbitMQ, where an import would otherwise give another cluster this one's name.
#[test]
fn the_name_of_a_cluster_is_exported_if_somebody_gave_it() {
    let Some(private) = private_broker("") else { return };
    let api = private.api();
    let names = || api.get("/definitions")["global_parameters"].to_string();
    assert!(!names().contains("cluster_name"), "{}", names());
    assert_eq!(api.put("/cluster-name", &json!({"name": "warren"})).status, 204);
    assert!(names().contains(r#"{"name":"cluster_name","value":"warren"}"#), "{}", names());
}

// HT-121
#[test]
fn definitions_of_a_vhost_go_into_another() {
    let (vhost, other, user) = (name("vhost"), name("vhost"), name("user"));
    let file = everything(&vhost, &user);
    assert_eq!(api().post("/definitions", &file).status, 204);
    let export = api().get(&format!("/definitions/{vhost}"));
    assert_eq!(export["rabbitmq_definition_format"], "single_virtual_host");
    assert_eq!(export["original_vhost_name"], json!(vhost));
    assert!(export.get("users").is_none() && export["queues"][0].get("vhost").is_none());
    assert_eq!(api().put(&format!("/vhosts/{other}"), &json!({})).status, 201);
    let answer = api().post(&format!("/definitions/{other}"), &export);
    assert_eq!(answer.status, 204, "{}", answer.text);
    let queues = api().get(&format!("/queues/{other}"));
    assert_eq!(queues.as_array().unwrap().len(), 2);
    let bindings = api().get(&format!("/exchanges/{other}/e1/bindings/source"));
    assert_eq!(bindings.as_array().unwrap().len(), 2);
    for vhost in [&vhost, &other] {
        assert_eq!(api().delete(&format!("/vhosts/{vhost}")).status, 204);
    }
    assert_eq!(api().delete(&format!("/users/{user}")).status, 204);
}

// HT-126, HT-129; RabbitMQ imports what stands before the mistake.
#[test]
fn a_file_with_a_mistake_changes_nothing_and_is_told_which_entry() {
    let Some(private) = private_broker("") else { return };
    let api = private.api();
    let wrong = |change: &Change| {
        let mut file = everything("v", "u");
        change(&mut file);
        let (status, _, reason) = api.post("/definitions", &file).refusal();
        assert_eq!(status, 400, "{reason}");
        assert_eq!(api.call("GET", "/vhosts/v", "").status, 404, "something was imported");
        reason
    };
    let cases: [(&Change, &[&str]); 14] = [
        (
            &|f| f["queues"][1]["arguments"] = json!({"x-message-ttl": -1}),
            &["queues[1] (q2)", "ttl"],
        ),
        (&|f| f["queues"][0]["vhost"] = json!("gone"), &["queues[0] (q 1/", "no vhost 'gone'"]),
        (&|f| drop(f["queues"][0].as_object_mut().unwrap().remove("vhost")), &["`vhost`"]),
        (&|f| f["exchanges"][1]["type"] = json!("odd"), &["exchanges[1] (e2)", "odd"]),
        (
            &|f| f["bindings"][0]["source"] = json!("none"),
            &["bindings[0] (none)", "no exchange 'none'"],
        ),
        (&|f| f["policies"][0]["pattern"] = json!("("), &["policies[0] (p)", "pattern"]),
        (&|f| f["users"][0]["password_hash"] = json!("!"), &["users[0]", "password_hash"]),
        (&|f| f["permissions"][0]["read"] = json!("("), &["permissions[0]"]),
        (&|f| f["vhosts"] = json!({}), &["vhosts", "list"]),
        // What makes sense by itself may not go together with the rest.
        (&|f| f["bindings"][0]["destination"] = json!("none"), &["bindings[0]", "no queue 'none'"]),
        (
            &|f| f["topic_permissions"][0]["exchange"] = json!("none"),
            &["topic_permissions[0] (u)", "no exchange 'none'"],
        ),
        (&|f| f["permissions"][0]["user"] = json!("none"), &["permissions[0]", "no user 'none'"]),
        (
            &|f| f["parameters"][0]["value"] = json!({"max-queues": 1}),
            &["queues", "would exceed the limit of 1 queue(s)"],
        ),
        (&|f| f["queues"][1]["auto_delete"] = json!(true), &["queues[1] (q2)", "auto-delete"]),
    ];
    for (change, words) in cases {
        let reason = wrong(change);
        for word in words {
            assert!(reason.contains(word), "{word:?} is not in {reason:?}");
        }
    }
    let answer = api.call("POST", "/definitions", "{");
    assert_eq!((answer.status, answer.refusal().2.as_str()), (400, "failed_to_parse_json"));
    let (status, _, reason) = api.call("GET", "/definitions/none", "").refusal();
    assert_eq!((status, reason.as_str()), (400, "vhost_not_found"));
}

// EN-002, EN-044
#[test]
fn definitions_are_loaded_at_the_start_in_place_of_the_defaults() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("definitions.json");
    fs::write(&path, everything("v", "u").to_string()).unwrap();
    let mut command = lepus(home.path(), &["--amqp-port=0", "--log-level=warn"]);
    command.env("LEPUS_LOAD_DEFINITIONS", &path);
    let program = Program::start(&mut command);
    program.line();
    let (status, log) = program.stop("-TERM");
    assert_eq!((status.code(), log.as_str()), (Some(0), ""));
    // They are there without the file, too, and nobody else is.
    let mut private = lepus(home.path(), &["--amqp-port=0", "--log-level=warn"]);
    let program = Program::start(&mut private);
    let ready = program.line();
    let options = Options::at(address(&ready));
    options.clone().login("u", "test12").vhost("v").open().close();
    let guest = options.vhost("v").dial();
    guest.send_bytes(PROTOCOL_HEADER);
    guest.control().expect((10, 10));
    guest.control().send(&Options::new().start_ok());
    guest.expect_close(403, starts_with("ACCESS_REFUSED - Login was refused"), (0, 0));
    program.stop("-TERM");
    fs::write(&path, "{\"queues\": [{\"name\": 1}]}").unwrap();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("definitions.json: queues[0]: "), "{said}");
}

// HT-125
#[test]
fn a_long_list_of_bindings_finds_both_their_ends() {
    let Some(private) = private_broker("") else { return };
    let count = 3000;
    let names: Vec<String> = (0..count).map(|n| format!("q{n}")).collect();
    let of = |n: &String| {
        json!({"vhost": "/", "source": "amq.direct", "destination": n,
            "destination_type": "queue", "routing_key": "k", "arguments": {}})
    };
    let queue = |n: &String| json!({"vhost": "/", "name": n, "durable": true, "arguments": {}});
    let file = json!({
        "queues": names.iter().map(queue).collect::<Vec<_>>(),
        "bindings": names.iter().map(of).collect::<Vec<_>>(),
    });
    let answer = private.api().post("/definitions", &file);
    assert_eq!(answer.status, 204, "{}", answer.text);
    let bindings = private.api().get("/exchanges/%2F/amq.direct/bindings/source");
    assert_eq!(bindings.as_array().unwrap().len(), count);
}

// HT-009, HT-121, HT-125: what an entry need not say, and what is passed over.
#[test]
fn what_entries_leave_out_is_as_with_rabbitmq() {
    let vhost = name("vhost");
    assert_eq!(api().put(&format!("/vhosts/{vhost}"), &json!({})).status, 201);
    let path = format!("/definitions/{vhost}");
    let import = |file: Json| assert_eq!(api().post(&path, &file).status, 204, "{file}");
    assert_eq!(api().call("POST", &path, "").status, 204);
    import(json!({
        "queues": [{"name": "q"}],
        "exchanges": [{"name": "e", "type": "topic"}, {"name": "amq.mine", "type": "topic"}],
        "bindings": [{"source": "", "destination": "q", "destination_type": "queue",
            "routing_key": "x"}],
    }));
    let durable = |path: &str| api().get(path)["durable"].clone();
    assert_eq!(durable(&format!("/queues/{vhost}/q")), json!(true));
    assert_eq!(durable(&format!("/exchanges/{vhost}/e")), json!(true));
    assert_eq!(api().call("GET", &format!("/exchanges/{vhost}/amq.mine"), "").status, 404);
    let (status, _, reason) = api().call("POST", "/definitions/none", "{}").refusal();
    assert_eq!((status, reason.as_str()), (404, "vhost_not_found"));
    assert_eq!(api().delete(&format!("/vhosts/{vhost}")).status, 204);
}

// PO-070, HT-125: limits that a parameter leaves out are none.
#[test]
fn limits_that_are_imported_as_a_parameter_take_the_place_of_those_before() {
    let vhost = name("vhost");
    assert_eq!(api().put(&format!("/vhosts/{vhost}"), &json!({})).status, 201);
    for limit in ["max-connections", "max-queues"] {
        let path = format!("/vhost-limits/{vhost}/{limit}");
        assert_eq!(api().put(&path, &json!({"value": 1})).status, 204);
    }
    let mut file = json!({
        "parameters": [{"component": "vhost-limits", "name": "limits",
            "value": {"max-connections": 7}}],
    });
    if only_on_lepus("RabbitMQ counts queues against the limits that were there before") {
        file["queues"] = json!([{"name": "q1"}, {"name": "q2"}]);
    }
    let answer = api().post(&format!("/definitions/{vhost}"), &file);
    assert_eq!(answer.status, 204, "{}", answer.text);
    let limits = json!([{"vhost": vhost, "value": {"max-connections": 7}}]);
    assert_eq!(api().get(&format!("/vhost-limits/{vhost}")), limits);
    assert_eq!(api().delete(&format!("/vhosts/{vhost}")).status, 204);
}

// HT-121
#[test]
fn what_leads_through_internal_exchanges_comes_back_whole() {
    if !only_on_lepus("RabbitMQ exports bindings of exchanges that it leaves out") {
        return;
    }
    let (vhost, other) = (name("vhost"), name("vhost"));
    for vhost in [&vhost, &other] {
        assert_eq!(api().put(&format!("/vhosts/{vhost}"), &json!({})).status, 201);
    }
    let hidden = json!({"type": "fanout", "durable": true, "internal": true});
    assert_eq!(api().put(&format!("/exchanges/{vhost}/hidden"), &hidden).status, 201);
    let bind = format!("/bindings/{vhost}/e/amq.fanout/e/hidden");
    assert_eq!(api().post(&bind, &json!({})).status, 201);
    let export = api().get(&format!("/definitions/{vhost}"));
    let answer = api().post(&format!("/definitions/{other}"), &export);
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(api().get(&format!("/exchanges/{other}/hidden"))["internal"], json!(true));
    let bindings = api().get(&format!("/exchanges/{other}/hidden/bindings/destination"));
    assert_eq!(bindings.as_array().unwrap().len(), 1);
}
