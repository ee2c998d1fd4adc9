//! Users through the API.

use serde_json::{Value, json};

use crate::harness::{
    EVERYTHING, Options, Realm, api, broker, name, only_on_lepus, operator, part, private_broker,
    queue,
};

/// HT-127: a hash that RabbitMQ made, of the password `test12`.
const HASH: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

/// A user of a test's own; it goes when dropped.
struct User(String);

impl User {
    fn new() -> Self {
        Self(name("user/a"))
    }

    fn path(&self) -> String {
        format!("/users/{}", part(&self.0))
    }

    #[track_caller]
    fn put(&self, body: &Value) -> u16 {
        api().put(&self.path(), body).status
    }

    #[track_caller]
    fn get(&self) -> Value {
        api().get(&self.path())
    }

    /// What a body is refused with, which changes nothing.
    #[track_caller]
    fn refused(&self, body: &Value) -> (u16, String) {
        let (status, _, reason) = api().put(&self.path(), body).refusal();
        assert_eq!(api().call("GET", &self.path(), "").status, 404);
        (status, reason)
    }

    /// Whether the user may use the API with this password.
    fn logs_in(&self, password: &str) -> bool {
        api().login(&self.0, password).call("GET", "/whoami", "").status == 200
    }
}

impl Drop for User {
    fn drop(&mut self) {
        api().delete(&self.path());
    }
}

// HT-050, HT-082
#[test]
fn a_user_is_added_listed_changed_and_deleted() {
    let user = User::new();
    assert_eq!(user.put(&json!({"password": "p", "tags": "management, other"})), 201);
    let found = user.get();
    assert_eq!(found["name"], json!(user.0));
    assert_eq!(found["tags"], json!(["management", "other"]));
    assert_eq!(found["hashing_algorithm"], "rabbit_password_hashing_sha256");
    assert_eq!(found["password_hash"].as_str().unwrap().len(), 48);
    assert_eq!(found["limits"], json!({}));
    assert!(user.logs_in("p") && !user.logs_in("q"));
    assert!(api().get("/users").as_array().unwrap().contains(&found));
    assert_eq!(user.put(&json!({"password": "q", "tags": ["management"]})), 204);
    assert!(user.logs_in("q") && !user.logs_in("p"));
    // Nothing said of a password: there is none any more.
    assert_eq!(user.put(&json!({"tags": "management"})), 204);
    assert_eq!(user.get()["password_hash"], "");
    assert!(!user.logs_in("q"));
    assert_eq!(api().delete(&user.path()).status, 204);
    assert_eq!(api().delete(&user.path()).status, 404);
}

// HT-127
#[test]
fn a_user_is_added_with_a_hash() {
    let user = User::new();
    assert_eq!(user.put(&json!({"password_hash": HASH, "tags": "management"})), 201);
    assert_eq!(user.get()["password_hash"], HASH);
    assert!(user.logs_in("test12"));
    let hash = "kI3GChNpte2FApYFXScl+0dIluk=";
    let md5 = "rabbit_password_hashing_md5";
    let body = json!({"password_hash": hash, "hashing_algorithm": md5, "tags": "management"});
    assert_eq!(user.put(&body), 204);
    assert_eq!(user.get()["hashing_algorithm"], md5);
    assert!(user.logs_in("test12"));
    // A client that says nothing of the algorithm, as RabbitMQ's for Rust: the length tells.
    let hash = "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8\
                TaOmAzjP2azv84GbINYwX2cDWb4DHnc=";
    assert_eq!(user.put(&json!({"password_hash": hash, "tags": "management"})), 204);
    assert_eq!(user.get()["password_hash"], hash);
    assert!(broker().is_external || user.logs_in("test12"));
    // HT-128
    assert_eq!(user.put(&json!({"password_hash": "", "tags": "management"})), 204);
    assert!(!user.logs_in("") && !user.logs_in("test12"));
}

// HT-050
#[test]
fn limits_and_permissions_come_with_a_new_user() {
    let user = User::new();
    let permitted = json!({"configure": "a", "write": "b", "read": "c"});
    let body = json!({
        "password": "p", "tags": "", "limits": {"max-connections": 5},
        "permissions": {"/": permitted},
    });
    assert_eq!(user.put(&body), 201);
    assert_eq!(user.get()["limits"], json!({"max-connections": 5}));
    let expected =
        json!([{"user": user.0, "vhost": "/", "configure": "a", "write": "b", "read": "c"}]);
    assert_eq!(api().get(&format!("{}/permissions", user.path())), expected);
}

// HT-050
#[test]
fn a_user_who_cannot_be_permitted_what_is_said_is_not_added() {
    if !only_on_lepus("RabbitMQ adds the user and then fails") {
        return;
    }
    let user = User::new();
    let permitted = |vhost: &str, read: &str| {
        let patterns = json!({"configure": "", "write": "", "read": read});
        json!({"password": "p", "tags": "", "permissions": {vhost: patterns}})
    };
    assert_eq!(user.refused(&permitted("none", "")).0, 404);
    assert_eq!(user.refused(&permitted("/", "(")).0, 400);
    // The same user in definitions, which change nothing either.
    let mut entry = permitted("none", "");
    entry["name"] = json!(user.0);
    let (status, _, reason) = api().post("/definitions", &json!({"users": [entry]})).refusal();
    assert_eq!((status, reason), (400, format!("users[0] ({}): no_such_vhost", user.0)));
    assert_eq!(api().call("GET", &user.path(), "").status, 404);
}

// HT-050
#[test]
fn what_makes_no_sense_of_a_user_is_refused() {
    let user = User::new();
    for (body, expected) in [
        (json!({}), "tags_not_present"),
        (json!({"password": "p"}), "tags_not_present"),
        (
            json!({"password": "p", "password_hash": HASH, "tags": ""}),
            "both_password_and_password_hash_are_provided",
        ),
    ] {
        assert_eq!(user.refused(&body), (400, expected.to_owned()), "{body}");
    }
    if !only_on_lepus("RabbitMQ answers with 500, or keeps a hash that fits no password") {
        return;
    }
    for (body, expected) in [
        (json!({"password": 5, "tags": ""}), "password must be a string"),
        (json!({"password": "p", "tags": 5}), "tags must be a string or strings"),
        (json!({"password": "p", "tags": "t".repeat(256)}), "a tag has at most 255 bytes"),
        (
            json!({"password_hash": "abcd", "tags": ""}),
            "password_hash is no hash of rabbit_password_hashing_sha256 in base64",
        ),
        (
            json!({"password_hash": HASH, "hashing_algorithm": "x", "tags": ""}),
            "unknown hashing_algorithm \"x\"",
        ),
        (
            json!({"password": "p", "tags": "", "limits": {"max-foo": 5}}),
            "Unrecognised terms [{<<\"max-foo\">>,5}] in user-limits",
        ),
    ] {
        assert_eq!(user.refused(&body), (400, expected.to_owned()), "{body}");
    }
}

// HT-050
#[test]
fn users_are_deleted_at_once() {
    let users = [User::new(), User::new()];
    for user in &users {
        assert_eq!(user.put(&json!({"password": "p", "tags": ""})), 201);
    }
    let names = json!([users[0].0, users[1].0, "none"]);
    assert_eq!(api().post("/users/bulk-delete", &json!({"users": names})).status, 204);
    let left = users.each_ref().map(|user| api().call("GET", &user.path(), "").status);
    assert_eq!(left, [404, 404]);
    let (status, _, reason) = api().post("/users/bulk-delete", &json!({})).refusal();
    assert_eq!((status, reason.as_str()), (400, "[{key_missing,users}]"));
    assert_eq!(api().call("GET", "/users/bulk-delete", "").status, 405);
}

// HT-050: RabbitMQ 4.3.6 does the same.
#[test]
fn protected_users_are_not_changed() {
    if !only_on_lepus("the test could not delete the user again") {
        return;
    }
    let user = User::new();
    assert_eq!(user.put(&json!({"password": "p", "tags": "protected"})), 201);
    let reason = "Protected users cannot be modified via the HTTP API".to_owned();
    let refused = (400, "bad_request".to_owned(), reason);
    assert_eq!(api().delete(&user.path()).refusal(), refused);
    assert_eq!(api().put(&user.path(), &json!({"tags": ""})).refusal(), refused);
    assert_eq!(api().post("/users/bulk-delete", &json!({"users": [user.0]})).status, 204);
    assert_eq!(user.get()["tags"], json!(["protected"]));
}

// HT-050
#[test]
fn users_without_permissions_are_listed() {
    let (without, with) = (User::new(), User::new());
    for user in [&without, &with] {
        user.put(&json!({"password": "p", "tags": ""}));
    }
    operator().permit(&with.0, "/", ["", "", ""]);
    let list = api().get("/users/without-permissions?columns=name");
    let has = |user: &User| list.as_array().unwrap().contains(&json!({"name": user.0}));
    assert_eq!([has(&without), has(&with)], [true, false]);
}

// CN-126
#[test]
fn a_deleted_users_connections_are_closed() {
    let user = User::new();
    user.put(&json!({"password": "p", "tags": ""}));
    operator().permit(&user.0, "/", [".*"; 3]);
    let connection = Options::new().login(&user.0, "p").open();
    assert_eq!(api().delete(&user.path()).status, 204);
    let text = format!("CONNECTION_FORCED - user '{}' is deleted", user.0);
    connection.expect_close(320, text, (0, 0));
}

// HT-050, QU-023
#[test]
fn the_queues_that_a_user_declared_are_listed() {
    let realm = Realm::permitting(EVERYTHING);
    realm.guest().call(&queue("theirs").durable());
    let channel = realm.channel();
    channel.call(&queue("mine").durable());
    channel.call(&queue("fleeting").exclusive());
    let path = format!("/users/{}/queues?columns=name", part(&realm.user));
    let expected = json!([{"name": "fleeting"}, {"name": "mine"}]);
    assert_eq!(api().get(&path), expected);
    assert_eq!(api().get("/users/none/queues"), json!([]));
}

// PO-074, EN-003
#[test]
fn a_new_broker_has_one_user_in_one_vhost() {
    let other = "default_user = 'owner'\ndefault_pass = 'key'\ndefault_vhost = 'home'\n\
                 default_user_tags = ['administrator', 'more']\n\
                 default_permissions_configure = '^c'\ndefault_permissions_write = '^w'\n\
                 default_permissions_read = '^r'";
    for (settings, user, password, vhost, tags, patterns) in [
        ("", "guest", "guest", "/", json!(["administrator"]), [".*"; 3]),
        (other, "owner", "key", "home", json!(["administrator", "more"]), ["^c", "^w", "^r"]),
    ] {
        let Some(private) = private_broker(settings) else { return };
        let api = private.api().login(user, password);
        private.options().login(user, password).vhost(vhost).open().close();
        assert_eq!(api.get("/users?columns=name,tags"), json!([{"name": user, "tags": tags}]));
        assert_eq!(api.get("/vhosts?columns=name"), json!([{"name": vhost}]));
        let [configure, write, read] = patterns;
        let expected = json!({
            "user": user, "vhost": vhost, "configure": configure, "write": write, "read": read,
        });
        assert_eq!(api.get("/permissions"), json!([expected]));
    }
}
