//! Waiting for the broker, and ending it (EN-065, EN-066, EN-075).

use std::{fs, io, time::Duration};

use hyper::Method;
use serde_json::json;

use super::super::{
    call::{self, Call},
    client::{Answer, Ask, NoAnswer},
    failure::{Failure, code},
    guise::Guise,
    options::{flag, number},
    target::Target,
    verb::{Section, Verb},
};
use crate::clock;

const CTL_AND_DIAGNOSTICS: &[Guise] = &[Guise::Ctl, Guise::Diagnostics];

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "await_startup",
        Section::Nodes,
        "",
        "Waits until the broker serves clients",
        await_startup,
    ),
    Verb::new(
        "wait",
        Section::Nodes,
        "[<pidfile>] [--pid|-P <pid>]",
        "Waits until the broker serves clients, as long as its process runs",
        wait,
    )
    .takes(0, 1)
    .with(&[number("pid").or('P')])
    .shown_by(CTL_AND_DIAGNOSTICS),
    Verb::new(
        "await_online_nodes",
        Section::Nodes,
        "<count>",
        "Waits until so many nodes run, of which there is one",
        await_online_nodes,
    )
    .takes(1, 1),
    Verb::new(
        "stop",
        Section::Nodes,
        "[--idempotent] [<pidfile>]",
        "Stops the broker; with a pid file, waits until it has ended",
        stop,
    )
    .takes(0, 1)
    .with(&[flag("idempotent")]),
    Verb::new(
        "shutdown",
        Section::Nodes,
        "[--no-wait]",
        "Stops the broker and waits until it has ended",
        shutdown,
    )
    .with(&[flag("wait")]),
    Verb::new(
        "stop_app",
        Section::Nodes,
        "",
        "Closes all connections and takes no more until start_app",
        |call| {
            let node = call.node()?;
            call.banner(format!("Stopping rabbit application on node {node} ..."));
            set_app(call, false)
        },
    ),
    Verb::new("start_app", Section::Nodes, "", "Takes connections again", |call| {
        let node = call.node()?;
        call.banner(format!("Starting node {node} ..."));
        set_app(call, true)
    }),
    Verb::new(
        "reset",
        Section::Nodes,
        "",
        "Deletes everything, messages too, as if started for the first time; after stop_app",
        |call| {
            let node = call.node()?;
            call.banner(format!("Resetting node {node} ..."));
            reset(call)
        },
    ),
    Verb::new("force_reset", Section::Nodes, "", "The same as reset", |call| {
        let node = call.node()?;
        call.banner(format!("Forcefully resetting node {node} ..."));
        reset(call)
    }),
    Verb::new("suspend_listeners", Section::Operations, "", "Takes no more connections", |call| {
        let node = call.node()?;
        call.banner(format!("Will suspend client connection listeners on node {node} ..."));
        set_listeners(call, false)
    }),
    Verb::new("resume_listeners", Section::Operations, "", "Takes connections again", |call| {
        let node = call.node()?;
        call.banner(format!("Will resume client connection listeners on node {node} ..."));
        set_listeners(call, true)
    }),
];

/// The time that the command may take: what `--timeout` says, else this.
fn patience(call: &Call, default: Duration) -> Duration {
    match call.options.number("timeout") {
        Some(0) => Duration::MAX,
        Some(seconds) => Duration::from_secs(seconds),
        None => default,
    }
}

/// Looks again and again until the answer is yes.
fn until(
    call: &mut Call,
    limit: Duration,
    mut is_so: impl FnMut(&mut Call) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let end = clock::now().after(limit);
    while !is_so(call)? {
        if clock::now() >= end {
            return Err(Failure::timed_out(call.verb.name, &call.expected_node(), limit));
        }
        call.client.wait(INTERVAL);
    }
    Ok(())
}

/// Whether the broker serves clients. One that does not answer yet may still start.
fn is_up(call: &mut Call) -> Result<bool, Failure> {
    match call.client.ask(Ask::get(&["health", "checks", "is-in-service"])) {
        Ok(answer) => Ok(answer.status != 503),
        Err(none) if none.is_absent() => Ok(false),
        Err(NoAnswer::Broken(_) | NoAnswer::TimedOut(_)) => Ok(false),
        Err(none) => Err(call.unanswered(&none)),
    }
}

fn await_startup(call: &mut Call) -> Result<(), Failure> {
    let limit = patience(call, Duration::from_secs(300));
    until(call, limit, is_up)
}

fn wait(call: &mut Call) -> Result<(), Failure> {
    let file = call.arguments.first().cloned();
    let pid = call.options.number("pid");
    let limit = patience(call, Duration::from_secs(10));
    let node = call.expected_node();
    let pid = match (file, pid) {
        (Some(_), Some(_)) => {
            return Err(call.misused(code::USAGE, "\"Cannot specify both pid and pidfile\""));
        }
        (None, None) => {
            return Err(call.misused(code::USAGE, "\"No pid or pidfile specified\""));
        }
        (None, Some(pid)) => pid,
        (Some(file), None) => {
            call.banner(format!("Waiting for pid file '{file}' to appear"));
            let mut found = None;
            until(call, limit, |_| {
                found = read_pid(&file)?;
                Ok(found.is_some())
            })?;
            let pid = found.unwrap_or_default();
            call.banner(format!("pid is {pid}"));
            pid
        }
    };
    call.banner(format!("Waiting for node '{node}' while OS process '{pid}' is running"));
    until(call, limit, |call| match (is_up(call)?, is_alive(pid)) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => Err(Failure::refused("process_not_running")),
    })?;
    call.banner(format!("Applications 'rabbit_and_plugins' are running on node '{node}'"));
    Ok(())
}

/// The process that a file names; none as long as the file is not there or is empty.
fn read_pid(path: &str) -> Result<Option<u64>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let text = format!("Error: could not read pid. Detail: {error}");
            return Err(Failure::plain(code::SOFTWARE, text));
        }
    };
    let digits = text.trim();
    match digits.parse() {
        Ok(pid) => Ok(Some(pid)),
        Err(_) if digits.is_empty() => Ok(None),
        Err(_) => Err(Failure::plain(code::SOFTWARE, "Error: garbage in pid file.")),
    }
}

/// Whether a process of this number runs. One that has ended does not, though nobody may have
/// asked yet how it ended.
fn is_alive(pid: u64) -> bool {
    if fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| has_ended(&stat)) {
        return false;
    }
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // A process of somebody else runs, too.
    let is_gone = |pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
    pid.is_some_and(|pid| !is_gone(pid))
}

/// Whether the state of a process, behind its name in parentheses, is one of the dead.
fn has_ended(stat: &str) -> bool {
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

fn await_online_nodes(call: &mut Call) -> Result<(), Failure> {
    let Ok(count) = call.argument(0).parse::<u64>() else {
        return Err(call.bad_argument("count must be a number"));
    };
    let limit = patience(call, Duration::from_secs(300));
    let node = call.expected_node();
    call.banner(format!(
        "Will wait for at least {count} nodes to join the cluster of {node}. Timeout: {} seconds.",
        limit.as_secs()
    ));
    let waited = until(call, limit, |call| Ok(count <= 1 && is_up(call)?));
    waited.map_err(|failure| match failure.code {
        code::TIMEOUT => Failure::error(
            code::SOFTWARE,
            format!("Error: timed out while waiting. Not enough nodes joined {node}'s cluster."),
        ),
        _ => failure,
    })
}

/// Asks the broker to stop. It may be gone before it has answered.
fn ask_to_stop(call: &mut Call) -> Result<(), Failure> {
    let (path, body) = (&["lepus", "stop"], Some(&json!({})));
    let ask = Ask { method: &Method::PUT, path, query: &[], body, headers: &[] };
    match call.client.ask(ask) {
        Err(NoAnswer::Broken(_)) | Ok(Answer { status: 200..=299, .. }) => Ok(()),
        Ok(Answer { status: 404 | 405, .. }) => Err(Failure::no_lepus("do that")),
        Ok(answer) => Err(Failure::refused(call::reason(&answer))),
        Err(none) => Err(call.unanswered(&none)),
    }
}

fn stop(call: &mut Call) -> Result<(), Failure> {
    let pid = match call.arguments.first().cloned() {
        Some(file) => {
            let pid = read_pid(&file)?
                .ok_or_else(|| Failure::refused(format!("could not read pid from file {file}")))?;
            Some((file, pid))
        }
        None => None,
    };
    let is_idempotent = call.options.has("idempotent");
    let node = match call.node() {
        Ok(node) => node,
        Err(failure) if failure.code == code::UNAVAILABLE && is_idempotent => {
            let node = call.expected_node();
            call.say(format!("Node {node} is no longer running"));
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    call.banner(match &pid {
        Some((file, _)) => {
            format!("Stopping and halting node {node} (will monitor pid file {file}) ...")
        }
        None => format!("Stopping and halting node {node} ..."),
    });
    ask_to_stop(call)?;
    if let Some((file, pid)) = pid {
        let limit = patience(call, Duration::MAX);
        until(call, limit, |_| Ok(!is_alive(pid)))?;
        call.say(format!("process {pid} (take from pid file {file}) is no longer running"));
    }
    Ok(())
}

fn shutdown(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    let info = call.get(&["nodes", &node])?.unwrap_or_default();
    let pid = info["os_pid"].as_str().unwrap_or_default().to_owned();
    call.banner(format!("Shutting down RabbitMQ node {node} running at PID {pid}"));
    ask_to_stop(call)?;
    if call.options.is_off("wait") {
        return Ok(());
    }
    call.banner(format!("Waiting for PID {pid} to terminate"));
    let limit = patience(call, Duration::from_secs(120));
    let number = pid.parse().ok().filter(|_| matches!(call.client.target, Target::Socket(_)));
    until(call, limit, |call| match number {
        Some(pid) => Ok(!is_alive(pid)),
        // On another machine it is the port that tells.
        None => Ok(!is_up(call)?),
    })?;
    call.banner(format!("RabbitMQ node {node} running at PID {pid} successfully shut down"));
    Ok(())
}

fn set_app(call: &mut Call, is_running: bool) -> Result<(), Failure> {
    call.put_to_lepus("app", &json!({"running": is_running}))?;
    call.done()
}

fn set_listeners(call: &mut Call, is_on: bool) -> Result<(), Failure> {
    call.put_to_lepus("listeners", &json!({"accepting": is_on}))?;
    call.done()
}

fn reset(call: &mut Call) -> Result<(), Failure> {
    call.put_to_lepus("reset", &json!({}))?;
    call.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_from_the_living() {
        assert!(is_alive(std::process::id().into()));
        assert!(!is_alive(0) && !is_alive(u64::MAX));
        assert!(has_ended("7 (lepus) Z 1 7") && has_ended("7 (a) b) X 1"));
        assert!(!has_ended("7 (Z) S 1 7") && !has_ended(""));
    }
}
