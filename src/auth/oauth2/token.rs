//! A token's three parts, and what its claims say of its user.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Map, Value};

use super::{Settings, scope::ScopeGrant};
use crate::{clock::UnixTime, config::JwtAlgorithm};

/// Scopes of a token at the most, as RabbitMQ has it.
const SCOPES_MAX: usize = 2048;
/// Where servers of User-Managed Access put scopes.
const REQUESTING_PARTY: &str = "authorization.permissions.scopes";
/// How far the clock of whoever issues tokens may be ahead, in seconds.
const AHEAD_MAX: u64 = 60;

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is none.
    #[error("is none")]
    Malformed,
    /// Its signature is of a kind that is not taken.
    #[error("is signed by an algorithm that is not among `oauth2_algorithms`")]
    Algorithm,
    /// Its key is not known.
    #[error("is signed with an unknown key")]
    UnknownKey,
    /// It was changed, or its key is another.
    #[error("has a wrong signature")]
    Signature,
    /// It does not say for whom it is meant.
    #[error("has no `aud`")]
    NoAudience,
    /// It is meant for others.
    #[error("has an `aud` without `oauth2_resource_server_id`")]
    Audience,
    /// It says nothing of its end.
    #[error("has no `exp`, or one that is no number")]
    NoExpiry,
    /// Its time is over.
    #[error("has expired")]
    Expired,
    /// Its time is still to come.
    #[error("is not valid yet")]
    TooEarly,
    /// It has more scopes than anybody needs.
    #[error("has too many scopes")]
    TooManyScopes,
    /// A token in place of another is for somebody else.
    #[error("is another user's")]
    OtherUser,
}

/// A token that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    user: String,
    tags: Vec<String>,
    scopes: Vec<String>,
    claims: Map<String, Value>,
    /// In seconds since 1970.
    expires: Option<u64>,
}

impl Token {
    /// What it allows in a vhost; none if it does not let its user in there.
    pub(in crate::auth) fn grant(&self, vhost: &str) -> Option<ScopeGrant> {
        ScopeGrant::new(&self.scopes, &self.claims, vhost)
    }

    /// The name of its user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The tags of its user.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// When it expires.
    pub fn expires(&self) -> Option<UnixTime> {
        self.expires.map(|seconds| UnixTime(seconds.saturating_mul(1000)))
    }

    /// Reads the claims of a token whose signature is good.
    pub(super) fn from_claims(
        claims: Map<String, Value>,
        settings: &Settings,
        now: UnixTime,
    ) -> Result<Self, TokenError> {
        if settings.verify_aud {
            let audience = claims.get("aud").map(words).ok_or(TokenError::NoAudience)?;
            if !audience.contains(&settings.resource_server_id) {
                return Err(TokenError::Audience);
            }
        }
        let seconds = |name| claims.get(name).map(|value| value.as_f64().map(|time| time as u64));
        let expires = match seconds("exp") {
            None if settings.require_exp => return Err(TokenError::NoExpiry),
            None => None,
            Some(time) => Some(time.ok_or(TokenError::NoExpiry)?),
        };
        if expires.is_some_and(|time| time <= now.seconds()) {
            return Err(TokenError::Expired);
        }
        if seconds("nbf").flatten().is_some_and(|time| time > now.seconds() + AHEAD_MAX) {
            return Err(TokenError::TooEarly);
        }
        let scopes = scopes(&claims, settings);
        if scopes.len() > SCOPES_MAX {
            return Err(TokenError::TooManyScopes);
        }
        let tags = scopes.iter().filter_map(|scope| scope.strip_prefix("tag:")).map(str::to_owned);
        let mut names = settings.username_claims.iter();
        let user = names.find_map(|name| claims.get(name)?.as_str());
        Ok(Self {
            user: user.unwrap_or("unknown").to_owned(),
            tags: tags.collect(),
            scopes,
            expires,
            claims,
        })
    }
}

/// A token before anybody looked whether it is to be trusted.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    /// What is signed.
    pub(super) message: &'a [u8],
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: JwtAlgorithm,
    pub(super) kid: Option<String>,
    payload: &'a str,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenError> {
        let (message, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header = object(header)?;
        let signature = BASE64.decode(signature).map_err(|_| TokenError::Malformed)?;
        // An extension that must be understood, and is not.
        if header.contains_key("crit") {
            return Err(TokenError::Malformed);
        }
        let name = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Malformed)?;
        let algorithm = JwtAlgorithm::ALL.iter().find(|known| known.as_str() == name);
        Ok(Self {
            message: message.as_bytes(),
            signature,
            algorithm: *algorithm.ok_or(TokenError::Algorithm)?,
            kid: header.get("kid").and_then(Value::as_str).map(str::to_owned),
            payload,
        })
    }

    /// The claims; to be read when the signature is good.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, TokenError> {
        object(self.payload)
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let octets = BASE64.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&octets).map_err(|_| TokenError::Malformed)
}

/// The words of a text, or the texts of a list.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => {
            text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect()
        }
        Value::Array(values) => {
            values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// All scopes that count, sorted, without what they begin with.
fn scopes(claims: &Map<String, Value>, settings: &Settings) -> Vec<String> {
    let mut scopes = claims.get("scope").map(words).unwrap_or_default();
    let others = settings.additional_scopes.iter().map(String::as_str);
    for path in std::iter::once(REQUESTING_PARTY).chain(others) {
        let path: Vec<_> = path.split('.').collect();
        if let Some((first, rest)) = path.split_first()
            && let Some(value) = claims.get(*first)
        {
            collect(value, rest, &settings.resource_server_id, &mut scopes);
        }
    }
    let meant: Vec<_> = settings
        .aliases
        .iter()
        .filter(|(alias, _)| scopes.contains(alias))
        .flat_map(|(_, meant)| meant.clone())
        .collect();
    scopes.extend(meant);
    let prefix = &*settings.scope_prefix;
    let mut scopes: Vec<_> =
        scopes.iter().filter_map(|scope| scope.strip_prefix(prefix)).map(str::to_owned).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

/// Adds what stands at a path; each list on the way is gone through.
fn collect(value: &Value, path: &[&str], resource: &str, scopes: &mut Vec<String>) {
    match (value, path.split_first()) {
        (Value::Object(fields), Some((first, rest))) => {
            if let Some(value) = fields.get(*first) {
                collect(value, rest, resource, scopes);
            }
        }
        (Value::Array(values), Some(_)) => {
            for value in values {
                collect(value, path, resource, scopes);
            }
        }
        // By the server that they are meant for, which is left out in each.
        (Value::Object(fields), None) => {
            let own = fields.get(resource).map(words).unwrap_or_default();
            scopes.extend(own.iter().map(|scope| format!("{resource}.{scope}")));
        }
        (value, None) => scopes.extend(words(value)),
        _ => {}
    }
}
