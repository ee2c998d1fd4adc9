//! The types of exchanges: how a message finds what it is bound to.
//!
//! Floor 4. A type is one file that implements [`ExchangeType`] and one line of [`REGISTRY`]. It
//! knows its bindings and matches messages against them. Names, durability and lifetime are the
//! topology's, which knows the ends of bindings by number and hands them over as [`Target`]s.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    broker::{
        Error, arguments::QueueType, delay::DelayLog, error::Kind, log::Backing, queue::Effects,
    },
    clock::UnixTime,
    message::Message,
    names::CommitSeq,
    wire::{properties::Properties, table::Table},
};

pub use self::{
    deduplication::{Key, deduplication_key},
    header::{HeaderValue, Headers},
    recent_history::History,
    targets::{Target, TargetSet},
};

mod consistent_hash;
mod deduplication;
pub(super) mod delayed;
mod direct;
mod fanout;
mod hash;
mod header;
mod headers;
mod modulus_hash;
mod random;
mod recent_history;
mod targets;
mod topic;

/// A kind of exchange, with its bindings.
pub trait ExchangeType: fmt::Debug + Send + Sync {
    /// Whether a binding makes sense to this type. Called before every [`bind`](Self::bind).
    ///
    /// # Errors
    /// [`Error::InvalidBinding`].
    fn check_binding(&self, _key: &[u8], _arguments: &Table) -> Result<(), Error> {
        Ok(())
    }

    /// Whether a binding may lead to such a thing; the type is that of a queue.
    ///
    /// # Errors
    /// [`Error::InvalidBinding`].
    fn check_destination(&self, _kind: Kind, _queue_type: Option<QueueType>) -> Result<(), Error> {
        Ok(())
    }

    /// Whether it keeps something of the messages, for which it needs [`Backing`].
    fn needs_log(&self) -> bool {
        false
    }

    /// Gets what it needs to work. Called once, before the first binding.
    fn fit(&mut self, _fittings: &Fittings<'_>) {}

    /// The exchange is deleted: what was kept of its messages goes.
    fn end(&mut self) {}

    /// The messages that a new binding is to be given, if any are.
    fn history(&self) -> Option<Arc<History>> {
        None
    }

    /// How many messages wait in it, if any can.
    fn waiting_count(&self) -> Option<u64> {
        None
    }

    /// Adds a binding, which is not there yet.
    fn bind(&mut self, binding: BindingRef<'_>);

    /// Removes a binding, which was added with exactly these contents.
    fn unbind(&mut self, binding: BindingRef<'_>);

    /// Adds what the message matches to `out`, each perhaps several times.
    fn route(&self, message: &View<'_>, out: &mut Matches);

    /// Whether the keys alone decide where a message goes, so that the answer may be kept until
    /// the topology changes.
    fn is_cacheable(&self) -> bool {
        true
    }
}

/// A binding, as an exchange type sees it.
#[derive(Clone, Copy, Debug)]
pub struct BindingRef<'a> {
    /// A number that no other binding of the topology has while this one is there.
    pub id: u32,
    /// Where it leads.
    pub target: Target,
    /// The name of the queue or exchange that it leads to: what is the same in every process.
    pub name: &'a str,
    /// The binding key.
    pub key: &'a [u8],
    /// The arguments.
    pub arguments: &'a Table,
}

/// What an exchange type may know of a message.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The routing key and, behind it, the keys of `CC` and `BCC`.
    pub keys: &'a [&'a [u8]],
    /// The message's headers, unless it has none.
    pub headers: Option<&'a dyn Headers>,
    /// The message's properties, where they are known.
    pub properties: Option<Properties<'a>>,
    /// What time it is.
    pub time: UnixTime,
}

impl<'a> View<'a> {
    /// A message with these keys and headers, and nothing else.
    pub fn new(keys: &'a [&'a [u8]], headers: Option<&'a dyn Headers>) -> Self {
        Self { keys, headers, properties: None, time: UnixTime::default() }
    }

    /// The value of a header.
    pub fn header(&self, wanted: &[u8]) -> Option<HeaderValue<'a>> {
        let mut found = None;
        self.headers?.each(&mut |name, value| {
            if name == wanted {
                found = Some(value);
            }
        });
        found
    }
}

/// What an exchange gets to work with.
#[derive(Clone, Debug)]
pub struct Fittings<'a> {
    /// What random numbers begin at.
    pub seed: u64,
    /// The exchange's name.
    pub name: &'a str,
    /// For a type that needs a log: where it is.
    pub backing: Option<Backing>,
}

#[cfg(test)]
impl Fittings<'_> {
    fn none() -> Self {
        Self { seed: 0, name: "", backing: None }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What a message matched, and memory that matching can reuse.
#[derive(Debug, Default)]
pub struct Matches {
    /// The targets, in the order they were found in, some of them perhaps repeated.
    pub targets: Vec<Target>,
    /// What else is to become of the message.
    pub taps: Vec<Tap>,
    /// Whether the exchange that was asked last keeps the message, so that it is not lost although
    /// it matched nothing.
    pub is_kept: bool,
    walk: topic::Walk,
}

/// What becomes of a message besides going to queues: an exchange keeps it.
#[derive(Clone, Debug)]
pub enum Tap {
    /// It waits.
    Delay {
        /// Where.
        log: Arc<DelayLog>,
        /// How long.
        delay: Duration,
    },
    /// It is kept for later bindings.
    History(Arc<History>),
    /// It is only confirmed when so much is durable.
    After(CommitSeq),
}

impl Tap {
    /// Keeps the message. Returns what must be durable before it may be confirmed.
    pub fn keep(&self, message: &Message, fx: &Effects) -> CommitSeq {
        match self {
            Self::Delay { log, delay } => log.keep(message.clone(), *delay, fx.now, fx.time),
            Self::History(history) => history.keep(message),
            Self::After(needed) => *needed,
        }
    }
}

/// Makes an exchange type from the arguments of the declare.
type Make = fn(arguments: &Table) -> Result<Box<dyn ExchangeType>, Error>;

/// The types by their names (EX-002).
const REGISTRY: &[(&str, Make)] = &[
    ("direct", |_| Ok(Box::<direct::Direct>::default())),
    ("fanout", |_| Ok(Box::<fanout::Fanout>::default())),
    ("headers", |_| Ok(Box::<headers::HeadersExchange>::default())),
    ("topic", |_| Ok(Box::<topic::Topic>::default())),
    ("x-consistent-hash", |arguments| {
        Ok(Box::new(consistent_hash::ConsistentHash::new(arguments)?))
    }),
    ("x-delayed-message", |arguments| Ok(Box::new(delayed::Delayed::new(arguments)?))),
    ("x-local-random", |_| Ok(Box::<random::LocalRandom>::default())),
    ("x-modulus-hash", |_| Ok(Box::<modulus_hash::ModulusHash>::default())),
    ("x-message-deduplication", |arguments| {
        Ok(Box::new(deduplication::Deduplication::new(arguments)?))
    }),
    ("x-random", |_| Ok(Box::<random::Random>::default())),
    ("x-recent-history", |arguments| Ok(Box::new(recent_history::RecentHistory::new(arguments)?))),
];

/// The names of all types, in order.
pub fn type_names() -> impl Iterator<Item = &'static str> {
    REGISTRY.iter().map(|(name, _)| *name)
}

/// An exchange type without bindings.
///
/// # Errors
/// [`Error::UnknownExchangeType`], or what the type says of the arguments.
pub fn make(type_name: &str, arguments: &Table) -> Result<Box<dyn ExchangeType>, Error> {
    match REGISTRY.iter().find(|(name, _)| *name == type_name) {
        Some((_, make)) => make(arguments),
        None => Err(Error::UnknownExchangeType { type_name: type_name.to_owned() }),
    }
}
