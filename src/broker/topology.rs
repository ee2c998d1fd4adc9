//! The exchanges, bindings and queue names of one vhost.
//!
//! Floor 4. Plain maps: whoever owns a topology keeps it behind a lock, reads it to route what its
//! route cache doesn't know, and writes it to declare, bind and delete. Methods return what came
//! of them, so that the caller can make it durable.
//!
//! Ends of bindings have numbers here, so that a binding is small and matching copies nothing.
//! Routing itself is in [`route`](super::route).

use std::{collections::BTreeSet, sync::Arc};

use hashbrown::HashMap;

use self::{
    bindings::{Bindings, Stored},
    slab::Slab,
};
pub use self::{
    list::Dropped,
    parts::{
        Binding, Bound, Declared, Destination, Exchange, ExchangeSpec, Removed, RemovedExchange,
    },
};
use crate::{
    broker::{
        Error,
        arguments::{self, ALTERNATE_EXCHANGE},
        error::Kind,
        exchange::{self, BindingRef, ExchangeType, Fittings, Target},
        trace,
    },
    names::Name,
    wire::table::Table,
};

mod bindings;
mod list;
mod parts;
mod slab;
#[cfg(test)]
mod tests;

/// The exchanges that every vhost has from the start (EX-001): name, type, internal.
const PREDECLARED: [(&str, &str, bool); 7] = [
    ("", "direct", false),
    ("amq.direct", "direct", false),
    ("amq.fanout", "fanout", false),
    ("amq.headers", "headers", false),
    ("amq.match", "headers", false),
    (trace::EXCHANGE, "topic", true),
    ("amq.topic", "topic", false),
];

/// The number of the default exchange, the first one predeclared.
pub(super) const DEFAULT_EXCHANGE: u32 = 0;

/// The prefix of names that only the broker gives.
const RESERVED_PREFIX: &str = "amq.";

/// Exchanges, bindings and queues of one vhost.
#[derive(Debug)]
pub struct Topology<Q> {
    generation: u64,
    exchanges: Slab<Exchange>,
    queues: Slab<Queue<Q>>,
    exchange_slots: HashMap<Name, u32>,
    queue_slots: HashMap<Name, u32>,
    bindings: Bindings,
}

/// A queue, as far as routing goes.
#[derive(Debug)]
struct Queue<Q> {
    name: Name,
    handle: Q,
    is_durable: bool,
    to: BTreeSet<u32>,
}

/// A name without the carriage returns and line feeds that RabbitMQ takes out of names (EX-012).
pub fn strip_cr_lf(name: &str) -> String {
    name.replace(['\r', '\n'], "")
}

/// Refuses names that clients must not give to something new (EX-005, QU-002).
///
/// # Errors
/// [`Error::ReservedName`].
pub fn check_new_name(kind: Kind, name: &str) -> Result<(), Error> {
    if name.starts_with(RESERVED_PREFIX) {
        return Err(Error::ReservedName { kind, name: name.into() });
    }
    Ok(())
}

/// Refuses to delete what every vhost has.
///
/// # Errors
/// [`Error::DefaultExchange`], [`Error::SystemExchange`].
pub fn check_deletable(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::DefaultExchange);
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Err(Error::SystemExchange { name: name.into() });
    }
    Ok(())
}

impl<Q: Clone> Topology<Q> {
    /// A vhost's topology at its start: the exchanges that are always there, no queues.
    pub fn new() -> Self {
        let mut topology = Self {
            generation: 0,
            exchanges: Slab::new(),
            queues: Slab::new(),
            exchange_slots: HashMap::new(),
            queue_slots: HashMap::new(),
            bindings: Bindings::new(),
        };
        for (name, type_name, internal) in PREDECLARED {
            let spec = ExchangeSpec {
                type_name: type_name.to_owned(),
                durable: true,
                auto_delete: false,
                internal,
                arguments: Table::default(),
            };
            if let Ok(bound) = exchange::make(type_name, &spec.arguments) {
                topology.insert_exchange(name.into(), spec, bound);
            }
        }
        debug_assert_eq!(topology.exchanges.len(), PREDECLARED.len());
        topology
    }

    /// A number that grows with every change that may alter where a message goes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Declares an exchange.
    ///
    /// # Errors
    /// In this order: [`Error::UnknownExchangeType`], [`Error::DefaultExchange`]; for a new one
    /// [`Error::ReservedName`], [`Error::InvalidArgumentType`]; else [`Error::Inequivalent`].
    pub fn declare_exchange(&mut self, name: &str, spec: ExchangeSpec) -> Result<Declared, Error> {
        let bound = exchange::make(&spec.type_name, &spec.arguments)?;
        if name.is_empty() {
            return Err(Error::DefaultExchange);
        }
        if let Some(existing) = self.exchange(name) {
            existing.check_equivalence(&spec)?;
            return Ok(Declared::Existing);
        }
        check_new_name(Kind::Exchange, name)?;
        arguments::exchange_name(Kind::Exchange, name, &spec.arguments, ALTERNATE_EXCHANGE)?;
        self.insert_exchange(name.into(), spec, bound);
        Ok(Declared::Created)
    }

    /// Ends all exchanges: what they kept goes.
    pub fn end_exchanges(&mut self) {
        for exchange in self.exchanges.values_mut() {
            exchange.bound.end();
        }
    }

    fn insert_exchange(&mut self, name: Name, spec: ExchangeSpec, bound: Box<dyn ExchangeType>) {
        let alternate = arguments::text(&spec.arguments, ALTERNATE_EXCHANGE).map(Name::from);
        let exchange = Exchange {
            name: name.clone(),
            spec,
            alternate,
            bound,
            stats: Arc::default(),
            from: BTreeSet::new(),
            to: BTreeSet::new(),
        };
        let slot = self.exchanges.insert(exchange);
        self.exchange_slots.insert(name, slot);
        self.generation += 1;
    }

    /// What a declare of an exchange comes to that is there; none if it is not.
    pub fn check_redeclare(&self, name: &str, spec: &ExchangeSpec) -> Option<Result<(), Error>> {
        self.exchange(name).map(|exchange| exchange.check_equivalence(spec))
    }

    /// Gives an exchange the alternate exchange that a policy names, unless its own argument names
    /// one (PO-057).
    pub fn set_alternate(&mut self, name: &str, by_policy: Option<Name>) {
        let slot = self.exchange_slots.get(name);
        let Some(exchange) = slot.and_then(|slot| self.exchanges.get_mut(*slot)) else { return };
        let own = arguments::text(&exchange.spec.arguments, ALTERNATE_EXCHANGE).map(Name::from);
        exchange.alternate = own.or(by_policy);
        self.generation += 1;
    }

    /// The exchange of this name; `""` is the default exchange.
    pub fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.get(*self.exchange_slots.get(name)?)
    }

    /// Gives an exchange that was just declared what it needs to work.
    pub fn fit_exchange(&mut self, fittings: &Fittings<'_>) {
        let slot = self.exchange_slots.get(fittings.name);
        if let Some(exchange) = slot.and_then(|slot| self.exchanges.get_mut(*slot)) {
            exchange.bound.fit(fittings);
        }
    }

    /// What a passive declare asks for.
    ///
    /// # Errors
    /// [`Error::DefaultExchange`], [`Error::NotFound`].
    pub fn check_exchange(&self, name: &str) -> Result<&Exchange, Error> {
        if name.is_empty() {
            return Err(Error::DefaultExchange);
        }
        self.exchange(name).ok_or_else(|| not_found(Kind::Exchange, name))
    }

    /// The exchange of this name, if clients may publish to it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InternalExchange`].
    pub fn check_publish(&self, name: &str) -> Result<&Exchange, Error> {
        let exchange = self.exchange(name).ok_or_else(|| not_found(Kind::Exchange, name))?;
        if exchange.spec.internal {
            return Err(Error::InternalExchange { name: name.into() });
        }
        Ok(exchange)
    }

    /// Deletes an exchange, its bindings, and the exchanges that go with them. One that isn't
    /// there is deleted already (EX-014).
    ///
    /// # Errors
    /// [`Error::DefaultExchange`], [`Error::SystemExchange`], [`Error::InUse`].
    pub fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Result<Removed, Error> {
        check_deletable(name)?;
        let mut removed = Removed::default();
        let Some(&slot) = self.exchange_slots.get(name) else { return Ok(removed) };
        let is_used = self.exchanges.get(slot).is_some_and(|e| !e.from.is_empty());
        if if_unused && is_used {
            return Err(Error::InUse { kind: Kind::Exchange, name: name.into() });
        }
        self.remove_exchanges(vec![slot], &mut removed);
        Ok(removed)
    }

    /// Binds a queue or an exchange to the exchange `source`.
    ///
    /// # Errors
    /// [`Error::DefaultExchange`] if either end is it, [`Error::NotFound`] for the source before
    /// the destination (EX-042), [`Error::InvalidBinding`].
    pub fn bind(
        &mut self,
        source: &str,
        destination: &Destination,
        key: &[u8],
        arguments: &Table,
    ) -> Result<Bound, Error> {
        check_ends(source, destination)?;
        let Some(&slot) = self.exchange_slots.get(source) else {
            return Err(not_found(Kind::Exchange, source));
        };
        let target = self.target(destination).ok_or_else(|| destination.not_found())?;
        if let Some(exchange) = self.exchanges.get(slot) {
            exchange.bound.check_binding(key, arguments)?;
        }
        Ok(self.insert_binding(slot, target, key, arguments))
    }

    fn insert_binding(
        &mut self,
        source: u32,
        target: Target,
        key: &[u8],
        arguments: &Table,
    ) -> Bound {
        let stored = Stored::new(source, target, key, arguments);
        if self.bindings.find(&stored).is_some() {
            return Bound::Existing;
        }
        let is_durable = self.is_durable(source, target);
        let id = self.bindings.insert(stored);
        let name = self.name_of(target);
        let name = name.as_deref().unwrap_or_default();
        if let Some(exchange) = self.exchanges.get_mut(source) {
            exchange.from.insert(id);
            exchange.bound.bind(BindingRef { id, target, name, key, arguments });
        }
        if let Some(to) = self.leading_to(target) {
            to.insert(id);
        }
        self.generation += 1;
        Bound::New { is_durable }
    }

    /// Removes a binding, and with it its source if that is auto-delete and has no other. One that
    /// isn't there, or whose ends aren't, is removed already (EX-043).
    ///
    /// # Errors
    /// [`Error::DefaultExchange`] if either end is it.
    pub fn unbind(
        &mut self,
        source: &str,
        destination: &Destination,
        key: &[u8],
        arguments: &Table,
    ) -> Result<Removed, Error> {
        check_ends(source, destination)?;
        let mut removed = Removed::default();
        let Some(&slot) = self.exchange_slots.get(source) else { return Ok(removed) };
        let Some(target) = self.target(destination) else { return Ok(removed) };
        let stored = Stored::new(slot, target, key, arguments);
        if let Some(id) = self.bindings.find(&stored) {
            let unused = self.remove_binding(id, &mut removed);
            self.remove_exchanges(unused.into_iter().collect(), &mut removed);
        }
        Ok(removed)
    }

    /// Whether exactly this binding is there. RabbitMQ refuses to unbind another connection's
    /// exclusive queue only where there is something to unbind (EX-046).
    pub fn is_bound(
        &self,
        source: &str,
        destination: &Destination,
        key: &[u8],
        arguments: &Table,
    ) -> bool {
        let source = self.exchange_slots.get(source);
        source.zip(self.target(destination)).is_some_and(|(source, target)| {
            self.bindings.find(&Stored::new(*source, target, key, arguments)).is_some()
        })
    }

    /// Makes a queue known. A queue of the same name keeps its bindings and gets the new handle.
    pub fn insert_queue(&mut self, name: Name, handle: Q, is_durable: bool) {
        self.generation += 1;
        if let Some(slot) = self.queue_slots.get(&name)
            && let Some(queue) = self.queues.get_mut(*slot)
        {
            queue.handle = handle;
            queue.is_durable = is_durable;
            return;
        }
        let queue = Queue { name: name.clone(), handle, is_durable, to: BTreeSet::new() };
        let slot = self.queues.insert(queue);
        self.queue_slots.insert(name, slot);
    }

    /// The queue of this name.
    pub fn queue(&self, name: &str) -> Option<&Q> {
        self.queues.get(*self.queue_slots.get(name)?).map(|queue| &queue.handle)
    }

    /// Forgets a queue, its bindings, and the exchanges that go with them (QU-091).
    pub fn remove_queue(&mut self, name: &str) -> Option<(Q, Removed)> {
        let slot = self.queue_slots.remove(name)?;
        let to = std::mem::take(&mut self.queues.get_mut(slot)?.to);
        let mut removed = Removed::default();
        let unused = to.iter().filter_map(|id| self.remove_binding(*id, &mut removed)).collect();
        self.remove_exchanges(unused, &mut removed);
        self.generation += 1;
        let queue = self.queues.remove(slot)?;
        Some((queue.handle, removed))
    }

    /// Removes a binding. Returns its source if that is to go because of it.
    fn remove_binding(&mut self, id: u32, removed: &mut Removed) -> Option<u32> {
        let binding = self.describe(self.bindings.get(id)?)?;
        let stored = self.bindings.remove(id)?;
        self.generation += 1;
        if let Some(to) = self.leading_to(stored.target) {
            to.remove(&id);
        }
        let source = self.exchanges.get_mut(stored.source)?;
        source.from.remove(&id);
        source.bound.unbind(BindingRef {
            id,
            target: stored.target,
            name: binding.destination.name(),
            key: &stored.key,
            arguments: &binding.arguments,
        });
        let is_unused = source.spec.auto_delete && source.from.is_empty();
        removed.bindings.push(binding);
        is_unused.then_some(stored.source)
    }

    /// Removes exchanges with their bindings, and the exchanges that this makes unused.
    fn remove_exchanges(&mut self, mut slots: Vec<u32>, removed: &mut Removed) {
        while let Some(slot) = slots.pop() {
            let Some(exchange) = self.exchanges.get(slot) else { continue };
            let (from, to) = (exchange.from.clone(), exchange.to.clone());
            for id in from {
                self.remove_binding(id, removed);
            }
            for id in to {
                slots.extend(self.remove_binding(id, removed));
            }
            if let Some(mut exchange) = self.exchanges.remove(slot) {
                exchange.bound.end();
                self.exchange_slots.remove(&exchange.name);
                self.generation += 1;
                let is_durable = exchange.spec.durable;
                removed.exchanges.push(RemovedExchange { name: exchange.name, is_durable });
            }
        }
    }

    fn describe(&self, stored: &Stored) -> Option<Binding> {
        let destination = match (stored.target.as_queue(), stored.target.as_exchange()) {
            (Some(slot), _) => Destination::Queue(self.queues.get(slot)?.name.clone()),
            (_, slot) => Destination::Exchange(self.exchanges.get(slot?)?.name.clone()),
        };
        Some(Binding {
            source: self.exchanges.get(stored.source)?.name.clone(),
            destination,
            key: stored.key.clone(),
            arguments: stored.arguments(),
            is_durable: self.is_durable(stored.source, stored.target),
        })
    }

    fn is_durable(&self, source: u32, target: Target) -> bool {
        let is_durable = |slot| self.exchanges.get(slot).is_some_and(|e| e.spec.durable);
        is_durable(source)
            && match target.as_queue() {
                Some(slot) => self.queues.get(slot).is_some_and(|queue| queue.is_durable),
                None => target.as_exchange().is_some_and(is_durable),
            }
    }

    fn name_of(&self, target: Target) -> Option<Name> {
        match target.as_queue() {
            Some(slot) => self.queues.get(slot).map(|queue| queue.name.clone()),
            None => target.as_exchange().and_then(|s| Some(self.exchanges.get(s)?.name.clone())),
        }
    }

    fn target(&self, destination: &Destination) -> Option<Target> {
        Some(match destination {
            Destination::Queue(name) => Target::queue(*self.queue_slots.get(name)?),
            Destination::Exchange(name) => Target::exchange(*self.exchange_slots.get(name)?),
        })
    }

    /// The bindings that lead to `target`.
    fn leading_to(&mut self, target: Target) -> Option<&mut BTreeSet<u32>> {
        match target.as_queue() {
            Some(slot) => self.queues.get_mut(slot).map(|queue| &mut queue.to),
            None => self.exchanges.get_mut(target.as_exchange()?).map(|exchange| &mut exchange.to),
        }
    }

    pub(super) fn exchange_slot(&self, name: &str) -> Option<u32> {
        self.exchange_slots.get(name).copied()
    }

    pub(super) fn exchange_at(&self, slot: u32) -> Option<&Exchange> {
        self.exchanges.get(slot)
    }

    pub(super) fn queue_slot(&self, name: &str) -> Option<u32> {
        self.queue_slots.get(name).copied()
    }

    pub(super) fn queue_at(&self, slot: u32) -> Option<&Q> {
        self.queues.get(slot).map(|queue| &queue.handle)
    }
}

impl<Q: Clone> Default for Topology<Q> {
    fn default() -> Self {
        Self::new()
    }
}

/// Refuses bindings with the default exchange at either end (EX-004).
fn check_ends(source: &str, destination: &Destination) -> Result<(), Error> {
    let leads_to_default = matches!(destination, Destination::Exchange(name) if name.is_empty());
    if source.is_empty() || leads_to_default {
        return Err(Error::DefaultExchange);
    }
    Ok(())
}

fn not_found(kind: Kind, name: &str) -> Error {
    Error::NotFound { kind, name: name.into() }
}
