//! Where a broker is and who asks: an AMQP URI (EN-053).

use std::str::FromStr;

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
        let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (decoded(user)?, decoded(password)?),
            None if login.is_empty() => ("guest".to_owned(), "guest".to_owned()),
            None => (decoded(login)?, "guest".to_owned()),
        };
        let (host, port) = split_port(address)?;
        let vhost = if path.is_empty() { "/".to_owned() } else { decoded(path)? };
        Ok(Self { user, password, host, port, vhost })
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn split_port(address: &str) -> Result<(String, u16), String> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (address, None),
    };
    let port = port.map_or(Ok(5672), str::parse).map_err(|_| "the port is no number")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok((host.to_owned(), port))
}

/// Undoes percent encoding. A `+` is a plus here.
fn decoded(text: &str) -> Result<String, String> {
    let plain = text.replace('+', "%2B");
    let pair = format!("={plain}");
    let (_, value) = form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
    if value.contains('\u{fffd}') {
        return Err(format!("{text:?} is not UTF-8 when decoded"));
    }
    Ok(value.into_owned())
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
        for text in ["", "localhost", "http://h", "amqps://h", "amqp://h:x", "amqp://%ff@h"] {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
    }
}
