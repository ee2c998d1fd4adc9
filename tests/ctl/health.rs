//! Health checks, as compose files, CI jobs and test containers make them.

use std::time::Instant;

use super::*;
use crate::harness::DEADLINE;

#[test]
fn checks_pass_in_rabbitmqs_words() {
    // EN-060 to EN-065.
    let desk = Desk::new();
    let port = desk.options.address.port().to_string();
    desk.diagnostics(&["-q", "ping"]).is("Ping succeeded\n");
    desk.diagnostics(&["-q", "check_running"])
        .is("RabbitMQ on node rabbit@desk is fully booted and running\n");
    desk.diagnostics(&["check_running"])
        .is("Checking if RabbitMQ is running on node rabbit@desk ...\n\
         RabbitMQ on node rabbit@desk is fully booted and running\n");
    desk.diagnostics(&["-q", "is_running"])
        .is("RabbitMQ on node rabbit@desk is fully booted and running\n");
    desk.diagnostics(&["-q", "check_port_listener", &port])
        .is(&format!("A listener for port {port} is running on node rabbit@desk.\n"));
    desk.diagnostics(&["-q", "check_protocol_listener", "amqp"])
        .is("A listener for protocol amqp is running on node rabbit@desk.\n");
    desk.diagnostics(&["-q", "check_alarms"])
        .is("Node rabbit@desk reported no alarms, local or clusterwide\n");
    desk.diagnostics(&["-q", "check_local_alarms"])
        .is("Node rabbit@desk reported no local alarms\n");
    desk.diagnostics(&["-s", "check_alarms"]).is("");
    desk.diagnostics(&["-q", "check_virtual_hosts"])
        .is("Node rabbit@desk reported all vhosts as running\n");
    desk.diagnostics(&["-q", "is_booting"]).is(
        "RabbitMQ on node rabbit@desk is fully booted (check with is_running), stopped or has not \
         started booting yet\n",
    );
    let said = desk.diagnostics(&["-q", "check_port_connectivity"]);
    assert_contains(&said.out, &["Successfully connected to ports ", &port, NODE]);
    assert_eq!(said.code, 0);
    desk.ctl(&["await_startup"]).is("");
    desk.ctl(&["await_startup", "--timeout", "5"]).is("");
    assert_eq!(desk.ctl(&["node_health_check"]).code, 0);
    assert_eq!(desk.ctl(&["-n", "rabbit@desk.example.org", "-q", "ping"]).code, 0);
}

#[test]
fn checks_answer_programs_in_json() {
    let desk = Desk::new();
    let of = |args: &[&str]| desk.diagnostics(&[args, &["--formatter", "json"]].concat()).json();
    assert_eq!(of(&["ping"])["message"], "Ping succeeded");
    assert_eq!(of(&["check_running"])["result"], "ok");
    assert_eq!(of(&["is_running"])["result"], true);
    assert_eq!(of(&["alarms"])["alarms"], serde_json::json!([]));
    let listeners = of(&["listeners"])["listeners"].clone();
    let port = desk.options.address.port();
    let is_amqp = |listener: &&serde_json::Value| listener["protocol"] == "amqp";
    let amqp = listeners.as_array().unwrap().iter().find(is_amqp).unwrap();
    assert_eq!((amqp["port"].as_u64(), &amqp["node"]), (Some(port.into()), &NODE.into()));
    let status = of(&["status"]);
    assert_eq!(status["totals"]["virtual_host_count"], 1);
    assert!(status["pid"].as_u64().is_some_and(|pid| pid > 0), "{status}");
    assert!(status["memory"]["total"]["rss"].as_u64().is_some_and(|bytes| bytes > 0));
    assert_eq!(of(&["cluster_status"])["running_nodes"], serde_json::json!([NODE]));
}

#[test]
fn checks_fail_with_what_is_wrong() {
    // EN-063, EN-064.
    let desk = Desk::new();
    let port = desk.options.address.port().to_string();
    let said = desk.diagnostics(&["-q", "check_port_listener", "1"]);
    let words = ["No listener for port 1 is active on node rabbit@desk. Found", &port];
    assert_contains(&said.err, &words);
    assert_eq!(said.code, 69);
    let said = desk.diagnostics(&["-q", "check_protocol_listener", "mqtt"]);
    assert_contains(&said.err, &["Error:\nNo listener for protocol mqtt is active", "amqp"]);
    assert_eq!(said.code, 69);
    assert_eq!(desk.diagnostics(&["check_port_listener", "home"]).code, 65);
    desk.ctl(&["await_online_nodes", "2", "-t", "1", "-q"]).fails(
        70,
        "Error:\nError: timed out while waiting. Not enough nodes joined rabbit@desk's cluster.",
    );
}

#[test]
fn alarms_are_set_off_seen_and_ended() {
    // EN-064, EN-075, AL-005.
    let desk = Desk::new();
    desk.ctl(&["set_vm_memory_high_watermark", "0"])
        .is("Setting memory threshold on rabbit@desk to 0 ...\n");
    let until = |args: &[&str], code: i32| {
        // The limits are looked at as soon as they change, by a task of its own.
        let start = Instant::now();
        loop {
            let said = desk.diagnostics(args);
            if said.code == code {
                return said;
            }
            assert!(start.elapsed() < DEADLINE, "{args:?}: {said:?}");
        }
    };
    until(&["-q", "check_alarms"], 69).fails(69, "Memory alarm on node rabbit@desk");
    until(&["-q", "check_local_alarms"], 69).fails(69, "Memory alarm on node rabbit@desk");
    desk.diagnostics(&["-q", "alarms"]).is("Memory alarm on node rabbit@desk\n");
    let said = desk.check(&["alarms"]);
    assert_contains(&said.out, &["LEPUS ALARMS CRITICAL - ", "Memory alarm", " | alarms=1;"]);
    assert_eq!((said.err.as_str(), said.code), ("", 2));
    desk.ctl(&["-q", "set_vm_memory_high_watermark", "absolute", "100GB"]).is("");
    until(&["-q", "check_alarms"], 0);
    desk.ctl(&["-q", "set_disk_free_limit", "9000000GB"]).is("");
    until(&["-q", "check_alarms"], 69).fails(69, "Free disk space alarm on node rabbit@desk");
    desk.ctl(&["-q", "set_disk_free_limit", "mem_relative", "0.0"]).is("");
    until(&["-q", "check_alarms"], 0);
    let settings = desk.ctl(&["environment", "--json"]).json();
    assert_eq!(settings["memory_watermark"], "100GB");
    for args in [
        &["set_vm_memory_high_watermark", "2"][..],
        &["set_vm_memory_high_watermark", "absolute", "lots"],
        &["set_disk_free_limit", "lots"],
        &["set_disk_free_limit", "mem_relative", "-1"],
    ] {
        assert_eq!(desk.ctl(args).code, 65, "{args:?}");
    }
}

#[test]
fn a_status_says_what_is_asked_first() {
    // EN-067.
    let desk = Desk::new();
    let said = desk.ctl(&["status"]);
    let words = ["Status of node rabbit@desk ...\n", "OS PID: ", "Node name: rabbit@desk\n"];
    assert_contains(&said.out, &words);
    let words = ["Totals\n\nConnection count: 0\nQueue count: 0\nVirtual host count: 1\n"];
    assert_contains(&said.out, &words);
    assert_contains(&said.out, &["protocol: amqp, purpose: AMQP 0-9-1\n", "Alarms\n\n(none)\n"]);
    assert_contains(&desk.ctl(&["status", "--unit", "mb"]).out, &["Free disk space: ", " mb\n"]);
    assert_eq!(desk.ctl(&["status", "--unit", "miles"]).code, 64);
    assert_contains(&desk.ctl(&["-q", "cluster_status"]).out, &["Running Nodes\n\nrabbit@desk\n"]);
    assert_contains(&desk.diagnostics(&["memory_breakdown", "-q"]).out, &["%)\n"]);
    let version = desk.diagnostics(&["-q", "server_version"]);
    assert_eq!(version.code, 0);
    assert!(version.out.starts_with("4."), "{version:?}");
}
