//! Parts of URIs as people write them: hosts with ports, and what is percent-encoded.

/// Host and port of `host:port`, where an IPv6 address stands in brackets. `None` if the port is no
/// number from 1 to 65535.
pub(super) fn split(place: &str, default: u16) -> Option<(&str, u16)> {
    let parse = |port: &str| port.parse().ok().filter(|port| *port > 0);
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, parse(port)?)),
            None => rest.is_empty().then_some((host, default)),
        };
    }
    match place.rsplit_once(':') {
        Some((host, port)) => Some((host, parse(port)?)),
        None => Some((place, default)),
    }
}

/// Host and port in one word.
pub(super) fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Undoes percent-encoding; `None` where it is none, or of no text. A `+` is a plus.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = str::from_utf8(after.get(..2)?).ok()?;
        // A sign would be taken for a part of the number.
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(is_hex.then(|| u8::from_str_radix(digits, 16).ok())??);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}
