//! `lepus perf`, against a broker that runs.

use serde_json::Value as Json;

use crate::harness::{Lepus, Program, address, lepus};

/// What it prints as JSON, and its exit code.
fn perf(args: &[&str]) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().unwrap();
    let output = lepus(home.path(), &[&["perf"], args].concat()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn everything_is_measured_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let broker = Lepus::start(home.path());
    let uri = format!("amqp://guest:guest@{}/", broker.options.address);
    let short = ["--uri", &uri, "--time=0.2", "--warm-up=0", "--backlog=500", "--json"];
    let (code, out, err) = perf(&[&["tour"], &short[..]].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let rows: Json = serde_json::from_str(&out).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 11);
    for row in rows {
        assert_eq!(row["faults"], 0, "{row}");
        assert!(row["count"].as_u64().unwrap() > 0, "{row}");
    }
    let backlog = rows.iter().find(|row| row["name"] == "1 KiB persistent, backlog drained");
    assert_eq!(backlog.unwrap()["count"], 500);
    let many = ["throughput", "-p=2", "-c=3", "-q=2", "--confirm=10", "--ack-every=7"];
    let (code, out, err) = perf(&[&many, &short[..]].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    broker.stop();
}

#[test]
fn delayed_messages_come_once_and_not_before_their_time() {
    let home = tempfile::tempdir().unwrap();
    let broker = Lepus::start(home.path());
    let uri = format!("amqp://guest:guest@{}/", broker.options.address);
    let args = ["delayed", "--uri", &uri, "--backlog=500", "--rate=1000", "--json"];
    let (code, out, err) = perf(&args);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let rows: Json = serde_json::from_str(&out).unwrap();
    assert_eq!((&rows[0]["count"], &rows[0]["faults"]), (&500.into(), &0.into()), "{rows}");
    assert_eq!(rows[0]["times_of"], "lateness", "{rows}");
    broker.stop();
}

#[test]
fn a_login_that_is_refused_is_told_from_a_broker_that_is_not_there() {
    let home = tempfile::tempdir().unwrap();
    let broker = Program::start(&mut lepus(home.path(), &["--amqp-port=0"]));
    let at = address(&broker.line());
    let (code, out, err) = perf(&["--uri", &format!("amqp://guest:swordfish@{at}")]);
    assert_eq!((code, out.as_str()), (Some(77), ""), "{err}");
    assert!(err.contains("refused the login of user 'guest'"), "{err}");
    assert!(err.contains("--uri amqp://user:password@host"), "{err}");
    assert!(!err.contains("swordfish") && !err.contains("running"), "{err}");
    let (code, _, err) = perf(&["--uri", &format!("amqp://{at}/missing")]);
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("530 NOT_ALLOWED") && !err.contains("running"), "{err}");
}

#[test]
fn a_broker_that_is_not_there_is_named_with_a_way_out() {
    let (code, out, err) = perf(&["--uri", "amqp://127.0.0.1:1"]);
    assert_eq!((code, out.as_str()), (Some(69), ""));
    assert!(err.contains("127.0.0.1:1") && err.contains("--uri"), "{err}");
    let (code, _, err) = perf(&["--uri", "http://127.0.0.1"]);
    assert_eq!(code, Some(64));
    assert!(err.contains("begins with amqp://"), "{err}");
}
