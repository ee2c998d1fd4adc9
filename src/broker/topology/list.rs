//! A topology as lists: read from one, and a topology restored from some.

use std::collections::BTreeSet;

use super::{Binding, Destination, Exchange, Topology};
use crate::{
    broker::{
        Error, exchange,
        record::{BindingRecord, ExchangeRecord},
    },
    names::Name,
};

/// A definition that a restore had to leave out.
#[derive(Clone, Debug, PartialEq)]
pub enum Dropped {
    /// An exchange of a type that there isn't.
    Exchange(ExchangeRecord, Error),
    /// A binding one of whose ends is missing.
    Binding(BindingRecord, Error),
}

impl<Q: Clone> Topology<Q> {
    /// A vhost's topology from what was durable of it. The order of the records says nothing;
    /// what makes no sense is left out and returned.
    pub fn restore(
        exchanges: impl IntoIterator<Item = ExchangeRecord>,
        queues: impl IntoIterator<Item = (Name, Q)>,
        bindings: impl IntoIterator<Item = BindingRecord>,
    ) -> (Self, Vec<Dropped>) {
        let mut topology = Self::new();
        let mut dropped = Vec::new();
        for record in exchanges {
            if topology.exchange(&record.name).is_some() {
                continue;
            }
            match exchange::make(&record.spec.type_name, &record.spec.arguments) {
                Ok(bound) => topology.insert_exchange(record.name, record.spec, bound),
                Err(error) => dropped.push(Dropped::Exchange(record, error)),
            }
        }
        for (name, queue) in queues {
            topology.insert_queue(name, queue, true);
        }
        for record in bindings {
            let BindingRecord { source, destination, key, arguments, .. } = &record;
            if let Err(error) = topology.bind(source, destination, key, arguments) {
                dropped.push(Dropped::Binding(record, error));
            }
        }
        (topology, dropped)
    }

    /// The exchanges, the predeclared ones first.
    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().map(|(_, exchange)| exchange)
    }

    /// The queues.
    pub fn queues(&self) -> impl Iterator<Item = (&Name, &Q)> {
        self.queues.iter().map(|(_, queue)| (&queue.name, &queue.handle))
    }

    /// How many queues there are.
    pub fn queues_count(&self) -> usize {
        self.queues.len()
    }

    /// The bindings, without those that the default exchange has by its nature (EX-045).
    pub fn bindings(&self) -> impl Iterator<Item = Binding> {
        self.bindings.iter().filter_map(|stored| self.describe(stored))
    }

    /// How many bindings there are.
    pub fn bindings_count(&self) -> usize {
        self.bindings.len()
    }

    /// The bindings that begin at an exchange.
    pub fn bindings_from(&self, source: &str) -> impl Iterator<Item = Binding> {
        let from = self.exchange(source).map(|exchange| &exchange.from);
        self.described(from)
    }

    /// The bindings that lead to a queue or an exchange.
    pub fn bindings_to(&self, destination: &Destination) -> impl Iterator<Item = Binding> {
        let to = match destination {
            Destination::Exchange(name) => self.exchange(name).map(|exchange| &exchange.to),
            Destination::Queue(name) => {
                self.queue_slots.get(name).and_then(|s| self.queues.get(*s)).map(|queue| &queue.to)
            }
        };
        self.described(to)
    }

    fn described(&self, ids: Option<&BTreeSet<u32>>) -> impl Iterator<Item = Binding> {
        ids.into_iter().flatten().filter_map(|id| self.describe(self.bindings.get(*id)?))
    }
}
