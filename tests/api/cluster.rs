//! The one node as a cluster.

use serde_json::{Value, json};

use crate::harness::{api, only_on_lepus, part, private_broker};

// HT-055, HT-087
#[test]
fn feature_flags_are_all_enabled() {
    let flags = api().get("/feature-flags");
    let flags = flags.as_array().unwrap();
    let find = |name: &str| flags.iter().find(|flag| flag["name"] == name);
    for name in ["quorum_queue", "stream_queue", "message_containers", "user_limits"] {
        let flag = find(name).unwrap();
        for key in ["desc", "doc_url", "state", "stability", "provided_by"] {
            assert!(flag[key].is_string(), "{flag}");
        }
        assert_eq!(flag["state"], "enabled");
    }
    // RabbitMQ's client for Rust looks for one that is.
    assert_eq!(find("rabbitmq_4.3.0").unwrap()["stability"], "stable");
    assert_eq!(find("rabbitmq_4.2.0").unwrap()["stability"], "required");
    let enable = |name: &str| api().put(&format!("/feature-flags/{name}/enable"), &json!({}));
    assert_eq!(enable("quorum_queue").status, 204);
    let refused = (400, "bad_request".to_owned(), "unsupported".to_owned());
    assert_eq!(enable("none").refusal(), refused);
}

// HT-055, HT-087
#[test]
fn deprecated_features_say_what_is_still_there() {
    let features = api().get("/deprecated-features");
    let find = |list: &Value, name: &str| {
        list.as_array().unwrap().iter().find(|feature| feature["name"] == name).cloned()
    };
    let queues = find(&features, "transient_nonexcl_queues").unwrap();
    for key in ["desc", "deprecation_phase", "doc_url", "provided_by", "state"] {
        assert!(queues[key].is_string(), "{queues}");
    }
    assert_eq!(find(&features, "classic_queue_mirroring").unwrap()["state"], "denied");
    let queue = crate::harness::name("transient");
    api().put(&format!("/queues/%2F/{queue}"), &json!({"durable": false}));
    let used = api().get("/deprecated-features/used");
    assert!(find(&used, "transient_nonexcl_queues").is_some(), "{used}");
    api().delete(&format!("/queues/%2F/{queue}"));
}

// HT-031, PO-073
#[test]
fn a_cluster_has_a_name_that_can_be_changed() {
    assert!(api().get("/cluster-name")["name"].is_string());
    let refused = api().put("/cluster-name", &json!({})).refusal();
    assert_eq!((refused.0, refused.2.as_str()), (400, "[{key_missing,name}]"));
    // What all tests share keeps its name.
    let Some(mut broker) = private_broker("cluster_name = \"first\"") else { return };
    let name = |api: crate::harness::Api| {
        let name = api.get("/cluster-name")["name"].clone();
        assert_eq!(api.get("/overview")["cluster_name"], name);
        assert_eq!(api.get("/global-parameters/cluster_name")["value"], name);
        name
    };
    assert_eq!(name(broker.api()), "first");
    assert_eq!(broker.api().put("/cluster-name", &json!({"name": "second"})).status, 204);
    assert_eq!(name(broker.api()), "second");
    broker.restart();
    assert_eq!(name(broker.api()), "second");
}

// HT-045, HT-061
#[test]
fn what_one_node_has_no_need_of_is_done_at_once() {
    assert_eq!(api().post("/rebalance/queues", &json!({})).status, 204);
    assert_eq!(api().delete("/reset/rabbit@nowhere").status, 404);
    if only_on_lepus("others count there") {
        assert_eq!(api().delete("/reset").status, 204);
        assert_eq!(api().delete(&format!("/reset/{}", part(&super::node()))).status, 204);
    }
    let queue = crate::harness::name("q");
    let path = format!("/queues/%2F/{queue}");
    api().put(&path, &json!({"durable": true}));
    let act = |body: Value| api().post(&format!("{path}/actions"), &body).json()["reason"].clone();
    assert_eq!(act(json!({"action": "sync"})), json!(["unknown", "sync"]));
    assert_eq!(act(json!({})), "[{key_missing,action}]");
    api().delete(&path);
    let missing = (404, "not_found".to_owned(), "queue_not_found".to_owned());
    assert_eq!(api().post(&format!("{path}/actions"), &json!({})).refusal(), missing);
}
