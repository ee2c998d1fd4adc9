//! One message's way through the exchanges to the queues.
//!
//! Floor 4. Called with the topology's read lock held, and only for what a route cache doesn't
//! know; it takes no other lock and calls no one (R3, R4).

use std::sync::Arc;

use hashbrown::HashSet;

use super::{
    Error,
    error::Kind,
    exchange::{Matches, Tap, View},
    stats::ExchangeStats,
    topology::{DEFAULT_EXCHANGE, Topology},
};
/// Whether a route may be kept until the topology changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cacheable {
    /// It depends on exchange and keys alone.
    Yes,
    /// It depends on the message.
    No,
}

/// The queues of one message, and memory for finding the next one's.
#[derive(Debug)]
pub struct RouteSet<Q> {
    queues: Vec<Q>,
    /// The numbers of the queues found.
    slots: Vec<u32>,
    /// The exchanges still to be asked.
    pending: Vec<u32>,
    /// The exchange that the message was published to.
    first: u32,
    /// The other exchanges asked, or to be.
    seen: HashSet<u32>,
    matches: Matches,
    /// What the exchange counts that the message was published to.
    source: Option<Arc<ExchangeStats>>,
}

impl<Q> RouteSet<Q> {
    /// No queues.
    pub fn new() -> Self {
        Self {
            queues: Vec::new(),
            slots: Vec::new(),
            pending: Vec::new(),
            first: 0,
            seen: HashSet::new(),
            matches: Matches::default(),
            source: None,
        }
    }

    /// The queues, each once.
    pub fn queues(&self) -> &[Q] {
        &self.queues
    }

    /// What else is to become of the message. As long as it is not empty, a message without queues
    /// is not lost.
    pub fn taps(&self) -> &[Tap] {
        &self.matches.taps
    }

    /// What the exchange counts that the message was published to; none for a direct reply.
    pub fn source(&self) -> Option<&Arc<ExchangeStats>> {
        self.source.as_ref()
    }

    /// Takes the queues out.
    pub fn drain(&mut self) -> impl Iterator<Item = Q> {
        self.queues.drain(..)
    }

    /// Makes this the only queue, or none.
    pub fn only(&mut self, queue: Option<Q>) {
        self.queues.clear();
        self.matches.taps.clear();
        self.source = None;
        self.queues.extend(queue);
    }

    /// Starts a search at an exchange.
    fn start(&mut self, first: u32) {
        self.slots.clear();
        self.pending.clear();
        self.pending.push(first);
        self.first = first;
        if !self.seen.is_empty() {
            self.seen.clear();
        }
    }

    /// Asks an exchange, unless it has been asked: paths may meet and may be circles (EX-044).
    fn visit(&mut self, exchange: u32) {
        if exchange != self.first && self.seen.insert(exchange) {
            self.pending.push(exchange);
        }
    }
}

impl<Q> Default for RouteSet<Q> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Q: Clone> Topology<Q> {
    /// Finds the queues of a message published to `exchange` and puts them, each once, into `out`
    /// in place of what was there. Follows bindings between exchanges, and alternate exchanges
    /// where an exchange matches nothing at all (EX-074).
    ///
    /// Dead letters come this way, too, so that internal exchanges are not refused here but by
    /// [`check_publish`](Self::check_publish).
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn route(
        &self,
        exchange: &str,
        message: &View<'_>,
        out: &mut RouteSet<Q>,
    ) -> Result<Cacheable, Error> {
        out.queues.clear();
        out.matches.taps.clear();
        let Some(first) = self.exchange_slot(exchange) else {
            return Err(Error::NotFound { kind: Kind::Exchange, name: exchange.into() });
        };
        let mut cacheable = Cacheable::Yes;
        out.source = self.exchange_at(first).map(|exchange| Arc::clone(&exchange.stats));
        out.start(first);
        while let Some(slot) = out.pending.pop() {
            if self.route_at(slot, message, out) == Cacheable::No {
                cacheable = Cacheable::No;
            }
        }
        out.slots.sort_unstable();
        out.slots.dedup();
        out.queues.extend(out.slots.iter().filter_map(|slot| self.queue_at(*slot).cloned()));
        Ok(cacheable)
    }

    /// Asks one exchange.
    fn route_at(&self, slot: u32, message: &View<'_>, out: &mut RouteSet<Q>) -> Cacheable {
        if slot == DEFAULT_EXCHANGE {
            let names = message.keys.iter().filter_map(|key| str::from_utf8(key).ok());
            out.slots.extend(names.filter_map(|name| self.queue_slot(name)));
            return Cacheable::Yes;
        }
        let Some(exchange) = self.exchange_at(slot) else { return Cacheable::Yes };
        out.matches.targets.clear();
        out.matches.is_kept = false;
        exchange.bound.route(message, &mut out.matches);
        if out.matches.targets.is_empty() && !out.matches.is_kept {
            let alternate = exchange.alternate.as_deref();
            if let Some(slot) = alternate.and_then(|name| self.exchange_slot(name)) {
                out.visit(slot);
            }
        }
        for at in 0..out.matches.targets.len() {
            let target = out.matches.targets[at];
            match target.as_exchange() {
                Some(slot) => out.visit(slot),
                None => out.slots.extend(target.as_queue()),
            }
        }
        if exchange.bound.is_cacheable() { Cacheable::Yes } else { Cacheable::No }
    }
}
