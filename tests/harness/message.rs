//! What the broker sends, taken apart.

use std::{collections::BTreeSet, fmt};

use super::{Method, Properties, Table};

pub(super) const RETURN: (u16, u16) = (60, 50);
pub(crate) const DELIVER: (u16, u16) = (60, 60);
pub(super) const GET_OK: (u16, u16) = (60, 71);

/// What came on a channel: a method, and the content that belongs to it.
#[derive(Clone)]
pub(crate) struct Incoming {
    pub(crate) method: Method,
    pub(super) content: Option<(Properties, Vec<u8>)>,
    /// Sizes of the body frames, in order.
    pub(super) bodies: Vec<usize>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.method)?;
        match &self.content {
            Some((_, body)) => {
                let start = &body[..body.len().min(40)];
                write!(f, " with {:?}", String::from_utf8_lossy(start))
            }
            None => Ok(()),
        }
    }
}

/// A message that came back: delivered, got, or returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    pub(crate) consumer_tag: String,
    pub(crate) delivery_tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    /// Ready messages left behind, with basic.get.
    pub(crate) left: u32,
    /// Code and text of a basic.return.
    pub(crate) returned: Option<(u16, String)>,
    pub(crate) properties: Properties,
    pub(crate) body: Vec<u8>,
    /// Sizes of the body frames it came in.
    pub(crate) body_frames: Vec<usize>,
}

impl Message {
    pub(crate) fn parse(incoming: Incoming) -> Self {
        let (properties, body) = incoming.content.expect("the method carries content");
        let mut out = Self { properties, body, body_frames: incoming.bodies, ..Self::default() };
        let mut read = incoming.method.read();
        match incoming.method.id {
            RETURN => out.returned = Some((read.short(), read.short_string())),
            DELIVER => {
                out.consumer_tag = read.short_string();
                (out.delivery_tag, out.redelivered) = (read.longlong(), read.octet() != 0);
            }
            _ => (out.delivery_tag, out.redelivered) = (read.longlong(), read.octet() != 0),
        }
        out.exchange = read.short_string();
        out.routing_key = read.short_string();
        if incoming.method.id == GET_OK {
            out.left = read.long();
        }
        assert!(read.is_empty(), "{} has arguments to spare", incoming.method);
        out
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The headers in the order of their keys.
    pub(crate) fn headers(&self) -> Table {
        self.properties.headers.clone().unwrap_or_default().sorted()
    }
}

/// The answer to queue.declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) queue: String,
    pub(crate) messages: u32,
    pub(crate) consumers: u32,
}

/// What the broker decided about the publishes of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confirms {
    pub(crate) acked: BTreeSet<u64>,
    pub(crate) nacked: BTreeSet<u64>,
    /// Messages that came back meanwhile.
    pub(crate) returned: usize,
}
