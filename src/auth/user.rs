//! Users, and how they are kept in the store.
//!
//! ```text
//! key    name, UTF-8
//! value  version u8 = 1 | algorithm u8: 0 no password, 1 SHA-256
//!        | salt and digest, 36 bytes, if there is a password
//!        | for each tag: length u8, UTF-8
//! ```

use std::sync::Arc;

use dashmap::DashMap;

use super::PasswordHash;
use crate::{
    config::Config,
    names::Name,
    store::{RecordKind, StoreOp},
};

const VERSION: u8 = 1;
const NO_PASSWORD: u8 = 0;
const SHA_256: u8 = 1;
const HASH_BYTES: usize = 36;

/// Bytes of a tag at most.
const TAG_BYTES_MAX: usize = u8::MAX as usize;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: Name,
    /// The password's hash. Without one nobody can log in with a password.
    pub password: Option<PasswordHash>,
    /// What the user may do with the management API, such as `administrator`. Tags of more than
    /// 255 bytes are not kept.
    pub tags: Vec<String>,
}

/// A record that is no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record of user {name:?} is damaged or from a newer version")]
pub struct RecordError {
    /// The record's key, as far as it is text.
    pub name: String,
}

impl User {
    /// The user that is made when there is none.
    pub fn by_default(config: &Config) -> Result<Self, getrandom::Error> {
        Ok(Self {
            name: config.default_user.as_str().into(),
            password: Some(PasswordHash::new(config.default_pass.reveal().as_bytes())?),
            tags: vec!["administrator".into()],
        })
    }

    /// The operation that makes the user durable.
    pub fn to_op(&self) -> StoreOp {
        StoreOp::Put {
            kind: RecordKind::User,
            key: self.name.as_bytes().into(),
            value: self.encode(),
        }
    }

    /// Reads a user's record.
    pub fn from_record(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        Self::decode(key, value)
            .ok_or_else(|| RecordError { name: String::from_utf8_lossy(key).into_owned() })
    }

    fn encode(&self) -> Box<[u8]> {
        let mut value = vec![VERSION];
        match &self.password {
            None => value.push(NO_PASSWORD),
            Some(hash) => {
                value.push(SHA_256);
                value.extend_from_slice(hash.as_bytes());
            }
        }
        for tag in self.tags.iter().filter(|tag| tag.len() <= TAG_BYTES_MAX) {
            value.push(tag.len() as u8);
            value.extend_from_slice(tag.as_bytes());
        }
        value.into()
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (&[VERSION, algorithm], mut rest) = value.split_first_chunk()? else { return None };
        let password = match algorithm {
            NO_PASSWORD => None,
            SHA_256 => {
                let (hash, tags) = rest.split_at_checked(HASH_BYTES)?;
                rest = tags;
                Some(PasswordHash::from_bytes(hash)?)
            }
            _ => return None,
        };
        let mut tags = Vec::new();
        while let Some((&len, behind)) = rest.split_first() {
            let (tag, behind) = behind.split_at_checked(len.into())?;
            tags.push(str::from_utf8(tag).ok()?.to_owned());
            rest = behind;
        }
        Some(Self { name: str::from_utf8(key).ok()?.into(), password, tags })
    }
}

/// All users. Whoever changes one submits the operation that this gives back.
#[derive(Debug, Default)]
pub struct Users(DashMap<Name, Arc<User>>);

impl Users {
    /// Reads the users' records.
    pub fn load<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, RecordError> {
        let users = Self::default();
        for (key, value) in records {
            users.insert(User::from_record(key.as_ref(), value.as_ref())?);
        }
        Ok(users)
    }

    /// The user of that name.
    pub fn get(&self, name: &str) -> Option<Arc<User>> {
        self.0.get(name).map(|user| Arc::clone(&user))
    }

    /// All users, sorted by name.
    pub fn list(&self) -> Vec<Arc<User>> {
        let mut users: Vec<_> = self.0.iter().map(|user| Arc::clone(&user)).collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users
    }

    /// Whether there is no user, as in a new data directory.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a user, or replaces the one of the same name.
    pub fn put(&self, user: User) -> StoreOp {
        let op = user.to_op();
        self.insert(user);
        op
    }

    /// Removes a user, if there is one of that name.
    pub fn remove(&self, name: &str) -> Option<StoreOp> {
        let (name, _) = self.0.remove(name)?;
        Some(StoreOp::Remove { kind: RecordKind::User, key: name.as_bytes().into() })
    }

    fn insert(&self, user: User) {
        self.0.insert(user.name.clone(), Arc::new(user));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(op: StoreOp) -> (Box<[u8]>, Box<[u8]>) {
        match op {
            StoreOp::Put { kind: RecordKind::User, key, value } => (key, value),
            other => panic!("{other:?}"),
        }
    }

    fn user() -> User {
        User {
            name: "al\u{ef}ce".into(),
            password: Some(PasswordHash::of(b"secret", [9, 8, 7, 6])),
            tags: vec!["administrator".into(), String::new(), "monitoring".into()],
        }
    }

    #[test]
    fn a_user_comes_back_from_its_record() {
        for user in [user(), User { password: None, tags: Vec::new(), ..user() }] {
            let (key, value) = put(user.to_op());
            assert_eq!(User::from_record(&key, &value), Ok(user));
        }
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_the_user() {
        let (key, value) = put(user().to_op());
        let tags_at = 2 + HASH_BYTES;
        for end in (0..tags_at).chain([tags_at + 1, value.len() - 1]) {
            let error = User::from_record(&key, &value[..end]).unwrap_err();
            assert_eq!(error.name, "al\u{ef}ce", "cut at {end}");
        }
        let mut newer = value.to_vec();
        newer[0] = VERSION + 1;
        assert!(User::from_record(&key, &newer).is_err());
        assert!(User::from_record(b"\xff", &value).is_err());
    }

    #[test]
    fn users_are_put_found_listed_and_removed() {
        let users = Users::default();
        assert!(users.is_empty());
        let records = ["b", "a"].map(|name| put(users.put(User { name: name.into(), ..user() })));
        let names = |users: &Users| users.list().iter().map(|u| u.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&users), ["a".into(), "b".into()]);
        assert_eq!(names(&Users::load(records).unwrap()), names(&users));
        assert_eq!(users.get("a").unwrap().name, "a".into());
        let op = users.remove("a").unwrap();
        assert!(matches!(op, StoreOp::Remove { kind: RecordKind::User, key } if &*key == b"a"));
        assert!(users.get("a").is_none() && users.remove("a").is_none());
    }

    #[test]
    fn the_default_user_is_the_configurations() {
        let config = Config { default_user: "root".into(), ..Config::default() };
        let user = User::by_default(&config).unwrap();
        assert_eq!(user.name, "root".into());
        assert!(user.password.unwrap().verifies(b"guest"));
        assert_eq!(user.tags, ["administrator"]);
    }
}
