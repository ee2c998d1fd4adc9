//! What users may do in vhosts: which names they may configure, write to and read from, and which
//! routing keys of topic exchanges.
//!
//! - Patterns are compiled where they are set or loaded, with a topic's `{username}` and `{vhost}`
//!   put in (PO-029).
//! - A connection asks for the [`Grant`] of its user in its vhost once, and again when
//!   [`Permissions::generation`] has moved.
//!
//! ```text
//! key    vhost | user | exchange, if it is a topic permission
//! value  version u8 = 1 | configure | write | read, or of a topic permission write | read
//! ```
//!
//! Each text has its length before it, as a u32, big endian.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{RecordError, oauth2::scope::ScopeGrant};
use crate::{
    config::Config,
    names::Name,
    pattern::{self, InvalidPattern, Pattern},
    store::{RecordKind, StoreOp},
};

const VERSION: u8 = 1;

/// What can be permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// To make it, and to delete it.
    Configure,
    /// To put messages into it.
    Write,
    /// To take messages from it.
    Read,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}

/// A permission's pattern. The empty one finds the empty name alone, not every name (PO-001).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Pattern);

impl NamePattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        Pattern::new(text).map(Self)
    }

    /// Whether it allows this name.
    pub fn allows(&self, name: &str) -> bool {
        if self.0.as_str().is_empty() { name.is_empty() } else { self.0.matches(name) }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A user's permissions in a vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPermissions {
    /// The user.
    pub user: Name,
    /// The vhost.
    pub vhost: Name,
    /// What may be configured.
    pub configure: NamePattern,
    /// What may be written to.
    pub write: NamePattern,
    /// What may be read from.
    pub read: NamePattern,
}

impl UserPermissions {
    /// Permissions by these patterns.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn new(
        user: impl Into<Name>,
        vhost: impl Into<Name>,
        [configure, write, read]: [&str; 3],
    ) -> Result<Self, InvalidPattern> {
        Ok(Self {
            user: user.into(),
            vhost: vhost.into(),
            configure: NamePattern::new(configure)?,
            write: NamePattern::new(write)?,
            read: NamePattern::new(read)?,
        })
    }

    /// What the user that is made when there is none may do in the vhost that is made then.
    ///
    /// # Errors
    /// [`InvalidPattern`], of a configuration that was not held to its limits.
    pub fn by_default(config: &Config) -> Result<Self, InvalidPattern> {
        let patterns = [
            config.default_permissions_configure.as_str(),
            &config.default_permissions_write,
            &config.default_permissions_read,
        ];
        Self::new(config.default_user.as_str(), config.default_vhost.as_str(), patterns)
    }

    fn pattern(&self, permission: Permission) -> &NamePattern {
        match permission {
            Permission::Configure => &self.configure,
            Permission::Write => &self.write,
            Permission::Read => &self.read,
        }
    }

    fn to_op(&self) -> StoreOp {
        let texts = [&self.configure, &self.write, &self.read].map(NamePattern::as_str);
        let key = joined(&[], &[&self.vhost, &self.user]);
        StoreOp::Put { kind: RecordKind::Permission, key, value: joined(&[VERSION], &texts) }
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let [vhost, user] = split(key)?;
        let patterns = split(value.strip_prefix(&[VERSION])?)?;
        Self::new(user, vhost, patterns).ok()
    }
}

/// A user's permissions on the routing keys of a topic exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissions {
    /// The user.
    pub user: Name,
    /// The vhost.
    pub vhost: Name,
    /// The exchange; it may have been deleted since.
    pub exchange: Name,
    /// Which keys may be published with, as it was written.
    pub write: String,
    /// Which keys may be bound with, as it was written.
    pub read: String,
    write_pattern: NamePattern,
    read_pattern: NamePattern,
}

impl TopicPermissions {
    /// Permissions by these patterns, in which `{username}` and `{vhost}` stand for names.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn new(
        user: impl Into<Name>,
        vhost: impl Into<Name>,
        exchange: impl Into<Name>,
        [write, read]: [&str; 2],
    ) -> Result<Self, InvalidPattern> {
        let (user, vhost) = (user.into(), vhost.into());
        let expanded = |text: &str| {
            let text = text
                .replace("{username}", &pattern::escape(&user))
                .replace("{vhost}", &pattern::escape(&vhost));
            NamePattern::new(&text)
        };
        Ok(Self {
            write_pattern: expanded(write)?,
            read_pattern: expanded(read)?,
            user,
            vhost,
            exchange: exchange.into(),
            write: write.to_owned(),
            read: read.to_owned(),
        })
    }

    fn to_op(&self) -> StoreOp {
        let key = joined(&[], &[&self.vhost, &self.user, &self.exchange]);
        let value = joined(&[VERSION], &[&self.write, &self.read]);
        StoreOp::Put { kind: RecordKind::TopicPermission, key, value }
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let [vhost, user, exchange] = split(key)?;
        let patterns = split(value.strip_prefix(&[VERSION])?)?;
        Self::new(user, vhost, exchange, patterns).ok()
    }
}

/// What one user may do in one vhost, at one moment.
#[derive(Clone, Debug)]
pub struct Grant(Source);

/// Who says so.
#[derive(Clone, Debug)]
enum Source {
    Records { names: Arc<UserPermissions>, topics: Vec<Arc<TopicPermissions>> },
    Token(ScopeGrant),
}

impl From<ScopeGrant> for Grant {
    fn from(scopes: ScopeGrant) -> Self {
        Self(Source::Token(scopes))
    }
}

impl Grant {
    /// Whether a queue or exchange of this name is permitted; the default exchange is asked for
    /// as `amq.default` (PO-002).
    pub fn allows(&self, permission: Permission, name: &str) -> bool {
        match &self.0 {
            Source::Records { names, .. } => names.pattern(permission).allows(name),
            Source::Token(scopes) => scopes.allows(permission, name),
        }
    }

    /// Whether a routing or binding key of a topic exchange is permitted: always, if nothing is
    /// said about the exchange (PO-026); with a token only if a scope says something of keys.
    pub fn allows_topic(&self, permission: Permission, exchange: &str, key: &str) -> bool {
        let topics = match &self.0 {
            Source::Records { topics, .. } => topics,
            Source::Token(scopes) => return scopes.allows_topic(permission, exchange, key),
        };
        let said = topics.iter().find(|topic| topic.exchange.as_str() == exchange);
        said.is_none_or(|topic| match permission {
            Permission::Write => topic.write_pattern.allows(key),
            Permission::Read => topic.read_pattern.allows(key),
            Permission::Configure => true,
        })
    }

    /// Whether something is said about the keys of any exchange.
    pub fn has_topics(&self) -> bool {
        match &self.0 {
            Source::Records { topics, .. } => !topics.is_empty(),
            Source::Token(_) => true,
        }
    }
}

type UserKey = (Name, Name);
type TopicKey = (Name, Name, Name);

#[derive(Debug, Default)]
struct Records {
    /// By vhost and user.
    users: BTreeMap<UserKey, Arc<UserPermissions>>,
    /// By vhost, user and exchange.
    topics: BTreeMap<TopicKey, Arc<TopicPermissions>>,
}

/// All permissions. Whoever changes some submits the operations that this gives back.
#[derive(Debug, Default)]
pub struct Permissions {
    records: RwLock<Records>,
    generation: AtomicU64,
}

impl Permissions {
    /// Reads the records of both kinds; others are passed over.
    pub fn load<'a>(
        records: impl IntoIterator<Item = (RecordKind, &'a [u8], &'a [u8])>,
    ) -> Result<Self, RecordError> {
        let permissions = Self::default();
        for (kind, key, value) in records {
            let damaged = |what| RecordError {
                what,
                name: String::from_utf8_lossy(key).replace('\0', "").trim().to_owned(),
            };
            match kind {
                RecordKind::Permission => {
                    let read = UserPermissions::decode(key, value);
                    permissions.set(read.ok_or_else(|| damaged("permission"))?);
                }
                RecordKind::TopicPermission => {
                    let read = TopicPermissions::decode(key, value);
                    permissions.set_topic(read.ok_or_else(|| damaged("topic permission"))?);
                }
                _ => {}
            }
        }
        Ok(permissions)
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn records(&self) -> RwLockReadGuard<'_, Records> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Records) -> T) -> T {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut records);
        drop(records);
        self.generation.fetch_add(1, Ordering::Release);
        result
    }

    /// What a user may do in a vhost; none if the user may not even enter it (PO-003).
    pub fn grant(&self, user: &Name, vhost: &Name) -> Option<Arc<Grant>> {
        let records = self.records();
        let names = Arc::clone(records.users.get(&(vhost.clone(), user.clone()))?);
        let first = (vhost.clone(), user.clone(), Name::from(""));
        let topics = records.topics.range(first..).map(|(_, topic)| topic);
        let topics = topics.take_while(|topic| topic.vhost == *vhost && topic.user == *user);
        let topics = topics.cloned().collect();
        Some(Arc::new(Grant(Source::Records { names, topics })))
    }

    /// Whether nobody has a permission.
    pub fn is_empty(&self) -> bool {
        self.records().users.is_empty()
    }

    /// Sets a user's permissions in a vhost, in place of those that were there.
    pub fn set(&self, permissions: UserPermissions) -> StoreOp {
        let op = permissions.to_op();
        let key = (permissions.vhost.clone(), permissions.user.clone());
        self.change(|records| records.users.insert(key, Arc::new(permissions)));
        op
    }

    /// Takes a user's permissions in a vhost away, if there are some.
    pub fn clear(&self, user: &str, vhost: &str) -> Option<StoreOp> {
        let key = (Name::from(vhost), Name::from(user));
        let removed = self.change(|records| records.users.remove(&key))?;
        Some(remove(RecordKind::Permission, &[&removed.vhost, &removed.user]))
    }

    /// Sets a user's permissions on a topic exchange, in place of those that were there.
    pub fn set_topic(&self, topic: TopicPermissions) -> StoreOp {
        let op = topic.to_op();
        let key = (topic.vhost.clone(), topic.user.clone(), topic.exchange.clone());
        self.change(|records| records.topics.insert(key, Arc::new(topic)));
        op
    }

    /// Takes a user's topic permissions in a vhost away: those on an exchange, or all.
    pub fn clear_topics(&self, user: &str, vhost: &str, exchange: Option<&str>) -> Vec<StoreOp> {
        self.remove(
            |_| false,
            |topic| {
                topic.user.as_str() == user
                    && topic.vhost.as_str() == vhost
                    && exchange.is_none_or(|exchange| topic.exchange.as_str() == exchange)
            },
        )
    }

    /// Takes away all that a user may do.
    pub fn forget_user(&self, user: &str) -> Vec<StoreOp> {
        self.remove(|record| record.user.as_str() == user, |topic| topic.user.as_str() == user)
    }

    /// Takes away all that anybody may do in a vhost.
    pub fn forget_vhost(&self, vhost: &str) -> Vec<StoreOp> {
        self.remove(|record| record.vhost.as_str() == vhost, |topic| topic.vhost.as_str() == vhost)
    }

    fn remove(
        &self,
        is_user: impl Fn(&UserPermissions) -> bool,
        is_topic: impl Fn(&TopicPermissions) -> bool,
    ) -> Vec<StoreOp> {
        let mut ops = Vec::new();
        self.change(|records| {
            records.users.retain(|(vhost, user), record| {
                let is_meant = is_user(record);
                if is_meant {
                    ops.push(remove(RecordKind::Permission, &[vhost, user]));
                }
                !is_meant
            });
            records.topics.retain(|(vhost, user, exchange), topic| {
                let is_meant = is_topic(topic);
                if is_meant {
                    ops.push(remove(RecordKind::TopicPermission, &[vhost, user, exchange]));
                }
                !is_meant
            });
        });
        ops
    }

    /// All permissions, by vhost, then by user.
    pub fn list(&self) -> Vec<Arc<UserPermissions>> {
        self.records().users.values().cloned().collect()
    }

    /// All topic permissions, by vhost, then by user, then by exchange.
    pub fn list_topics(&self) -> Vec<Arc<TopicPermissions>> {
        self.records().topics.values().cloned().collect()
    }
}

fn remove(kind: RecordKind, names: &[&str]) -> StoreOp {
    StoreOp::Remove { kind, key: joined(&[], names) }
}

fn joined(start: &[u8], texts: &[&str]) -> Box<[u8]> {
    let mut out = start.to_vec();
    for text in texts {
        out.extend((text.len() as u32).to_be_bytes());
        out.extend(text.as_bytes());
    }
    out.into()
}

/// Exactly so many texts.
fn split<const N: usize>(mut bytes: &[u8]) -> Option<[&str; N]> {
    let mut texts = [""; N];
    for text in &mut texts {
        let (len, rest) = bytes.split_first_chunk()?;
        let (taken, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        *text = str::from_utf8(taken).ok()?;
        bytes = rest;
    }
    bytes.is_empty().then_some(texts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(pattern: &str, name: &str) -> bool {
        NamePattern::new(pattern).unwrap().allows(name)
    }

    // PO-001
    #[test]
    fn the_empty_pattern_allows_nothing_and_others_are_searched_for() {
        assert!(!allowed("", "q") && allowed("", ""));
        assert!(allowed(".*", "q") && allowed(".*", ""));
        assert!(allowed("mine", "not-mine-alone") && !allowed("^mine$", "not-mine-alone"));
    }

    type Stored = (RecordKind, Box<[u8]>, Box<[u8]>);

    fn records_of(ops: Vec<StoreOp>) -> Vec<Stored> {
        let put = |op| match op {
            StoreOp::Put { kind, key, value } => (kind, key, value),
            other => panic!("{other:?}"),
        };
        ops.into_iter().map(put).collect()
    }

    fn load(records: &[Stored]) -> Result<Permissions, RecordError> {
        Permissions::load(records.iter().map(|(kind, key, value)| (*kind, &key[..], &value[..])))
    }

    fn permissions() -> (Permissions, Vec<StoreOp>) {
        let permissions = Permissions::default();
        let names = |user, vhost| UserPermissions::new(user, vhost, ["^c", "^w", "^r"]).unwrap();
        let topic = |user, exchange| {
            TopicPermissions::new(user, "/", exchange, ["^{username}\\.", "{vhost}"]).unwrap()
        };
        let ops = vec![
            permissions.set(names("a", "/")),
            permissions.set(names("b", "/")),
            permissions.set(names("a", "v")),
            permissions.set_topic(topic("a", "x")),
            permissions.set_topic(topic("a", "y")),
            permissions.set_topic(topic("b.", "x")),
        ];
        (permissions, ops)
    }

    #[test]
    fn permissions_come_back_from_their_records() {
        let (permissions, ops) = permissions();
        let read = load(&records_of(ops)).unwrap();
        assert_eq!(read.list(), permissions.list());
        assert_eq!(read.list_topics(), permissions.list_topics());
        assert_eq!(read.list().len(), 3);
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        for (kind, key, value) in records_of(permissions().1) {
            for end in 0..value.len() {
                assert!(load(&[(kind, key.clone(), value[..end].into())]).is_err());
            }
            for end in 0..key.len() {
                assert!(load(&[(kind, key[..end].into(), value.clone())]).is_err());
            }
            let later = [&[VERSION + 1], &value[1..]].concat();
            assert!(load(&[(kind, key, later.into())]).is_err());
        }
    }

    // PO-003, PO-026
    #[test]
    fn a_grant_is_what_is_said_about_its_user_and_vhost() {
        let permissions = permissions().0;
        assert!(permissions.grant(&"b".into(), &"v".into()).is_none());
        let grant = permissions.grant(&"a".into(), &"/".into()).unwrap();
        assert!(grant.allows(Permission::Configure, "c") && !grant.allows(Permission::Write, "c"));
        assert!(grant.allows_topic(Permission::Write, "x", "a.b"));
        assert!(!grant.allows_topic(Permission::Write, "x", "b.a"));
        assert!(grant.allows_topic(Permission::Write, "z", "b.a"));
        assert!(grant.allows_topic(Permission::Read, "y", "a/b"));
        assert!(!permissions.grant(&"b".into(), &"/".into()).unwrap().has_topics());
    }

    // PO-029
    #[test]
    fn names_in_topic_patterns_are_taken_as_they_are() {
        let topic = TopicPermissions::new("b.", "/", "x", ["^{username}$", "{client_id}"]).unwrap();
        assert!(topic.write_pattern.allows("b.") && !topic.write_pattern.allows("bx"));
        assert_eq!(topic.write, "^{username}$");
        assert!(topic.read_pattern.allows("{client_id}"));
    }

    #[test]
    fn each_change_moves_the_generation_and_takes_away_what_it_says() {
        let permissions = permissions().0;
        let mut generation = permissions.generation();
        let mut moved = |permissions: &Permissions| {
            let before = std::mem::replace(&mut generation, permissions.generation());
            assert!(before < generation);
        };
        assert!(permissions.clear("b", "/").is_some());
        moved(&permissions);
        assert!(permissions.clear("b", "/").is_none());
        assert_eq!(permissions.clear_topics("a", "/", Some("x")).len(), 1);
        moved(&permissions);
        assert_eq!(permissions.forget_user("a").len(), 3);
        moved(&permissions);
        assert!(permissions.is_empty());
        assert_eq!(permissions.forget_vhost("/").len(), 1);
        moved(&permissions);
        assert!(permissions.list_topics().is_empty());
    }

    proptest! {
        #[test]
        fn noise_is_an_error_or_a_record(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
            let value: Box<[u8]> = [&[VERSION], &value[..]].concat().into();
            for kind in [RecordKind::Permission, RecordKind::TopicPermission] {
                let _ = load(&[(kind, key.clone().into(), value.clone())]);
            }
        }

        #[test]
        fn texts_of_any_kind_come_back(one in "\\PC{0,20}", other in "\\PC{0,20}") {
            let bytes = joined(&[], &[&one, &other]);
            prop_assert_eq!(split(&bytes), Some([&*one, &*other]));
            prop_assert_eq!(split::<1>(&bytes), None);
        }
    }
}
