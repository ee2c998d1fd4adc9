//! The examples, run as the programs that they are.

use std::{env, process::Command};

use crate::harness::*;

/// Runs an example to its end; what it said on standard output.
#[track_caller]
fn run(name: &str, uri: Option<&str>) -> Vec<String> {
    let (status, said, log) = Program::start(example(name).args(uri)).finish();
    assert!(status.success(), "{status}, {said:?}, {log}");
    said
}

/// `cargo test` builds the examples, into a folder beside that of the tests.
fn example(name: &str) -> Command {
    let tests = env::current_exe().expect("the program of the tests has a path");
    let program = tests.ancestors().nth(2).expect("it lies in `deps`").join("examples").join(name);
    assert!(program.exists(), "{} is missing: cargo build --examples", program.display());
    Command::new(program)
}

fn uri() -> String {
    format!("amqp://guest:guest@{}/%2f", broker().address)
}

#[test]
fn embed_keeps_a_message_from_one_broker_to_the_next() {
    let said = run("embed", None);
    assert!(said[0].starts_with("a broker listens on 127.0.0.1:"), "{said:?}");
    assert_eq!(said[1..], ["the next one has: remember me"]);
}

#[test]
fn work_queue_does_every_task_once() {
    let mut said = run("work_queue", Some(&uri()));
    assert_eq!(said.pop().as_deref(), Some("all tasks are done"));
    let mut tasks: Vec<_> = said.iter().map(|line| line.split(' ').next_back().unwrap()).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, ["fifth.", "first...", "fourth..", "second.", "sixth.", "third."]);
}

#[test]
fn confirms_come_for_every_message() {
    let said = run("confirms", Some(&uri()));
    assert_eq!(said[2..], ["came back: 312 NO_ROUTE", "1100 messages were in the queue"]);
}

#[test]
fn rpc_gets_its_replies() {
    let mut said = run("rpc", Some(&uri()));
    said.sort_unstable();
    let expected = ["fibonacci(10) = 55", "fibonacci(20) = 6765", "fibonacci(30) = 832040"];
    assert_eq!(said, expected);
}

#[test]
fn without_a_broker_they_say_how_to_start_one() {
    for name in ["work_queue", "confirms", "rpc"] {
        // Nothing listens on port 1.
        let mut example = example(name);
        let (status, said, log) = Program::start(example.arg("amqp://127.0.0.1:1/%2f")).finish();
        assert_eq!((status.code(), said.len()), (Some(1), 0), "{name}: {log}");
        assert!(log.contains("`cargo run --release` starts one"), "{name}: {log}");
    }
}
