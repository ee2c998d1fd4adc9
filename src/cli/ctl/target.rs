//! Where the broker is: its socket in the data directory, or the address of its management API.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{
    failure::{Failure, code},
    options::Options,
};
use crate::{
    cli::{address, args::RABBITMQ_DIRECTORY},
    config::{Config, Loaded, Sources},
    server::OPERATOR_SOCKET,
};

/// The variable that names the broker where no `--uri` does.
const URI_VARIABLE: &str = "LEPUS_URI";
/// The variable that names the file of authorities where no `--ca` does.
const AUTHORITIES_VARIABLE: &str = "LEPUS_CA";
/// The ports of the management API where a URI names none, without TLS and with it.
const DEFAULT_PORTS: [u16; 2] = [15672, 15671];
/// Where a broker that the machine starts keeps its data, whoever asks.
const MACHINE_DATA: &str = "/var/lib/lepus";

/// Who may vouch for a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authorities {
    /// Those that the system trusts.
    System,
    /// Those in this file (PEM).
    File(PathBuf),
}

/// Where the broker is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Its socket. Whoever may open it is an administrator.
    Socket(PathBuf),
    /// Its management API.
    Http {
        host: String,
        port: u16,
        /// Where the authorities are that may vouch for it, if it is spoken to over TLS.
        tls: Option<Authorities>,
        /// What stands before `/api`, without a slash at its end.
        prefix: String,
        user: String,
        password: String,
    },
}

impl Target {
    /// The broker that the options name, else the one that the environment names, else the one
    /// that keeps its data where this machine's `lepus` would.
    pub(super) fn of(options: &Options) -> Result<Self, Failure> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let authorities = options.text("ca").map(str::to_owned);
        let authorities = authorities.or_else(|| variable(AUTHORITIES_VARIABLE));
        let authorities =
            authorities.map_or(Authorities::System, |path| Authorities::File(path.into()));
        if let Some(uri) = options.text("uri") {
            return Self::parse(uri, authorities).map_err(|error| {
                Failure::plain(code::USAGE, format!("Error: --uri {}: {error}", shown(uri)))
            });
        }
        if options.text("data-dir").is_none()
            && let Some(uri) = variable(URI_VARIABLE)
        {
            return Self::parse(&uri, authorities).map_err(|error| {
                let text = format!("Error: {URI_VARIABLE}={}: {error}", shown(&uri));
                Failure::plain(code::CONFIGURATION, text)
            });
        }
        let config = config(options)?;
        let own = config.data_path().join(OPERATOR_SOCKET);
        let machines = Path::new(MACHINE_DATA).join(OPERATOR_SOCKET);
        let is_machines = config.data_dir.is_none() && !own.exists() && machines.exists();
        Ok(Self::Socket(if is_machines { machines } else { own }))
    }

    /// Reads `http://user:password@host:port/prefix` or `unix:/path`.
    fn parse(uri: &str, authorities: Authorities) -> Result<Self, &'static str> {
        if let Some(path) = uri.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Self::Socket(path.into()));
        }
        let (tls, rest) = match uri.split_once("://") {
            Some(("http", rest)) => (None, rest),
            Some(("https", rest)) => (Some(authorities), rest),
            _ => return Err("write it as http://USER:PASSWORD@HOST:PORT, or as unix:/PATH"),
        };
        let (authority, prefix) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (login, place) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let default_port = DEFAULT_PORTS[usize::from(tls.is_some())];
        let (host, port) =
            address::split(place, default_port).ok_or("the port is no number from 1 to 65535")?;
        if host.is_empty() {
            return Err("it names no host");
        }
        let decoded = |text| address::decode(text).ok_or("it is not percent-encoded UTF-8");
        // The API's address is often pasted with its /api.
        let prefix = prefix.trim_end_matches('/');
        let prefix = prefix.strip_suffix("/api").unwrap_or(prefix).to_owned();
        let (user, password) = (decoded(user)?, decoded(password)?);
        Ok(Self::Http { host: host.to_owned(), port, tls, prefix, user, password })
    }

    /// The value of the `Authorization` header; the socket needs none.
    pub(super) fn authorization(&self) -> Option<String> {
        match self {
            Self::Socket(_) => None,
            Self::Http { user, password, .. } => Some(basic(user, password)),
        }
    }

    /// What stands before `/api`.
    pub(super) fn prefix(&self) -> &str {
        match self {
            Self::Socket(_) => "",
            Self::Http { prefix, .. } => prefix,
        }
    }

    /// The value of the `Host` header.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Socket(_) => "localhost".into(),
            Self::Http { host, port, .. } => address::join(host, *port),
        }
    }
}

/// Names the place, without its password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "the socket {}", path.display()),
            Self::Http { prefix, tls, .. } => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                write!(f, "{scheme}://{}{prefix}", self.host())
            }
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of an `Authorization` header for this login.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

/// The configuration that a broker started with the same words would have.
pub(super) fn config(options: &Options) -> Result<Config, Failure> {
    let sources = Sources {
        file: options.text("config").map(Path::new),
        rabbitmq_conf: options.text("rabbitmq-conf").map(Path::new),
        rabbitmq_directory: Some(Path::new(RABBITMQ_DIRECTORY)),
    };
    let loaded = Loaded::read(&sources, env::vars_os()).map_err(|error| {
        let text = format!("Error: where the broker keeps its data is not known: {error}");
        Failure::plain(code::CONFIGURATION, text)
    })?;
    let mut config = loaded.config;
    if let Some(directory) = options.text("data-dir") {
        config.data_dir = Some(directory.into());
    }
    Ok(config)
}

/// A URI as it may be repeated: without the password.
fn shown(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:...@{place}")
        }
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn http(uri: &str) -> (String, u16, String, String, String) {
        match Target::parse(uri, Authorities::System).unwrap() {
            Target::Http { host, port, prefix, user, password, .. } => {
                (host, port, prefix, user, password)
            }
            Target::Socket(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn uris_are_read_in_their_usual_forms() {
        let expected = |host: &str, port, prefix: &str, user: &str, password: &str| {
            (host.to_owned(), port, prefix.to_owned(), user.to_owned(), password.to_owned())
        };
        for (uri, target) in [
            ("http://localhost", expected("localhost", 15672, "", "guest", "guest")),
            ("http://a:b@h:1/", expected("h", 1, "", "a", "b")),
            ("http://a@h/api/", expected("h", 15672, "", "a", "")),
            ("http://a:b:c@h/mq/api", expected("h", 15672, "/mq", "a", "b:c")),
            ("http://%40%2f:p%3Aw@[::1]:7", expected("::1", 7, "", "@/", "p:w")),
            ("http://u:p@x@h", expected("h", 15672, "", "u", "p@x")),
        ] {
            assert_eq!(http(uri), target, "{uri}");
        }
        for path in ["unix:/a/b.sock", "unix:///a/b.sock"] {
            let target = Target::parse(path, Authorities::System);
            assert_eq!(target, Ok(Target::Socket("/a/b.sock".into())));
        }
        assert_eq!(http("https://h"), expected("h", 15671, "", "guest", "guest"));
    }

    #[test]
    fn uris_that_are_none_are_refused() {
        for uri in [
            "",
            "localhost:15672",
            "amqp://h",
            "http://",
            "http://:1",
            "http://h:0",
            "http://h:99999",
            "http://h:x",
            "http://[::1",
            "http://[::1]x",
            "http://%4@h",
            "http://%+4@h",
            "http://%ff@h",
        ] {
            assert!(Target::parse(uri, Authorities::System).is_err(), "{uri}");
        }
    }

    #[test]
    fn passwords_are_not_repeated() {
        assert_eq!(shown("http://me:secret@h:1/x"), "http://me:...@h:1/x");
        let target = Target::parse("https://me:secret@h:1/x", Authorities::System).unwrap();
        assert_eq!(format!("{target} {target:?}"), "https://h:1/x https://h:1/x");
    }
}
