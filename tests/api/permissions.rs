//! Permissions and topic permissions through the API.

use serde_json::{Value, json};

use crate::harness::{Realm, api, exchange, part};

fn paths(realm: &Realm) -> [String; 2] {
    let (vhost, user) = (part(&realm.vhost), part(&realm.user));
    [format!("/permissions/{vhost}/{user}"), format!("/topic-permissions/{vhost}/{user}")]
}

/// What is listed of a realm's user, in three ways.
fn listed(realm: &Realm, kind: &str) -> [Value; 3] {
    let of_user = |list: Value| {
        let mut list = list.as_array().unwrap().clone();
        list.retain(|item| item["user"] == json!(realm.user));
        Value::Array(list)
    };
    [
        of_user(api().get(&format!("/{kind}"))),
        of_user(api().get(&format!("/vhosts/{}/{kind}", part(&realm.vhost)))),
        api().get(&format!("/users/{}/{kind}", part(&realm.user))),
    ]
}

// HT-049, HT-052, HT-084
#[test]
fn permissions_are_set_listed_and_cleared() {
    let realm = Realm::new();
    let [path, _] = paths(&realm);
    assert_eq!(api().call("GET", &path, "").status, 404);
    let body = json!({"configure": "", "write": "^a", "read": ".*"});
    assert_eq!(api().put(&path, &body).status, 201);
    let expected = json!({
        "user": realm.user, "vhost": realm.vhost, "configure": "", "write": "^a", "read": ".*",
    });
    assert_eq!(api().get(&path), expected);
    assert_eq!(listed(&realm, "permissions"), [0; 3].map(|_| json!([expected])));
    realm.options().open();
    assert_eq!(api().put(&path, &body).status, 204);
    assert_eq!(api().delete(&path).status, 204);
    assert_eq!(api().delete(&path).status, 404);
    assert_eq!(listed(&realm, "permissions"), [0; 3].map(|_| json!([])));
}

// HT-052, PO-026
#[test]
fn topic_permissions_are_set_listed_and_cleared() {
    let realm = Realm::permitting([".*"; 3]);
    let [_, path] = paths(&realm);
    assert_eq!(api().call("GET", &path, "").status, 404);
    let set = |exchange: &str| {
        api().put(&path, &json!({"exchange": exchange, "write": "a", "read": "b"})).status
    };
    realm.guest().call(&exchange("a/b", "topic"));
    assert_eq!([set("amq.topic"), set("a/b"), set("a/b")], [201, 204, 204]);
    let expected = |exchange: &str| {
        json!({
            "user": realm.user, "vhost": realm.vhost, "exchange": exchange, "write": "a",
            "read": "b",
        })
    };
    let both = json!([expected("a/b"), expected("amq.topic")]);
    assert_eq!(api().get(&path), both);
    assert_eq!(api().get(&format!("{path}/amq.topic")), both);
    assert_eq!(listed(&realm, "topic-permissions"), [0; 3].map(|_| both.clone()));
    assert_eq!(api().delete(&format!("{path}/a%2Fb")).status, 204);
    assert_eq!(api().get(&path), json!([expected("amq.topic")]));
    assert_eq!(api().delete(&path).status, 204);
    assert_eq!(api().delete(&path).status, 404);
}

// HT-007, HT-052
#[test]
fn what_makes_no_sense_of_permissions_is_refused() {
    let realm = Realm::new();
    let [path, topic_path] = paths(&realm);
    let refused = |path: &str, body: Value| {
        let (status, _, reason) = api().put(path, &body).refusal();
        (status, reason)
    };
    let missing = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| format!("{{key_missing,{key}}}")).collect();
        (400, format!("[{}]", keys.join(",")))
    };
    assert_eq!(refused(&path, json!({})), missing(&["configure", "write", "read"]));
    assert_eq!(refused(&path, json!({"write": ""})), missing(&["configure", "read"]));
    assert_eq!(refused(&topic_path, json!({})), missing(&["exchange", "write", "read"]));
    let nowhere = (400, "vhost_or_user_not_found".to_owned());
    let user = part(&realm.user);
    for path in [
        format!("/permissions/none/{user}"),
        format!("/permissions/{}/none", part(&realm.vhost)),
        format!("/topic-permissions/none/{user}"),
    ] {
        assert_eq!(refused(&path, json!({})), nowhere, "{path}");
        assert_eq!(api().delete(&path).status, 404, "{path}");
    }
    for path in ["/users/none/permissions", "/users/none/topic-permissions"] {
        assert_eq!(api().call("GET", path, "").status, 404, "{path}");
    }
    let nowhere = json!({"error": "bad_request", "reason": ["no_such_exchange", "none"]});
    let body = json!({"exchange": "none", "write": "", "read": ""});
    assert_eq!(api().put(&topic_path, &body).json(), nowhere);
    let body = json!({"configure": ".*", "write": "(", "read": ".*"});
    assert_eq!(api().put(&path, &body).status, 400);
    assert_eq!(api().call("GET", &path, "").status, 404);
}
