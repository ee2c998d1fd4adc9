//! The types of the settings, and how each is read from text and shown as text.
//!
//! A value is written alike in the file, in the environment and in a message: `"64MiB"`, `"10s"`,
//! `true`. So each type has one reader, whatever the place it is read from.

use std::{fmt, net::IpAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use nom::{
    IResult, Parser,
    character::complete::{alpha0, digit1, space0},
    combinator::map_res,
    sequence::preceded,
};

use crate::pattern::Pattern;

/// A value as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// One value's text.
    One(String),
    /// The texts of a list's values.
    Many(Vec<String>),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => write!(f, "{text:?}"),
            Self::Many(texts) => write!(f, "{texts:?}"),
        }
    }
}

/// A type that settings can have.
pub(super) trait Value: Sized {
    /// Whether the value is kept out of messages.
    const IS_SECRET: bool = false;

    /// Names what may be written, such as "a port from 0 to 65535".
    fn kind() -> String;
    /// Reads a value, or tells that it is none of this kind.
    fn read(text: &str) -> Option<Self>;
    /// Shows the value as text that [`Value::read`] takes.
    fn show(&self) -> String;

    /// Reads a value as it stands in a file or a variable.
    fn read_written(written: &Written) -> Option<Self> {
        match written {
            Written::One(text) => Self::read(text),
            Written::Many(_) => None,
        }
    }
    /// Shows the value as TOML.
    fn show_toml(&self) -> String {
        format!("{:?}", self.show())
    }
}

/// What a setting's value is held to beyond its type.
pub(super) trait Limit<T> {
    /// Whether the value is within the limit.
    fn allows(&self, value: &T) -> bool;
    /// Names the limit, to follow [`Value::kind`].
    fn describe(&self) -> String;
}

impl<T: Value + PartialOrd> Limit<T> for RangeInclusive<T> {
    fn allows(&self, value: &T) -> bool {
        self.contains(value)
    }
    fn describe(&self) -> String {
        format!(", from {} to {}", self.start().show(), self.end().show())
    }
}

/// Asks for at least one element, or one character.
pub(super) struct NotEmpty;

impl<T: Value> Limit<Vec<T>> for NotEmpty {
    fn allows(&self, value: &Vec<T>) -> bool {
        !value.is_empty()
    }
    fn describe(&self) -> String {
        ", at least one".into()
    }
}

impl Limit<String> for NotEmpty {
    fn allows(&self, value: &String) -> bool {
        !value.is_empty()
    }
    fn describe(&self) -> String {
        ", not empty".into()
    }
}

/// Asks for a pattern of permissions.
pub(super) struct RegularExpression;

impl Limit<String> for RegularExpression {
    fn allows(&self, value: &String) -> bool {
        Pattern::new(value).is_ok()
    }
    fn describe(&self) -> String {
        ", a regular expression".into()
    }
}

/// Asks for what paths may begin with, or for nothing.
pub(super) struct PathPrefix;

impl Limit<String> for PathPrefix {
    fn allows(&self, value: &String) -> bool {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        let is_path = value.starts_with('/') && !value.ends_with('/') && !value.contains("//");
        value.is_empty() || is_path && value.chars().all(is_legal)
    }
    fn describe(&self) -> String {
        ", a path such as /mq of letters, digits, - . _ ~".into()
    }
}

/// A header of HTTP that answers have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHeader {
    /// Its name, in small letters.
    pub name: String,
    /// Its value, ASCII.
    pub value: String,
}

impl Value for HttpHeader {
    fn kind() -> String {
        "a header NAME=VALUE".into()
    }
    fn read(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        (is_name && value.chars().all(|c| (' '..='~').contains(&c))).then_some(Self { name, value })
    }
    fn show(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

macro_rules! whole_number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn kind() -> String {
                "a whole number".into()
            }
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn show(&self) -> String {
                self.to_string()
            }
            fn show_toml(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_number!(u16, u32);

impl Value for bool {
    fn kind() -> String {
        "true or false".into()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn show_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn kind() -> String {
        "text".into()
    }
    fn read(text: &str) -> Option<Self> {
        Some(text.into())
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for IpAddr {
    fn kind() -> String {
        "an IP address".into()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    fn kind() -> String {
        "a path".into()
    }
    fn read(text: &str) -> Option<Self> {
        Some(text.into())
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// The empty text stands for "not set".
impl<T: Value> Value for Option<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn kind() -> String {
        T::kind()
    }
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::read(text).map(Some) }
    }
    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

/// In the environment a list is separated by commas, and `none` is the empty list.
impl<T: Value> Value for Vec<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn kind() -> String {
        format!("a list, each {}", T::kind())
    }
    fn read(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::new());
        }
        text.split(',').map(|part| T::read(part.trim())).collect()
    }
    fn show(&self) -> String {
        if self.is_empty() {
            return "none".into();
        }
        self.iter().map(T::show).collect::<Vec<_>>().join(",")
    }
    fn read_written(written: &Written) -> Option<Self> {
        match written {
            Written::One(text) => Self::read(text),
            Written::Many(texts) => texts.iter().map(|text| T::read(text)).collect(),
        }
    }
    fn show_toml(&self) -> String {
        format!("[{}]", self.iter().map(T::show_toml).collect::<Vec<_>>().join(", "))
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// The units, largest first; a size is shown in the first that divides it.
    const UNITS: [(&str, u64); 8] = [
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
    ];

    /// `count` times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// `count` times 1024 * 1024 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The bytes as a length in memory.
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }
}

impl Value for Size {
    fn kind() -> String {
        "a size in bytes or with a unit, such as \"64KiB\" or \"50MB\"".into()
    }
    fn read(text: &str) -> Option<Self> {
        let (count, unit) = split_unit(text)?;
        let factor = match unit {
            "" | "B" => 1,
            unit => Self::UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
        };
        count.checked_mul(factor).map(Self)
    }
    fn show(&self) -> String {
        let fitting =
            Self::UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        match fitting {
            Some((unit, factor)) => format!("{}{unit}", self.0 / factor),
            None => self.0.to_string(),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Value for Duration {
    fn kind() -> String {
        "a time in milliseconds or with a unit, such as \"10s\" or \"5m\"".into()
    }
    fn read(text: &str) -> Option<Self> {
        let (count, unit) = split_unit(text)?;
        let factor = match unit {
            "" => 1,
            unit => DURATION_UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        count.checked_mul(factor).map(Self::from_millis)
    }
    fn show(&self) -> String {
        let millis = self.as_millis() as u64;
        // Seconds read better than minutes up to two of them: a heartbeat is "60s".
        let units = if millis <= 120_000 { &DURATION_UNITS[2..] } else { &DURATION_UNITS[..] };
        match units.iter().find(|(_, factor)| millis.is_multiple_of(*factor)) {
            Some((unit, factor)) => format!("{}{unit}", millis / factor),
            None => format!("{millis}ms"),
        }
    }
}

/// A time in whole seconds that fits the 16 bits AMQP has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u16);

impl Value for Seconds {
    fn kind() -> String {
        "a time in whole seconds, such as \"60s\"".into()
    }
    fn read(text: &str) -> Option<Self> {
        let time = Duration::read(text)?;
        if time.subsec_nanos() != 0 {
            return None;
        }
        time.as_secs().try_into().ok().map(Self)
    }
    fn show(&self) -> String {
        format!("{}s", self.0)
    }
}

/// How much memory may be used before publishers are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// So many hundredths of the memory that the machine or the container has.
    Percent(u8),
    /// So many bytes.
    Absolute(Size),
}

impl Value for MemoryLimit {
    fn kind() -> String {
        "a share such as \"60%\", or a size such as \"2GiB\"".into()
    }
    fn read(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(share) => share.parse().ok().filter(|s| *s <= 100).map(Self::Percent),
            None => Size::read(text).map(Self::Absolute),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::Percent(share) => format!("{share}%"),
            Self::Absolute(size) => size.show(),
        }
    }
}

/// How much space on the disk must be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskLimit {
    /// So many hundredths of the memory that the machine or the container has.
    PercentOfMemory(u32),
    /// So many bytes.
    Absolute(Size),
}

impl Value for DiskLimit {
    fn kind() -> String {
        "a size such as \"50MB\", or a share of the memory such as \"100%\"".into()
    }
    fn read(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(share) => share.parse().ok().map(Self::PercentOfMemory),
            None => Size::read(text).map(Self::Absolute),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::PercentOfMemory(share) => format!("{share}%"),
            Self::Absolute(size) => size.show(),
        }
    }
}

/// A text that is kept out of logs and messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Value for Secret {
    const IS_SECRET: bool = true;

    fn kind() -> String {
        "text".into()
    }
    fn read(text: &str) -> Option<Self> {
        Some(text.into())
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// The RabbitMQ version that clients are told, because some choose their features by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion(String);

impl ServerVersion {
    /// The version as text, `x.y.z`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ServerVersion {
    fn default() -> Self {
        Self("4.3.6".into())
    }
}

impl Value for ServerVersion {
    fn kind() -> String {
        "a version such as \"4.3.6\"".into()
    }
    fn read(text: &str) -> Option<Self> {
        let is_number = |part: &str| part.parse::<u16>().is_ok();
        let parts: Vec<_> = text.split('.').collect();
        (parts.len() == 3 && parts.into_iter().all(is_number)).then(|| Self(text.into()))
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Which events are logged: a level (`info`), or targets with levels (`info,lepus::store=debug`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a filter; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_legal = tracing_subscriber::EnvFilter::builder().parse(text).is_ok();
        // The library takes any single word as the name of a target; here it can only be a level.
        let is_level = |part: &str| part.parse::<tracing::level_filters::LevelFilter>().is_ok();
        let is_meant = text.split(',').all(|part| part.contains(['=', '[']) || is_level(part));
        (is_legal && is_meant && !text.is_empty()).then(|| Self(text.into()))
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".into())
    }
}

impl Value for LogFilter {
    fn kind() -> String {
        "off, error, warn, info, debug or trace, or targets with levels such as \
         \"info,lepus::store=debug\""
            .into()
    }
    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Splits `"64MiB"` into its number and its unit.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let parsed: IResult<&str, (u64, &str)> =
        (map_res(digit1, str::parse), preceded(space0, alpha0)).parse(text);
    parsed.ok().filter(|(rest, _)| rest.is_empty()).map(|(_, split)| split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_unit() {
        for (text, bytes) in
            [("131072", 131_072), ("128KiB", 131_072), ("50MB", 50_000_000), ("2 GiB", 2 << 30)]
        {
            assert_eq!(Size::read(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "12 apples", "99999999999TiB"] {
            assert_eq!(Size::read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [0, 1, 1000, 1024, 131_072, 50_000_000, 16 << 20, 1 << 40] {
            assert_eq!(Size::read(&Size(bytes).show()), Some(Size(bytes)));
        }
        for millis in [0, 1, 100, 1000, 60_000, 61_500, 300_000, 3_600_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(Duration::read(&time.show()), Some(time));
        }
        for limit in [MemoryLimit::Percent(60), MemoryLimit::Absolute(Size(1 << 30))] {
            assert_eq!(MemoryLimit::read(&limit.show()), Some(limit));
        }
    }

    #[test]
    fn heartbeat_takes_no_fraction_of_a_second() {
        assert_eq!(Seconds::read("60s"), Some(Seconds(60)));
        assert_eq!(Seconds::read("0"), Some(Seconds(0)));
        // Meant as seconds by whoever knows rabbitmq.conf, but a bare number is milliseconds.
        assert_eq!(Seconds::read("60"), None);
        assert_eq!(Seconds::read("20h"), None);
    }

    #[test]
    fn log_filter_refuses_what_is_no_level() {
        for text in ["info", "off", "info,lepus::store=debug", "lepus[{queue}]=trace"] {
            assert!(LogFilter::parse(text).is_some(), "{text}");
        }
        for text in ["", "loud", "info,loud", "lepus=loud"] {
            assert!(LogFilter::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn secret_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Secret::from("swordfish")), "(secret)");
    }
}
