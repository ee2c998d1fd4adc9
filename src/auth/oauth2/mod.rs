//! OAuth 2: a signed token (JWT) in place of a password, with its permissions inside.
//!
//! - [`Unverified`] takes a token apart, [`Keys`] finds the key that it names, and what is then
//!   read from its claims is a [`Token`]: a user, tags, scopes and an end.
//! - Tokens and keys are JSON by their standards (RFC 7519, RFC 7517).
//! - Signatures are checked with ring, which TLS brings along. A key is only ever used for
//!   algorithms of its own kind, so that nobody can choose a weaker one.

mod fetch;
mod keys;
pub(super) mod scope;
mod token;

use std::{
    sync::Arc,
    task::{Poll, Waker, ready},
};

use keys::{Keys, Source};
use token::Unverified;

pub(crate) use fetch::get_blocking;
pub use token::{Token, TokenError};

use crate::{
    clock::{Now, UnixTime},
    config::{AuthBackend, Config, JwtAlgorithm},
};

/// What tokens are held to.
#[derive(Clone, Debug)]
struct Settings {
    resource_server_id: String,
    algorithms: Vec<JwtAlgorithm>,
    default_key: Option<String>,
    verify_aud: bool,
    require_exp: bool,
    scope_prefix: String,
    /// Each alias with the scopes that it stands for.
    aliases: Vec<(String, Vec<String>)>,
    additional_scopes: Vec<String>,
    username_claims: Vec<String>,
}

/// Checks tokens.
#[derive(Debug)]
pub(super) struct Oauth2 {
    settings: Settings,
    keys: Arc<Keys>,
}

/// Settings of OAuth 2 that cannot be used; it names them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("OAuth 2: {0}")]
pub struct Oauth2Error(String);

impl Oauth2 {
    /// By the configuration; none unless it wants OAuth 2. Reads the file of the keys.
    pub(super) fn load_blocking(config: &Config) -> Result<Option<Self>, Oauth2Error> {
        if !config.auth_backends.contains(&AuthBackend::Oauth2) {
            return Ok(None);
        }
        let error = |text: &str| Oauth2Error(text.to_owned());
        let id = config.oauth2_resource_server_id.clone();
        let id = id.ok_or_else(|| error("`oauth2_resource_server_id` must be set"))?;
        let aliases = config.oauth2_scope_aliases.iter().map(|text| {
            let (alias, scopes) = text.split_once('=')?;
            Some((alias.to_owned(), scopes.split_whitespace().map(str::to_owned).collect()))
        });
        let aliases: Option<Vec<_>> = aliases.collect();
        let settings = Settings {
            algorithms: config.oauth2_algorithms.clone(),
            default_key: config.oauth2_default_key.clone(),
            verify_aud: config.oauth2_verify_aud,
            require_exp: config.oauth2_require_exp,
            scope_prefix: match config.oauth2_scope_prefix.as_deref() {
                None => format!("{id}."),
                Some("none") => String::new(),
                Some(prefix) => prefix.to_owned(),
            },
            aliases: aliases
                .ok_or_else(|| error("each of `oauth2_scope_aliases` is ALIAS=SCOPE SCOPE ..."))?,
            additional_scopes: config
                .oauth2_additional_scopes_key
                .iter()
                .flat_map(|paths| paths.split_whitespace().map(str::to_owned))
                .collect(),
            username_claims: config.oauth2_preferred_username_claims.clone(),
            resource_server_id: id,
        };
        let source = source(config)?;
        let keys = Keys::load_blocking(source, config.oauth2_ca.clone()).map_err(Oauth2Error)?;
        Ok(Some(Self { settings, keys: Arc::new(keys) }))
    }

    /// Finds out whose token that is. Pending while its key is looked for; the waker is called.
    pub(super) fn verify(
        &self,
        text: &str,
        (now, time): (Now, UnixTime),
        waker: &Waker,
    ) -> Poll<Result<Token, TokenError>> {
        let token = match Unverified::parse(text) {
            Ok(token) if self.settings.algorithms.contains(&token.algorithm) => token,
            Ok(_) => return Poll::Ready(Err(TokenError::Algorithm)),
            Err(error) => return Poll::Ready(Err(error)),
        };
        let kid = token.kid.as_deref().or(self.settings.default_key.as_deref());
        let key = ready!(self.keys.find(kid, now, waker));
        let verified = || {
            let key = key.ok_or(TokenError::UnknownKey)?;
            if !key.verifies(token.algorithm, token.message, &token.signature) {
                return Err(TokenError::Signature);
            }
            Token::from_claims(token.claims()?, &self.settings, time)
        };
        Poll::Ready(verified())
    }
}

fn source(config: &Config) -> Result<Source, Oauth2Error> {
    let checked = |key: &str, url: &String| {
        if url.starts_with("https://") || url.starts_with("http://") {
            return Ok(url.clone());
        }
        Err(Oauth2Error(format!("`{key}` must begin with https:// or http://, not {url:?}")))
    };
    if let Some(path) = &config.oauth2_jwks_file {
        return Ok(Source::File(path.clone()));
    }
    if let Some(url) = &config.oauth2_jwks_url {
        return checked("oauth2_jwks_url", url).map(Source::Url);
    }
    if let Some(url) = &config.oauth2_issuer {
        return checked("oauth2_issuer", url).map(Source::Issuer);
    }
    let text = "one of `oauth2_jwks_file`, `oauth2_jwks_url` and `oauth2_issuer` must be set";
    Err(Oauth2Error(text.to_owned()))
}
