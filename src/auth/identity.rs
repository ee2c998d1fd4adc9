//! Who somebody is, once that is known, and what follows from it.

use std::sync::Arc;

use super::{Permissions, User, oauth2::Token, permissions::Grant};
use crate::{clock::UnixTime, names::Name};

/// Somebody who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub user: Name,
    /// The user's tags.
    pub tags: Vec<String>,
    /// The token by which the user is known; none if it is one of the broker's own.
    pub token: Option<Arc<Token>>,
}

impl From<&User> for Identity {
    fn from(user: &User) -> Self {
        Self { user: user.name.clone(), tags: user.tags.clone(), token: None }
    }
}

impl From<Token> for Identity {
    fn from(token: Token) -> Self {
        let (user, tags) = (token.user().into(), token.tags().to_vec());
        Self { user, tags, token: Some(Arc::new(token)) }
    }
}

impl Identity {
    /// What the user may do in a vhost; none if the user may not even enter it (PO-003).
    pub fn grant(&self, permissions: &Permissions, vhost: &Name) -> Option<Arc<Grant>> {
        match &self.token {
            Some(token) => token.grant(vhost).map(|grant| Arc::new(Grant::from(grant))),
            None => permissions.grant(&self.user, vhost),
        }
    }

    /// When the user's token expires (CN-129).
    pub fn expires(&self) -> Option<UnixTime> {
        self.token.as_ref()?.expires()
    }
}
