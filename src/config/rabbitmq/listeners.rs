//! `listeners.tcp` and `listeners.ssl` (EN-040): addresses and ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    apply::{Entries, refused},
    syntax::Entry,
};
use crate::config::{
    Error, Setting,
    loaded::{Loaded, Note},
    value::Written,
};

pub(super) const PREFIXES: [&str; 2] = [TCP, SSL];

const TCP: &str = "listeners.tcp";
const SSL: &str = "listeners.ssl";

/// Applies them.
pub(super) fn apply(entries: &Entries, loaded: &mut Loaded) -> Result<(), Error> {
    let tcp = Listeners::of(entries, TCP)?;
    let ssl = Listeners::of(entries, SSL)?;
    if let Some(entry) = tcp.none {
        loaded.set(
            Setting::named("amqp_plain", &entry.origin)?,
            &Written::One("false".into()),
            &entry.origin,
        )?;
    }
    if tcp.is_everywhere || ssl.is_everywhere {
        let text = "a listener without an address opens its port on the addresses of `bind`, not \
                    on every one as RabbitMQ does";
        loaded.notes.push(Note::Idle(text.into()));
    }
    tcp.set_port(loaded, "amqp_port")?;
    ssl.set_port(loaded, "tls_port")?;
    tcp.set_addresses(loaded, "bind")?;
    ssl.set_addresses(loaded, "tls_bind")
}

/// What one of them says.
#[derive(Debug, Default)]
struct Listeners<'a> {
    /// Where `none` is said.
    none: Option<&'a Entry>,
    /// The port, and where it was said first.
    port: Option<(u16, &'a Entry)>,
    /// The addresses; none if a port is for all of them.
    addresses: Vec<IpAddr>,
    /// A port without an address, which to RabbitMQ is every address.
    is_everywhere: bool,
}

impl<'a> Listeners<'a> {
    fn of(entries: &'a Entries, prefix: &str) -> Result<Self, Error> {
        if let Some(entry) = entries.get(prefix) {
            if entry.value != "none" {
                let expected = format!("none; a listener is `{prefix}.default = PORT`");
                return Err(refused(&entry.origin, prefix, &entry.value, expected));
            }
            return Ok(Self { none: Some(entry), ..Self::default() });
        }
        let mut listeners = Self::default();
        for (_, entry) in entries.below(prefix) {
            let Some((ip, port)) = parse(&entry.value) else {
                let expected = "a port, or an IP address, a colon and a port".into();
                return Err(refused(&entry.origin, &entry.key, &entry.value, expected));
            };
            let (known, _) = *listeners.port.get_or_insert((port, entry));
            if known != port {
                let expected = format!("{known} like the other: there is one port for all of them");
                return Err(refused(&entry.origin, &entry.key, &entry.value, expected));
            }
            match ip {
                Some(ip) => listeners.addresses.extend(meant(ip)),
                None => listeners.is_everywhere = true,
            }
        }
        if listeners.is_everywhere {
            listeners.addresses.clear();
        }
        Ok(listeners)
    }

    fn set_port(&self, loaded: &mut Loaded, setting: &str) -> Result<(), Error> {
        let Some((port, entry)) = self.port else { return Ok(()) };
        let setting = Setting::named(setting, &entry.origin)?;
        loaded.set(setting, &Written::One(port.to_string()), &entry.origin)
    }

    fn set_addresses(&self, loaded: &mut Loaded, setting: &str) -> Result<(), Error> {
        let Some((_, entry)) = self.port.filter(|_| !self.addresses.is_empty()) else {
            return Ok(());
        };
        let texts = self.addresses.iter().map(ToString::to_string).collect();
        let setting = Setting::named(setting, &entry.origin)?;
        loaded.set(setting, &Written::Many(texts), &entry.origin)
    }
}

/// Reads `5672`, `127.0.0.1:5672`, `::1:5672`, `:::5672`, `[::1]:5672`.
fn parse(value: &str) -> Option<(Option<IpAddr>, u16)> {
    let Some((ip, port)) = value.rsplit_once(':') else {
        return value.parse().ok().map(|port| (None, port));
    };
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    Some((Some(ip.parse().ok()?), port.parse().ok()?))
}

/// What an address stands for: to RabbitMQ `::` is every address of either kind.
pub(super) fn meant(ip: IpAddr) -> Vec<IpAddr> {
    if ip == Ipv6Addr::UNSPECIFIED {
        return vec![Ipv4Addr::UNSPECIFIED.into(), ip];
    }
    vec![ip]
}

#[cfg(test)]
mod tests {
    use super::*;

    // EN-040; the forms as RabbitMQ 4.3 takes them, and the brackets that it does not.
    #[test]
    fn addresses_are_written_as_for_rabbitmq() {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (text, expected) in [
            ("5672", Some((None, 5672))),
            ("127.0.0.1:5672", Some((ip("127.0.0.1"), 5672))),
            ("::1:5672", Some((ip("::1"), 5672))),
            (":::5672", Some((ip("::"), 5672))),
            ("[::1]:5672", Some((ip("::1"), 5672))),
            ("localhost:5672", None),
            ("127.0.0.1", None),
            ("*:5672", None),
            ("70000", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
