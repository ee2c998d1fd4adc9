//! Health checks (EN-060 to EN-064).

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{
    call::{self, Call},
    client::{Ask, NoAnswer},
    failure::{Failure, code},
    guise::Guise,
    listener,
    options::{number, text},
    verb::{Run, Section, Verb},
};
use crate::{cli::address, http::Listening};

const CTL_AND_DIAGNOSTICS: &[Guise] = &[Guise::Ctl, Guise::Diagnostics];
const DIAGNOSTICS: &[Guise] = &[Guise::Diagnostics];
const QUEUES: &[Guise] = &[Guise::Diagnostics, Guise::Queues];

/// How long a port may take to be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const fn check(name: &'static str, usage: &'static str, about: &'static str, run: Run) -> Verb {
    Verb::new(name, Section::Monitoring, usage, about, run).shown_by(DIAGNOSTICS)
}

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    check("ping", "", "Checks that the broker answers", ping).shown_by(CTL_AND_DIAGNOSTICS),
    check("check_running", "", "Checks that the broker is fully started", check_running),
    check("is_running", "", "Tells whether the broker is fully started", is_running),
    check("is_booting", "", "Tells whether the broker is still starting", is_booting),
    check(
        "check_port_connectivity",
        "[--address <address>]",
        "Checks that each listener's port can be connected to",
        check_port_connectivity,
    )
    .with(&[text("address")]),
    check(
        "check_port_listener",
        "<port>",
        "Checks that something listens on this port",
        check_port_listener,
    )
    .takes(1, 1),
    check(
        "check_protocol_listener",
        "<protocol>",
        "Checks that something listens for this protocol: amqp, amqps, http, https, prometheus",
        check_protocol_listener,
    )
    .takes(1, 1),
    check("check_alarms", "", "Checks that there is no memory or disk alarm", |call| {
        check_alarms(call, "alarms, local or clusterwide")
    }),
    check("check_local_alarms", "", "Checks that there is no memory or disk alarm", |call| {
        check_alarms(call, "local alarms")
    }),
    check("alarms", "", "Lists the alarms in effect", alarms),
    check("check_virtual_hosts", "", "Checks that all vhosts run", check_virtual_hosts),
    check(
        "check_certificate_expiration",
        "[--within <period>] [--unit <days | weeks | months | years>]",
        "Checks that no certificate expires soon [4 weeks]",
        check_certificate_expiration,
    )
    .with(&[number("within"), text("unit")]),
    check(
        "check_if_node_is_quorum_critical",
        "",
        "Succeeds: the check is about clusters",
        |call| {
            let node = call.node()?;
            call.banner(format!(
                "Checking if node {node} is critical for quorum of any queues/streams ..."
            ));
            call.say(format!(
                "Node {node} seems to be the only one in a single node cluster, the check does \
                 not apply"
            ));
            Ok(())
        },
    )
    .shown_by(QUEUES),
    check(
        "check_if_metadata_store_is_initialized",
        "",
        "Succeeds as soon as the broker answers",
        check_metadata_store,
    ),
    check(
        "check_if_metadata_store_is_initialized_with_data",
        "",
        "Succeeds as soon as the broker answers",
        check_metadata_store,
    ),
    Verb::new("node_health_check", Section::Other, "", "Checks nothing, as in RabbitMQ", |call| {
        call.say(
            "This command is DEPRECATED and is a no-op. Use ping, check_running or check_alarms \
             instead.",
        );
        Ok(())
    })
    .shown_by(CTL_AND_DIAGNOSTICS),
];

fn ping(call: &mut Call) -> Result<(), Failure> {
    let millis = call.client.timeout.map_or(0, |limit| limit.as_millis());
    let node = call.expected_node();
    call.banner(format!("Will ping {node}. Timeout: {millis} ms."));
    match call.client.ask(Ask::get(&["health", "checks", "alarms"])) {
        // Whoever answers is there, whatever the answer.
        Ok(_) => call.say("Ping succeeded"),
        Err(NoAnswer::TimedOut(_)) => {
            let text = format!("Failed to connect and authenticate to {node} in {millis} ms");
            return Err(Failure::refused(text));
        }
        Err(none) => return Err(call.unanswered(&none)),
    }
    Ok(())
}

/// Whether the broker serves clients.
pub(in crate::cli::ctl) fn serves(call: &mut Call) -> Result<bool, Failure> {
    Ok(call.ask(Ask::get(&["health", "checks", "is-in-service"]))?.status != 503)
}

fn check_running(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Checking if RabbitMQ is running on node {node} ..."));
    if !serves(call)? {
        let text = format!(
            "Error:\nRabbitMQ on node {node} is not running or has not fully booted yet (check \
             with is_booting)"
        );
        return Err(Failure::plain(code::UNAVAILABLE, text));
    }
    let text = format!("RabbitMQ on node {node} is fully booted and running");
    call.result(&text, &json!({"message": text, "result": "ok"}));
    Ok(())
}

fn is_running(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Asking node {node} for its status ..."));
    let is_running = serves(call)?;
    let text = if is_running {
        format!("RabbitMQ on node {node} is fully booted and running")
    } else {
        format!("RabbitMQ on node {node} is not running or has not fully booted yet")
    };
    call.result(&text, &json!({"message": text, "result": is_running}));
    Ok(())
}

/// The management API answers once the broker has started.
fn is_booting(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Asking node {node} for its boot status ..."));
    let text = format!(
        "RabbitMQ on node {node} is fully booted (check with is_running), stopped or has not \
         started booting yet"
    );
    call.result(&text, &json!({"message": text, "result": false}));
    Ok(())
}

fn check_metadata_store(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.say(format!("Metadata store on node {node} has completed its initialization"));
    Ok(())
}

fn check_port_connectivity(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    let address = call.options.text("address").map(str::to_owned);
    call.banner(match &address {
        Some(address) => format!(
            "Testing TCP connections to all active listeners on node {node} using {address} for \
             node IP address ..."
        ),
        None => format!("Testing TCP connections to all active listeners on node {node} ..."),
    });
    let listeners = listener::all(call)?;
    let mut ports = Vec::new();
    for listener in listeners.iter().filter(|listener| listener.port > 0) {
        let host = address.clone().unwrap_or_else(|| listener.reachable_at());
        if !call.format.is_json() && !call.options.has("silent") {
            call::write(&format!("Will connect to {}\n", address::join(&host, listener.port)));
        }
        call.client.connect((&host, listener.port), CONNECT_TIMEOUT).map_err(|error| {
            Failure::refused(format!(
                "Connection to ports of the following listeners on node {node} failed: {} \
                 ({error})",
                listener.line()
            ))
        })?;
        ports.push(listener.port);
    }
    ports.sort_unstable();
    ports.dedup();
    let shown: Vec<_> = ports.iter().map(u16::to_string).collect();
    let text = format!("Successfully connected to ports {} on node {node}.", shown.join(", "));
    let listeners: Vec<_> = listeners.iter().map(|listener| listener.json(&node)).collect();
    call.result(&text, &json!({"result": "ok", "node": node, "listeners": listeners}));
    Ok(())
}

fn check_port_listener(call: &mut Call) -> Result<(), Failure> {
    let port: u16 = match call.argument(0).parse() {
        Ok(port) if port > 0 => port,
        _ => return Err(call.bad_argument("Argument must be a positive integer")),
    };
    let node = call.node()?;
    call.banner(format!("Asking node {node} if there's an active listener on port {port} ..."));
    let listeners = listener::all(call)?;
    if listeners.iter().any(|listener| listener.port == port) {
        let text = format!("A listener for port {port} is running on node {node}.");
        call.result(&text, &json!({"result": "ok", "node": node, "port": port}));
        return Ok(());
    }
    let mut ports: Vec<_> = listeners.iter().map(|listener| listener.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    let text = format!(
        "No listener for port {port} is active on node {node}. Found listeners that use the \
         following ports: {}",
        ports.join(", ")
    );
    Err(Failure::plain(code::UNAVAILABLE, text))
}

fn check_protocol_listener(call: &mut Call) -> Result<(), Failure> {
    let (protocol, node) = (call.argument(0).to_owned(), call.node()?);
    call.banner(format!(
        "Asking node {node} if there's an active listener for protocol {protocol} ..."
    ));
    let listeners = listener::all(call)?;
    let wanted = Listening::protocol_called(&protocol);
    if listeners.iter().any(|listener| listener.protocol == wanted) {
        let text = format!("A listener for protocol {protocol} is running on node {node}.");
        call.result(&text, &json!({"result": "ok", "node": node, "protocol": protocol}));
        return Ok(());
    }
    let mut known: Vec<_> = listeners.iter().map(|listener| listener.protocol.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    Err(Failure::refused(format!(
        "No listener for protocol {protocol} is active on node {node}. Found listeners for the \
         following protocols: {}",
        known.join(", ")
    )))
}

/// The resources whose alarms are raised.
pub(in crate::cli::ctl) fn raised(call: &mut Call) -> Result<Vec<String>, Failure> {
    let answer = call.ask(Ask::get(&["health", "checks", "alarms"]))?;
    if answer.status == 200 {
        return Ok(Vec::new());
    }
    let body = call::json_of(&answer)?;
    let alarms = body["alarms"].as_array().cloned().unwrap_or_default();
    let resource = |alarm: &Value| alarm["resource"].as_str().map(str::to_owned);
    let resources: Vec<_> = alarms.iter().filter_map(resource).collect();
    if resources.is_empty() { Err(Failure::refused(call::reason(&answer))) } else { Ok(resources) }
}

/// A line about an alarm, in RabbitMQ's words.
pub(in crate::cli::ctl) fn alarm_line(resource: &str, node: &str) -> String {
    match resource {
        "memory" => format!("Memory alarm on node {node}"),
        "disk" => format!("Free disk space alarm on node {node}"),
        other => format!("Resource alarm ({other}) on node {node}"),
    }
}

fn check_alarms(call: &mut Call, what: &str) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Asking node {node} to report any local resource alarms ..."));
    let raised = raised(call)?;
    if raised.is_empty() {
        if call.format.is_json() || !call.options.has("silent") {
            let text = format!("Node {node} reported no {what}");
            call.result(&text, &json!({"result": "ok"}));
        }
        return Ok(());
    }
    let lines: Vec<_> = raised.iter().map(|resource| alarm_line(resource, &node)).collect();
    Err(Failure::plain(code::UNAVAILABLE, lines.join("\n")))
}

fn alarms(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Asking node {node} to report any known resource alarms ..."));
    let raised = raised(call)?;
    let lines: Vec<_> = raised.iter().map(|resource| alarm_line(resource, &node)).collect();
    if lines.is_empty() {
        let text = format!("Node {node} reported no alarms, local or clusterwide");
        call.result(&text, &json!({"result": "ok", "node": node, "alarms": []}));
    } else {
        let message = format!("Node {node} reported alarms");
        let value = json!({"result": "ok", "local": lines, "global": [], "message": message});
        call.result(lines.join("\n"), &value);
    }
    Ok(())
}

fn check_virtual_hosts(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Checking if all vhosts are running on node {node} ..."));
    let answer = call.ask(Ask::get(&["health", "checks", "virtual-hosts"]))?;
    if answer.status != 200 {
        return Err(Failure::refused(call::reason(&answer)));
    }
    if call.format.is_json() || !call.options.has("silent") {
        let text = format!("Node {node} reported all vhosts as running");
        call.result(&text, &json!({"result": "ok", "node": node}));
    }
    Ok(())
}

fn check_certificate_expiration(call: &mut Call) -> Result<(), Failure> {
    const UNITS: [&str; 4] = ["days", "weeks", "months", "years"];
    let unit = call.options.text("unit").unwrap_or("weeks").to_owned();
    if !UNITS.contains(&unit.as_str()) {
        let known = UNITS.join(", ");
        let problem = format!("unit '{unit}' is not supported. Please use one of: {known}");
        return Err(call.misused(code::USAGE, &problem));
    }
    let within = call.options.number("within").unwrap_or(4);
    let node = call.node()?;
    call.banner(format!("Checking certificate expiration for all certificates on node {node} ..."));
    let count = within.to_string();
    let answer =
        call.ask(Ask::get(&["health", "checks", "certificate-expiration", &count, &unit]))?;
    if answer.status == 503 {
        let expired = call::json_of(&answer)?["expired"].take();
        let lines: Vec<_> = expired.as_array().into_iter().flatten().flat_map(ending).collect();
        return Err(Failure::plain(code::UNAVAILABLE, lines.join("\n")));
    }
    if answer.status != 200 {
        return Err(Failure::refused(call::reason(&answer)));
    }
    let units = if within == 1 { &unit[..unit.len() - 1] } else { &unit };
    let text = format!("No certificates are expiring within {within} {units}.");
    call.result(&text, &json!({"result": "ok"}));
    Ok(())
}

/// A line for each certificate of a listener that ends soon.
fn ending(listener: &Value) -> Vec<String> {
    let (port, protocol) = (&listener["port"], listener["protocol"].as_str().unwrap_or_default());
    let mut lines = Vec::new();
    for file in ["certfile", "cacertfile"] {
        let path = listener[file].as_str().unwrap_or_default();
        for end in listener[format!("{file}_expires_on")].as_array().into_iter().flatten() {
            let end = end.as_str().unwrap_or_default();
            // What is no moment says what is wrong instead.
            let is_moment = end.starts_with(|letter: char| letter.is_ascii_digit());
            let word = if is_moment { "expires on " } else { "" };
            lines.push(format!("{path} (port {port}, {protocol}): {word}{end}"));
        }
    }
    lines
}
