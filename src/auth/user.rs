//! Users, and how they are kept in the store.
//!
//! ```text
//! key      name, UTF-8
//! value    version u8 = 2 | password | limit: connections | limit: channels | tags
//! password algorithm u8: 0 no password, 1 SHA-256, 2 SHA-512, 3 MD5 | salt and digest
//! limit    0 u8, or 1 u8 and an i64, big endian
//! tags     each: length u8, UTF-8
//! ```
//!
//! Version 1 had SHA-256 alone and no limits.

use std::sync::Arc;

use dashmap::DashMap;

use super::{HashingAlgorithm, PasswordHash};
use crate::{
    config::Config,
    names::Name,
    store::{RecordKind, StoreOp},
};

const VERSION: u8 = 2;
const VERSION_WITHOUT_LIMITS: u8 = 1;
const NO_PASSWORD: u8 = 0;

/// Bytes of a tag at most.
pub const TAG_BYTES_MAX: usize = u8::MAX as usize;

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
    /// How much the user may have open.
    pub limits: UserLimits,
}

/// How much a user may have open at a time: nothing of it at 0, any number if it is negative or
/// not said (PO-071).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// `max-connections`
    pub max_connections: Option<i64>,
    /// `max-channels`, over all connections.
    pub max_channels: Option<i64>,
}

/// A record that is no user or no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} record {name:?} is damaged or from a newer version")]
pub struct RecordError {
    /// What it should have been.
    pub what: &'static str,
    /// The record's key, as far as it is text.
    pub name: String,
}

impl User {
    /// A user without password, tags and limits.
    pub fn new(name: impl Into<Name>) -> Self {
        let name = name.into();
        Self { name, password: None, tags: Vec::new(), limits: UserLimits::default() }
    }

    /// The user that is made when there is none.
    pub fn by_default(config: &Config) -> Result<Self, getrandom::Error> {
        let password = PasswordHash::new(config.default_pass.reveal().as_bytes())?;
        let tags = config.default_user_tags.iter().map(|tag| tag.as_str().into()).collect();
        Ok(Self { password: Some(password), tags, ..Self::new(config.default_user.as_str()) })
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
        Self::decode(key, value).ok_or_else(|| RecordError {
            what: "user",
            name: String::from_utf8_lossy(key).into_owned(),
        })
    }

    /// Whether a record is from the time before permissions.
    pub fn is_before_permissions(value: &[u8]) -> bool {
        value.first() == Some(&VERSION_WITHOUT_LIMITS)
    }

    fn encode(&self) -> Box<[u8]> {
        let mut value = vec![VERSION];
        match &self.password {
            None => value.push(NO_PASSWORD),
            Some(hash) => {
                value.push(code(hash.algorithm()));
                value.extend_from_slice(hash.as_bytes());
            }
        }
        for limit in [self.limits.max_connections, self.limits.max_channels] {
            value.push(u8::from(limit.is_some()));
            value.extend(limit.iter().flat_map(|limit| limit.to_be_bytes()));
        }
        for tag in self.tags.iter().filter(|tag| tag.len() <= TAG_BYTES_MAX) {
            value.push(tag.len() as u8);
            value.extend_from_slice(tag.as_bytes());
        }
        value.into()
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (&[version, code], mut rest) = value.split_first_chunk()?;
        let password = match code {
            NO_PASSWORD => None,
            code => {
                let algorithm = algorithm(code)?;
                let (hash, behind) = rest.split_at_checked(algorithm.hash_bytes())?;
                rest = behind;
                Some(PasswordHash::from_bytes(algorithm, hash)?)
            }
        };
        let mut limits = UserLimits::default();
        match version {
            VERSION => {
                rest = take_limit(rest, &mut limits.max_connections)?;
                rest = take_limit(rest, &mut limits.max_channels)?;
            }
            VERSION_WITHOUT_LIMITS => {}
            _ => return None,
        }
        let mut tags = Vec::new();
        while let Some((&len, behind)) = rest.split_first() {
            let (tag, behind) = behind.split_at_checked(len.into())?;
            tags.push(str::from_utf8(tag).ok()?.to_owned());
            rest = behind;
        }
        Some(Self { name: str::from_utf8(key).ok()?.into(), password, tags, limits })
    }
}

/// Reads a limit; returns the bytes behind it.
fn take_limit<'a>(bytes: &'a [u8], limit: &mut Option<i64>) -> Option<&'a [u8]> {
    match bytes.split_first()? {
        (0, rest) => Some(rest),
        (1, rest) => {
            let (number, rest) = rest.split_first_chunk()?;
            *limit = Some(i64::from_be_bytes(*number));
            Some(rest)
        }
        _ => None,
    }
}

fn code(algorithm: HashingAlgorithm) -> u8 {
    match algorithm {
        HashingAlgorithm::Sha256 => 1,
        HashingAlgorithm::Sha512 => 2,
        HashingAlgorithm::Md5 => 3,
    }
}

fn algorithm(code: u8) -> Option<HashingAlgorithm> {
    match code {
        1 => Some(HashingAlgorithm::Sha256),
        2 => Some(HashingAlgorithm::Sha512),
        3 => Some(HashingAlgorithm::Md5),
        _ => None,
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
            limits: UserLimits { max_connections: Some(-1), max_channels: None },
        }
    }

    /// A user of each algorithm, with and without limits.
    fn users() -> Vec<User> {
        let hash = |algorithm: HashingAlgorithm| {
            PasswordHash::from_bytes(algorithm, &vec![7; algorithm.hash_bytes()])
        };
        let limits = UserLimits { max_connections: None, max_channels: Some(i64::MAX) };
        vec![
            user(),
            User::new("nobody"),
            User { password: hash(HashingAlgorithm::Sha512), limits, ..user() },
            User { password: hash(HashingAlgorithm::Md5), ..user() },
        ]
    }

    #[test]
    fn a_user_comes_back_from_its_record() {
        for user in users() {
            let (key, value) = put(user.to_op());
            assert_eq!(User::from_record(&key, &value), Ok(user));
        }
    }

    #[test]
    fn a_record_of_the_first_version_is_read() {
        let hash = PasswordHash::of(b"secret", [9, 8, 7, 6]);
        let value = [&[1, 1], hash.as_bytes(), b"\x0aimpersonat"].concat();
        let read = User::from_record(b"al\xc3\xafce", &value).unwrap();
        assert_eq!(read.password, user().password);
        assert_eq!((read.tags, read.limits), (vec!["impersonat".into()], UserLimits::default()));
        assert!(User::is_before_permissions(&value));
        assert!(!User::is_before_permissions(&put(user().to_op()).1));
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_the_user() {
        let user = User { tags: vec!["administrator".into()], ..user() };
        let (key, value) = put(user.to_op());
        // Without its tag it is whole, too.
        let tag_at = value.len() - "administrator".len() - 1;
        for end in (0..tag_at).chain(tag_at + 1..value.len()) {
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
        let config = Config {
            default_user: "root".into(),
            default_user_tags: vec!["monitoring".into()],
            ..Config::default()
        };
        let user = User::by_default(&config).unwrap();
        assert_eq!(user.name, "root".into());
        assert!(user.password.unwrap().verifies(b"guest"));
        assert_eq!(user.tags, ["monitoring"]);
        assert_eq!(User::by_default(&Config::default()).unwrap().tags, ["administrator"]);
    }
}
