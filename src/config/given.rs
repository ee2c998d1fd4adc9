//! What new vhosts are given, written as RabbitMQ's `default_users`, `default_policies.operator`
//! and `default_limits.vhosts` are: `NAME.PROPERTY=VALUE`, one property of one of them at a time.

use std::{fmt, marker::PhantomData, time::Duration};

use super::value::{Size, Value};
use crate::pattern::Pattern;

/// What a property's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Pattern,
    Text,
    ApplyTo,
    Count,
    Time,
    Bytes,
}

impl Holds {
    fn kind(self) -> String {
        match self {
            Self::Pattern => "a regular expression".into(),
            Self::Text => "text".into(),
            Self::ApplyTo => APPLY_TO.join(" or "),
            Self::Count => "a number from 1".into(),
            Self::Time => "a time such as 5m".into(),
            Self::Bytes => "a size".into(),
        }
    }
}

/// What policies may be said to apply to.
const APPLY_TO: [&str; 6] =
    ["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"];

/// Which things new vhosts are given.
pub trait Gift: Clone + PartialEq + Eq {
    /// The property whose pattern the names of the vhosts match.
    const VHOSTS: &'static str;
    #[doc(hidden)]
    const IS_SECRET: bool = false;
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "it is for this module alone")]
    const PROPERTIES: &'static [(&'static str, Holds)];
}

/// Users, with what they may do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUser;

/// Operator policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenPolicy;

/// Limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenLimits;

#[expect(private_interfaces, reason = "it is for this module alone")]
impl Gift for GivenUser {
    const VHOSTS: &'static str = "vhost_pattern";
    const IS_SECRET: bool = true;
    const PROPERTIES: &'static [(&'static str, Holds)] = &[
        ("vhost_pattern", Holds::Pattern),
        ("password", Holds::Text),
        ("tags", Holds::Text),
        ("configure", Holds::Pattern),
        ("write", Holds::Pattern),
        ("read", Holds::Pattern),
    ];
}

#[expect(private_interfaces, reason = "it is for this module alone")]
impl Gift for GivenPolicy {
    const VHOSTS: &'static str = "vhost_pattern";
    const PROPERTIES: &'static [(&'static str, Holds)] = &[
        ("vhost_pattern", Holds::Pattern),
        ("queue_pattern", Holds::Pattern),
        ("apply_to", Holds::ApplyTo),
        ("expires", Holds::Time),
        ("message_ttl", Holds::Time),
        ("max_length", Holds::Count),
        ("max_length_bytes", Holds::Bytes),
        ("max_in_memory_length", Holds::Count),
        ("max_in_memory_bytes", Holds::Bytes),
        ("delivery_limit", Holds::Count),
        ("classic_queues.queue_version", Holds::Count),
    ];
}

#[expect(private_interfaces, reason = "it is for this module alone")]
impl Gift for GivenLimits {
    const VHOSTS: &'static str = "pattern";
    const PROPERTIES: &'static [(&'static str, Holds)] = &[
        ("pattern", Holds::Pattern),
        ("max_connections", Holds::Count),
        ("max_queues", Holds::Count),
    ];
}

/// One property of something that vhosts are given when they are made.
#[derive(Clone, PartialEq, Eq)]
pub struct Given<G> {
    /// The name of the user, policy or set of limits.
    pub name: String,
    /// The property.
    pub property: &'static str,
    /// Its value, as it is written.
    pub value: String,
    holds: Holds,
    gift: PhantomData<G>,
}

impl<G> fmt::Debug for Given<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.property)
    }
}

impl<G> Given<G> {
    /// The number that it is: of things, of bytes, or of milliseconds.
    pub fn number(&self) -> Option<i64> {
        let number = match self.holds {
            Holds::Pattern | Holds::Text | Holds::ApplyTo => None,
            Holds::Count => self.value.parse().ok(),
            Holds::Bytes => Size::read(&self.value).map(|size| size.0),
            Holds::Time => time(&self.value).and_then(|time| time.as_millis().try_into().ok()),
        };
        number.and_then(|number| i64::try_from(number).ok())
    }

    fn makes_sense(&self) -> bool {
        match self.holds {
            Holds::Text => true,
            Holds::Pattern => Pattern::new(&self.value).is_ok(),
            Holds::ApplyTo => APPLY_TO.contains(&self.value.as_str()),
            Holds::Count | Holds::Bytes | Holds::Time => self.number().is_some_and(|n| n > 0),
        }
    }
}

/// A time, which RabbitMQ also takes in days and weeks here.
fn time(text: &str) -> Option<Duration> {
    const LONG: [(char, u32); 2] = [('d', 24), ('w', 7 * 24)];
    let long = LONG.iter().find_map(|(unit, hours)| Some((text.strip_suffix(*unit)?, *hours)));
    match long {
        Some((count, hours)) => Duration::read(&format!("{count}h"))?.checked_mul(hours),
        None => Duration::read(text),
    }
}

impl<G: Gift> Value for Given<G> {
    const IS_SECRET: bool = G::IS_SECRET;

    fn kind() -> String {
        let properties = G::PROPERTIES.iter();
        let properties: Vec<_> =
            properties.map(|(property, holds)| format!("{property} ({})", holds.kind())).collect();
        format!("NAME.PROPERTY=VALUE with one of {}", properties.join(", "))
    }
    fn read(text: &str) -> Option<Self> {
        let (key, value) = text.split_once('=')?;
        let mut properties = G::PROPERTIES.iter();
        let (name, property, holds) = properties.find_map(|(property, holds)| {
            let name = key.trim().strip_suffix(property)?.strip_suffix('.')?;
            Some((name, *property, *holds))
        })?;
        let (name, value) = (name.to_owned(), value.trim().to_owned());
        let given = Self { name, property, value, holds, gift: PhantomData };
        (!given.name.is_empty() && given.makes_sense()).then_some(given)
    }
    fn show(&self) -> String {
        format!("{}.{}={}", self.name, self.property, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_and_what_makes_no_sense_is_not() {
        let policy = |text: &str| Given::<GivenPolicy>::read(text);
        let given = policy("a.b.max_length_bytes=2KiB").unwrap();
        assert_eq!((&*given.name, given.property), ("a.b", "max_length_bytes"));
        assert_eq!(
            (given.number(), given.show()),
            (Some(2048), "a.b.max_length_bytes=2KiB".into())
        );
        for (text, number) in [
            ("p.expires=1h", 3_600_000),
            ("p.expires=2d", 172_800_000),
            ("p.message_ttl=1w", 604_800_000),
            ("p.max_length=5", 5),
        ] {
            assert_eq!(policy(text).and_then(|given| given.number()), Some(number), "{text}");
        }
        for text in [
            "",
            "p",
            "p.max_length",
            ".max_length=1",
            "max_length=1",
            "p.max_length=0",
            "p.max_length=x",
            "p.colour=red",
            "p.apply_to=shovels",
            "p.queue_pattern=(",
            "p.expires=99999999999999w",
        ] {
            assert!(policy(text).is_none(), "{text}");
        }
        let user = Given::<GivenUser>::read("u.password=a=b, c").unwrap();
        assert_eq!(user.value, "a=b, c");
        assert!(!format!("{user:?}").contains("a=b"));
        assert!(Given::<GivenLimits>::read("l.max_queues=3").is_some());
    }
}
