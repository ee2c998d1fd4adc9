//! One message as bytes in a page.
//!
//! ```text
//! flags u8 | priority u8, if any | exchange shortstr | routing key shortstr
//!          | properties length varint | body length varint | properties | body
//! ```
//!
//! Everything here reads what lies on a disk, so nothing here may panic: whatever does not parse
//! is `None`, and the caller says where it stood.

use bytes::Bytes;

use crate::message::{INLINE_BODY_MAX, Message, Traits};

/// The message's `delivery_mode` was 2.
const PERSISTENT: u8 = 1;
/// A priority byte follows the flags.
const PRIORITY: u8 = 2;
/// The message had come back before it was written.
const RETURNED: u8 = 4;
/// The body lies in rows of its own, not behind the properties.
const CHUNKED: u8 = 8;

/// The header `x-death` is the broker's own.
const DEATHS: u8 = 16;

/// Appends `value` in seven-bit groups, lowest first.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
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
    pub(super) is_returned: bool,
    address: &'a [u8],
    properties: &'a [u8],
    pub(super) body_len: usize,
    /// The body, unless it lies in rows of its own.
    body: Option<&'a [u8]>,
}

/// Appends `message` to `out`; without its body when `is_chunked`.
pub(super) fn put_record(
    out: &mut Vec<u8>,
    message: &Message,
    is_returned: bool,
    is_chunked: bool,
) {
    let priority = message.priority();
    let flags = [
        (message.is_persistent(), PERSISTENT),
        (priority != 0, PRIORITY),
        (is_returned, RETURNED),
        (is_chunked, CHUNKED),
        (message.has_deaths(), DEATHS),
    ];
    out.push(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum());
    if priority != 0 {
        out.push(priority);
    }
    out.extend_from_slice(message.address());
    put_varint(out, message.properties().len() as u64);
    put_varint(out, message.body_len() as u64);
    out.extend_from_slice(message.properties());
    if !is_chunked {
        message.body().for_each(|part| out.extend_from_slice(part));
    }
}

/// Takes one message off the front of `bytes`.
pub(super) fn take_record<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let flags = take(bytes, 1)?[0];
    if flags & !(PERSISTENT | PRIORITY | RETURNED | CHUNKED | DEATHS) != 0 {
        return None;
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
        },
        is_returned: flags & RETURNED != 0,
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

/// Marks the record at the front of `bytes` as having come back.
pub(super) fn mark_returned(bytes: &mut [u8]) {
    if let Some(flags) = bytes.first_mut() {
        *flags |= RETURNED;
    }
}
