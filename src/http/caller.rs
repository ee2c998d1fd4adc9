//! Who asks, and what that user may see and do (PO-030 to PO-034).

use std::{future::poll_fn, net::IpAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, RawPathParams},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Api, Failure, Peer, origin};
use crate::{
    auth::{Identity, Permission, Reason, Refusal, Via, permissions::Grant},
    broker::{Vhost, arguments, registry::Place},
    names::Name,
    wire::table::Table,
};

/// The user as whom the operator's socket acts, for whatever keeps a name.
const OPERATOR: &str = "rmq-cli";

/// What those are told who would stop or wipe the broker over the network.
const ON_THE_MACHINE: &str =
    "this is done on the broker's machine alone, through the socket in its data directory";

/// A user who may use the API.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The user's name.
    pub(super) user: Name,
    /// The user, as the broker knows it.
    identity: Option<Identity>,
    /// The user's tags.
    pub(super) tags: Vec<String>,
    /// Whether it is the operator on the machine itself, who may do everything.
    is_operator: bool,
}

impl Caller {
    fn operator() -> Self {
        let tags = vec!["administrator".into()];
        Self { user: OPERATOR.into(), identity: None, tags, is_operator: true }
    }

    /// What the user may do in a vhost as an AMQP client.
    fn grant(&self, api: &Api, vhost: &Name) -> Option<Arc<Grant>> {
        self.identity.as_ref()?.grant(api.auth.permissions(), vhost)
    }

    fn has(&self, tags: &[&str]) -> bool {
        self.tags.iter().any(|tag| tags.contains(&tag.as_str()))
    }

    /// Whether it is one of the broker's own users, not a token's.
    pub(super) fn is_internal(&self) -> bool {
        self.identity.as_ref().is_none_or(|identity| identity.token.is_none())
    }

    /// Whether the user is an administrator.
    pub(super) fn is_administrator(&self) -> bool {
        self.has(&["administrator"])
    }

    /// Whether the user sees everything that happens, in all vhosts.
    pub(super) fn is_monitor(&self) -> bool {
        self.has(&["monitoring", "administrator"])
    }

    /// Lets administrators pass.
    ///
    /// # Errors
    /// [`Failure::NotAuthorised`].
    pub(super) fn administrator(&self) -> Result<(), Failure> {
        self.must(self.is_administrator(), "Not administrator user")
    }

    /// Lets those pass who see everything.
    ///
    /// # Errors
    /// [`Failure::NotAuthorised`].
    pub(super) fn monitor(&self) -> Result<(), Failure> {
        self.must(self.is_monitor(), "Not monitor user")
    }

    /// Lets those pass to whom something belongs, and those who see everything.
    ///
    /// # Errors
    /// [`Failure::NotAuthorised`].
    pub(super) fn sees_object_of(&self, user: &str) -> Result<(), Failure> {
        let is_own = self.is_internal() && &*self.user == user;
        self.must(self.is_monitor() || is_own, "User not authorised to access object")
    }

    /// Lets those pass who make policies and parameters.
    ///
    /// # Errors
    /// [`Failure::NotAuthorised`].
    pub(super) fn policymaker(&self) -> Result<(), Failure> {
        let holds = self.has(&["policymaker", "administrator"]);
        self.must(holds, "User not authorised to access object")
    }

    #[expect(clippy::unused_self, reason = "reads as what the caller must be")]
    fn must(&self, holds: bool, otherwise: &str) -> Result<(), Failure> {
        if holds { Ok(()) } else { Err(Failure::NotAuthorised(otherwise.to_owned())) }
    }

    /// Whether the user may see a vhost: may enter it, or sees everything.
    pub(super) fn sees(&self, api: &Api, vhost: &Name) -> bool {
        self.is_operator || self.is_monitor() || self.grant(api, vhost).is_some()
    }

    /// A vhost that the user may see.
    ///
    /// # Errors
    /// [`Failure::NotFound`]; for a vhost of others [`Failure::Missing`].
    pub(super) fn seen(&self, api: &Api, name: &str) -> Result<Arc<Vhost>, Failure> {
        let vhost = api.admin.vhost(name)?;
        if self.sees(api, vhost.name()) { Ok(vhost) } else { Err(Failure::Missing("Not Found")) }
    }

    /// The vhosts that the user may see, by name.
    pub(super) fn vhosts(&self, api: &Api) -> Vec<Arc<Vhost>> {
        let mut vhosts = api.admin.vhosts();
        vhosts.retain(|vhost| self.sees(api, vhost.name()));
        vhosts
    }

    /// Whether the user may do something in a vhost: may enter it, or is an administrator.
    pub(super) fn enters(&self, api: &Api, vhost: &Name) -> bool {
        self.is_administrator() || self.grant(api, vhost).is_some()
    }

    /// The vhosts that the user may do something in, by name.
    pub(super) fn entered_vhosts(&self, api: &Api) -> Vec<Arc<Vhost>> {
        let mut vhosts = api.admin.vhosts();
        vhosts.retain(|vhost| self.enters(api, vhost.name()));
        vhosts
    }

    /// A vhost that the user may do something in.
    ///
    /// # Errors
    /// [`Failure::NotFound`]; for a vhost of others [`Failure::Missing`].
    pub(super) fn entered(&self, api: &Api, name: &str) -> Result<Arc<Vhost>, Failure> {
        let vhost = api.admin.vhost(name)?;
        if self.enters(api, vhost.name()) { Ok(vhost) } else { Err(Failure::Missing("Not Found")) }
    }

    /// Whether the user may see a connection: it is the user's own, or the user sees everything.
    pub(super) fn sees_connection(&self, place: &Place) -> bool {
        // A token may name anybody, also one of the broker's own users.
        let is_own = place.user == self.user && place.is_internal == self.is_internal();
        self.is_monitor() || is_own
    }

    /// Whether the user may do this to an exchange or a queue, as an AMQP client would need
    /// (PO-010 to PO-021). The default exchange is asked for as `amq.default` (PO-002).
    ///
    /// # Errors
    /// [`Failure::NotAuthorised`] (HT-004).
    pub(super) fn check(
        &self,
        api: &Api,
        vhost: &Vhost,
        permission: Permission,
        name: &str,
    ) -> Result<(), Failure> {
        let allows = self.is_permitted(api, vhost, permission, name);
        self.must(allows, "Access refused.")
    }

    /// The same, as an answer.
    pub(super) fn is_permitted(
        &self,
        api: &Api,
        vhost: &Vhost,
        permission: Permission,
        name: &str,
    ) -> bool {
        let name = if name.is_empty() { "amq.default" } else { name };
        let grant = self.grant(api, vhost.name());
        self.is_operator || grant.is_some_and(|grant| grant.allows(permission, name))
    }

    /// The first of these routing keys that the user may not use, if the exchange is a topic
    /// exchange (PO-026, PO-027).
    pub(super) fn forbidden_key<'a>(
        &self,
        api: &Api,
        vhost: &Vhost,
        permission: Permission,
        exchange: &str,
        keys: &[&'a [u8]],
    ) -> Option<&'a [u8]> {
        let grant = self.grant(api, vhost.name())?;
        let is_topic = || {
            let topology = vhost.topology();
            topology.exchange(exchange).is_some_and(|found| found.spec().type_name == "topic")
        };
        if !grant.has_topics() || !is_topic() {
            return None;
        }
        let allows =
            |key: &[u8]| grant.allows_topic(permission, exchange, &String::from_utf8_lossy(key));
        keys.iter().copied().find(|key| !allows(key))
    }

    /// Whether the user may publish with this property `user_id` (BA-007).
    pub(super) fn may_publish_as(&self, user_id: &[u8]) -> bool {
        user_id == self.user.as_bytes() || self.has(&["impersonator"])
    }

    /// Whether an AMQP client of this user could be in a vhost.
    ///
    /// # Errors
    /// [`Failure::NotAuthorised`] (HT-004).
    pub(super) fn check_entry(&self, api: &Api, vhost: &Vhost) -> Result<(), Failure> {
        let grant = self.grant(api, vhost.name());
        self.must(self.is_operator || grant.is_some(), "Access refused.")
    }

    /// Whether the user may use this key, if the exchange is a topic exchange (PO-026, PO-027).
    ///
    /// # Errors
    /// [`Failure::NotAuthorised`] (HT-004).
    pub(super) fn check_topic(
        &self,
        api: &Api,
        vhost: &Vhost,
        permission: Permission,
        exchange: &str,
        key: &[u8],
    ) -> Result<(), Failure> {
        let forbidden = self.forbidden_key(api, vhost, permission, exchange, &[key]);
        self.must(forbidden.is_none(), "Access refused.")
    }

    /// Whether the user may declare a thing that sends messages on to the exchange which the
    /// argument names, if it names one (PO-011, PO-016).
    ///
    /// # Errors
    /// [`Failure::NotAuthorised`] (HT-004).
    pub(super) fn check_onward(
        &self,
        api: &Api,
        vhost: &Vhost,
        name: &str,
        arguments: &Table,
        argument: &str,
    ) -> Result<(), Failure> {
        if !arguments.inner().contains_key(argument) {
            return Ok(());
        }
        self.check(api, vhost, Permission::Read, name)?;
        let exchange = arguments::text(arguments, argument).unwrap_or_default();
        self.check(api, vhost, Permission::Write, exchange)
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let ConnectInfo(peer) = peer.ok_or(Failure::Internal)?;
        let header = match parts.headers.get(AUTHORIZATION) {
            Some(header) => header,
            // The operator may ask who somebody else is, too.
            None if *peer == Peer::Operator => return Ok(Self::operator()),
            None => return Err(Failure::NoCredentials),
        };
        let credentials = header.to_str().ok().and_then(credentials);
        let (user, password) = credentials.ok_or(Failure::LoginFailed)?;
        log_in(api, &user, &password, (peer.ip(), &parts.headers)).await
    }
}

/// The vhost that a path names as `{vhost}`, and the caller, who may do something in it. Without
/// it there is [`Failure::NotFound`]; for a vhost of others [`Failure::Missing`].
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) caller: Caller,
    pub(super) vhost: Arc<Vhost>,
}

impl FromRequestParts<Api> for Entered {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, api).await?;
        // No vhost has a name that is not UTF-8.
        let path = RawPathParams::from_request_parts(parts, api).await;
        let path = path.map_err(|_| Failure::NotFound)?;
        let name = path.iter().find_map(|(key, value)| (key == "vhost").then_some(value));
        let vhost = caller.entered(api, name.ok_or(Failure::Internal)?)?;
        Ok(Self { caller, vhost })
    }
}

/// A caller who is an administrator: nobody else passes, whatever the call's body says.
#[derive(Clone, Debug)]
pub(super) struct Administrator(pub(super) Caller);

impl FromRequestParts<Api> for Administrator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, api).await?;
        caller.administrator()?;
        Ok(Self(caller))
    }
}

/// The operator on the machine itself, who came through the socket in the data directory: nobody
/// passes who came over the network, whatever rights there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator;

impl FromRequestParts<Api> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, api).await?;
        caller.administrator()?;
        if caller.is_operator { Ok(Self) } else { Err(Failure::Forbidden(ON_THE_MACHINE)) }
    }
}

/// User and password of a header `Basic ...`, or a token and no user of a header `Bearer ...`.
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((String::new(), encoded.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Finds out whether that is a user who may use the API, who comes from there with these headers.
pub(super) async fn log_in(
    api: &Api,
    user: &str,
    password: &str,
    from: (IpAddr, &HeaderMap),
) -> Result<Caller, Failure> {
    let caller = identify(api, user, password, from).await;
    api.auth.attempts().count(Via::Http, caller.is_ok());
    caller
}

async fn identify(
    api: &Api,
    user: &str,
    password: &str,
    (peer, headers): (IpAddr, &HeaderMap),
) -> Result<Caller, Failure> {
    let known = poll_fn(|cx| api.auth.log_in(user, password, peer, cx.waker())).await;
    let identity = known.map_err(|refusal| {
        tracing::warn!(%peer, %refusal, "login to the API refused");
        match refusal {
            Refusal::BadCredentials { reason: reason @ Reason::NotLocal, user, .. } => {
                Failure::NotAuthorised(format!("user '{user}' {reason}"))
            }
            _ => Failure::LoginFailed,
        }
    })?;
    if api.auth.is_local_alone(&identity.user) && !origin::is_private(headers) {
        let (user, reason) = (&identity.user, Reason::NotLocal);
        tracing::warn!(%peer, %user, "login to the API refused: it was asked for a foreign host");
        return Err(Failure::NotAuthorised(format!("user '{user}' {reason}")));
    }
    let (user, tags) = (identity.user.clone(), identity.tags.clone());
    let caller = Caller { user, identity: Some(identity), tags, is_operator: false };
    let tags = ["management", "policymaker", "monitoring", "administrator"];
    caller.must(caller.has(&tags), "Not management user")?;
    Ok(caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    // HT-001
    #[test]
    fn credentials_are_read_from_basic_and_bearer_headers_alone() {
        let read = |header: &str| credentials(header);
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic Z3Vlc3Q6Z3Vlc3Q="), pair("guest", "guest"));
        assert_eq!(read("basic dTphOmI="), pair("u", "a:b"));
        assert_eq!(read("Bearer a.b.c"), pair("", "a.b.c"));
        for header in ["", "Basic", "Basic !", "Digest Z3Vlc3Q6Z3Vlc3Q=", "Basic Z3Vlc3Q="] {
            assert_eq!(read(header), None, "{header}");
        }
    }
}
