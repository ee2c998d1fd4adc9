//! What a topology is made of, and what its methods return.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    broker::{
        Error,
        arguments::{self, ALTERNATE_EXCHANGE, QueueType},
        error::Kind,
        exchange::{ExchangeType, History},
        stats::ExchangeStats,
    },
    names::Name,
    wire::table::{Table, Value},
};

/// How an exchange was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeSpec {
    /// The name of its type.
    pub type_name: String,
    /// Whether it outlives the broker's process.
    pub durable: bool,
    /// Whether it goes with the last binding that begins at it (EX-017).
    pub auto_delete: bool,
    /// Whether only other exchanges may give it messages (EX-018).
    pub internal: bool,
    /// The arguments.
    pub arguments: Table,
}

/// An exchange.
#[derive(Debug)]
pub struct Exchange {
    pub(super) name: Name,
    pub(super) spec: ExchangeSpec,
    /// Where messages go that match nothing here (EX-074).
    pub(in crate::broker) alternate: Option<Name>,
    pub(in crate::broker) bound: Box<dyn ExchangeType>,
    /// What passes through it.
    pub(in crate::broker) stats: Arc<ExchangeStats>,
    /// The bindings that begin here.
    pub(super) from: BTreeSet<u32>,
    /// The bindings that lead here.
    pub(super) to: BTreeSet<u32>,
}

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// To a queue.
    Queue(Name),
    /// To an exchange.
    Exchange(Name),
}

/// A binding.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The exchange that it begins at.
    pub source: Name,
    /// Where it leads.
    pub destination: Destination,
    /// The binding key.
    pub key: Box<[u8]>,
    /// The arguments.
    pub arguments: Table,
    /// Whether both of its ends are durable, so that it is (EX-049).
    pub is_durable: bool,
}

/// What a declare did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    /// It is new.
    Created,
    /// It was there, and alike.
    Existing,
}

/// What a bind did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The binding is new.
    New {
        /// Whether both of its ends are durable, so that it is.
        is_durable: bool,
    },
    /// The binding was there (EX-040).
    Existing,
}

/// What went, the auto-deleted included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Removed {
    /// The exchanges.
    pub exchanges: Vec<RemovedExchange>,
    /// The bindings.
    pub bindings: Vec<Binding>,
}

/// An exchange that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedExchange {
    /// Its name.
    pub name: Name,
    /// Whether it was durable.
    pub is_durable: bool,
}

impl Exchange {
    /// What passes through it.
    pub fn stats(&self) -> &ExchangeStats {
        &self.stats
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// How it was declared.
    pub fn spec(&self) -> &ExchangeSpec {
        &self.spec
    }

    /// The messages that a new binding is to be given, if any are.
    pub fn history(&self) -> Option<Arc<History>> {
        self.bound.history()
    }

    /// Whether its type keeps something of the messages.
    pub fn needs_log(&self) -> bool {
        self.bound.needs_log()
    }

    /// How many messages wait in it, if it is a delayed one.
    pub fn messages_delayed(&self) -> Option<u64> {
        self.bound.waiting_count()
    }

    /// Whether a binding from here to a queue of this type, or to an exchange, makes sense.
    ///
    /// # Errors
    /// [`Error::InvalidBinding`].
    pub fn check_binding(
        &self,
        to: Option<QueueType>,
        key: &[u8],
        arguments: &Table,
    ) -> Result<(), Error> {
        self.bound.check_binding(key, arguments)?;
        let kind = if to.is_some() { Kind::Queue } else { Kind::Exchange };
        self.bound.check_destination(kind, to)
    }

    /// How many bindings begin at it.
    pub fn bindings_count(&self) -> usize {
        self.from.len()
    }

    /// Whether a redeclare says what is there already, in RabbitMQ's order (EX-007).
    pub(super) fn check_equivalence(&self, received: &ExchangeSpec) -> Result<(), Error> {
        let current = &self.spec;
        let type_name = |spec: &ExchangeSpec| Value::LongString(spec.type_name.as_str().into());
        let properties = [
            ("type", type_name(received), type_name(current)),
            ("durable", Value::Boolean(received.durable), Value::Boolean(current.durable)),
            (
                "auto_delete",
                Value::Boolean(received.auto_delete),
                Value::Boolean(current.auto_delete),
            ),
            ("internal", Value::Boolean(received.internal), Value::Boolean(current.internal)),
        ];
        for (property, received, current) in properties {
            arguments::check_property(Kind::Exchange, &self.name, property, received, current)?;
        }
        arguments::check_equivalence(
            Kind::Exchange,
            &self.name,
            [ALTERNATE_EXCHANGE],
            &received.arguments,
            &self.spec.arguments,
        )
    }
}

impl Destination {
    /// The name of what it leads to.
    pub fn name(&self) -> &Name {
        match self {
            Self::Queue(name) | Self::Exchange(name) => name,
        }
    }

    pub(super) fn not_found(&self) -> Error {
        match self {
            Self::Queue(name) => super::not_found(Kind::Queue, name),
            Self::Exchange(name) => super::not_found(Kind::Exchange, name),
        }
    }
}
