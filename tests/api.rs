//! The management API. `LEPUS_TEST_API` and `LEPUS_TEST_URI` make the same tests ask a RabbitMQ.

mod access;
mod cluster;
mod definitions;
mod health;
mod lists;
mod login;
mod messages;
mod origin;
mod page;
mod parameters;
mod permissions;
mod policies;
mod queues;
mod users;
mod vhosts;

use serde_json::json;

use crate::harness::{api, name, operator, part};

/// The node's name.
fn node() -> String {
    let vhost = api().get("/vhosts/%2F");
    vhost["cluster_state"].as_object().unwrap().keys().next().unwrap().clone()
}

// HT-002
#[test]
fn whoever_is_not_known_is_asked_for_a_password() {
    let refused = || (401, "not_authorized".to_owned(), "Not_Authorized".to_owned());
    let answer = api().login("guest", "wrong").call("GET", "/whoami", "");
    assert_eq!(answer.refusal(), refused());
    // A page that asked for the password itself must not be interrupted by the browser.
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(api().login("nobody", "x").call("GET", "/queues", "").refusal(), refused());
}

// HT-002
#[test]
fn whoever_says_nothing_is_challenged() {
    let answer = api().anonymous().call("GET", "/whoami", "");
    assert_eq!((answer.status, answer.text.as_str()), (401, ""));
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"RabbitMQ Management\""));
}

// HT-003, PO-030
#[test]
fn a_user_without_a_tag_is_no_management_user() {
    let user = name("user");
    operator().add_user(&user, &[]);
    let answer = api().login(&user, crate::harness::PASSWORD).call("GET", "/whoami", "");
    let refused = (401, "not_authorised".to_owned(), "Not management user".to_owned());
    assert_eq!(answer.refusal(), refused);
    operator().delete_user(&user);
}

// HT-005
#[test]
fn what_is_not_there_is_not_found() {
    let missing = (404, "Object Not Found".to_owned(), "Not Found".to_owned());
    for path in ["/queues/%2F/none", "/queues/no-such-vhost", "/queues/none/none"] {
        assert_eq!(api().call("GET", path, "").refusal(), missing, "{path}");
    }
}

// HT-051
#[test]
fn whoami_tells_name_and_tags() {
    let me = api().get("/whoami");
    assert_eq!((&me["name"], &me["tags"]), (&json!("guest"), &json!(["administrator"])));
}

// HT-022
#[test]
fn other_methods_are_not_allowed() {
    let answer = api().call("POST", "/whoami", "{}");
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{answer:?}");
    assert_eq!(part("a/b c"), "a%2Fb%20c");
}

// RabbitMQ's Java client writes most paths so.
#[test]
fn a_slash_at_the_end_of_a_path_means_nothing() {
    for path in ["/whoami", "/nodes", "/queues/%2F", "/exchanges/%2F/amq.topic", "/overview"] {
        let (with, without) = (api().get(&format!("{path}/")), api().get(path));
        assert_eq!(with.is_array(), without.is_array(), "{path}");
        assert_eq!(
            ["name", "node"].map(|key| &with[key]),
            ["name", "node"].map(|key| &without[key])
        );
    }
    let paged = api().get("/exchanges/%2F/?page=1&page_size=2&columns=name");
    assert_eq!(paged["item_count"], 2);
    let exchange = name("exchange");
    let path = format!("/exchanges/%2F/{exchange}/");
    assert_eq!(api().put(&path, &json!({"type": "fanout"})).status, 201);
    assert_eq!(api().delete(&path).status, 204);
    assert_eq!(api().call("GET", "/none/", "").status, 404);
}
