//! The properties of a message (AMQP 0-9-1 4.2.6.1), read and edited in the bytes they came in.
//!
//! A message keeps its properties raw: one word of flags, or several, and the list of those that
//! are there. Every incoming message passes [`Properties::scan`] once; whoever needs more of a
//! message walks the list again. An edit makes a new raw list, in which whatever was not edited is
//! what it was, byte for byte.

use super::{
    reader::Reader,
    table::{self, TableError},
};

/// A property of class basic; its number is its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// MIME type of the body.
    ContentType,
    /// MIME encoding of the body.
    ContentEncoding,
    /// The headers table; its value here is the raw table without its length.
    Headers,
    /// 2 if persistent; one octet.
    DeliveryMode,
    /// One octet.
    Priority,
    /// The application's.
    CorrelationId,
    /// The queue for the answer.
    ReplyTo,
    /// Milliseconds to live, as decimal digits.
    Expiration,
    /// The application's.
    MessageId,
    /// Seconds since 1970; eight octets.
    Timestamp,
    /// The application's.
    Type,
    /// Who sends it: checked against who is logged in.
    UserId,
    /// The application's.
    AppId,
    /// Deprecated.
    ClusterId,
}

impl Property {
    /// All of them, in the order of the list.
    pub const ALL: [Self; 14] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::Headers,
        Self::DeliveryMode,
        Self::Priority,
        Self::CorrelationId,
        Self::ReplyTo,
        Self::Expiration,
        Self::MessageId,
        Self::Timestamp,
        Self::Type,
        Self::UserId,
        Self::AppId,
        Self::ClusterId,
    ];

    /// The bit that says that it is in the list.
    const fn flag(self) -> u16 {
        0x8000 >> self as u16
    }

    /// Takes its value off the list, without a length before it.
    #[inline]
    fn read<'a>(self, list: &mut Reader<'a>) -> Option<&'a [u8]> {
        match self {
            Self::Headers => list.longstr(),
            Self::DeliveryMode | Self::Priority => list.take(1),
            Self::Timestamp => list.take(8),
            _ => list.shortstr(),
        }
    }

    /// Appends a value to a list. A string has at most 255 bytes; what is beyond is cut off.
    fn write(self, list: &mut Vec<u8>, value: &[u8]) {
        let value = match self {
            Self::Headers => {
                list.extend_from_slice(&(value.len() as u32).to_be_bytes());
                value
            }
            Self::DeliveryMode | Self::Priority | Self::Timestamp => value,
            _ => {
                debug_assert!(value.len() <= 255);
                let value = value.get(..255).unwrap_or(value);
                list.push(value.len() as u8);
                value
            }
        };
        list.extend_from_slice(value);
    }
}

/// The flags that stand for a property.
const KNOWN_FLAGS: u16 = 0xFFFC;

/// The flag that says that another word of flags follows.
const MORE_FLAGS: u16 = 1;

/// Why properties are malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertiesError {
    /// They end too early.
    #[error("properties end too early")]
    Truncated,
    /// They go on behind the last property.
    #[error("octets behind the last property")]
    Trailing,
    /// A flag for a property that does not exist, in a second word of flags or behind it.
    #[error("flags of unknown properties")]
    UnknownFlags,
    /// The headers are no table.
    #[error("headers: {0}")]
    Headers(#[from] TableError),
}

/// What the broker itself needs to know of every message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan<'a> {
    /// 2 if persistent; 0 if not said.
    pub delivery_mode: u8,
    /// 0 if not said.
    pub priority: u8,
    /// Milliseconds to live, not yet read as a number.
    pub expiration: Option<&'a [u8]>,
    /// Who says to have sent it.
    pub user_id: Option<&'a [u8]>,
    /// Where the answer should go: to be looked at for `amq.rabbitmq.reply-to`.
    pub reply_to: Option<&'a [u8]>,
    /// The headers table, raw and checked.
    pub headers: Option<&'a [u8]>,
}

/// A message's properties in their raw bytes; never panics, whatever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties<'a> {
    /// All words of flags, and the list.
    raw: &'a [u8],
    /// The first word of flags.
    flags: u16,
    list: Reader<'a>,
}

impl Properties<'static> {
    /// No properties at all.
    pub const EMPTY: Self = Self { raw: &[0, 0], flags: 0, list: Reader(&[]) };
}

impl<'a> Properties<'a> {
    /// Takes raw properties that have not been looked at yet.
    pub fn parse(raw: &'a [u8]) -> Result<Self, PropertiesError> {
        let properties = Self::open(raw)?;
        properties.walk(|_, _| ())?;
        properties.headers().map_or(Ok(()), table::check)?;
        Ok(properties)
    }

    /// Looks once at raw properties as they come in, and takes out what the broker needs.
    #[inline]
    pub fn scan(raw: &'a [u8]) -> Result<Scan<'a>, PropertiesError> {
        let mut scan = Scan::default();
        Self::open(raw)?.walk(|property, value| match property {
            Property::DeliveryMode => scan.delivery_mode = octet(value),
            Property::Priority => scan.priority = octet(value),
            Property::Expiration => scan.expiration = Some(value),
            Property::UserId => scan.user_id = Some(value),
            Property::ReplyTo => scan.reply_to = Some(value),
            Property::Headers => scan.headers = Some(value),
            _ => {}
        })?;
        scan.headers.map_or(Ok(()), table::check)?;
        Ok(scan)
    }

    /// Takes raw properties that were parsed or scanned before. Of malformed ones some or all are
    /// missing.
    pub fn of_message(raw: &'a [u8]) -> Self {
        Self::open(raw).unwrap_or(Properties::EMPTY)
    }

    /// Splits the flags from the list.
    #[inline]
    fn open(raw: &'a [u8]) -> Result<Self, PropertiesError> {
        let mut list = Reader(raw);
        let flags = list.short().ok_or(PropertiesError::Truncated)?;
        let mut last = flags;
        while last & MORE_FLAGS != 0 {
            last = list.short().ok_or(PropertiesError::Truncated)?;
            if last & !MORE_FLAGS != 0 {
                return Err(PropertiesError::UnknownFlags);
            }
        }
        Ok(Self { raw, flags, list })
    }

    /// Visits the properties that are there, in order.
    #[inline]
    fn walk(self, mut visit: impl FnMut(Property, &'a [u8])) -> Result<(), PropertiesError> {
        let mut list = self.list;
        let mut left = self.flags & KNOWN_FLAGS;
        while let Some(&property) = Property::ALL.get(left.leading_zeros() as usize) {
            left &= !property.flag();
            visit(property, property.read(&mut list).ok_or(PropertiesError::Truncated)?);
        }
        if list.is_empty() { Ok(()) } else { Err(PropertiesError::Trailing) }
    }

    /// The raw bytes: flags and list.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether a property is there.
    pub fn has(&self, property: Property) -> bool {
        self.flags & property.flag() != 0
    }

    /// A property's value as it lies in the list, without a length before it.
    pub fn get(&self, property: Property) -> Option<&'a [u8]> {
        if !self.has(property) {
            return None;
        }
        let mut list = self.list;
        let before = Property::ALL.into_iter().take_while(|other| *other < property);
        for other in before.filter(|other| self.has(*other)) {
            other.read(&mut list)?;
        }
        property.read(&mut list)
    }

    /// MIME type of the body.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.get(Property::ContentType)
    }

    /// MIME encoding of the body.
    pub fn content_encoding(&self) -> Option<&'a [u8]> {
        self.get(Property::ContentEncoding)
    }

    /// The headers table, raw, without its length.
    pub fn headers(&self) -> Option<&'a [u8]> {
        self.get(Property::Headers)
    }

    /// 2 if persistent.
    pub fn delivery_mode(&self) -> Option<u8> {
        self.get(Property::DeliveryMode).map(octet)
    }

    /// The priority.
    pub fn priority(&self) -> Option<u8> {
        self.get(Property::Priority).map(octet)
    }

    /// The application's.
    pub fn correlation_id(&self) -> Option<&'a [u8]> {
        self.get(Property::CorrelationId)
    }

    /// The queue for the answer.
    pub fn reply_to(&self) -> Option<&'a [u8]> {
        self.get(Property::ReplyTo)
    }

    /// Milliseconds to live, as decimal digits.
    pub fn expiration(&self) -> Option<&'a [u8]> {
        self.get(Property::Expiration)
    }

    /// The application's.
    pub fn message_id(&self) -> Option<&'a [u8]> {
        self.get(Property::MessageId)
    }

    /// Seconds since 1970.
    pub fn timestamp(&self) -> Option<u64> {
        Reader(self.get(Property::Timestamp)?).longlong()
    }

    /// Who sent it.
    pub fn user_id(&self) -> Option<&'a [u8]> {
        self.get(Property::UserId)
    }

    /// The application's.
    pub fn app_id(&self) -> Option<&'a [u8]> {
        self.get(Property::AppId)
    }

    /// Deprecated.
    pub fn cluster_id(&self) -> Option<&'a [u8]> {
        self.get(Property::ClusterId)
    }

    /// Raw properties in which some are put (`Some`) or taken away (`None`) and all others are what
    /// they were. Values are as [`get`](Self::get) gives them: a raw table for the headers, one
    /// octet for delivery mode and priority, eight for the timestamp.
    pub fn with(&self, changes: &[(Property, Option<&[u8]>)]) -> Vec<u8> {
        let added: usize = changes.iter().filter_map(|(_, value)| *value).map(<[u8]>::len).sum();
        let mut raw = Vec::with_capacity(self.raw.len() + added + 4 * changes.len());
        // All words of flags; the first is written over when it is known.
        let words = self.raw.len() - self.list.0.len();
        raw.extend_from_slice(self.raw.get(..words).unwrap_or_default());
        let mut flags = self.flags;
        for property in Property::ALL {
            let change = changes.iter().rev().find(|(changed, _)| *changed == property);
            match change.map_or_else(|| self.get(property), |(_, value)| *value) {
                Some(value) => {
                    flags |= property.flag();
                    property.write(&mut raw, value);
                }
                None => flags &= !property.flag(),
            }
        }
        if let Some(first) = raw.first_chunk_mut() {
            *first = flags.to_be_bytes();
        }
        raw
    }

    /// Raw properties with these headers (raw, without length), or with none.
    pub fn with_headers(&self, table: Option<&[u8]>) -> Vec<u8> {
        self.with(&[(Property::Headers, table)])
    }

    /// Raw properties with this reply-to.
    pub fn with_reply_to(&self, queue: &[u8]) -> Vec<u8> {
        self.with(&[(Property::ReplyTo, Some(queue))])
    }

    /// Raw properties whose headers lack `key`; the headers stay, even if empty, as for RabbitMQ.
    pub fn without_header(&self, key: &[u8]) -> Vec<u8> {
        match self.headers() {
            None => self.raw.to_vec(),
            Some(headers) => self.with_headers(Some(&table::remove(headers, key))),
        }
    }
}

/// The value of a property of one octet.
#[inline]
fn octet(value: &[u8]) -> u8 {
    value.first().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content type "a/b", headers {k: void}, delivery mode 2, reply-to "r", expiration "60000".
    const RAW: &[u8] = b"\xb3\x00\x03a/b\x00\x00\x00\x03\x01kV\x02\x01r\x0560000";

    #[test]
    fn scan_finds_what_the_broker_needs() {
        let expected = Scan {
            delivery_mode: 2,
            priority: 0,
            expiration: Some(b"60000"),
            user_id: None,
            reply_to: Some(b"r"),
            headers: Some(b"\x01kV"),
        };
        assert_eq!(Properties::scan(RAW), Ok(expected));
    }

    #[test]
    fn getters_find_what_is_there_and_nothing_else() {
        let properties = Properties::parse(RAW).unwrap();
        assert_eq!(properties.content_type(), Some(&b"a/b"[..]));
        assert_eq!(properties.headers(), Some(&b"\x01kV"[..]));
        assert_eq!(properties.delivery_mode(), Some(2));
        assert_eq!(properties.reply_to(), Some(&b"r"[..]));
        assert_eq!(properties.expiration(), Some(&b"60000"[..]));
        assert_eq!(properties.priority(), None);
        assert_eq!(properties.timestamp(), None);
        assert_eq!(properties.cluster_id(), None);
    }

    #[test]
    fn no_properties_are_legal() {
        assert_eq!(Properties::scan(&[0, 0]), Ok(Scan::default()));
        assert_eq!(Properties::parse(&[0, 0]), Ok(Properties::EMPTY));
    }

    #[test]
    fn every_truncation_is_an_error() {
        for len in 0..RAW.len() {
            assert_eq!(Properties::scan(&RAW[..len]), Err(PropertiesError::Truncated));
            let _ = Properties::of_message(&RAW[..len]).expiration();
        }
    }

    #[test]
    fn octets_behind_the_last_property_are_an_error() {
        assert_eq!(Properties::scan(&[RAW, b"!"].concat()), Err(PropertiesError::Trailing));
    }

    #[test]
    fn headers_must_be_a_table() {
        let raw = b"\x20\x00\0\0\0\x03\x01kU";
        let error = PropertiesError::Headers(TableError::UnknownType { tag: b'U' });
        assert_eq!(Properties::scan(raw), Err(error));
        assert_eq!(Properties::parse(raw), Err(error));
    }

    #[test]
    fn further_words_of_flags_are_skipped_if_they_say_nothing() {
        let raw = b"\x10\x01\x00\x01\x00\x00\x02";
        assert_eq!(Properties::scan(raw).map(|scan| scan.delivery_mode), Ok(2));
        let edited = Properties::parse(raw).unwrap().with(&[(Property::Priority, Some(&[9]))]);
        assert_eq!(edited, b"\x18\x01\x00\x01\x00\x00\x02\x09");
        assert_eq!(Properties::scan(b"\x00\x01\x80\x00"), Err(PropertiesError::UnknownFlags));
        assert_eq!(Properties::scan(b"\x00\x01"), Err(PropertiesError::Truncated));
    }

    #[test]
    fn edits_keep_all_other_properties() {
        let properties = Properties::parse(RAW).unwrap();
        assert_eq!(
            properties.with(&[(Property::Expiration, None)]),
            b"\xb2\x00\x03a/b\x00\x00\x00\x03\x01kV\x02\x01r"
        );
        assert_eq!(properties.with_headers(None), b"\x93\x00\x03a/b\x02\x01r\x0560000");
        assert_eq!(
            properties.with_reply_to(b"other"),
            b"\xb3\x00\x03a/b\x00\x00\x00\x03\x01kV\x02\x05other\x0560000"
        );
        assert_eq!(
            properties.without_header(b"k"),
            b"\xb3\x00\x03a/b\x00\x00\x00\x00\x02\x01r\x0560000"
        );
        assert_eq!(properties.with(&[]), RAW);
    }

    #[test]
    fn properties_are_built_from_nothing() {
        let raw = Properties::EMPTY.with(&[
            (Property::DeliveryMode, Some(&[2])),
            (Property::ContentType, Some(b"a/b")),
            (Property::Timestamp, Some(&256_u64.to_be_bytes())),
        ]);
        let properties = Properties::parse(&raw).unwrap();
        assert_eq!(properties.content_type(), Some(&b"a/b"[..]));
        assert_eq!(properties.delivery_mode(), Some(2));
        assert_eq!(properties.timestamp(), Some(256));
    }
}
