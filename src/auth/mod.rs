//! Who may connect, and what they may do there: users, their passwords, the mechanisms by which
//! clients name them, and permissions.
//!
//! Floor 4. Nothing here sends anything: a refusal is a value, and `connection` knows which of
//! them get a reply code and which a silent close. No password is kept, logged or shown, only
//! hashes in RabbitMQ's format.

mod attempts;
mod certificate;
mod identity;
mod mechanism;
mod oauth2;
mod password;
pub mod permissions;
mod user;

use std::{
    collections::HashSet,
    fmt,
    net::IpAddr,
    sync::Arc,
    task::{Poll, Waker, ready},
};

use mechanism::Credentials;
use oauth2::Oauth2;

use crate::{
    clock,
    config::{AuthBackend, AuthMechanism, Config},
};

pub use attempts::{AttemptCounts, Attempts, Via};
pub use certificate::Certificate;
pub use identity::Identity;
pub(crate) use oauth2::get_blocking;
pub use oauth2::{Oauth2Error, Token, TokenError};
pub use password::{HashingAlgorithm, PasswordHash};
pub use permissions::{Permission, Permissions};
pub use user::{RecordError, TAG_BYTES_MAX, User, UserLimits, Users};

/// Decides who a client is.
#[derive(Debug)]
pub struct Authenticator {
    users: Arc<Users>,
    permissions: Arc<Permissions>,
    attempts: Attempts,
    oauth2: Option<Oauth2>,
    config: Arc<Config>,
    /// Users who may only connect from this machine (CN-049).
    loopback_users: HashSet<String>,
}

/// A client's answer to connection.start.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The mechanism that it chose.
    pub mechanism: &'a str,
    /// What it answered.
    pub response: &'a [u8],
    /// Where it is.
    pub peer: IpAddr,
    /// Its certificate, verified.
    pub certificate: Option<&'a Certificate>,
}

/// Why a client is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 403 if the client has the capability `authentication_failure_close`, else a silent close
    /// (CN-044, CN-045). The client is never told the reason, the log is.
    BadCredentials {
        /// The mechanism, for the reply text.
        mechanism: &'static str,
        /// The user as the client named it.
        user: String,
        /// What is wrong.
        reason: Reason,
    },
    /// The response is not what the mechanism asks for: a silent close (CN-047).
    Malformed {
        /// The mechanism.
        mechanism: &'static str,
    },
    /// Not offered: a silent close (CN-046).
    UnknownMechanism {
        /// The mechanism as the client named it.
        mechanism: String,
    },
}

/// What is wrong with credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no such user.
    UnknownUser,
    /// The password is another, or the user has none.
    WrongPassword,
    /// No password was given, which never lets anybody in (CN-051).
    BlankPassword,
    /// The user may only connect from this machine (CN-049).
    NotLocal,
    /// The password is a token that is not taken.
    Token(TokenError),
    /// The certificate has no name where the configuration looks for one.
    NoName,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadCredentials { mechanism, user, reason } => {
                write!(f, "{mechanism} login refused: user '{}' {reason}", user.escape_debug())
            }
            Self::Malformed { mechanism } => write!(f, "malformed {mechanism} response"),
            Self::UnknownMechanism { mechanism } => {
                write!(f, "mechanism '{}' is not offered", mechanism.escape_debug())
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownUser => "does not exist",
            Self::WrongPassword => "gave a wrong password",
            Self::BlankPassword => "gave no password",
            Self::Token(error) => return write!(f, "gave a token that {error}"),
            Self::NoName => "is not named by the certificate: see `tls_login_from`",
            Self::NotLocal => "can only connect via localhost",
        })
    }
}

impl Authenticator {
    /// Makes an authenticator of these users, under the configuration's rules. Reads the keys of
    /// OAuth 2 from their file, if there is one.
    pub fn open_blocking(
        users: Arc<Users>,
        permissions: Arc<Permissions>,
        config: &Arc<Config>,
    ) -> Result<Self, Oauth2Error> {
        let loopback_users = config.loopback_users.iter().cloned().collect();
        let oauth2 = Oauth2::load_blocking(config)?;
        let (attempts, config) = (Attempts::default(), Arc::clone(config));
        Ok(Self { users, permissions, attempts, oauth2, config, loopback_users })
    }

    /// The users.
    pub fn users(&self) -> &Arc<Users> {
        &self.users
    }

    /// What they may do.
    pub fn permissions(&self) -> &Arc<Permissions> {
        &self.permissions
    }

    /// Logins so far: whoever asked for one says how it went.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// The mechanisms that a client with this certificate may choose from, in RabbitMQ's order,
    /// as connection.start has them (CN-024, CN-043).
    pub fn offered(&self, certificate: Option<&Certificate>) -> String {
        let all = AuthMechanism::ALL.iter().copied();
        let offered = all.filter(|mechanism| self.is_offered(*mechanism, certificate));
        offered.map(AuthMechanism::as_str).collect::<Vec<_>>().join(" ")
    }

    fn is_offered(&self, mechanism: AuthMechanism, certificate: Option<&Certificate>) -> bool {
        self.config.auth_mechanisms.contains(&mechanism)
            && (mechanism != AuthMechanism::External || certificate.is_some())
    }

    /// Finds out who answered connection.start. Pending while the key of a token is looked for;
    /// the waker is called when it is to be asked again.
    pub fn verify(&self, attempt: &Attempt<'_>, waker: &Waker) -> Poll<Result<Identity, Refusal>> {
        let mechanism = AuthMechanism::ALL
            .iter()
            .copied()
            .find(|mechanism| mechanism.as_str() == attempt.mechanism)
            .filter(|mechanism| self.is_offered(*mechanism, attempt.certificate));
        let Some(mechanism) = mechanism else {
            let mechanism = attempt.mechanism.into();
            return Poll::Ready(Err(Refusal::UnknownMechanism { mechanism }));
        };
        if mechanism == AuthMechanism::External {
            return Poll::Ready(self.external(attempt));
        }
        let Some(credentials) = mechanism::credentials(mechanism, attempt.response) else {
            return Poll::Ready(Err(Refusal::Malformed { mechanism: mechanism.as_str() }));
        };
        self.check(&credentials, attempt.peer, waker).map_err(|reason| Refusal::BadCredentials {
            mechanism: mechanism.as_str(),
            user: String::from_utf8_lossy(credentials.login).into_owned(),
            reason,
        })
    }

    /// Finds out who that is, whichever mechanisms are offered: for what is not AMQP. Pending as
    /// [`Self::verify`] is.
    pub fn log_in(
        &self,
        user: &str,
        password: &str,
        peer: IpAddr,
        waker: &Waker,
    ) -> Poll<Result<Identity, Refusal>> {
        let credentials = Credentials { login: user.as_bytes(), password: password.as_bytes() };
        self.check(&credentials, peer, waker).map_err(|reason| Refusal::BadCredentials {
            mechanism: AuthMechanism::Plain.as_str(),
            user: user.to_owned(),
            reason,
        })
    }

    /// Puts another secret in place of the one that somebody logged in with (CN-140). It matters
    /// if that was a token. Pending as [`Self::verify`] is.
    pub fn renew(
        &self,
        identity: &Identity,
        secret: &str,
        waker: &Waker,
    ) -> Poll<Result<Identity, TokenError>> {
        let (Some(oauth2), Some(_)) = (&self.oauth2, &identity.token) else {
            return Poll::Ready(Ok(identity.clone()));
        };
        let token = ready!(oauth2.verify(secret, (clock::now(), clock::unix_time()), waker))?;
        let renewed = Identity::from(token);
        let is_same = renewed.user == identity.user;
        Poll::Ready(if is_same { Ok(renewed) } else { Err(TokenError::OtherUser) })
    }

    /// A user whom TLS has vouched for.
    fn external(&self, attempt: &Attempt<'_>) -> Result<Identity, Refusal> {
        let name = attempt.certificate.and_then(|shown| shown.login(&self.config));
        let known = || {
            let user = self.users.get(name.as_deref().ok_or(Reason::NoName)?);
            let user = user.ok_or(Reason::UnknownUser)?;
            self.check_place(&user.name, attempt.peer)?;
            Ok(Identity::from(&*user))
        };
        known().map_err(|reason| Refusal::BadCredentials {
            mechanism: AuthMechanism::External.as_str(),
            user: name.clone().unwrap_or_default(),
            reason,
        })
    }

    /// Whether a user may only connect from this machine (CN-049).
    pub fn is_local_alone(&self, user: &str) -> bool {
        self.loopback_users.contains(user)
    }

    fn check_place(&self, user: &str, peer: IpAddr) -> Result<(), Reason> {
        let is_elsewhere = self.is_local_alone(user) && !is_loopback(peer);
        if is_elsewhere { Err(Reason::NotLocal) } else { Ok(()) }
    }

    /// Asks one backend after the other. Refusals of all but the last are for nobody to know.
    fn check(
        &self,
        credentials: &Credentials<'_>,
        peer: IpAddr,
        waker: &Waker,
    ) -> Poll<Result<Identity, Reason>> {
        let mut refused = Reason::UnknownUser;
        for backend in &self.config.auth_backends {
            let asked = match backend {
                AuthBackend::Internal => self.check_password(credentials),
                AuthBackend::Oauth2 => ready!(self.check_token(credentials, waker)),
            };
            match asked {
                Ok(known) => {
                    return Poll::Ready(self.check_place(&known.user, peer).map(|()| known));
                }
                Err(reason) => refused = reason,
            }
        }
        Poll::Ready(Err(refused))
    }

    fn check_token(
        &self,
        credentials: &Credentials<'_>,
        waker: &Waker,
    ) -> Poll<Result<Identity, Reason>> {
        let (Some(oauth2), Ok(token)) = (&self.oauth2, str::from_utf8(credentials.password)) else {
            return Poll::Ready(Err(Reason::Token(TokenError::Malformed)));
        };
        let verified = oauth2.verify(token, (clock::now(), clock::unix_time()), waker);
        verified.map_ok(Identity::from).map_err(Reason::Token)
    }

    fn check_password(&self, credentials: &Credentials<'_>) -> Result<Identity, Reason> {
        if credentials.password.is_empty() {
            return Err(Reason::BlankPassword);
        }
        let login = str::from_utf8(credentials.login).ok();
        let Some(user) = login.and_then(|login| self.users.get(login)) else {
            // As dear as a wrong password, so that the time does not tell who exists.
            PasswordHash::of(credentials.password, Default::default());
            return Err(Reason::UnknownUser);
        };
        if !user.password.as_ref().is_some_and(|hash| hash.verifies(credentials.password)) {
            return Err(Reason::WrongPassword);
        }
        Ok(Identity::from(&*user))
    }
}

/// Whether the address is this machine's own: 127.0.0.0/8, `::1`, and the first written as IPv6
/// (CN-050).
fn is_loopback(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Name;

    const LOCAL: &str = "127.0.0.1";
    const REMOTE: &str = "192.0.2.7";

    fn authenticator() -> Authenticator {
        let users = Users::default();
        for (name, password) in [("guest", "guest"), ("alice", "s\u{f6}me secret")] {
            let password = Some(PasswordHash::of(password.as_bytes(), [1, 2, 3, 4]));
            users.put(User { password, ..User::new(name) });
        }
        users.put(User::new("nobody"));
        Authenticator::open_blocking(Arc::new(users), Arc::default(), &Arc::default()).unwrap()
    }

    fn attempt<'a>(mechanism: &'a str, response: &'a [u8], peer: &str) -> Attempt<'a> {
        Attempt { mechanism, response, peer: peer.parse().unwrap(), certificate: None }
    }

    /// Whoever is known without waiting.
    fn verify(authenticator: &Authenticator, attempt: &Attempt<'_>) -> Result<Name, Refusal> {
        match authenticator.verify(attempt, Waker::noop()) {
            Poll::Ready(known) => known.map(|known| known.user),
            Poll::Pending => panic!("nothing to wait for"),
        }
    }

    fn plain(response: &str, peer: &str) -> Result<Name, Refusal> {
        verify(&authenticator(), &attempt("PLAIN", response.as_bytes(), peer))
    }

    fn reason(result: Result<Name, Refusal>) -> Reason {
        match result {
            Err(Refusal::BadCredentials { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_right_password_lets_in() {
        assert_eq!(plain("\0guest\0guest", LOCAL), Ok("guest".into()));
        assert_eq!(plain("\0alice\0s\u{f6}me secret", REMOTE), Ok("alice".into()));
    }

    #[test]
    fn wrong_credentials_are_refused_with_a_reason_for_the_log() {
        // CN-044
        assert_eq!(reason(plain("\0guest\0Guest", LOCAL)), Reason::WrongPassword);
        assert_eq!(reason(plain("\0mallory\0guest", LOCAL)), Reason::UnknownUser);
        assert_eq!(reason(plain("\0nobody\0guess", LOCAL)), Reason::WrongPassword);
    }

    #[test]
    fn a_blank_password_never_lets_in() {
        // CN-051
        let authenticator = authenticator();
        let blank = Some(PasswordHash::of(b"", [1, 2, 3, 4]));
        authenticator.users().put(User { password: blank, ..User::new("lax") });
        let result = verify(&authenticator, &attempt("PLAIN", b"\0lax\0", LOCAL));
        assert_eq!(reason(result), Reason::BlankPassword);
        assert_eq!(reason(plain("\0nobody\0", LOCAL)), Reason::BlankPassword);
    }

    #[test]
    fn guest_connects_from_this_machine_alone() {
        // CN-049, CN-050
        for peer in [LOCAL, "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(plain("\0guest\0guest", peer), Ok("guest".into()), "{peer}");
        }
        for peer in [REMOTE, "::ffff:192.0.2.7", "2001:db8::1", "0.0.0.0"] {
            let refusal = plain("\0guest\0guest", peer).unwrap_err();
            let said = refusal.to_string();
            assert!(said.ends_with("user 'guest' can only connect via localhost"), "{said}");
        }
    }

    #[test]
    fn anonymous_is_guest_under_guests_rules() {
        // CN-042, CN-049
        let authenticator = authenticator();
        let anonymous = |peer: &str| verify(&authenticator, &attempt("ANONYMOUS", b"", peer));
        assert_eq!(anonymous(LOCAL), Ok("guest".into()));
        assert_eq!(reason(anonymous(REMOTE)), Reason::NotLocal);
        let password = Some(PasswordHash::of(b"another", [1, 2, 3, 4]));
        authenticator.users().put(User { password, ..User::new("guest") });
        assert_eq!(reason(anonymous(LOCAL)), Reason::WrongPassword);
    }

    #[test]
    fn what_is_not_offered_or_malformed_is_told_from_bad_credentials() {
        // CN-046, CN-047
        let authenticator = authenticator();
        for mechanism in ["FOO", "EXTERNAL", "plain", ""] {
            let refusal = verify(&authenticator, &attempt(mechanism, b"\0guest\0guest", LOCAL));
            assert_eq!(refusal, Err(Refusal::UnknownMechanism { mechanism: mechanism.into() }));
        }
        assert_eq!(plain("guest", LOCAL), Err(Refusal::Malformed { mechanism: "PLAIN" }));
    }

    #[test]
    fn a_refusal_does_not_repeat_the_password() {
        let refusal = plain("\0mallory\0hunter2", LOCAL).unwrap_err();
        assert!(!format!("{refusal} {refusal:?}").contains("hunter2"));
    }

    #[test]
    fn a_hostile_name_cannot_forge_a_line_of_the_log() {
        let refusal = plain("\0m\nERROR all is lost\0pass", LOCAL).unwrap_err();
        assert!(!refusal.to_string().contains('\n'));
    }
}
