//! Policies and operator policies through the API.

use serde_json::{Value, json};

use crate::harness::{Realm, api, only_on_lepus, part, queue};

const KINDS: [&str; 2] = ["policies", "operator-policies"];

fn path(realm: &Realm, kind: &str, name: &str) -> String {
    format!("/{kind}/{}/{}", part(&realm.vhost), part(name))
}

// HT-053, HT-085, PO-050
#[test]
fn policies_are_set_listed_changed_and_deleted() {
    let realm = Realm::new();
    for kind in KINDS {
        let one = path(&realm, kind, "p/1");
        assert_eq!(api().call("GET", &one, "").status, 404);
        let body = json!({"pattern": "^a", "definition": {"max-length": 5}});
        assert_eq!(api().put(&one, &body).status, 201);
        let expected = json!({
            "vhost": realm.vhost, "name": "p/1", "pattern": "^a", "apply-to": "all",
            "definition": {"max-length": 5}, "priority": 0,
        });
        assert_eq!(api().get(&one), expected);
        let body = json!({
            "pattern": "^b", "definition": {"max-length": 6}, "priority": 3, "apply-to": "queues",
        });
        assert_eq!(api().put(&one, &body).status, 204);
        let expected = json!({
            "vhost": realm.vhost, "name": "p/1", "pattern": "^b", "apply-to": "queues",
            "definition": {"max-length": 6}, "priority": 3,
        });
        assert_eq!(api().get(&one), expected);
        let low = json!({"pattern": "x", "definition": {"max-length": 1}, "priority": -1});
        api().put(&path(&realm, kind, "low"), &low);
        let list = api().get(&format!("/{kind}/{}", part(&realm.vhost)));
        let names: Vec<_> = list.as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
        assert_eq!(names, ["low", "p/1"]);
        assert!(api().get(&format!("/{kind}")).as_array().unwrap().contains(&expected));
        assert_eq!(api().delete(&one).status, 204);
        assert_eq!(api().delete(&one).status, 404);
    }
}

// PO-053, PO-061
#[test]
fn a_policy_is_seen_on_its_queue_at_once() {
    let realm = Realm::new();
    let channel = realm.guest();
    channel.call(&queue("q").durable());
    let body = json!({"pattern": "q", "definition": {"max-length": 5, "expires": 100_000}});
    api().put(&path(&realm, "policies", "mine"), &body);
    let body = json!({"pattern": "q", "definition": {"max-length": 3}, "apply-to": "queues"});
    api().put(&path(&realm, "operator-policies", "theirs"), &body);
    if !only_on_lepus("RabbitMQ shows it seconds later") {
        return;
    }
    let found = api().get(&format!("/queues/{}/q", part(&realm.vhost)));
    assert_eq!((&found["policy"], &found["operator_policy"]), (&json!("mine"), &json!("theirs")));
    let effective = json!({"max-length": 3, "expires": 100_000});
    assert_eq!(found["effective_policy_definition"], effective);
}

// PO-059, HT-007
#[test]
fn what_makes_no_sense_of_a_policy_is_refused() {
    let realm = Realm::new();
    for kind in KINDS {
        let one = path(&realm, kind, "p");
        let refused = |body: &Value| {
            let (status, error, reason) = api().put(&one, body).refusal();
            assert_eq!((status, error.as_str()), (400, "bad_request"));
            reason
        };
        let all = "[{key_missing,pattern},{key_missing,definition}]";
        assert_eq!(refused(&json!({})), all);
        assert_eq!(refused(&json!({"pattern": "a"})), "[{key_missing,definition}]");
        assert_eq!(api().call("PUT", &one, "[]").refusal().2, "not_json");
        for (more, line) in [
            (json!({"definition": {}}), "no policy provided"),
            (
                json!({"definition": {"foo": 1}}),
                "[{<<\"foo\">>,1}] are not recognised policy settings",
            ),
            (json!({"definition": {"max-length": "x"}}), "<<\"x\">> is not a valid maximum length"),
            (json!({"pattern": 5}), "pattern should be a binary but was 5"),
            (json!({"priority": "5"}), "priority should be a number, actually was <<\"5\">>"),
            (
                json!({"apply-to": "x"}),
                "apply-to 'x' unrecognised; should be one of: 'queues', 'classic_queues',  \
                 'quorum_queues', 'streams', 'exchanges', or 'all'",
            ),
        ] {
            let mut body = json!({"pattern": "a", "definition": {"max-length": 5}});
            for (key, value) in more.as_object().unwrap() {
                body[key] = value.clone();
            }
            assert_eq!(refused(&body), format!("Validation failed\n\n{line}\n"), "{kind}: {more}");
        }
        let missing = (404, "not_found".to_owned(), "vhost_not_found".to_owned());
        assert_eq!(api().put(&format!("/{kind}/none/p"), &json!({})).refusal(), missing);
        for method in ["GET", "DELETE"] {
            assert_eq!(api().call(method, &format!("/{kind}/none/p"), "").status, 404);
        }
        assert_eq!(api().call("GET", &format!("/{kind}/none"), "").status, 404);
        assert_eq!(api().call("GET", &one, "").status, 404);
    }
}

#[test]
fn a_definition_too_deep_to_be_kept_is_refused() {
    if !only_on_lepus("RabbitMQ keeps it") {
        return;
    }
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let answer = api().put("/global-parameters/deep", &json!({"value": deep}));
    assert_eq!(answer.refusal().2, "values nested deeper than 32 levels");
    let depth = "[".repeat(2000);
    let answer = api().call("PUT", "/global-parameters/deep", &format!("{{\"value\": {depth}"));
    assert_eq!(answer.refusal().2, "not_json");
}
