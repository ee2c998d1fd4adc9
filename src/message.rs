//! A message as it travels: the bytes that came in, kept as they came.
//!
//! Floor 2. What `basic.publish` carries for exchange and routing key is, byte for byte, what
//! `basic.deliver` carries for them, and the content header's properties are forwarded as they
//! are. So a message is one shared allocation of raw wire bytes, cloned by a reference count:
//!
//! ```text
//! exchange shortstr | routing key shortstr | property flags and list | body, when it is inline
//! ```
//!
//! Bodies above [`INLINE_BODY_MAX`] stay in the buffers they were read into.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;

use crate::wire::{
    properties::Properties,
    table::{RawArray, RawTable, RawValue},
};

/// Bodies up to this many bytes are copied beside the header; longer ones are kept as the chunks
/// that they were read in.
pub const INLINE_BODY_MAX: usize = 16 * 1024;

/// A message: address, properties, body. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Arc<[u8]>,
    /// The body, when it is not inline.
    chunks: Option<Arc<[Bytes]>>,
    /// Where the properties begin in `bytes`; the routing key starts right behind the exchange.
    properties_at: u16,
    /// Where the body begins in `bytes`; its end when the body is in `chunks`.
    body_at: u32,
    traits: Traits,
}

/// What a message needs besides its bytes, as read from its properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// `delivery_mode` was 2.
    pub is_persistent: bool,
    /// The `priority` property, 0 when absent.
    pub priority: u8,
    /// Whether the header `x-death` is the broker's own.
    pub has_deaths: bool,
    /// Whether the header `BCC` holds routing keys that no client is to see.
    pub has_blind_keys: bool,
    /// Whether the routing key is the only one, whatever `CC` and `BCC` say: a queue's key for its
    /// dead letters took the place of all.
    pub has_one_key: bool,
}

impl Message {
    /// Assembles a message by copying `address` (the two short strings in wire form), `properties`
    /// (flags and list in wire form) and `body` into one allocation. `scratch` is cleared and
    /// reused, so that the message itself is the only allocation.
    pub fn copied(
        address: &[u8],
        properties: &[u8],
        body: &[&[u8]],
        traits: Traits,
        scratch: &mut Vec<u8>,
    ) -> Self {
        debug_assert!(Self::is_address(address));
        scratch.clear();
        scratch.extend_from_slice(address);
        scratch.extend_from_slice(properties);
        let body_at = scratch.len();
        for part in body {
            scratch.extend_from_slice(part);
        }
        Self::with(Arc::from(&scratch[..]), None, address.len(), body_at, traits)
    }

    /// Assembles a message whose body stays in the buffers it was read into.
    pub fn chunked(address: &[u8], properties: &[u8], body: Vec<Bytes>, traits: Traits) -> Self {
        debug_assert!(Self::is_address(address));
        let bytes: Arc<[u8]> = [address, properties].concat().into();
        let body_at = bytes.len();
        Self::with(bytes, Some(body.into()), address.len(), body_at, traits)
    }

    /// Assembles a message whose body is in one piece.
    pub fn whole(address: &[u8], properties: &[u8], body: Bytes, traits: Traits) -> Self {
        if body.len() <= INLINE_BODY_MAX {
            return Self::copied(address, properties, &[&body], traits, &mut Vec::new());
        }
        Self::chunked(address, properties, vec![body], traits)
    }

    /// The same body under another address and with other properties.
    pub fn readdressed(&self, address: &[u8], properties: &[u8], traits: Traits) -> Self {
        if let Some(chunks) = &self.chunks {
            return Self::chunked(address, properties, chunks.to_vec(), traits);
        }
        let body = self.inline_body().unwrap_or_default();
        Self::copied(address, properties, &[body], traits, &mut Vec::new())
    }

    fn with(
        bytes: Arc<[u8]>,
        chunks: Option<Arc<[Bytes]>>,
        properties_at: usize,
        body_at: usize,
        traits: Traits,
    ) -> Self {
        Self { bytes, chunks, properties_at: properties_at as u16, body_at: body_at as u32, traits }
    }

    /// Whether `bytes` are exactly two short strings in wire form.
    fn is_address(bytes: &[u8]) -> bool {
        let Some(&exchange_len) = bytes.first() else { return false };
        let Some(&key_len) = bytes.get(1 + usize::from(exchange_len)) else { return false };
        bytes.len() == 2 + usize::from(exchange_len) + usize::from(key_len)
    }

    /// The address in wire form: exchange and routing key, each a short string.
    pub fn address(&self) -> &[u8] {
        &self.bytes[..usize::from(self.properties_at)]
    }

    /// The exchange the message was published to.
    pub fn exchange(&self) -> &[u8] {
        &self.bytes[1..=usize::from(self.bytes[0])]
    }

    /// The routing key the message was published with.
    pub fn routing_key(&self) -> &[u8] {
        &self.bytes[2 + usize::from(self.bytes[0])..usize::from(self.properties_at)]
    }

    /// The content header's property flags and property list, in wire form. Clients are sent
    /// [`Self::shown_properties`].
    pub fn properties(&self) -> &[u8] {
        &self.bytes[usize::from(self.properties_at)..self.body_at as usize]
    }

    /// The properties as clients may see them: without the header `BCC` (BA-011).
    pub fn shown_properties(&self) -> Cow<'_, [u8]> {
        if self.traits.has_blind_keys {
            return Properties::of_message(self.properties()).without_header(b"BCC").into();
        }
        self.properties().into()
    }

    /// The keys by which the message is routed: its own, and those in its headers (BA-010, BA-011).
    pub fn routing_keys(&self) -> Vec<&[u8]> {
        let mut keys = vec![self.routing_key()];
        if !self.traits.has_one_key {
            keys.extend(self.keys_in(b"CC").chain(self.keys_in(b"BCC")));
        }
        keys
    }

    /// The routing keys in one of its headers.
    pub fn keys_in(&self, header: &[u8]) -> impl Iterator<Item = &[u8]> {
        let headers = Properties::of_message(self.properties()).headers().map(RawTable);
        let array = headers.and_then(|headers| headers.get(header)?.as_array());
        array.into_iter().flat_map(RawArray::iter).filter_map(RawValue::as_longstr)
    }

    /// The body in the pieces it is stored in; one piece, perhaps empty, when it is inline.
    pub fn body(&self) -> impl Iterator<Item = &[u8]> {
        let inline = self.chunks.is_none().then(|| &self.bytes[self.body_at as usize..]);
        inline.into_iter().chain(self.chunks.iter().flat_map(|c| c.iter().map(|b| &b[..])))
    }

    /// The body, when it lies in one piece beside the header.
    pub fn inline_body(&self) -> Option<&[u8]> {
        self.chunks.is_none().then(|| &self.bytes[self.body_at as usize..])
    }

    /// The body's chunks, when it is not inline.
    pub fn body_chunks(&self) -> Option<&[Bytes]> {
        self.chunks.as_deref()
    }

    /// Bytes of the body.
    pub fn body_len(&self) -> usize {
        match &self.chunks {
            None => self.bytes.len() - self.body_at as usize,
            Some(chunks) => chunks.iter().map(Bytes::len).sum(),
        }
    }

    /// Bytes of memory that the message keeps alive, near enough to budget with.
    pub fn footprint(&self) -> usize {
        self.bytes.len() + self.chunks.as_ref().map_or(0, |_| self.body_len()) + size_of::<Self>()
    }

    /// Whether `delivery_mode` was 2.
    pub fn is_persistent(&self) -> bool {
        self.traits.is_persistent
    }

    /// The `priority` property, 0 when absent.
    pub fn priority(&self) -> u8 {
        self.traits.priority
    }

    /// Whether the header `x-death` is the broker's own, and not something a client made up.
    pub fn has_deaths(&self) -> bool {
        self.traits.has_deaths
    }

    /// What the message's properties said of it, and what the broker knows.
    pub fn traits(&self) -> Traits {
        self.traits
    }
}

/// Exchange and routing key in wire form. What is beyond 255 bytes of either is cut off.
pub fn address(exchange: &[u8], key: &[u8]) -> Vec<u8> {
    let mut address = Vec::with_capacity(exchange.len() + key.len() + 2);
    for text in [exchange, key] {
        let text = text.get(..255).unwrap_or(text);
        address.push(text.len() as u8);
        address.extend_from_slice(text);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &[u8] = b"\x02ex\x03key";

    #[test]
    fn copied_message_gives_back_its_parts() {
        let traits = Traits { is_persistent: true, priority: 7, ..Traits::default() };
        let message =
            Message::copied(ADDRESS, b"props", &[b"one", b"", b"two"], traits, &mut Vec::new());
        assert_eq!(message.address(), ADDRESS);
        assert_eq!(message.exchange(), b"ex");
        assert_eq!(message.routing_key(), b"key");
        assert_eq!(message.properties(), b"props");
        assert_eq!(message.inline_body(), Some(&b"onetwo"[..]));
        assert_eq!(message.body().collect::<Vec<_>>().concat(), b"onetwo");
        assert_eq!(message.body_len(), 6);
        assert_eq!(message.traits(), traits);
    }

    #[test]
    fn chunked_message_keeps_its_chunks() {
        let body = vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        let message = Message::chunked(ADDRESS, b"p", body, Traits::default());
        assert_eq!(message.inline_body(), None);
        assert_eq!(message.body_len(), 5);
        assert_eq!(message.body().collect::<Vec<_>>().concat(), b"abcde");
        assert_eq!(message.properties(), b"p");
    }

    #[test]
    fn a_whole_body_is_inline_if_it_is_short() {
        for (len, is_inline) in [(0, true), (INLINE_BODY_MAX, true), (INLINE_BODY_MAX + 1, false)] {
            let body = Bytes::from(vec![7; len]);
            let message = Message::whole(ADDRESS, b"p", body.clone(), Traits::default());
            assert_eq!(message.inline_body().is_some(), is_inline);
            assert_eq!(message.body().collect::<Vec<_>>().concat(), body);
        }
    }

    #[test]
    fn an_address_is_two_short_strings() {
        assert_eq!(address(b"ex", b"key"), ADDRESS);
        assert_eq!(address(&[b'x'; 300], b"").len(), 257);
    }

    #[test]
    fn empty_names_and_body_are_legal() {
        let message = Message::copied(b"\0\0", b"\0\0", &[], Traits::default(), &mut Vec::new());
        assert_eq!(message.exchange(), b"");
        assert_eq!(message.routing_key(), b"");
        assert_eq!(message.body_len(), 0);
        assert_eq!(message.body().collect::<Vec<_>>().concat(), b"");
    }
}
