//! Vhosts through the API.

use serde_json::{Value, json};

use crate::harness::{Channel, Options, api, name, only_on_lepus, part, queue};

/// A vhost of a test's own; it goes when dropped.
struct Vhost(String);

impl Vhost {
    fn new() -> Self {
        Self(format!("/vhosts/{}", part(&name("vhost/a"))))
    }

    fn name(&self) -> String {
        self.get()["name"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn put(&self, body: &Value) -> u16 {
        let answer = api().put(&self.0, body);
        assert!(answer.text.is_empty(), "{answer:?}");
        answer.status
    }

    #[track_caller]
    fn get(&self) -> Value {
        api().get(&self.0)
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        api().delete(&format!("{}/deletion/protection", self.0));
        api().delete(&self.0);
    }
}

// HT-008, HT-009, HT-048, HT-083
#[test]
fn a_vhost_is_added_listed_changed_and_deleted() {
    let vhost = Vhost::new();
    assert_eq!(api().call("PUT", &vhost.0, "").status, 201);
    let found = vhost.get();
    assert_eq!(found["description"], "");
    assert_eq!(found["tags"], json!([]));
    assert_eq!(found["default_queue_type"], "classic");
    assert_eq!(found["protected_from_deletion"], false);
    assert_eq!(found["tracing"], false);
    assert_eq!(
        found["metadata"],
        json!({"description": "", "tags": [], "default_queue_type": "classic"})
    );
    let states: Vec<_> = found["cluster_state"].as_object().unwrap().values().collect();
    assert_eq!(states, ["running"]);
    let more = json!({"description": "d", "tags": "a, b", "default_queue_type": "quorum"});
    assert_eq!(vhost.put(&more), 204);
    let found = vhost.get();
    assert_eq!((&found["description"], &found["tags"]), (&json!("d"), &json!(["a", "b"])));
    assert_eq!(found["default_queue_type"], "quorum");
    assert_eq!(vhost.put(&json!({"tags": ["c"]})), 204);
    let found = vhost.get();
    // What is not said again is as at the beginning.
    assert_eq!((&found["description"], &found["tags"]), (&json!(""), &json!(["c"])));
    assert_eq!(found["default_queue_type"], "classic");
    let names: Vec<_> = api()
        .get("/vhosts")
        .as_array()
        .unwrap()
        .iter()
        .map(|vhost| vhost["name"].clone())
        .collect();
    assert!(names.contains(&found["name"]));
    assert_eq!(api().delete(&vhost.0).status, 204);
    assert_eq!(api().delete(&vhost.0).status, 404);
}

// HT-052: whoever adds a vhost may do everything in it.
#[test]
fn whoever_adds_a_vhost_may_enter_it() {
    let vhost = Vhost::new();
    assert_eq!(vhost.put(&json!({})), 201);
    let permitted = api().get(&format!("{}/permissions", vhost.0));
    let name = vhost.name();
    let everything =
        json!([{"user": "guest", "vhost": name, "configure": ".*", "write": ".*", "read": ".*"}]);
    assert_eq!(permitted, everything);
    Options::new().vhost(&name).open();
}

// HT-048
#[test]
fn its_default_queue_type_is_that_of_queues_that_say_none() {
    let vhost = Vhost::new();
    vhost.put(&json!({"default_queue_type": "quorum"}));
    let channel = Options::new().vhost(&vhost.name()).open().channel(1);
    let name = name("q");
    channel.call(&queue(&name).durable());
    let path = format!("/queues/{}/{name}", part(&vhost.name()));
    assert_eq!(api().get(&path)["type"], "quorum");
}

// HT-049
#[test]
fn a_protected_vhost_is_not_deleted() {
    let vhost = Vhost::new();
    vhost.put(&json!({}));
    let protection = format!("{}/deletion/protection", vhost.0);
    assert_eq!(api().post(&protection, &json!({})).status, 204);
    assert_eq!(vhost.get()["protected_from_deletion"], true);
    assert_eq!(vhost.get()["metadata"]["protected_from_deletion"], true);
    let reason = format!(
        "Refusing to delete virtual host '{}' because it is protected from deletion",
        vhost.name()
    );
    let refused = (412, "precondition_failed".to_owned(), reason);
    assert_eq!(api().delete(&vhost.0).refusal(), refused);
    // It stays so whatever else is said.
    vhost.put(&json!({"description": "d"}));
    assert_eq!(api().delete(&vhost.0).status, 412);
    assert_eq!(api().delete(&protection).status, 204);
    assert_eq!(api().delete(&vhost.0).status, 204);
}

// HT-049
#[test]
fn a_vhost_is_started_where_it_runs() {
    let vhost = Vhost::new();
    vhost.put(&json!({}));
    let start = |node: &str| api().post(&format!("{}/start/{}", vhost.0, part(node)), &json!({}));
    assert_eq!(start(&super::node()).status, 204);
    assert_eq!(start("rabbit@nowhere").refusal().2, "Unknown node: rabbit@nowhere");
}

// HT-006, HT-129
#[test]
fn what_makes_no_sense_of_a_vhost_is_refused() {
    let vhost = Vhost::new();
    for (body, expected) in [
        (r#"{"default_queue_type": "foo"}"#, "foo is not a valid queue type"),
        (r#"{"default_queue_type": ""}"#, "default_queue_type must not be an empty string"),
        (r#"{"default_queue_type": 5}"#, "5 is not a valid default_queue_type value"),
        ("[]", "not_json"),
        ("{", "not_json"),
        (
            r#""{}""#,
            "invalid payload: the request body JSON-decoded to a string. Is the input \
             doubly-JSON-encoded?",
        ),
    ] {
        let refused = (400, "bad_request".to_owned(), expected.to_owned());
        assert_eq!(api().call("PUT", &vhost.0, body).refusal(), refused, "{body}");
    }
    assert_eq!(api().call("GET", &vhost.0, "").status, 404);
    let refused = json!({"error": "bad_request", "reason": ["not_boolean", "x"]});
    assert_eq!(api().put(&vhost.0, &json!({"tracing": "x"})).json(), refused);
    assert_eq!(api().call("GET", &format!("{}/permissions", vhost.0), "").status, 404);
}

// Here RabbitMQ answers with 500, or takes what is no text.
#[test]
fn what_is_of_the_wrong_type_is_named() {
    if !only_on_lepus("RabbitMQ answers with 500") {
        return;
    }
    let vhost = Vhost::new();
    for (key, value) in [("tags", json!(5)), ("tags", json!([5])), ("description", json!(5))] {
        let (status, _, reason) = api().put(&vhost.0, &json!({key: value})).refusal();
        assert_eq!((status, reason.starts_with(key)), (400, true), "{reason}");
    }
    let long = format!("/vhosts/{}", "v".repeat(256));
    assert_eq!(api().put(&long, &json!({})).status, 400);
}

#[test]
fn messages_are_counted_by_vhost() {
    if !only_on_lepus("RabbitMQ counts seconds later") {
        return;
    }
    let vhost = Vhost::new();
    vhost.put(&json!({}));
    let channel: Channel = Options::new().vhost(&vhost.name()).open().channel(1);
    let queue = channel.shared_queue();
    channel.fill(&queue, ["a", "b", "c"]);
    channel.expect_ready(&queue, 3);
    assert_eq!(channel.get(&queue).unwrap().text(), "a");
    let found = vhost.get();
    let counts =
        ["messages", "messages_ready", "messages_unacknowledged"].map(|key| found[key].clone());
    assert_eq!(counts, [3, 2, 1].map(|count| json!(count)));
}
