//! One message as bytes in a page.
//!
//! ```text
//! flags u8 | returns u16, failures u16, ready at u64, if any | expiry u64, if any
//!          | priority u8, if any | exchange shortstr | routing key shortstr
//!          | properties length varint | body length varint | properties | body
//! ```
//!
//! Everything here reads what lies on a disk, so nothing here may panic: whatever does not parse
//! is `None`, and the caller says where it stood.

use bytes::Bytes;

use super::{op::Standing, state::Returns};
use crate::message::{INLINE_BODY_MAX, Message, Traits};

/// The message's `delivery_mode` was 2.
const PERSISTENT: u8 = 1;
/// A priority byte follows the flags.
const PRIORITY: u8 = 2;
/// The message had come back before it was written: how often, how often in vain, and when it is
/// ready again follows.
const RETURNED: u8 = 4;
/// The body lies in rows of its own, not behind the properties.
const CHUNKED: u8 = 8;
/// The header `x-death` is the broker's own.
const DEATHS: u8 = 16;
/// When the message expires follows.
const EXPIRES: u8 = 32;
/// The header `BCC` is not for clients.
const BLIND_KEYS: u8 = 64;
/// The routing key is the only one.
const ONE_KEY: u8 = 128;

/// Bytes that a record grows by, at most, when it is noted that its message came back.
pub(super) const RETURNS_LEN: usize = 12;

/// Where bytes are put: a vector, or a row of known length.
pub(super) trait Out {
    /// Puts `bytes` behind what is there.
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Out for &mut [u8] {
    fn put(&mut self, bytes: &[u8]) {
        let (taken, rest) = std::mem::take(self).split_at_mut(bytes.len());
        taken.copy_from_slice(bytes);
        *self = rest;
    }
}

/// Puts `value` in seven-bit groups, lowest first.
pub(super) fn put_varint(out: &mut impl Out, mut value: u64) {
    while value >= 0x80 {
        out.put(&[value as u8 | 0x80]);
        value >>= 7;
    }
    out.put(&[value as u8]);
}

/// Bytes that [`put_varint`] needs for `value`.
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Takes a number off the front of `bytes`.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes `count` bytes off the front of `bytes`.
pub(super) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn take_len(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_varint(bytes)?).ok()
}

/// A message as it lies in a page, still in the page's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) traits: Traits,
    pub(super) standing: Standing,
    address: &'a [u8],
    properties: &'a [u8],
    pub(super) body_len: usize,
    /// The body, unless it lies in rows of its own.
    body: Option<&'a [u8]>,
}

fn has_returns(standing: Standing) -> bool {
    standing.returns != 0 || standing.ready_at != 0
}

/// Puts `message`; without its body when `is_chunked`.
pub(super) fn put_record(
    out: &mut impl Out,
    message: &Message,
    standing: Standing,
    is_chunked: bool,
) {
    let priority = message.priority();
    let flags = [
        (message.is_persistent(), PERSISTENT),
        (priority != 0, PRIORITY),
        (has_returns(standing), RETURNED),
        (is_chunked, CHUNKED),
        (message.has_deaths(), DEATHS),
        (standing.expires_at != 0, EXPIRES),
        (message.traits().has_blind_keys, BLIND_KEYS),
        (message.traits().has_one_key, ONE_KEY),
    ];
    out.put(&[flags.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum()]);
    if has_returns(standing) {
        out.put(&standing.returns.to_le_bytes());
        out.put(&standing.failures.to_le_bytes());
        out.put(&standing.ready_at.to_le_bytes());
    }
    if standing.expires_at != 0 {
        out.put(&standing.expires_at.to_le_bytes());
    }
    if priority != 0 {
        out.put(&[priority]);
    }
    out.put(message.address());
    put_varint(out, message.properties().len() as u64);
    put_varint(out, message.body_len() as u64);
    out.put(message.properties());
    if !is_chunked {
        message.body().for_each(|part| out.put(part));
    }
}

/// Bytes that [`put_record`] needs.
pub(super) fn record_len(message: &Message, standing: Standing, is_chunked: bool) -> usize {
    let (properties, body) = (message.properties().len(), message.body_len());
    1 + usize::from(message.priority() != 0)
        + if has_returns(standing) { RETURNS_LEN } else { 0 }
        + if standing.expires_at == 0 { 0 } else { 8 }
        + message.address().len()
        + varint_len(properties as u64)
        + varint_len(body as u64)
        + properties
        + if is_chunked { 0 } else { body }
}

/// Takes one message off the front of `bytes`.
pub(super) fn take_record<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let flags = take(bytes, 1)?[0];
    let mut standing = Standing::default();
    if flags & RETURNED != 0 {
        standing.returns = u16::from_le_bytes(take(bytes, 2)?.try_into().ok()?);
        standing.failures = u16::from_le_bytes(take(bytes, 2)?.try_into().ok()?);
        standing.ready_at = u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
    }
    if flags & EXPIRES != 0 {
        standing.expires_at = u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
    }
    let priority = if flags & PRIORITY == 0 { 0 } else { take(bytes, 1)?[0] };
    let start = *bytes;
    for _ in 0..2 {
        let len = take(bytes, 1)?[0];
        take(bytes, usize::from(len))?;
    }
    let address = &start[..start.len() - bytes.len()];
    let properties_len = take_len(bytes)?;
    let body_len = take_len(bytes)?;
    let properties = take(bytes, properties_len)?;
    let body = if flags & CHUNKED == 0 { Some(take(bytes, body_len)?) } else { None };
    Some(Record {
        traits: Traits {
            is_persistent: flags & PERSISTENT != 0,
            priority,
            has_deaths: flags & DEATHS != 0,
            has_blind_keys: flags & BLIND_KEYS != 0,
            has_one_key: flags & ONE_KEY != 0,
        },
        standing,
        address,
        properties,
        body_len,
        body,
    })
}

impl Record<'_> {
    /// Whether the body has to be fetched from rows of its own.
    pub(super) fn is_chunked(&self) -> bool {
        self.body.is_none()
    }

    /// The message, its body taken from `chunks` when it is not in the page.
    pub(super) fn message(&self, chunks: Vec<Bytes>, scratch: &mut Vec<u8>) -> Message {
        match self.body {
            Some(body) if body.len() <= INLINE_BODY_MAX => {
                Message::copied(self.address, self.properties, &[body], self.traits, scratch)
            }
            Some(body) => {
                let body = vec![Bytes::copy_from_slice(body)];
                Message::chunked(self.address, self.properties, body, self.traits)
            }
            None => Message::chunked(self.address, self.properties, chunks, self.traits),
        }
    }
}

/// Appends a record as it lies in a page, but having come back as often as `returns` says.
pub(super) fn put_returned(out: &mut Vec<u8>, record: &[u8], returns: Returns) {
    let Some((flags, rest)) = record.split_first() else { return };
    let known = if flags & RETURNED == 0 { 0 } else { RETURNS_LEN };
    out.push(flags | RETURNED);
    out.extend_from_slice(&returns.times.to_le_bytes());
    out.extend_from_slice(&returns.failures.to_le_bytes());
    out.extend_from_slice(&returns.ready_at.to_le_bytes());
    out.extend_from_slice(rest.get(known..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varint_comes_back_and_has_its_length(shift in 0u32..64, value: u64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            let rest = &mut &bytes[..];
            prop_assert_eq!(take_varint(rest), Some(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn message_comes_back_and_has_its_length(
            body in prop::collection::vec(any::<u8>(), 0..300),
            properties in prop::collection::vec(any::<u8>(), 0..300),
            is_persistent: bool,
            (returns, failures) in any::<(u16, u16)>(),
            (expires_at, ready_at) in any::<(u64, u64)>(),
            is_chunked: bool,
            priority in 0u8..3,
        ) {
            let traits = Traits {
                is_persistent,
                priority,
                has_deaths: failures % 2 == 1,
                has_blind_keys: failures % 3 == 1,
                has_one_key: failures % 5 == 1,
            };
            let returns = if ready_at == 0 { returns } else { returns / 2 };
            let failures = if returns == 0 && ready_at == 0 { 0 } else { failures };
            // One that never came back may be one that waits for ever.
            let standing = Standing { expires_at, ready_at, returns, failures };
            let mut scratch = Vec::new();
            let message =
                Message::copied(b"\x02ex\x03key", &properties, &[&body], traits, &mut scratch);
            let mut bytes = Vec::new();
            put_record(&mut bytes, &message, standing, is_chunked);
            prop_assert_eq!(bytes.len(), record_len(&message, standing, is_chunked));
            for len in 0..bytes.len() {
                prop_assert!(take_record(&mut &bytes[..len]).is_none());
            }
            let record = take_record(&mut &bytes[..]).unwrap();
            prop_assert_eq!(record.standing, standing);
            let mut again = Vec::new();
            put_returned(&mut again, &bytes, Returns { times: 3, failures: 2, ready_at: 1 });
            let again = take_record(&mut &again[..]).unwrap();
            let standing = Standing { expires_at, ready_at: 1, returns: 3, failures: 2 };
            prop_assert_eq!(again.standing, standing);
            prop_assert_eq!(again.address, record.address);
            prop_assert_eq!(again.body, record.body);
            prop_assert_eq!(record.is_chunked(), is_chunked);
            let read = record.message(vec![body.clone().into()], &mut scratch);
            prop_assert_eq!(read.traits(), traits);
            prop_assert_eq!(read.address(), message.address());
            prop_assert_eq!(read.properties(), &properties[..]);
            prop_assert_eq!(read.body().collect::<Vec<_>>().concat(), body);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = take_record(&mut &bytes[..]);
        }
    }
}
