//! The broker's listeners, as the management API has them and as RabbitMQ's tools name them.

use serde_json::{Value, json};

use super::{call::Call, failure::Failure};

/// An address that the broker listens on.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) interface: String,
    pub(super) port: u16,
    pub(super) protocol: String,
}

/// All listeners.
pub(super) fn all(call: &mut Call) -> Result<Vec<Listener>, Failure> {
    let overview = call.get(&["overview"])?.unwrap_or_default();
    let listeners = overview["listeners"].as_array().cloned().unwrap_or_default();
    Ok(listeners.iter().map(Listener::of).collect())
}

impl Listener {
    /// A listener as the management API has it.
    pub(super) fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let port = value["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let interface = match (text("ip_address") + &text("interface")).as_str() {
            // The address of all interfaces is written in brackets, as RabbitMQ does.
            "::" => "[::]".into(),
            address => address.to_owned(),
        };
        Self { interface, port: port.unwrap_or_default(), protocol: text("protocol") }
    }

    /// Where this machine reaches it.
    pub(super) fn reachable_at(&self) -> String {
        match self.interface.as_str() {
            "0.0.0.0" | "" => "127.0.0.1".into(),
            "[::]" => "localhost".into(),
            address => address.to_owned(),
        }
    }

    fn purpose(&self) -> &'static str {
        match self.protocol.as_str() {
            "amqp" => "AMQP 0-9-1",
            "amqp/ssl" => "AMQP 0-9-1 over TLS",
            "http" => "HTTP API",
            "https" => "HTTP API over TLS (HTTPS)",
            "http/prometheus" => "Prometheus exporter API over HTTP",
            "https/prometheus" => "Prometheus exporter API over TLS (HTTPS)",
            "clustering" => "inter-node and CLI tool communication",
            _ => "(unknown)",
        }
    }

    /// A line about it, for people.
    pub(super) fn line(&self) -> String {
        let Self { interface, port, protocol } = self;
        format!(
            "Interface: {interface}, port: {port}, protocol: {protocol}, purpose: {}",
            self.purpose()
        )
    }

    pub(super) fn json(&self, node: &str) -> Value {
        json!({
            "node": node,
            "interface": self.interface,
            "port": self.port,
            "protocol": self.protocol,
            "purpose": self.purpose(),
        })
    }
}
