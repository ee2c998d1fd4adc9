//! What each kind of user may do (PO-031 to PO-034), and what the others are told.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Api, DEADLINE, EVERYTHING, PASSWORD, Realm, api, name, operator, part};

/// A user of each kind, who may do everything in one vhost and nothing in the other.
struct Cast {
    own: Realm,
    other: Realm,
    users: [String; 4],
}

const TAGS: [&str; 4] = ["management", "policymaker", "monitoring", "administrator"];

/// A call: method, path, body. `{v}` is a vhost that all may enter, `{w}` one that no one may.
type Call<'a> = (&'a str, &'a str, Value);

impl Cast {
    fn new() -> Self {
        let (own, other) = (Realm::new(), Realm::new());
        let users = TAGS.map(|tag| {
            let user = name(tag);
            operator().add_user(&user, &[tag]);
            operator().permit(&user, &own.vhost, EVERYTHING);
            user
        });
        Self { own, other, users }
    }

    fn path(&self, path: &str) -> String {
        path.replace("{v}", &part(&self.own.vhost))
            .replace("{w}", &part(&self.other.vhost))
            .replace("{u}", &part(&self.own.user))
    }

    /// What the user of each kind is told: `status reason`, `ok` for any success.
    fn ask(&self, (method, path, body): &Call<'_>) -> [String; 4] {
        let path = self.path(path);
        self.users.each_ref().map(|user| {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = as_user(user).call(method, &path, &body);
            match answer.status {
                200..300 => "ok".to_owned(),
                status => format!("{status} {}", answer.refusal().2),
            }
        })
    }

    /// Asks, and compares what the four are told.
    #[track_caller]
    fn expect(&self, calls: &[Call<'_>], expected: [&str; 4]) {
        for call in calls {
            assert_eq!(self.ask(call), expected, "{} {}", call.0, call.1);
        }
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        for user in &self.users {
            api().delete(&format!("/users/{}", part(user)));
        }
    }
}

fn as_user(user: &str) -> Api {
    api().login(user, PASSWORD)
}

/// What a user is told who is not an administrator.
const NO_ADMIN: &str = "401 Not administrator user";

// PO-034
#[test]
fn users_vhosts_and_permissions_are_for_administrators() {
    let cast = Cast::new();
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    let topic = json!({"exchange": "amq.topic", "write": ".*", "read": ".*"});
    let calls = [
        ("GET", "/vhosts/{v}", Value::Null),
        ("PUT", "/vhosts/{v}", json!({})),
        ("GET", "/vhosts/{v}/permissions", Value::Null),
        ("GET", "/vhosts/{v}/topic-permissions", Value::Null),
        ("POST", "/vhosts/{v}/deletion/protection", json!({})),
        ("DELETE", "/vhosts/{v}/deletion/protection", Value::Null),
        ("GET", "/users", Value::Null),
        ("GET", "/users/{u}", Value::Null),
        ("PUT", "/users/{u}", json!({"tags": ""})),
        ("POST", "/users/bulk-delete", json!({"users": []})),
        ("GET", "/users/without-permissions", Value::Null),
        ("GET", "/users/{u}/permissions", Value::Null),
        ("GET", "/users/{u}/topic-permissions", Value::Null),
        ("GET", "/permissions", Value::Null),
        ("PUT", "/permissions/{v}/{u}", everything),
        ("GET", "/permissions/{v}/{u}", Value::Null),
        ("PUT", "/topic-permissions/{v}/{u}", topic),
        ("GET", "/topic-permissions", Value::Null),
        ("GET", "/topic-permissions/{v}/{u}", Value::Null),
        ("GET", "/auth/hash_password/x", Value::Null),
    ];
    cast.expect(&calls, [NO_ADMIN, NO_ADMIN, NO_ADMIN, "ok"]);
    // Who may not do it at all is told no more.
    let bad = [("PUT", "/users/{u}", json!([])), ("PUT", "/permissions/{v}/{u}", json!({}))];
    for call in &bad {
        let told = cast.ask(call);
        assert_eq!(told[..3], [NO_ADMIN; 3]);
        assert!(told[3].starts_with("400"), "{told:?}");
    }
}

// PO-033
#[test]
fn monitors_see_all_vhosts_and_others_their_own() {
    let cast = Cast::new();
    let seen = cast.users.each_ref().map(|user| {
        let vhosts = as_user(user).get("/vhosts");
        let names: Vec<_> = vhosts.as_array().unwrap().iter().map(|v| v["name"].clone()).collect();
        [&cast.own.vhost, &cast.other.vhost].map(|vhost| names.contains(&json!(vhost)))
    });
    assert_eq!(seen, [[true, false], [true, false], [true, true], [true, true]]);
    let node = super::node();
    let attempts = format!("/auth/attempts/{}", part(&node));
    let refused = "401 Not monitor user";
    let calls = [("GET", &*attempts, Value::Null)];
    cast.expect(&calls, [refused, refused, "ok", "ok"]);
    cast.expect(&[("DELETE", &*attempts, Value::Null)], [NO_ADMIN, NO_ADMIN, NO_ADMIN, "ok"]);
}

// PO-033, PO-034
#[test]
fn nodes_are_for_monitors_and_definitions_for_administrators() {
    let cast = Cast::new();
    let node = format!("/nodes/{}", part(&super::node()));
    let memory = format!("{node}/memory");
    let refused = "401 Not monitor user";
    let calls = ["/nodes", &node, &memory].map(|path| ("GET", path, Value::Null));
    cast.expect(&calls, [refused, refused, "ok", "ok"]);
    let calls = [
        ("GET", "/definitions", Value::Null),
        ("GET", "/all-configuration", Value::Null),
        ("GET", "/definitions/{v}", Value::Null),
        ("GET", "/definitions/{w}", Value::Null),
        ("POST", "/definitions", json!({})),
        ("POST", "/definitions/{v}", json!({})),
    ];
    cast.expect(&calls, [NO_ADMIN, NO_ADMIN, NO_ADMIN, "ok"]);
    let topic = [("DELETE", "/topic-permissions/{v}/{u}/amq.topic", Value::Null)];
    cast.expect(&topic, [NO_ADMIN, NO_ADMIN, NO_ADMIN, "404 Not Found"]);
}

/// What a user is told to whom something does not belong.
const NO_RIGHT: &str = "401 User not authorised to access object";
/// What a user is told of a vhost that others are in.
const HIDDEN: &str = "404 Not Found";

// PO-032
#[test]
fn policies_and_parameters_are_for_policymakers_in_their_vhosts() {
    let cast = Cast::new();
    let policy = json!({"pattern": "^none$", "definition": {"max-length": 5}});
    let foreign = json!({"value": {}});
    cast.expect(
        &[
            ("PUT", "/policies/{v}/p", policy.clone()),
            ("GET", "/policies/{v}/p", Value::Null),
            ("GET", "/parameters", Value::Null),
            ("GET", "/parameters/vhost-limits/{v}", Value::Null),
            ("GET", "/global-parameters", Value::Null),
            ("GET", "/global-parameters/cluster_name", Value::Null),
        ],
        [NO_RIGHT, "ok", NO_RIGHT, "ok"],
    );
    cast.expect(
        &[
            ("PUT", "/policies/{w}/p", policy.clone()),
            ("GET", "/policies/{w}/p", Value::Null),
            ("GET", "/parameters/vhost-limits/{w}", Value::Null),
        ],
        [NO_RIGHT, HIDDEN, NO_RIGHT, "ok"],
    );
    let no_component = "400 Validation failed\n\ncomponent shovel not found\n";
    cast.expect(
        &[("PUT", "/parameters/shovel/{v}/x", foreign.clone())],
        [NO_RIGHT, no_component, NO_RIGHT, no_component],
    );
    cast.expect(
        &[("PUT", "/parameters/shovel/{w}/x", foreign)],
        [NO_RIGHT, HIDDEN, NO_RIGHT, no_component],
    );
    cast.expect(
        &[
            ("PUT", "/operator-policies/{v}/p", policy),
            ("GET", "/operator-policies/{v}/p", Value::Null),
            ("PUT", "/vhost-limits/{v}/max-queues", json!({"value": 50})),
            ("DELETE", "/vhost-limits/{v}/max-queues", Value::Null),
            ("PUT", "/user-limits/{u}/max-channels", json!({"value": 50})),
            ("GET", "/user-limits", Value::Null),
            ("DELETE", "/user-limits/{u}/max-channels", Value::Null),
            ("PUT", "/feature-flags/quorum_queue/enable", json!({})),
            ("POST", "/rebalance/queues", json!({})),
        ],
        [NO_ADMIN, NO_ADMIN, NO_ADMIN, "ok"],
    );
    // Lists are for all who are in the vhost.
    let lists = ["/policies/{v}", "/operator-policies/{v}", "/vhost-limits/{v}"];
    for path in lists {
        cast.expect(&[("GET", path, Value::Null)], ["ok"; 4]);
    }
    let lists = ["/policies/{w}", "/operator-policies/{w}"];
    for path in lists {
        cast.expect(&[("GET", path, Value::Null)], [HIDDEN, HIDDEN, HIDDEN, "ok"]);
    }
    cast.expect(&[("GET", "/vhost-limits/{w}", Value::Null)], [HIDDEN, HIDDEN, "ok", "ok"]);
    cast.expect(&[("GET", "/user-limits/{u}", Value::Null)], [NO_RIGHT, NO_RIGHT, "ok", "ok"]);
    for path in ["/cluster-name", "/feature-flags", "/deprecated-features"] {
        cast.expect(&[("GET", path, Value::Null)], ["ok"; 4]);
    }
    let missing = "400 [{key_missing,name}]";
    let rename = ("PUT", "/cluster-name", json!({}));
    cast.expect(&[rename], [NO_ADMIN, NO_ADMIN, NO_ADMIN, missing]);
}

// PO-032
#[test]
fn lists_of_policies_have_those_of_ones_own_vhosts() {
    let cast = Cast::new();
    let policy = json!({"pattern": "^none$", "definition": {"max-length": 5}});
    for vhost in [&cast.own.vhost, &cast.other.vhost] {
        api().put(&format!("/policies/{}/p", part(vhost)), &policy);
    }
    let seen = cast.users.each_ref().map(|user| {
        let list = as_user(user).get("/policies");
        [&cast.own.vhost, &cast.other.vhost]
            .map(|vhost| list.as_array().unwrap().iter().any(|policy| policy["vhost"] == **vhost))
    });
    assert_eq!(seen, [[true, false], [true, false], [true, false], [true, true]]);
}

// PO-011, PO-016, PO-027: nothing is reached through the API that a client could not reach.
#[test]
fn what_sends_messages_on_takes_the_permission_to_send_there() {
    let realm = Realm::new();
    let user = name("sender");
    operator().add_user(&user, &["management"]);
    operator().permit(&user, &realm.vhost, ["^q", "^q", "^q"]);
    let vhost = part(&realm.vhost);
    let put = |who: &Api, path: &str, arguments: Value| {
        who.put(&format!("/{path}"), &json!({"arguments": arguments})).status
    };
    let sender = as_user(&user);
    let queue = format!("queues/{vhost}/q");
    let exchange = format!("exchanges/{vhost}/q.exchange");
    for onward in ["amq.direct", ""] {
        let dead_letters = json!({"x-dead-letter-exchange": onward});
        assert_eq!(put(&sender, &queue, dead_letters), 401, "{onward}");
        assert_eq!(put(&sender, &exchange, json!({"alternate-exchange": onward})), 401);
    }
    assert_eq!(put(&sender, &queue, json!({"x-dead-letter-exchange": "q.x"})), 201);
    assert_eq!(put(&sender, &exchange, json!({"alternate-exchange": "q.x"})), 201);
    let topic = json!({"type": "topic"});
    assert_eq!(api().put(&format!("/exchanges/{vhost}/q.topic"), &topic).status, 201);
    operator().permit_topic(&user, &realm.vhost, "q.topic", ["^a", "^a"]);
    let bindings = format!("/bindings/{vhost}/e/q.topic/q/q");
    let bind = |who: &Api, key: &str| who.post(&bindings, &json!({"routing_key": key})).status;
    assert_eq!([bind(&sender, "b"), bind(&sender, "a"), bind(&api(), "b")], [401, 201, 201]);
    let unbind = |key: &str| sender.delete(&format!("{bindings}/{key}")).status;
    assert_eq!([unbind("b"), unbind("a")], [401, 204]);
    api().delete(&format!("/users/{}", part(&user)));
}

// PO-033: of vhosts that they may not enter, monitors see no more than how much is in them.
#[test]
fn what_is_in_a_vhost_is_for_those_who_may_enter_it() {
    let cast = Cast::new();
    assert_eq!(
        api().put(&format!("/queues/{}/q", part(&cast.other.vhost)), &json!({})).status,
        201
    );
    for path in [
        "/queues/{w}",
        "/queues/{w}/q",
        "/queues/{w}/q/bindings",
        "/exchanges/{w}",
        "/exchanges/{w}/amq.topic",
        "/bindings/{w}",
        "/vhosts/{w}/connections",
        "/vhosts/{w}/channels",
    ] {
        cast.expect(&[("GET", path, Value::Null)], [HIDDEN, HIDDEN, HIDDEN, "ok"]);
    }
    for kind in ["queues", "exchanges", "bindings"] {
        let seen = cast.users.each_ref().map(|user| {
            let list = as_user(user).get(&format!("/{kind}"));
            list.as_array().unwrap().iter().any(|item| item["vhost"] == *cast.other.vhost)
        });
        assert_eq!(seen, [false, false, false, true], "{kind}");
    }
    let of_others = ("GET", "/connections/username/{u}", Value::Null);
    cast.expect(&[of_others], [NO_RIGHT, NO_RIGHT, "ok", "ok"]);
}

// HT-016, PO-033
#[test]
fn an_overview_of_one_vhost_has_nothing_of_the_others() {
    let cast = Cast::new();
    let busy = cast.other.guest();
    let queue = busy.queue();
    busy.fill(&queue, ["a"; 50]);
    busy.expect_ready(&queue, 50);
    // Samples of it are taken by and by.
    let path = format!("/queues/{}?lengths_age=60&lengths_incr=5", part(&cast.other.vhost));
    let is_sampled = || {
        let list = api().get(&path);
        let samples = list[0]["messages_details"]["samples"].as_array().cloned();
        samples.is_some_and(|samples| samples.iter().any(|sample| sample["sample"] == 50))
    };
    let deadline = Instant::now() + DEADLINE;
    while !is_sampled() {
        assert!(Instant::now() < deadline, "no sample was taken");
        // Each question is a turn of its own for the broker.
        std::thread::yield_now();
    }
    let totals = as_user(&cast.users[0]).get("/overview?lengths_age=60&lengths_incr=5");
    let details = &totals["queue_totals"]["messages_details"];
    assert!(details.is_null() || details["rate"] == json!(0.0), "{details}");
    let samples = details["samples"].as_array().cloned().unwrap_or_default();
    assert!(samples.iter().all(|sample| sample["sample"] == 0), "{details}");
}
