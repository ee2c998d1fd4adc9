//! What is around the broker: certificates, TLS, variables, names of hosts, the log.

use serde_json::json;

use super::*;
use crate::harness::Certificates;

#[test]
fn certificates_are_shown_and_looked_at_before_they_end() {
    // EN-064, HT-104.
    let desk = Desk::new();
    desk.diagnostics(&["-q", "certificates"])
        .is("Node rabbit@desk has no listener that speaks TLS\n");
    desk.diagnostics(&["-q", "check_certificate_expiration"])
        .is("No certificates are expiring within 4 weeks.\n");

    let pki = Certificates::new();
    let (certificate, key) = (pki.path("cert.pem"), pki.path("key.pem"));
    let desk = Desk::with_variables(&[
        ("LEPUS_TLS_PORT", "0"),
        ("LEPUS_TLS_CERTIFICATE", certificate.to_str().unwrap()),
        ("LEPUS_TLS_KEY", key.to_str().unwrap()),
    ]);
    let said = desk.diagnostics(&["certificates"]);
    let words = ["Certificates of node rabbit@desk ...\nInterface: 127.0.0.1, port: "];
    assert_contains(&said.out, &words);
    let line = format!("\n  {}: ", certificate.display());
    let words = [&line, ", issued by CN=authority, valid from ", " to 4096-01-01 00:00:00\n"];
    assert_contains(&said.out, &words);
    let shown = desk.diagnostics(&["certificates", "--json"]).json();
    assert_eq!(shown[0]["protocol"], "amqp/ssl");
    assert_eq!(shown[0]["certificates"][0]["issuer"], "CN=authority");

    let check =
        |args: &[&str]| desk.diagnostics(&[&["-q", "check_certificate_expiration"], args].concat());
    check(&["--within", "1", "--unit", "weeks"])
        .is("No certificates are expiring within 1 week.\n");
    let said = check(&["--within", "3000", "--unit", "years"]);
    let words = [certificate.to_str().unwrap(), "amqp/ssl): expires on 4096-01-01 00:00:00"];
    assert_contains(&said.err, &words);
    assert_eq!((said.out.as_str(), said.code), ("", 69));
    assert_eq!(check(&["--unit", "fortnights"]).code, 64);
}

#[test]
fn what_tls_can_do_is_listed() {
    let desk = Desk::new();
    desk.diagnostics(&["-q", "tls_versions"]).is("tlsv1.3\ntlsv1.2\n");
    let suites = desk.diagnostics(&["-q", "cipher_suites"]);
    assert_contains(&suites.out, &["TLS_AES_256_GCM_SHA384\n", "ECDHE-RSA-AES128-GCM-SHA256\n"]);
    assert_eq!(desk.diagnostics(&["cipher_suites", "--format", "map"]).code, 65);
}

#[test]
fn the_brokers_variables_are_shown_without_secrets() {
    let desk = Desk::with_variables(&[
        ("RABBITMQ_DEFAULT_USER", "joe"),
        ("RABBITMQ_DEFAULT_PASS", "swordfish"),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-setcookie swordfish"),
        ("RABBITMQ_SERVER_ERL_ARGS", "+S 1:1"),
        ("SOMETHING_ELSE", "else"),
    ]);
    let said = desk.diagnostics(&["-q", "os_env"]);
    let words = ["LEPUS_NODE_NAME=rabbit@desk\n", "RABBITMQ_DEFAULT_USER=joe\n"];
    assert_contains(&said.out, &words);
    assert_contains(&said.out, &["RABBITMQ_SERVER_ERL_ARGS=+S 1:1\n"]);
    assert_contains(&said.out, &["RABBITMQ_DEFAULT_PASS=(secret)\n"]);
    assert!(!said.out.contains("SOMETHING_ELSE") && !said.out.contains("swordfish"), "{said:?}");
    let shown = desk.diagnostics(&["os_env", "--json"]).json();
    assert_eq!(shown["variables"]["RABBITMQ_DEFAULT_USER"], "joe");
}

#[test]
fn names_of_hosts_are_resolved() {
    let desk = Desk::new();
    let resolve = |args: &[&str]| desk.diagnostics(&[&["resolve_hostname"], args].concat());
    resolve(&["127.0.0.1"]).is("Resolving hostname 127.0.0.1 to IPv4 addresses...\n127.0.0.1\n");
    let said = resolve(&["::1", "-a", "ipv6", "--json"]).json();
    assert_eq!(said["addresses"], json!(["::1"]));
    resolve(&["-q", "127.0.0.1", "--address-family", "ipv6"])
        .fails(65, "Error:\nHostname does not resolve (resolution failed with an nxdomain)");
    assert_eq!(resolve(&["127.0.0.1", "-a", "ipv9"]).code, 65);
    assert_eq!(resolve(&[]).code, 64);
}

#[test]
fn what_cannot_be_told_is_refused_with_where_to_look() {
    // EN-064.
    let desk = Desk::new();
    for (command, word) in [
        ("log_tail", "journalctl"),
        ("log_tail_stream", "journalctl"),
        ("resolver_info", "/etc/resolv.conf"),
        ("list_network_interfaces", "operating system"),
        ("message_size_stats", "rabbitmq_message_size_bytes"),
        ("deactivate_free_disk_space_monitoring", "set_disk_free_limit"),
        ("observer", "Erlang"),
    ] {
        let said = desk.diagnostics(&["-q", command]);
        assert!(said.err.starts_with(&format!("Error:\n{command}: ")), "{said:?}");
        assert_contains(&said.err, &[word]);
        assert_eq!((said.out.as_str(), said.code), ("", 69), "{command}");
    }
    for command in [
        "enable_auth_attempt_source_tracking",
        "disable_auth_attempt_source_tracking",
        "list_policies_with_classic_queue_mirroring",
    ] {
        desk.diagnostics(&["-q", command]).is("");
    }
    desk.diagnostics(&["-q", "metadata_store_status"])
        .is("Node Name\tRaft State\tMembership\nrabbit@desk\tleader\tvoter\n");
    desk.open();
    let attempts = || desk.diagnostics(&["list_node_auth_attempt_stats", "--json"]).json();
    let counted = |attempts: serde_json::Value| {
        let rows = attempts.as_array().unwrap().iter();
        rows.filter_map(|row| row["auth_attempts"].as_u64()).sum::<u64>()
    };
    assert!(counted(attempts()) > 0);
    desk.diagnostics(&["-q", "reset_node_auth_attempt_metrics"]).is("");
    assert_eq!(counted(attempts()), 0);
    desk.diagnostics(&["-q", "log_location"]).is("<stderr>\n");
}
