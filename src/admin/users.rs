//! Users.

use std::sync::Arc;

use super::{Admin, Error, checked_name};
use crate::{
    auth::{PasswordHash, User, UserLimits},
    names::CommitSeq,
    pattern::Pattern,
};

/// How a user is to log in. Not to be shown.
pub enum NewPassword<'a> {
    /// With this password, of which the hash alone is kept.
    Plain(&'a str),
    /// With the password of this hash.
    Hash(PasswordHash),
    /// With no password at all (HT-128).
    None,
}

impl std::fmt::Debug for NewPassword<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPassword").finish_non_exhaustive()
    }
}

impl NewPassword<'_> {
    pub(super) fn hash(self) -> Result<Option<PasswordHash>, Error> {
        match self {
            Self::Plain(password) => PasswordHash::new(password.as_bytes())
                .map(Some)
                .map_err(|error| Error::Random(error.to_string())),
            Self::Hash(hash) => Ok(Some(hash)),
            Self::None => Ok(None),
        }
    }
}

impl Admin {
    /// Adds a user without permissions, or gives the one of that name this password and these tags;
    /// permissions, limits and connections stay (CN-130).
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Password`], [`Error::Random`].
    pub fn put_user(
        &self,
        name: &str,
        password: NewPassword<'_>,
        tags: &[&str],
    ) -> Result<CommitSeq, Error> {
        let name = checked_name(name)?;
        self.check_password(&name, &password)?;
        let password = password.hash()?;
        let _changing = self.changing();
        let limits = self.auth.users().get(&name).map_or(UserLimits::default(), |user| user.limits);
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Ok(self.put(User { name, password, tags, limits }))
    }

    /// Gives a user another password. Connections stay (CN-130).
    ///
    /// # Errors
    /// [`Error::NoSuchUser`], [`Error::Password`], [`Error::Random`].
    pub fn change_password(
        &self,
        name: &str,
        password: NewPassword<'_>,
    ) -> Result<CommitSeq, Error> {
        self.check_password(name, &password)?;
        let password = password.hash()?;
        self.change_user(name, |user| user.password = password)
    }

    /// Whether a password is as the configuration wants them; the log says what it lacks.
    fn check_password(&self, user: &str, password: &NewPassword<'_>) -> Result<(), Error> {
        let NewPassword::Plain(password) = password else { return Ok(()) };
        let (min, pattern) = (self.config.password_length_min, &self.config.password_pattern);
        let lacks = if password.len() < min as usize {
            format!("minimum required password length is {min}")
        } else if Pattern::new(pattern).is_ok_and(|pattern| !pattern.matches(password)) {
            "provided password does not match the validator regular expression".to_owned()
        } else {
            return Ok(());
        };
        tracing::warn!(user, "credential validation failed: {lacks}");
        Err(Error::Password)
    }

    /// Gives a user other tags.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`].
    pub fn set_user_tags(&self, name: &str, tags: &[&str]) -> Result<CommitSeq, Error> {
        self.change_user(name, |user| {
            user.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        })
    }

    /// Deletes a user with all permissions, and closes the user's connections (CN-126).
    ///
    /// # Errors
    /// [`Error::NoSuchUser`].
    pub fn delete_user(&self, name: &str) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        let op = self.auth.users().remove(name).ok_or(Error::NoSuchUser)?;
        let mut ops = vec![op];
        ops.extend(self.auth.permissions().forget_user(name));
        let needed = {
            let _group = self.broker.store.group();
            self.broker.store.submit_all(ops)
        };
        let text = format!("user '{name}' is deleted");
        self.broker.registry.close_where(|_, place| &*place.user == name, &text);
        Ok(needed)
    }

    /// The user of this name.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`].
    pub fn user(&self, name: &str) -> Result<Arc<User>, Error> {
        self.auth.users().get(name).ok_or(Error::NoSuchUser)
    }

    /// All users, by name.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.auth.users().list()
    }

    pub(super) fn change_user(
        &self,
        name: &str,
        change: impl FnOnce(&mut User),
    ) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        let mut user = User::clone(&*self.user(name)?);
        change(&mut user);
        Ok(self.put(user))
    }

    fn put(&self, user: User) -> CommitSeq {
        self.broker.store.submit(self.auth.users().put(user))
    }
}
