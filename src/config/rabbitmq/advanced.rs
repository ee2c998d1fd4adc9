//! What Erlang terms set: `advanced.config`, the older `rabbitmq.config`, and the arguments of the
//! Erlang machine. They are put as entries of `rabbitmq.conf` and read as those.

use super::erlang::Term;

/// Keys of the application `rabbit` that `rabbitmq.conf` calls otherwise.
const RENAMED: &[(&str, &str)] =
    &[("channel_max", "max_channels_per_connection"), ("connection_max", "max_connections")];

/// Values that say that there is none.
const NOTHING: &[&str] = &["undefined"];

/// The entries, keys and values, that `{key, value}` of an application stands for. `None` if it is
/// not understood.
pub(super) fn entries(application: &str, key: &str, value: &Term) -> Option<Vec<(String, String)>> {
    match application {
        "rabbit" => of_rabbit(key, value),
        "rabbitmq_management" => match (key, value) {
            ("listener", Term::List(options)) => nested("management.tcp", options),
            _ => Some(vec![(format!("management.{key}"), value.as_text()?)]),
        },
        "rabbitmq_prometheus" => match (key, value) {
            ("tcp_config", Term::List(options)) => nested("prometheus.tcp", options),
            _ => Some(vec![(format!("prometheus.{key}"), value.as_text()?)]),
        },
        _ => None,
    }
}

fn of_rabbit(key: &str, value: &Term) -> Option<Vec<(String, String)>> {
    let one = |key: &str, value: String| Some(vec![(key.to_owned(), value)]);
    match (key, value) {
        (_, Term::Atom(word)) if NOTHING.contains(&word.as_str()) => Some(Vec::new()),
        ("vm_memory_high_watermark", Term::Float(_) | Term::Integer(0 | 1)) => {
            one("vm_memory_high_watermark.relative", value.as_text()?)
        }
        ("disk_free_limit", Term::Integer(_) | Term::Text(_)) => {
            one("disk_free_limit.absolute", value.as_text()?)
        }
        ("vm_memory_high_watermark" | "disk_free_limit", Term::Tuple(..)) => {
            let (kind, amount, _) = value.as_pair()?;
            let kind = match kind {
                "absolute" => "absolute",
                "relative" | "mem_relative" => "relative",
                _ => return None,
            };
            one(&format!("{key}.{kind}"), amount.as_text()?)
        }
        ("tcp_listeners", Term::List(listeners)) => addresses("listeners.tcp", listeners),
        ("ssl_listeners", Term::List(listeners)) => addresses("listeners.ssl", listeners),
        ("loopback_users", Term::List(names)) => members("loopback_users", names),
        ("trace_vhosts", Term::List(names)) => members("trace_vhosts", names),
        ("default_user_tags", Term::List(names)) => members("default_user_tags", names),
        ("auth_backends", Term::List(values)) => {
            let backends = values.iter().enumerate().map(|(n, v)| backend(n + 1, v));
            Some(backends.collect::<Option<Vec<_>>>()?.concat())
        }
        ("auth_mechanisms", Term::List(values)) => {
            let values = values.iter().enumerate();
            values.map(|(n, v)| Some((format!("{key}.{}", n + 1), v.as_text()?))).collect()
        }
        ("default_permissions", Term::List(patterns)) => match &patterns[..] {
            [configure, write, read] => Some(vec![
                ("default_permissions.configure".into(), configure.as_text()?),
                ("default_permissions.write".into(), write.as_text()?),
                ("default_permissions.read".into(), read.as_text()?),
            ]),
            _ => None,
        },
        ("ssl_options" | "tcp_listen_options", Term::List(options)) => nested(key, options),
        _ => {
            let renamed = RENAMED.iter().find(|(old, _)| *old == key);
            one(renamed.map_or(key, |(_, new)| new), value.as_text()?)
        }
    }
}

/// A backend, or `{rabbit_auth_backend_internal, rabbit_auth_backend_oauth2}`, of which the first
/// knows users and the second what they may do.
fn backend(number: usize, value: &Term) -> Option<Vec<(String, String)>> {
    let entry = |half: &str, value: &Term| {
        Some((format!("auth_backends.{number}{half}"), value.as_text()?))
    };
    match value {
        Term::Tuple(halves, _) => match &halves[..] {
            [knows, permits] => Some(vec![entry(".authn", knows)?, entry(".authz", permits)?]),
            _ => None,
        },
        one => Some(vec![entry("", one)?]),
    }
}

/// The options of a list: `[{port, 15672}]` of `management.tcp` is `management.tcp.port = 15672`.
fn nested(prefix: &str, options: &[Term]) -> Option<Vec<(String, String)>> {
    let mut entries = Vec::new();
    for option in options {
        match option.as_pair() {
            Some((key, Term::List(values), _)) => {
                for (n, value) in values.iter().enumerate() {
                    // TLS versions are the only list: `['tlsv1.2', 'tlsv1.3']`.
                    entries.push((format!("{prefix}.{key}.{}", n + 1), value.as_text()?));
                }
            }
            Some((key, value, _)) => {
                // What is deeper, such as `{linger, {true, 0}}`, is not looked at.
                let text = value.as_text().unwrap_or_else(|| "term".into());
                entries.push((format!("{prefix}.{key}"), text));
            }
            // An option without a value, such as `binary`.
            None => entries.push((format!("{prefix}.{}", option.as_text()?), "true".into())),
        }
    }
    Some(entries)
}

fn addresses(prefix: &str, listeners: &[Term]) -> Option<Vec<(String, String)>> {
    if listeners.is_empty() {
        return Some(vec![(prefix.into(), "none".into())]);
    }
    let address = |listener: &Term| match listener {
        Term::Tuple(parts, _) => match &parts[..] {
            [ip, port] => Some(format!("{}:{}", ip.as_text()?, port.as_text()?)),
            _ => None,
        },
        port => port.as_text(),
    };
    let listeners = listeners.iter().enumerate();
    listeners.map(|(n, l)| Some((format!("{prefix}.{}", n + 1), address(l)?))).collect()
}

fn members(prefix: &str, names: &[Term]) -> Option<Vec<(String, String)>> {
    if names.is_empty() {
        return Some(vec![(prefix.into(), "none".into())]);
    }
    names
        .iter()
        .map(|name| Some((format!("{prefix}.{}", name.as_text()?), "true".into())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_put_as_entries() {
        for (application, key, value, expected) in [
            ("rabbit", "heartbeat", "30", "heartbeat=30"),
            ("rabbit", "consumer_timeout", "undefined", ""),
            ("rabbit", "consumer_timeout", "3600000", "consumer_timeout=3600000"),
            ("rabbit", "disk_free_limit", "2147483648", "disk_free_limit.absolute=2147483648"),
            ("rabbit", "disk_free_limit", "\"1GB\"", "disk_free_limit.absolute=1GB"),
            ("rabbit", "disk_free_limit", "{mem_relative, 1.5}", "disk_free_limit.relative=1.5"),
            ("rabbit", "vm_memory_high_watermark", "0.4", "vm_memory_high_watermark.relative=0.4"),
            (
                "rabbit",
                "vm_memory_high_watermark",
                "{absolute, \"2GB\"}",
                "vm_memory_high_watermark.absolute=2GB",
            ),
            ("rabbit", "loopback_users", "[]", "loopback_users=none"),
            ("rabbit", "loopback_users", "[<<\"guest\">>]", "loopback_users.guest=true"),
            ("rabbit", "tcp_listeners", "[]", "listeners.tcp=none"),
            (
                "rabbit",
                "tcp_listeners",
                "[5672, {\"::1\", 5672}]",
                "listeners.tcp.1=5672 listeners.tcp.2=::1:5672",
            ),
            ("rabbit", "trace_vhosts", "[<<\"/\">>]", "trace_vhosts./=true"),
            ("rabbit", "default_user", "<<\"me\">>", "default_user=me"),
            (
                "rabbit",
                "auth_backends",
                "[rabbit_auth_backend_oauth2, {internal, internal}]",
                "auth_backends.1=rabbit_auth_backend_oauth2 auth_backends.2.authn=internal \
                 auth_backends.2.authz=internal",
            ),
            (
                "rabbit",
                "ssl_options",
                "[{certfile,\"/c\"},{verify,verify_peer},{versions,['tlsv1.2']}]",
                "ssl_options.certfile=/c ssl_options.verify=verify_peer \
                 ssl_options.versions.1=tlsv1.2",
            ),
            ("rabbitmq_management", "listener", "[{port, 8080}]", "management.tcp.port=8080"),
        ] {
            let term = Term::one(value).expect(value);
            let entries = entries(application, key, &term).expect(value);
            let entries: Vec<_> = entries.iter().map(|(k, v)| format!("{k}={v}")).collect();
            assert_eq!(entries.join(" "), expected);
        }
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        for (application, key, value) in [
            ("ra", "wal_max_size_bytes", "1"),
            ("rabbit", "log", "[{console, [{level, debug}]}]"),
            ("rabbit", "cluster_nodes", "{[a], disc}"),
        ] {
            assert_eq!(entries(application, key, &Term::one(value).unwrap()), None, "{key}");
        }
    }
}
