//! Health checks.

use serde_json::{Value as Json, json};

use crate::harness::{Certificates, api, private_broker};

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
        "quorum-queues-without-elected-leaders/all-vhosts",
        "quorum-queues-without-elected-leaders/all-vhosts/pattern/.*",
        "quorum-queues-without-elected-leaders/vhost/%2F",
        "quorum-queues-without-elected-leaders/vhost/%2F/pattern/.*",
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
    let missing = api().call("GET", "/health/checks/port-listener/99999", "");
    assert_eq!((missing.status, &missing.json()["missing"]), (503, &json!(99_999)));
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

// HT-104
#[test]
fn certificates_that_end_soon_are_told() {
    let certificates = Certificates::new();
    let Some(private) = private_broker(&certificates.settings("")) else { return };
    let check = |within: &str| {
        let path = format!("/health/checks/certificate-expiration/{within}");
        let answer = private.api().call("GET", &path, "");
        (answer.status, answer.json())
    };
    assert_eq!(check("1/years"), (200, json!({"status": "ok"})));
    // Those of the tests end in the year 4096.
    assert_eq!(check("4294967295/years").0, 503);
    let (status, found) = check("3000/years");
    assert_eq!((status, &found["reason"]), (503, &json!("Certificates expiring")));
    let expired = &found["expired"][0];
    assert_eq!(expired["protocol"], "amqp/ssl");
    assert_eq!(expired["port"], private.tls_address().port());
    assert_eq!(expired["certfile"], certificates.path("cert.pem").display().to_string());
    assert_eq!(expired["certfile_expires_on"], json!(["4096-01-01 00:00:00"]));
    assert_eq!(expired["cacertfile_expires_on"], json!(["4096-01-01 00:00:00"]));
    // The files count as they are now.
    let over = |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2020, 2, 3);
    };
    certificates.install(&certificates.authority.server_with(over));
    let (status, found) = check("0/days");
    assert_eq!(status, 503);
    assert_eq!(found["expired"][0]["certfile_expires_on"], json!(["2020-02-03 00:00:00"]));
    assert_eq!(found["expired"][0]["cacertfile_expires_on"], json!([]));
    certificates.write("cert.pem", "nothing");
    let (status, found) = check("1/days");
    assert_eq!(status, 503);
    assert_eq!(found["expired"][0]["certfile_expires_on"], json!(["it holds no certificate"]));
}

#[test]
fn each_listener_may_have_addresses_of_its_own() {
    let certificates = Certificates::new();
    let binds = "tls_bind = ['127.0.0.2']\nhttp_bind = ['127.0.0.3']\nmetrics_bind = ['127.0.0.4']";
    let Some(private) = private_broker(&certificates.settings(binds)) else { return };
    let overview = private.api().get("/overview");
    let addresses = |protocol: &str| {
        let listeners = overview["listeners"].as_array().unwrap().iter();
        let of_protocol = listeners.filter(|listener| listener["protocol"] == protocol);
        of_protocol.map(|listener| listener["ip_address"].clone()).collect::<Vec<_>>()
    };
    assert!(addresses("amqp").contains(&json!("127.0.0.1")), "{overview}");
    assert_eq!(addresses("amqp/ssl"), ["127.0.0.2"]);
    assert_eq!(addresses("http"), ["127.0.0.3"]);
    assert_eq!(addresses("http/prometheus"), ["127.0.0.4"]);
    assert_eq!(private.tls_address().ip().to_string(), "127.0.0.2");
    private.metrics().unwrap().scrape("/metrics");
}
