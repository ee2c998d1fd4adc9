//! Where a broker is and who asks: an AMQP URI (EN-053).

use std::str::FromStr;

use crate::{cli::address, names::Name};

/// The port where a URI names none.
const DEFAULT_PORT: u16 = 5672;

/// `amqp://user:password@host:port/vhost`; what is left out is `guest:guest@127.0.0.1:5672/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) vhost: String,
}

impl FromStr for Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("amqp", rest)) => rest,
            Some(("amqps", _)) => return Err("TLS is not measured; use amqp://".to_owned()),
            _ => return Err("an AMQP URI begins with amqp://".to_owned()),
        };
        let rest = rest.split('?').next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        // What is wrong is told without the password.
        let decoded = |text| address::decode(text).ok_or("it is not percent-encoded UTF-8");
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (decoded(user)?, decoded(password)?),
            None if login.is_empty() => ("guest".to_owned(), "guest".to_owned()),
            None => (decoded(login)?, "guest".to_owned()),
        };
        let (host, port) =
            address::split(place, DEFAULT_PORT).ok_or("the port is no number from 1 to 65535")?;
        let host = if host.is_empty() { "127.0.0.1" } else { host }.to_owned();
        let vhost = if path.is_empty() { "/".to_owned() } else { decoded(path)? };
        if vhost.len() > Name::BYTES_MAX {
            return Err(format!("the vhost has more than {} bytes", Name::BYTES_MAX));
        }
        Ok(Self { user, password, host, port, vhost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(user: &str, password: &str, host: &str, port: u16, vhost: &str) -> Uri {
        let [user, password, host, vhost] = [user, password, host, vhost].map(str::to_owned);
        Uri { user, password, host, port, vhost }
    }

    // EN-053
    #[test]
    fn what_is_left_out_has_defaults() {
        let cases = [
            ("amqp://", uri("guest", "guest", "127.0.0.1", 5672, "/")),
            ("amqp://h/", uri("guest", "guest", "h", 5672, "/")),
            ("amqp://u:p%40@h:1/%2fv?heartbeat=1", uri("u", "p@", "h", 1, "/v")),
            ("amqp://u:a+b@[::1]:2/v", uri("u", "a+b", "::1", 2, "v")),
            ("amqp://[::1]", uri("guest", "guest", "::1", 5672, "/")),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        let long = format!("amqp://h/{}", "v".repeat(256));
        let strange = ["", "localhost", "http://h", "amqps://h", "amqp://h:x", "amqp://%ff@h"];
        for text in strange.into_iter().chain([&*long]) {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
        let said = "amqp://me:swordfish%zz@h".parse::<Uri>().unwrap_err();
        assert!(!said.contains("swordfish"), "{said}");
    }
}
