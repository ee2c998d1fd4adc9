//! `lepus check`: exit codes and performance data, as Nagios and its kin read them.

use super::*;
use crate::harness::*;

#[test]
fn a_queue_is_judged_by_ranges() {
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    channel.call(&queue("q|1"));
    channel.fill("q|1", ["a", "b", "c"]);
    channel.expect_ready("q|1", 3);
    let check = |args: &[&str]| desk.check(&[&["queue", "q|1"], args].concat());
    let data = "messages=3;;;0 ready=3;;;0 unacked=0;;;0 consumers=0;;;0 bytes=3B;;;0";
    check(&[]).is(&format!(
        "LEPUS QUEUE OK - queue q/1 in vhost /: messages 3, ready 3, unacked 0, consumers 0, \
         bytes 3B | {data}\n"
    ));
    for (args, code, state) in [
        (&["-w", "messages=3"][..], 0, "OK"),
        (&["-w", "2"], 1, "WARNING - queue q/1 in vhost /: messages 3 | messages=3;2;;0"),
        (&["-w", "2", "-c", "ready=2"], 2, "CRITICAL"),
        (&["-c", "consumers=1:"], 2, "CRITICAL - queue q/1 in vhost /: consumers 0 |"),
        (&["-w", "1:2", "-c", "10"], 1, "WARNING"),
        (&["-w", "@3:4"], 1, "WARNING"),
        (&["-w", "age=5"], 1, "WARNING - the first message of queue q/1 has no timestamp"),
        (&["-w", "size=5"], 3, "LEPUS UNKNOWN - "),
        (&["-w", "lots"], 3, "LEPUS UNKNOWN - "),
    ] {
        let said = check(args);
        assert_contains(&said.out, &[state]);
        assert_eq!((said.err.as_str(), said.code), ("", code), "{args:?} {said:?}");
        assert_eq!(said.out.lines().count(), 1, "{said:?}");
    }
    let said = desk.check(&["queue", "nowhere"]);
    assert_contains(&said.out, &["LEPUS QUEUE CRITICAL - there is no queue nowhere in vhost /"]);
    assert_eq!(said.code, 2);
    let json = check(&["--json"]).json();
    assert_eq!((&json["state"], &json["metrics"]["ready"]), (&"OK".into(), &3.0.into()));
}

#[test]
fn the_age_of_a_queue_is_that_of_its_first_message() {
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    channel.call(&queue("q"));
    let check = |range: &str| desk.check(&["queue", "q", "-c", range]).code;
    assert_eq!(check("age=5"), 0, "an empty queue has no old message");
    let old = Properties { timestamp: Some(1_000_000_000), ..Properties::default() };
    channel.publish(&publish("", "q", "m").properties(old));
    channel.expect_ready("q", 1);
    assert_eq!((check("age=5"), check("age=9000000000")), (2, 0));
}

#[test]
fn the_worst_queues_are_named() {
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    for (name, bodies) in [("a", &["m"][..]), ("b", &["m", "m"]), ("c", &[])] {
        channel.call(&queue(name));
        for body in bodies {
            channel.publish(&publish("", name, *body));
        }
        channel.expect_ready(name, bodies.len() as u32);
    }
    let said = desk.check(&["queues", "-w", "messages=0", "-c", "messages=1"]);
    let line = "LEPUS QUEUES CRITICAL - b: messages 2; a: messages 1 | queues=3;;;0 bad=2;;;0 \
                total_messages=3;;;0 total_ready=3;;;0 total_unacked=0;;;0\n";
    assert_eq!((said.out.as_str(), said.code), (line, 2));
    assert_eq!(desk.check(&["queues", "-p", "/", "-w", "messages=2"]).code, 0);
    assert_eq!(desk.check(&["queues", "-p", "nowhere"]).code, 3);
}

#[test]
fn connections_memory_and_disk_are_judged() {
    let desk = Desk::new();
    let name = Table::new().with("connection_name", "worker");
    let mut options = desk.options.clone();
    options.properties = name;
    let connection = options.open();
    for (args, code) in [
        (&["connection", "worker"][..], 0),
        (&["connection", "nobody"], 2),
        (&["connection", "worker", "-c", "2:"], 2),
        (&["connections", "-w", "1"], 0),
        (&["connections", "-w", "0"], 1),
        (&["connections", "-u", "joe", "-w", "0"], 0),
        (&["connections", "-p", "nowhere", "-c", "0"], 0),
        (&["alive"], 0),
        (&["alarms"], 0),
        (&["memory", "-c", "100"], 0),
        (&["memory", "-w", "100:"], 1),
        (&["disk", "-c", "@0:1"], 0),
        (&["frobnicate"], 3),
        (&["queue"], 3),
        (&[], 3),
    ] {
        let said = desk.check(args);
        assert_eq!((said.err.as_str(), said.code), ("", code), "{args:?} {said:?}");
    }
    assert_contains(&desk.check(&["memory"]).out, &["LEPUS MEMORY OK", "| memory=", "%;80;100;0 "]);
    connection.close();
}

#[test]
fn a_broker_that_is_gone_is_critical() {
    let home = tempfile::tempdir().unwrap();
    let said = Said::from(lepus(home.path(), &["check", "queue", "q"]).output().unwrap());
    assert_contains(&said.out, &["LEPUS CRITICAL - ", "no broker answers at"]);
    assert_eq!((said.out.lines().count(), said.err.as_str(), said.code), (1, "", 2));
}
