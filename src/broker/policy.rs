//! Policies: settings for all queues and exchanges whose names match a pattern.
//!
//! - One policy and one operator policy apply to a queue or exchange: of those that match, the one
//!   of the highest priority (PO-052).
//! - What they say together is the effective definition (PO-056); what a queue's own arguments say
//!   beside it is resolved key by key (PO-057).
//! - The keys, their values and what they mean to each type of queue are rows of one table, in
//!   [`keys`].
//!
//! Everything here is pure. Who keeps policies and tells queues of them is the vhost.

mod keys;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use super::{
    arguments::QueueType,
    datum::{self, Datum, Map, Pairs},
    record::{Reader, Record, RecordError, VERSION, put_bytes},
};
use crate::{
    names::Name,
    pattern::Pattern,
    store::RecordKind,
    wire::{
        method::ShortString,
        table::{Table, Value},
    },
};

/// Who set a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Authority {
    /// Users: a policy.
    User,
    /// Operators: an operator policy.
    Operator,
}

/// What a policy applies to (PO-051).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplyTo {
    /// `all`: queues of every type, and exchanges.
    #[default]
    All,
    /// `queues`
    Queues,
    /// `classic_queues`
    ClassicQueues,
    /// `quorum_queues`
    QuorumQueues,
    /// `streams`
    Streams,
    /// `exchanges`
    Exchanges,
}

impl ApplyTo {
    const ALL: [Self; 6] = [
        Self::All,
        Self::Queues,
        Self::ClassicQueues,
        Self::QuorumQueues,
        Self::Streams,
        Self::Exchanges,
    ];

    /// RabbitMQ's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
            Self::Exchanges => "exchanges",
        }
    }

    /// What this word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|apply_to| apply_to.as_str() == word)
    }

    fn includes_queues(self, queue_type: QueueType) -> bool {
        match self {
            Self::All | Self::Queues => true,
            Self::ClassicQueues => queue_type == QueueType::Classic,
            Self::QuorumQueues => queue_type == QueueType::Quorum,
            Self::Streams => queue_type == QueueType::Stream,
            Self::Exchanges => false,
        }
    }

    fn includes_exchanges(self) -> bool {
        matches!(self, Self::All | Self::Exchanges)
    }
}

/// A policy as it was asked for: nothing about it is known to make sense (PO-050).
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// A regular expression.
    pub pattern: Datum,
    /// A word of [`ApplyTo`].
    pub apply_to: Datum,
    /// A number.
    pub priority: Datum,
    /// A map that is not empty.
    pub definition: Datum,
}

impl Draft {
    /// A draft as parameters have it: a map of all but the name.
    pub fn of_datum(value: Datum) -> Self {
        let mut map = if let Datum::Map(map) = value { map } else { Map::new() };
        let mut take = |key: &str, default: Datum| map.remove(key).unwrap_or(default);
        Self {
            pattern: take("pattern", Datum::Null),
            apply_to: take("apply-to", ApplyTo::All.as_str().into()),
            priority: take("priority", 0.into()),
            definition: take("definition", Datum::Null),
        }
    }

    /// A draft with the usual priority for queues and exchanges alike.
    pub fn new(pattern: &str, definition: Map) -> Self {
        Self {
            pattern: pattern.into(),
            apply_to: ApplyTo::All.as_str().into(),
            priority: 0.into(),
            definition: Datum::Map(definition),
        }
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name, unlike that of the vhost's other policies of the same authority.
    pub name: Name,
    /// Who set it.
    pub authority: Authority,
    /// Which names it applies to.
    pub pattern: Pattern,
    /// Which things of these names.
    pub apply_to: ApplyTo,
    /// Of two that match, the higher one applies: an integer or a float.
    pub priority: Datum,
    /// What it says.
    pub definition: Map,
}

impl Policy {
    /// Makes a policy of a draft.
    ///
    /// # Errors
    /// [`Invalid`], with everything that is wrong.
    pub fn new(name: Name, authority: Authority, draft: Draft) -> Result<Self, Invalid> {
        let mut faults = Vec::new();
        let mut keep = |fault: Fault| faults.push(fault);
        let definition = definition(authority, draft.definition).map_err(&mut keep).ok();
        let apply_to = apply_to(&draft.apply_to).map_err(&mut keep).ok();
        let pattern = pattern(draft.pattern).map_err(&mut keep).ok();
        let priority = priority(draft.priority).map_err(&mut keep).ok();
        match (pattern, apply_to, priority, definition) {
            (Some(pattern), Some(apply_to), Some(priority), Some(definition)) => {
                Ok(Self { name, authority, pattern, apply_to, priority, definition })
            }
            _ => Err(Invalid { faults }),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody sets priorities beyond 2^52")]
    fn rank(&self) -> f64 {
        match self.priority {
            Datum::Integer(priority) => priority as f64,
            Datum::Float(priority) => priority,
            _ => 0.0,
        }
    }

    fn applies_to_queue(&self, name: &str, queue_type: QueueType) -> bool {
        self.apply_to.includes_queues(queue_type)
            && self.definition.keys().all(|key| keys::is_supported(key, queue_type))
            && self.pattern.matches(name)
    }

    fn applies_to_exchange(&self, name: &str) -> bool {
        self.apply_to.includes_exchanges() && self.pattern.matches(name)
    }
}

fn definition(authority: Authority, definition: Datum) -> Result<Map, Fault> {
    let map = match definition {
        Datum::Map(map) => map,
        Datum::List(list) if list.is_empty() => Map::new(),
        other => return Err(Fault::NoMap { definition: other }),
    };
    if map.is_empty() {
        return Err(Fault::Empty);
    }
    keys::check(authority, &map)?;
    Ok(map)
}

fn apply_to(word: &Datum) -> Result<ApplyTo, Fault> {
    let found = word.as_text().and_then(ApplyTo::parse);
    found.ok_or_else(|| Fault::ApplyTo { word: word.clone() })
}

fn pattern(text: Datum) -> Result<Pattern, Fault> {
    let Datum::Text(text) = text else { return Err(Fault::PatternType { value: text }) };
    Pattern::new(&text)
        .map_err(|error| Fault::Pattern { reason: error.reason, position: error.position })
}

fn priority(priority: Datum) -> Result<Datum, Fault> {
    match priority {
        Datum::Integer(_) | Datum::Float(_) => Ok(priority),
        value => Err(Fault::Priority { value }),
    }
}

/// What is wrong with a draft; all of it, in RabbitMQ's order (PO-059).
///
/// `Validation failed\n\nLINE\nLINE\n`, each line a fault's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Invalid {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validation failed\n\n")?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))
    }
}

/// One thing that is wrong with a draft. Each text is RabbitMQ's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The definition says nothing.
    #[error("no policy provided")]
    Empty,
    /// The definition is no map.
    #[error("definition must be a dictionary: {definition}")]
    NoMap {
        /// What it is.
        definition: Datum,
    },
    /// There are no such keys, or not for operators.
    #[error("{} are not recognised policy settings", Pairs(.settings))]
    UnknownKeys {
        /// The keys with their values.
        settings: Map,
    },
    /// A key has a value that it cannot have.
    #[error("{value} is not a valid {what}")]
    Value {
        /// The value.
        value: Datum,
        /// What it should have been, and sometimes more.
        what: &'static str,
    },
    /// `apply-to` is none of the words.
    #[error(
        "apply-to '{}' unrecognised; should be one of: 'queues', 'classic_queues',  \
         'quorum_queues', 'streams', 'exchanges', or 'all'",
        Bare(.word)
    )]
    ApplyTo {
        /// What it is.
        word: Datum,
    },
    /// The pattern cannot be compiled.
    #[error("pattern should be regular expression but is invalid: {{\"{reason}\",{position}}}")]
    Pattern {
        /// Why.
        reason: String,
        /// Where, in bytes from its beginning.
        position: usize,
    },
    /// The pattern is no string.
    #[error("pattern should be a binary but was {value}")]
    PatternType {
        /// What it is.
        value: Datum,
    },
    /// The priority is no number.
    #[error("priority should be a number, actually was {value}")]
    Priority {
        /// What it is.
        value: Datum,
    },
}

/// A value as Erlang's `~ts` writes strings and its `~tp` writes the rest.
struct Bare<'a>(&'a Datum);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Datum::Text(text) => f.write_str(text),
            other => other.fmt(f),
        }
    }
}

/// The policies of a vhost.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Sorted: of those that match, the first applies.
    sorted: Vec<Arc<Policy>>,
}

/// The policies that apply to one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The policy.
    pub policy: Option<Arc<Policy>>,
    /// The operator policy.
    pub operator_policy: Option<Arc<Policy>>,
}

/// What is in effect for one queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effective {
    /// The policies that apply.
    pub applied: Applied,
    /// The queue's arguments, and as if they were such, what the policies say (PO-057): what the
    /// queue is to obey.
    pub arguments: Table,
}

impl Policies {
    /// Adds a policy, in place of one of the same name and authority.
    pub fn put(&mut self, policy: Arc<Policy>) {
        self.remove(policy.authority, &policy.name);
        self.sorted.push(policy);
        // A tie goes to the first by name, so that it always goes the same way.
        self.sorted.sort_by(|one, other| {
            other.rank().total_cmp(&one.rank()).then_with(|| one.name.cmp(&other.name))
        });
    }

    /// Removes a policy, if it is there.
    pub fn remove(&mut self, authority: Authority, name: &str) -> Option<Arc<Policy>> {
        let at = self.sorted.iter().position(|p| p.authority == authority && &*p.name == name)?;
        Some(self.sorted.remove(at))
    }

    /// The policy of this name.
    pub fn get(&self, authority: Authority, name: &str) -> Option<&Arc<Policy>> {
        self.of(authority).find(|policy| &*policy.name == name)
    }

    /// The policies of an authority, the highest priority first.
    pub fn of(&self, authority: Authority) -> impl Iterator<Item = &Arc<Policy>> {
        self.sorted.iter().filter(move |policy| policy.authority == authority)
    }

    /// All policies.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.sorted.iter()
    }

    fn applied(&self, applies: impl Fn(&Policy) -> bool) -> Applied {
        let first = |authority| self.of(authority).find(|policy| applies(policy)).cloned();
        Applied { policy: first(Authority::User), operator_policy: first(Authority::Operator) }
    }

    /// The policies that apply to a queue.
    pub fn for_queue(&self, name: &str, queue_type: QueueType) -> Applied {
        self.applied(|policy| policy.applies_to_queue(name, queue_type))
    }

    /// The policies that apply to an exchange.
    pub fn for_exchange(&self, name: &str) -> Applied {
        self.applied(|policy| policy.applies_to_exchange(name))
    }

    /// What is in effect for a queue that was declared with these arguments.
    pub fn effective(&self, name: &str, queue_type: QueueType, arguments: &Table) -> Effective {
        let applied = self.for_queue(name, queue_type);
        let mut arguments = arguments.clone();
        for (key, value) in applied.definition() {
            let argument = format!("x-{key}");
            let Some(said) = value.to_argument() else { continue };
            let value = match arguments.inner().get(argument.as_str()) {
                Some(own) => keys::resolved(&key, queue_type, own, said),
                None => said,
            };
            arguments.insert(ShortString::from(argument), value);
        }
        Effective { applied, arguments }
    }

    /// The alternate exchange that policies give an exchange.
    pub fn alternate_exchange(&self, name: &str) -> Option<Name> {
        let definition = self.for_exchange(name).definition();
        definition.get(super::arguments::ALTERNATE_EXCHANGE)?.as_text().map(Name::from)
    }
}

impl Applied {
    /// What the policies say together (PO-056): `effective_policy_definition` in the API.
    pub fn definition(&self) -> Map {
        let said = |policy: &Option<Arc<Policy>>| {
            policy.as_ref().map_or_else(Map::new, |policy| policy.definition.clone())
        };
        let mut merged = said(&self.policy);
        for (key, operator) in said(&self.operator_policy) {
            let value = match merged.remove(&key) {
                Some(user) => keys::merged(&key, &user, operator),
                None => operator,
            };
            merged.insert(key, value);
        }
        merged
    }
}

/// The integers of two values, of whatever width.
fn integers(one: &Value, other: &Value) -> Option<(i64, i64)> {
    use super::exchange::HeaderValue::Int;
    match (one.into(), other.into()) {
        (Int(one), Int(other)) => Some((one, other)),
        _ => None,
    }
}

/// A policy as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRecord {
    /// The vhost it is in.
    pub vhost: Name,
    /// The policy.
    pub policy: Arc<Policy>,
}

/// The key of a policy's record.
pub(super) fn key(vhost: &str, authority: Authority, name: &str) -> Box<[u8]> {
    let mut out = Vec::new();
    put_bytes(&mut out, vhost.as_bytes());
    out.push(u8::from(authority == Authority::Operator));
    put_bytes(&mut out, name.as_bytes());
    out.into()
}

impl Record for PolicyRecord {
    const KIND: RecordKind = RecordKind::Policy;

    fn key(&self) -> Box<[u8]> {
        key(&self.vhost, self.policy.authority, &self.policy.name)
    }

    fn value(&self) -> Box<[u8]> {
        let policy = &self.policy;
        let mut out = vec![VERSION];
        put_bytes(&mut out, policy.pattern.as_str().as_bytes());
        put_bytes(&mut out, policy.apply_to.as_str().as_bytes());
        policy.priority.put(&mut out);
        datum::put_map(&mut out, &policy.definition);
        out.into()
    }

    /// What a policy says is not checked again: what one version accepts the next must not lose.
    fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut key = Reader(key);
        let vhost = key.name()?;
        let authority = match key.byte()? {
            0 => Authority::User,
            1 => Authority::Operator,
            _ => return Err(RecordError::Damaged),
        };
        let name = key.name()?;
        key.end()?;
        let mut value = Reader(value);
        value.version()?;
        let pattern = Pattern::new(value.text()?).map_err(|_| RecordError::Damaged)?;
        let apply_to = ApplyTo::parse(value.text()?).ok_or(RecordError::Damaged)?;
        let priority = Datum::take(&mut value)?;
        let definition = datum::take_map(&mut value)?;
        value.end()?;
        let policy = Policy { name, authority, pattern, apply_to, priority, definition };
        Ok(Self { vhost, policy: Arc::new(policy) })
    }
}
