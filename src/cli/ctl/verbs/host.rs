//! What is around the broker: certificates and what TLS can do, its environment, names of hosts.

use std::net::{SocketAddr, ToSocketAddrs};

use serde_json::{Value, json};

use super::super::{
    call::Call,
    failure::{Failure, code},
    guise::Guise,
    listener::Listener,
    options::{flag, text},
    tls,
    verb::{Section, Verb},
};

const DIAGNOSTICS: &[Guise] = &[Guise::Diagnostics];

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "certificates",
        Section::Configuration,
        "",
        "Shows the certificates of every listener that speaks TLS",
        certificates,
    )
    .shown_by(DIAGNOSTICS),
    Verb::new(
        "tls_versions",
        Section::Monitoring,
        "",
        "Lists the versions of TLS that the broker can speak",
        |call| {
            call.banner("Listing all TLS versions supported by the runtime...");
            list(call, &tls::versions());
            Ok(())
        },
    )
    .shown_by(DIAGNOSTICS),
    Verb::new(
        "cipher_suites",
        Section::Monitoring,
        "[--format openssl] [--all]",
        "Lists the cipher suites that the broker can use, all of which are enabled",
        cipher_suites,
    )
    .with(&[text("format"), flag("all")])
    .shown_by(DIAGNOSTICS),
    Verb::new(
        "os_env",
        Section::Configuration,
        "",
        "Shows the variables in the broker's environment that are for it, but for secrets",
        os_env,
    )
    .shown_by(DIAGNOSTICS),
    Verb::new(
        "resolve_hostname",
        Section::Configuration,
        "<hostname> [--address-family <ipv4 | ipv6>]",
        "Shows the addresses of a host, as the system of this machine finds them",
        resolve_hostname,
    )
    .takes(1, 1)
    .with(&[text("address-family").or('a'), flag("offline")])
    .shown_by(DIAGNOSTICS),
];

/// Writes one after the other.
fn list(call: &Call, items: &[String]) {
    call.result(items.join("\n"), &json!(items));
}

fn certificates(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Certificates of node {node} ..."));
    let all = call.get_of_lepus("certificates")?;
    let listeners = all.as_array().map(Vec::as_slice).unwrap_or_default();
    let text: Vec<_> = listeners.iter().flat_map(certificate_lines).collect();
    if text.is_empty() {
        call.result(format!("Node {node} has no listener that speaks TLS"), &all);
    } else {
        call.result(text.join("\n"), &all);
    }
    Ok(())
}

/// A line for a listener, and one for each of its certificates.
fn certificate_lines(listener: &Value) -> Vec<String> {
    let mut lines = vec![Listener::of(listener).line()];
    for (file, certificates) in [("certfile", "certificates"), ("cacertfile", "authorities")] {
        let path = listener[file].as_str().unwrap_or_default();
        for certificate in listener[certificates].as_array().into_iter().flatten() {
            let word = |key: &str| certificate[key].as_str().unwrap_or_default();
            lines.push(match certificate["error"].as_str() {
                Some(error) => format!("  {path}: {error}"),
                None => format!(
                    "  {path}: {}, issued by {}, valid from {} to {}",
                    word("subject"),
                    word("issuer"),
                    word("not_before"),
                    word("not_after")
                ),
            });
        }
    }
    lines
}

fn cipher_suites(call: &mut Call) -> Result<(), Failure> {
    match call.options.text("format").unwrap_or("openssl").to_lowercase().as_str() {
        "openssl" => {}
        "erlang" | "map" => {
            return Err(call.bad_argument("There are no Erlang terms here: --format openssl"));
        }
        _ => return Err(call.bad_argument("Format should be either openssl, erlang or map")),
    }
    call.banner("Listing available cipher suites in OpenSSL format");
    list(call, &tls::cipher_suites());
    Ok(())
}

fn os_env(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!(
        "Listing RabbitMQ-specific environment variables defined on node {node}..."
    ));
    let variables = call.get_of_lepus("variables")?;
    let all = variables.as_object().cloned().unwrap_or_default();
    let line =
        |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
    let lines: Vec<_> = all.iter().map(line).collect();
    let text = if lines.is_empty() {
        format!("Node {node} reported no relevant environment variables.")
    } else {
        lines.join("\n")
    };
    call.result(text, &json!({"result": "ok", "node": node, "variables": variables}));
    Ok(())
}

fn resolve_hostname(call: &mut Call) -> Result<(), Failure> {
    let host = call.argument(0).to_owned();
    let family = call.options.text("address-family").unwrap_or("IPv4").to_owned();
    let is_wanted: fn(&SocketAddr) -> bool = match family.to_lowercase().as_str() {
        "ipv4" => SocketAddr::is_ipv4,
        "ipv6" => SocketAddr::is_ipv6,
        _ => {
            let problem =
                format!("unsupported IP address family {family}. Valid values are: ipv4, ipv6");
            return Err(call.bad_argument(&problem));
        }
    };
    call.banner(format!("Resolving hostname {host} to {family} addresses..."));
    let found = (host.as_str(), 0).to_socket_addrs().into_iter().flatten();
    let mut addresses: Vec<_> =
        found.filter(is_wanted).map(|address| address.ip().to_string()).collect();
    addresses.dedup();
    if addresses.is_empty() {
        let text = "Hostname does not resolve (resolution failed with an nxdomain)";
        return Err(Failure::error(code::DATA, text));
    }
    let value = json!({
        "result": "ok",
        "hostname": host,
        "address_family": family,
        "addresses": addresses,
    });
    call.result(addresses.join("\n"), &value);
    Ok(())
}
