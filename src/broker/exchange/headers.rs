//! `headers`: the arguments of the binding are compared with the headers of the message
//! (EX-067..073).
//!
//! Each binding waits at headers: one that needs all of its arguments at a single one of them, the
//! one where fewest others wait; one that needs any of them at each. A message asks only those
//! that wait at one of its headers, so that bindings that differ from it there cost nothing.

use std::{collections::BTreeSet, hash::BuildHasher};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::{BindingRef, ExchangeType, HeaderValue, Matches, Target, TargetSet, View};
use crate::{
    broker::{Error, error::BindingFault},
    wire::table::{Table, Value},
};

/// The bindings of one exchange.
#[derive(Debug, Default)]
pub(super) struct HeadersExchange {
    /// The arguments of each binding, by its number.
    filters: HashMap<u32, Filter>,
    /// The bindings that wait at each header, by the hash of its name and value, or of its name
    /// alone. That two headers have one hash does no harm: who waits is asked, not just taken.
    waiting: HashMap<u64, BTreeSet<u32>>,
    /// The targets of the bindings that need all of no arguments: every message's (EX-071).
    always: TargetSet,
    hasher: DefaultHashBuilder,
}

/// A binding's arguments, ready to be compared.
#[derive(Debug)]
struct Filter {
    target: Target,
    needs_all: bool,
    /// What is asked of the message.
    tests: Box<[Test]>,
    /// Those of the tests at whose headers the binding waits.
    waits_at: std::ops::Range<usize>,
}

/// An argument: a header's name and its value, or void if the header only has to be there (EX-070).
#[derive(Debug)]
struct Test {
    name: Box<[u8]>,
    wanted: Value,
}

impl ExchangeType for HeadersExchange {
    fn check_binding(&self, _key: &[u8], arguments: &Table) -> Result<(), Error> {
        Mode::of(arguments)?;
        Ok(())
    }

    fn bind(&mut self, binding: BindingRef<'_>) {
        let mode = Mode::of(binding.arguments).unwrap_or_default();
        let tests = mode.tests(binding.arguments);
        if mode.needs_all && tests.is_empty() {
            self.always.add(binding.target);
        }
        let mut waits_at = 0..tests.len();
        if mode.needs_all {
            let fewest = waits_at.clone().min_by_key(|at| self.waiting_count(&tests[*at]));
            waits_at = fewest.map_or(0..0, |at| at..at + 1);
        }
        for test in &tests[waits_at.clone()] {
            self.waiting.entry(test.hash(&self.hasher)).or_default().insert(binding.id);
        }
        let filter = Filter { target: binding.target, needs_all: mode.needs_all, tests, waits_at };
        self.filters.insert(binding.id, filter);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        let Some(filter) = self.filters.remove(&binding.id) else { return };
        if filter.needs_all && filter.tests.is_empty() {
            self.always.remove(filter.target);
        }
        for test in &filter.tests[filter.waits_at] {
            let hash = test.hash(&self.hasher);
            if let Some(waiting) = self.waiting.get_mut(&hash) {
                waiting.remove(&binding.id);
                if waiting.is_empty() {
                    self.waiting.remove(&hash);
                }
            }
        }
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        out.targets.extend_from_slice(self.always.as_slice());
        let headers = Sorted::of(message);
        for (name, value) in &headers.0 {
            for value in [value, &HeaderValue::Void] {
                let waiting = self.waiting.get(&hash(&self.hasher, name, value));
                let filters = waiting.into_iter().flatten().filter_map(|id| self.filters.get(id));
                let matching = filters.filter(|filter| filter.matches(&headers));
                out.targets.extend(matching.map(|filter| filter.target));
            }
        }
    }

    fn is_cacheable(&self) -> bool {
        false
    }
}

impl HeadersExchange {
    /// How many bindings wait at a header.
    fn waiting_count(&self, test: &Test) -> usize {
        self.waiting.get(&test.hash(&self.hasher)).map_or(0, BTreeSet::len)
    }
}

impl Filter {
    fn matches(&self, headers: &Sorted<'_>) -> bool {
        let mut tests = self.tests.iter();
        let is_met = |test: &Test| headers.get(&test.name).is_some_and(|value| test.is_met(value));
        if self.needs_all { tests.all(is_met) } else { tests.any(is_met) }
    }
}

impl Test {
    fn is_met(&self, value: &HeaderValue<'_>) -> bool {
        self.wanted == Value::Void || *value == HeaderValue::from(&self.wanted)
    }

    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        hash(hasher, &self.name, &HeaderValue::from(&self.wanted))
    }
}

/// The hash of a header; with a void value, that of its presence.
fn hash(hasher: &DefaultHashBuilder, name: &[u8], value: &HeaderValue<'_>) -> u64 {
    match value {
        HeaderValue::Bytes(bytes) => hasher.hash_one((name, 1, bytes)),
        HeaderValue::Int(value) => hasher.hash_one((name, 2, value)),
        HeaderValue::Bool(value) => hasher.hash_one((name, 3, value)),
        HeaderValue::Float(bits) => hasher.hash_one((name, 4, bits)),
        HeaderValue::Timestamp(value) => hasher.hash_one((name, 5, value)),
        HeaderValue::Compound(_) => hasher.hash_one((name, 6)),
        HeaderValue::Void => hasher.hash_one((name, 7)),
    }
}

/// A message's headers by name, each once.
struct Sorted<'a>(Vec<(&'a [u8], HeaderValue<'a>)>);

impl<'a> Sorted<'a> {
    fn of(message: &View<'a>) -> Self {
        let mut headers = Vec::new();
        if let Some(all) = message.headers {
            all.each(&mut |name, value| headers.push((name, value)));
        }
        // The sort keeps the order of equal names, and of those the last counts.
        headers.sort_by_key(|(name, _)| *name);
        headers.reverse();
        headers.dedup_by_key(|(name, _)| *name);
        headers.reverse();
        Self(headers)
    }

    fn get(&self, name: &[u8]) -> Option<&HeaderValue<'a>> {
        let at = self.0.binary_search_by_key(&name, |(name, _)| name).ok()?;
        Some(&self.0[at].1)
    }
}

/// What `x-match` says.
#[derive(Clone, Copy, Debug)]
struct Mode {
    needs_all: bool,
    /// Whether arguments that start with `x-` count.
    with_x: bool,
}

impl Default for Mode {
    fn default() -> Self {
        Self { needs_all: true, with_x: false }
    }
}

impl Mode {
    fn of(arguments: &Table) -> Result<Self, BindingFault> {
        let (needs_all, with_x) = match arguments.inner().get("x-match") {
            None => return Ok(Self::default()),
            Some(Value::LongString(word)) => match word.as_bytes() {
                b"all" => (true, false),
                b"any" => (false, false),
                b"all-with-x" => (true, true),
                b"any-with-x" => (false, true),
                other => return Err(BindingFault::MatchValue { value: other.to_vec() }),
            },
            Some(other) => return Err(BindingFault::MatchType { value: other.clone() }),
        };
        Ok(Self { needs_all, with_x })
    }

    /// The arguments that are compared: all but those that start with `x-`, or all but `x-match`
    /// itself (EX-068).
    fn tests(self, arguments: &Table) -> Box<[Test]> {
        let counts =
            |name: &str| if self.with_x { name != "x-match" } else { !name.starts_with("x-") };
        arguments
            .into_iter()
            .filter(|(name, _)| counts(name.as_str()))
            .map(|(name, value)| Test {
                name: name.as_str().as_bytes().into(),
                wanted: value.clone(),
            })
            .collect()
    }
}
