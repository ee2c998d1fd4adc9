//! The certificates of the broker's listeners, as their files have them at the moment.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Listening, Shared};
use crate::{auth::Certificate, clock::UnixTime};

/// The certificates of one listener that speaks TLS.
#[derive(Debug)]
pub(super) struct Certificates {
    listening: Listening,
    /// What it shows to clients.
    own: File,
    /// What clients' certificates are held to.
    authorities: Option<File>,
}

/// A file of certificates, and what is in it or why it cannot be told.
#[derive(Debug)]
struct File {
    path: PathBuf,
    found: Result<Vec<Certificate>, String>,
}

impl Certificates {
    /// Reads those of all listeners.
    pub(super) fn read_blocking(shared: &Shared) -> Vec<Self> {
        let config = &shared.config;
        let files = |listening: &Listening| match listening.protocol {
            "amqp/ssl" => Some((config.tls_certificate.as_deref()?, config.tls_ca.as_deref())),
            "https" => Some((config.https_certificate.as_deref()?, config.https_ca.as_deref())),
            _ => None,
        };
        let of = |listening: &Listening| {
            let (own, authorities) = files(listening)?;
            Some(Self {
                listening: listening.clone(),
                own: File::read_blocking(own),
                authorities: authorities.map(File::read_blocking),
            })
        };
        shared.listeners.iter().filter_map(of).collect()
    }

    /// What ends before `deadline`, or is not good at all, as RabbitMQ writes it; none if all is
    /// well.
    pub(super) fn ending(&self, node: &str, now: UnixTime, deadline: UnixTime) -> Option<Value> {
        let own = self.own.ends(now, deadline);
        let authorities = self.authorities.as_ref().map(|file| file.ends(now, deadline));
        let authorities = authorities.unwrap_or_default();
        if own.is_empty() && authorities.is_empty() {
            return None;
        }
        let mut value = self.listener(node);
        value["certfile_expires_on"] = json!(own);
        value["cacertfile_expires_on"] = json!(authorities);
        Some(value)
    }

    /// What there is to be seen in them.
    pub(super) fn json(&self, node: &str) -> Value {
        let mut value = self.listener(node);
        value["certificates"] = self.own.json();
        value["authorities"] = self.authorities.as_ref().map_or_else(|| json!([]), File::json);
        value
    }

    /// The listener and its files.
    fn listener(&self, node: &str) -> Value {
        let Listening { protocol, address } = &self.listening;
        let path = |file: &File| file.path.display().to_string();
        json!({
            "node": node,
            "protocol": protocol,
            "interface": address.ip().to_string(),
            "port": address.port(),
            "certfile": path(&self.own),
            "cacertfile": self.authorities.as_ref().map(path).unwrap_or_default(),
        })
    }
}

impl File {
    fn read_blocking(path: &Path) -> Self {
        let found = fs::read(path).map_err(|error| error.to_string());
        let found = found.and_then(|pem| Certificate::all_in_pem(&pem));
        Self { path: path.to_owned(), found }
    }

    /// When those of its certificates end that end before `deadline`; what else is wrong with it.
    fn ends(&self, now: UnixTime, deadline: UnixTime) -> Vec<String> {
        let certificates = match &self.found {
            Ok(certificates) => certificates,
            Err(why) => return vec![why.clone()],
        };
        let wrong = |certificate: &Certificate| {
            let ([from, until], [from_text, until_text]) =
                (certificate.validity(), certificate.validity_texts());
            if from > now {
                let text = format!("Certificate is not yet valid. It starts on {from_text}");
                return Some(text);
            }
            (until < deadline).then_some(until_text)
        };
        certificates.iter().filter_map(wrong).collect()
    }

    fn json(&self) -> Value {
        let certificate = |certificate: &Certificate| {
            let [from, until] = certificate.validity_texts();
            json!({
                "subject": certificate.subject(),
                "issuer": certificate.issuer(),
                "not_before": from,
                "not_after": until,
            })
        };
        match &self.found {
            Ok(certificates) => certificates.iter().map(certificate).collect(),
            Err(why) => json!([{"error": why}]),
        }
    }
}
