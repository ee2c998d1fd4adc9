//! Scopes as RabbitMQ reads them: `read:VHOST/NAME`, `write:VHOST/NAME/KEY`, `configure:...`, with
//! `*` for any text and `%2A` for what has a meaning, and `tag:administrator`.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::auth::Permission;

/// What scopes allow in one vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct ScopeGrant(Vec<Allowed>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    permission: Permission,
    name: Wildcard,
    /// None allows no routing key.
    key: Option<Wildcard>,
}

impl ScopeGrant {
    /// What these scopes allow in a vhost; none if they do not let its user in there. `{vhost}`
    /// and `{CLAIM}` in a scope stand for the vhost and for a claim of the token.
    pub(super) fn new(scopes: &[String], claims: &Map<String, Value>, vhost: &str) -> Option<Self> {
        let allowed: Vec<_> = scopes
            .iter()
            .filter_map(|scope| expanded(scope, claims, vhost))
            .filter_map(|scope| {
                let (permission, pattern) = scope.split_once(':')?;
                let permission = match permission {
                    "read" => Permission::Read,
                    "write" => Permission::Write,
                    "configure" => Permission::Configure,
                    _ => return None,
                };
                let mut parts = pattern.split('/');
                let (place, name, key) = (parts.next()?, parts.next()?, parts.next());
                let is_whole = parts.next().is_none();
                if !is_whole || !Wildcard::new(place)?.matches(vhost) {
                    return None;
                }
                // A pattern that is damaged allows nothing, but lets in.
                let key = key.and_then(Wildcard::new);
                Some(Wildcard::new(name).map(|name| Allowed { permission, name, key }))
            })
            .collect();
        let is_let_in = !allowed.is_empty();
        is_let_in.then(|| Self(allowed.into_iter().flatten().collect()))
    }

    /// Whether a queue or exchange of this name is allowed.
    pub(in crate::auth) fn allows(&self, permission: Permission, name: &str) -> bool {
        self.0.iter().any(|allowed| allowed.permission == permission && allowed.name.matches(name))
    }

    /// Whether a key of a topic exchange is allowed: only by a scope that says something of keys.
    pub(in crate::auth) fn allows_topic(
        &self,
        permission: Permission,
        exchange: &str,
        key: &str,
    ) -> bool {
        self.0.iter().any(|allowed| {
            allowed.permission == permission
                && allowed.name.matches(exchange)
                && allowed.key.as_ref().is_some_and(|pattern| pattern.matches(key))
        })
    }
}

/// Puts in what stands in braces; none if a brace has no partner.
///
/// deviation: what is put in is taken as it is. RabbitMQ takes a `*` or `/` in it for its own.
fn expanded(scope: &str, claims: &Map<String, Value>, vhost: &str) -> Option<String> {
    let mut out = String::with_capacity(scope.len());
    let mut rest = scope;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let end = behind.find(['{', '.', '*', '}'])?;
        let name = &behind[..end];
        rest = behind[end..].strip_prefix('}')?;
        let value = match name {
            "vhost" => vhost,
            name => claims.get(name).and_then(Value::as_str).unwrap_or(name),
        };
        for octet in value.bytes() {
            match octet {
                b'*' | b'/' | b'%' | b'+' => encode(&mut out, octet),
                0..128 => out.push(char::from(octet)),
                _ => encode(&mut out, octet),
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

fn encode(out: &mut String, octet: u8) {
    // A string takes everything.
    let _ = write!(out, "%{octet:02X}");
}

/// A pattern with `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wildcard(Vec<Vec<u8>>);

impl Wildcard {
    /// None if it has a `%` that is no octet's.
    fn new(pattern: &str) -> Option<Self> {
        pattern.split('*').map(decoded).collect::<Option<_>>().map(Self)
    }

    /// As RabbitMQ does it: each part is looked for behind the one before, and not a second time
    /// when what follows does not fit (`*a` does not match `aba`).
    fn matches(&self, subject: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some(mut left) = subject.as_bytes().strip_prefix(&first[..]) else { return false };
        for (at, part) in rest.iter().enumerate() {
            match (part.is_empty(), at + 1 == rest.len()) {
                (true, true) => return true,
                _ if left.is_empty() => return false,
                (true, false) => continue,
                (false, _) => {}
            }
            let found = left.windows(part.len()).position(|window| window == part);
            let Some(found) = found else { return false };
            left = &left[found + part.len()..];
        }
        left.is_empty()
    }
}

/// Reads `%2F` and `+` as in the query of a URL.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = [octets.next()?, octets.next()?];
                let digit = |octet: u8| char::from(octet).to_digit(16);
                (digit(digits[0])? * 16 + digit(digits[1])?) as u8
            }
            octet => octet,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, subject: &str) -> bool {
        Wildcard::new(pattern).is_some_and(|pattern| pattern.matches(subject))
    }

    // rabbitmq_auth_backend_oauth2: wildcard_match_SUITE
    #[test]
    fn wildcards_match_as_rabbitmqs_do() {
        for (pattern, subject) in [
            ("value", "value"),
            ("value*", "value"),
            ("value*", "value1"),
            ("*", ""),
            ("*", "anything"),
            ("*value", "myvalue"),
            ("*val*ue*", "myvalueis"),
            ("a*c", "abc"),
            ("%2F", "/"),
            ("%2f*", "/vhost"),
            ("a+b", "a b"),
            ("%2A", "*"),
            ("", ""),
        ] {
            assert!(matches(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [
            ("value", "value1"),
            ("value", "Value"),
            ("*value", "values"),
            ("", "x"),
            ("*a", "aba"),
            ("%2A", "x"),
            ("%2", "%2"),
            ("%zz", "%zz"),
        ] {
            assert!(!matches(pattern, subject), "{pattern} {subject}");
        }
    }

    fn grant(scopes: &[&str], vhost: &str) -> Option<ScopeGrant> {
        let claims: Value =
            serde_json::from_str(r#"{"sub": "me", "odd": "a*/b", "number": 7}"#).unwrap();
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        ScopeGrant::new(&scopes, claims.as_object().unwrap(), vhost)
    }

    #[test]
    fn scopes_are_vhost_name_and_key() {
        let scopes = ["read:%2F/q-*", "write:*/x/k.*", "tag:administrator", "nonsense", "read:*"];
        let root = grant(&scopes, "/").unwrap();
        assert!(root.allows(Permission::Read, "q-1") && !root.allows(Permission::Write, "q-1"));
        assert!(!root.allows(Permission::Configure, "q-1") && !root.allows(Permission::Read, "q"));
        assert!(root.allows_topic(Permission::Write, "x", "k.1"));
        assert!(!root.allows_topic(Permission::Write, "x", "j.1"));
        // It says nothing of keys.
        assert!(!root.allows_topic(Permission::Read, "q-1", "k.1"));
        let other = grant(&scopes, "other").unwrap();
        assert!(other.allows(Permission::Write, "x") && !other.allows(Permission::Read, "q-1"));
        assert!(grant(&["read:mine/*", "read:a/b/c/d"], "other").is_none());
        assert!(grant(&[], "/").is_none());
    }

    #[test]
    fn variables_stand_for_the_vhost_and_for_claims() {
        let read = |scope: &str, name: &str| {
            grant(&[scope], "/v").is_some_and(|grant| grant.allows(Permission::Read, name))
        };
        assert!(read("read:{vhost}/{sub}-*", "me-1"));
        assert!(read("read:{vhost}/{odd}", "a*/b") && !read("read:{vhost}/{odd}", "ax/b"));
        assert!(read("read:*/{none}", "none") && read("read:*/{number}", "number"));
        for broken in ["read:*/{sub", "read:*/{su.b}", "read:*/{{sub}}"] {
            assert!(!read(broken, "me"), "{broken}");
        }
    }
}
