//! Health checks.

use serde_json::{Value as Json, json};

use crate::harness::{api, private_broker};

#[track_caller]
fn assert_ok(path: &str) -> Json {
    let found = api().get(path);
    assert_eq!(found["status"], "ok", "{path}: {found}");
    found
}

// HT-100, HT-103, HT-056, HT-057
#[test]
fn all_is_well() {
    for check in [
        "alarms",
        "local-alarms",
        "virtual-hosts",
        "is-in-service",
        "ready-to-serve-clients",
        "below-node-connection-limit",
        "metadata-store/initialized",
        "certificate-expiration/1/weeks",
    ] {
        assert_ok(&format!("/health/checks/{check}"));
    }
    let found = assert_ok("/health/checks/node-is-quorum-critical");
    assert_eq!(found["reason"], "single node cluster");
    assert_ok("/aliveness-test/%2F");
    assert_ok("/healthchecks/node");
    let (status, _, reason) =
        api().call("GET", "/health/checks/certificate-expiration/1/foo", "").refusal();
    assert_eq!(status, 400);
    assert!(reason.starts_with("Time unit not recognised."), "{reason}");
}

// HT-101, HT-102
#[test]
fn listeners_are_found_by_port_and_protocol() {
    let listeners = &api().get("/overview")["listeners"];
    let amqp = listeners.as_array().unwrap().iter().find(|l| l["protocol"] == "amqp").unwrap();
    assert_ok(&format!("/health/checks/port-listener/{}", amqp["port"]));
    let found = assert_ok("/health/checks/protocol-listener/amqp");
    assert!(found["protocols"].as_array().unwrap().contains(&json!("amqp")));
    assert_ok("/health/checks/protocol-listener/amqp091,http");
    let missing = api().call("GET", "/health/checks/port-listener/1", "");
    assert_eq!((missing.status, &missing.json()["missing"]), (503, &json!(1)));
    assert_eq!(missing.json()["reason"], "No active listener");
    let missing = api().call("GET", "/health/checks/protocol-listener/mqtt", "");
    assert_eq!((missing.status, &missing.json()["missing"]), (503, &json!(["mqtt"])));
}

// HT-100, AL-011
#[test]
fn an_alarm_is_told() {
    let Some(private) = private_broker("memory_watermark = \"0%\"") else { return };
    let answer = private.api().call("GET", "/health/checks/alarms", "");
    let found = answer.json();
    assert_eq!((answer.status, &found["status"]), (503, &json!("failed")));
    assert_eq!(found["alarms"][0]["resource"], "memory");
}
