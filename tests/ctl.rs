//! The command line: what `lepus ctl`, `lepus check` and RabbitMQ's tools, in whose place the
//! program may be called, say and how they end.

mod check;
mod definitions;
mod governed;
mod health;
mod host;
mod lists;
mod node;
mod offline;
mod users;

use std::{
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::harness::{Connection, Options, Program, address, lepus};

/// The name of the broker's node.
const NODE: &str = "rabbit@desk";

/// What a command said on standard output and standard error, and its exit code.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    out: String,
    err: String,
    code: i32,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("no signal ended it");
        Self { out: text(output.stdout), err: text(output.stderr), code }
    }
}

impl Said {
    /// Asserts that it said this and nothing else, and ended well.
    #[track_caller]
    fn is(&self, out: &str) {
        assert_eq!((self.out.as_str(), self.err.as_str(), self.code), (out, "", 0));
    }

    /// Asserts that it failed with this code, and said this on standard error.
    #[track_caller]
    fn fails(&self, code: i32, err: &str) {
        assert_eq!((self.err.trim_end(), self.code), (err, code), "{self:?}");
    }

    /// Standard output as JSON.
    #[track_caller]
    fn json(&self) -> serde_json::Value {
        assert_eq!((self.err.as_str(), self.code), ("", 0), "{self:?}");
        serde_json::from_str(&self.out).expect(&self.out)
    }
}

/// `lepus ctl`, with nothing in its environment but a home.
fn ctl(home: &Path, args: &[&str]) -> Said {
    lepus(home, &[&["ctl"], args].concat()).output().unwrap().into()
}

/// The program under the name of one of RabbitMQ's tools.
fn tool(name: &str, home: &Path, args: &[&str]) -> Said {
    let link = home.join(name);
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_lepus"), &link).unwrap();
    }
    let mut command = Command::new(link);
    command.env_clear().env("HOME", home).env("LEPUS_RABBITMQ_CONF", "none");
    command.env("LEPUS_NODE_NAME", NODE);
    command.args(args).stdin(Stdio::null()).output().unwrap().into()
}

/// The port on which the broker below a home listens for a protocol.
#[track_caller]
fn port(home: &Path, protocol: &str) -> u64 {
    let listeners = ctl(home, &["listeners", "--formatter", "json"]).json()["listeners"].take();
    let found = listeners.as_array().unwrap().iter().find(|found| found["protocol"] == protocol);
    found.unwrap_or_else(|| panic!("no {protocol} in {listeners}"))["port"].as_u64().unwrap()
}

#[track_caller]
fn assert_contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

/// A broker that runs as a program, and somebody at its command line.
struct Desk {
    home: TempDir,
    /// None once it has been ended.
    broker: Option<Program>,
    options: Options,
}

impl Desk {
    fn new() -> Self {
        Self::with_variables(&[])
    }

    /// A broker with these variables in its environment.
    fn with_variables(variables: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = lepus(home.path(), &["--amqp-port=0", "--log-level=warn"]);
        command.env("LEPUS_NODE_NAME", NODE).envs(variables.iter().copied());
        let broker = Program::start(&mut command);
        let options = Options::at(address(&broker.line()));
        Self { home, broker: Some(broker), options }
    }

    fn ctl(&self, args: &[&str]) -> Said {
        tool("rabbitmqctl", self.home.path(), args)
    }

    fn diagnostics(&self, args: &[&str]) -> Said {
        tool("rabbitmq-diagnostics", self.home.path(), args)
    }

    fn check(&self, args: &[&str]) -> Said {
        lepus(self.home.path(), &[&["check"], args].concat()).output().unwrap().into()
    }

    fn open(&self) -> Connection {
        self.options.open()
    }
}
