//! What pages log in with, password hashes, and how often somebody tried.

use serde_json::json;

use crate::harness::{api, broker, part};

fn log_in(form: &str) -> crate::harness::Answer {
    let api = crate::harness::Api::at(broker().http_address.clone());
    api.call_with("POST", "/login", "application/x-www-form-urlencoded", form)
}

// HT-060
#[test]
fn a_page_logs_in_with_a_form() {
    let answer = log_in("username=guest&password=guest");
    assert_eq!(answer.status, 200);
    let expected = json!({
        "user": {"name": "guest", "tags": ["administrator"], "is_internal_user": true},
        "token": {"type": "basic", "value": "Z3Vlc3Q6Z3Vlc3Q="},
    });
    assert_eq!(answer.json(), expected);
    let refused = (401, "not_authorized".to_owned(), "Not_Authorized".to_owned());
    for form in ["", "username=guest", "username=guest&password=x", "username=x&password=x"] {
        assert_eq!(log_in(form).refusal(), refused, "{form}");
    }
    assert_eq!(api().delete("/login").status, 204);
}

#[test]
fn nobody_sends_much_before_logging_in() {
    let form = format!("username=guest&password=guest&more={}", "x".repeat(100_000));
    let reason = "Exceeded HTTP request body size limit".to_owned();
    assert_eq!(log_in(&form).refusal(), (400, "bad_request".to_owned(), reason));
}

// HT-059
#[test]
fn passwords_are_hashed_for_whoever_asks() {
    let hash = api().get("/auth/hash_password/a%2Fb")["ok"].as_str().unwrap().to_owned();
    assert_eq!(hash.len(), 48);
    assert_ne!(api().get("/auth/hash_password/a%2Fb")["ok"], json!(hash));
}

// HT-061
#[test]
fn attempts_are_counted() {
    let path = format!("/auth/attempts/{}", part(&super::node()));
    let failed = || {
        let list = api().get(&path);
        let http = list.as_array().unwrap().iter().find(|of| of["protocol"] == "http").unwrap();
        let count = |key: &str| http[key].as_u64().unwrap();
        let sum = count("auth_attempts_failed") + count("auth_attempts_succeeded");
        assert_eq!(count("auth_attempts"), sum);
        count("auth_attempts_failed")
    };
    let before = failed();
    api().login("guest", "wrong").call("GET", "/whoami", "");
    assert!(failed() > before);
    assert_eq!(api().get(&format!("{path}/source")), json!([]));
    assert_eq!(api().call("GET", "/auth/attempts/nowhere", "").status, 404);
}
