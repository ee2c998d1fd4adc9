//! The SASL mechanisms: where in a client's response its user and its password stand.

use std::fmt;

use crate::{
    config::AuthMechanism,
    wire::table::{self, RawTable, RawValue},
};

/// What a client says it is. Not to be shown.
pub(super) struct Credentials<'a> {
    pub(super) login: &'a [u8],
    pub(super) password: &'a [u8],
}

/// Whom a client that says nothing of itself is let in as, by the same check as everybody else
/// (CN-042): nobody, once guest is gone or has another password.
const ANONYMOUS: Credentials<'static> = Credentials { login: b"guest", password: b"guest" };

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Reads a response; `None` if it is malformed. What EXTERNAL goes by is not in there.
pub(super) fn credentials(mechanism: AuthMechanism, response: &[u8]) -> Option<Credentials<'_>> {
    match mechanism {
        AuthMechanism::Plain => plain(response),
        AuthMechanism::Amqplain => amqplain(response),
        AuthMechanism::Anonymous => Some(ANONYMOUS),
        AuthMechanism::External => None,
    }
}

/// Exactly `\0user\0password` (CN-040).
fn plain(response: &[u8]) -> Option<Credentials<'_>> {
    let mut fields = response.strip_prefix(&[0])?.split(|byte| *byte == 0);
    let (login, password) = (fields.next()?, fields.next()?);
    fields.next().is_none().then_some(Credentials { login, password })
}

/// The body of a field table with LOGIN and PASSWORD (CN-041).
fn amqplain(response: &[u8]) -> Option<Credentials<'_>> {
    table::check(response).ok()?;
    let text = |key: &[u8]| match RawTable(response).get(key)? {
        RawValue::LongStr(text) | RawValue::Bytes(text) => Some(text),
        _ => None,
    };
    Some(Credentials { login: text(b"LOGIN")?, password: text(b"PASSWORD")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mechanism: AuthMechanism, response: &[u8]) -> Option<(&[u8], &[u8])> {
        credentials(mechanism, response).map(|c| (c.login, c.password))
    }

    #[test]
    fn plain_is_exactly_two_fields_behind_a_nul() {
        // CN-040
        let plain = |response| read(AuthMechanism::Plain, response);
        assert_eq!(plain(b"\0user\0pass"), Some((&b"user"[..], &b"pass"[..])));
        assert_eq!(plain(b"\0user\0"), Some((&b"user"[..], &b""[..])));
        assert_eq!(plain(b"\0\0"), Some((&b""[..], &b""[..])));
        let malformed: [&[u8]; 6] =
            [b"", b"\0", b"\0user", b"user\0pass", b"me\0user\0pass", b"\0user\0pass\0"];
        for response in malformed {
            assert_eq!(plain(response), None, "{response:?}");
        }
    }

    #[test]
    fn amqplain_is_a_table_body_with_login_and_password() {
        // CN-041
        let amqplain = |response| read(AuthMechanism::Amqplain, response);
        let response = b"\x05LOGINS\0\0\0\x04user\x08PASSWORDS\0\0\0\x04pass";
        assert_eq!(amqplain(response), Some((&b"user"[..], &b"pass"[..])));
        let binary = b"\x08PASSWORDx\0\0\0\x01p\x05otherI\0\0\0\x01\x05LOGINx\0\0\0\x01u";
        assert_eq!(amqplain(binary), Some((&b"u"[..], &b"p"[..])));
        let malformed: [&[u8]; 4] = [
            b"",
            b"\x05LOGINS\0\0\0\x04user",
            b"\x05LOGINI\0\0\0\x04\x08PASSWORDS\0\0\0\x04pass",
            b"\0\0\0\x1f\x05LOGINS\0\0\0\x04user\x08PASSWORDS\0\0\0\x04pass",
        ];
        for response in malformed {
            assert_eq!(amqplain(response), None, "{response:?}");
        }
    }

    #[test]
    fn anonymous_is_guest_whatever_the_response() {
        // CN-042
        for response in [&b""[..], b"me@example.com", b"\0user\0pass", b"\xff\0"] {
            let credentials = read(AuthMechanism::Anonymous, response);
            assert_eq!(credentials, Some((&b"guest"[..], &b"guest"[..])), "{response:?}");
        }
    }

    #[test]
    fn no_response_makes_a_mechanism_panic() {
        let whole = b"\x05LOGINS\0\0\0\x04user\x08PASSWORDS\0\0\0\x04pass";
        for end in 0..whole.len() {
            assert_eq!(read(AuthMechanism::Amqplain, &whole[..end]), None);
        }
    }
}
