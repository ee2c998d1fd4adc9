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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::table::{FieldArray as Array, LongString, ShortString};

    fn table(entries: &[(&str, Value)]) -> Table {
        let mut table = Table::default();
        for (name, value) in entries {
            table.insert(ShortString::from(*name), value.clone());
        }
        table
    }

    fn text(text: &str) -> Value {
        Value::LongString(LongString::from(text))
    }

    fn binding(id: u32, arguments: &Table) -> BindingRef<'_> {
        BindingRef { id, target: Target::queue(id), name: "", key: b"", arguments }
    }

    fn route(exchange: &HeadersExchange, headers: Option<&Table>) -> Vec<Target> {
        let mut out = Matches::default();
        let headers = headers.map(|headers| headers as &dyn super::super::Headers);
        exchange.route(&View::new(&[b"ignored"], headers), &mut out);
        out.targets.sort_unstable();
        out.targets.dedup();
        out.targets
    }

    fn is_match(arguments: &[(&str, Value)], headers: &[(&str, Value)]) -> bool {
        let mut exchange = HeadersExchange::default();
        exchange.bind(binding(1, &table(arguments)));
        !route(&exchange, Some(&table(headers))).is_empty()
    }

    // EX-067
    #[test]
    fn x_match_is_one_of_four_words() {
        let check = |value: Value| {
            let arguments = table(&[("x-match", value)]);
            HeadersExchange::default().check_binding(b"", &arguments)
        };
        for word in ["all", "any", "all-with-x", "any-with-x"] {
            assert_eq!(check(text(word)), Ok(()));
        }
        assert_eq!(
            check(text("foo")).unwrap_err().to_string(),
            "Invalid x-match field value <<\"foo\">>; expected all, any, all-with-x, or any-with-x"
        );
        assert_eq!(
            check(Value::LongInt(1)).unwrap_err().to_string(),
            "Invalid x-match field type signedint (value 1); expected longstr"
        );
    }

    // EX-067 EX-068 EX-071
    #[test]
    fn all_and_any_leave_out_what_starts_with_x() {
        let (a, b, x) = (("a", text("1")), ("b", text("2")), ("x-c", text("3")));
        let mode = |mode| ("x-match", text(mode));
        let both = [a.clone(), b.clone()];
        assert!(is_match(&both, &both));
        assert!(!is_match(&both, &both[..1]));
        assert!(is_match(&[mode("any"), a.clone(), b.clone()], &both[..1]));
        assert!(!is_match(&[mode("any"), a.clone()], &[]));
        assert!(is_match(&[mode("all"), a.clone(), x.clone()], std::slice::from_ref(&a)));
        assert!(!is_match(&[mode("all-with-x"), a.clone(), x.clone()], std::slice::from_ref(&a)));
        assert!(is_match(&[mode("all-with-x"), a.clone(), x.clone()], &[a.clone(), x.clone()]));
        assert!(!is_match(&[mode("any"), a.clone(), x.clone()], std::slice::from_ref(&x)));
        assert!(is_match(&[mode("any-with-x"), a, x.clone()], &[x]));
    }

    // EX-071 EX-073
    #[test]
    fn no_arguments_match_everything_with_all_and_nothing_with_any() {
        let header = [("a", text("1"))];
        for headers in [&header[..], &[]] {
            assert!(is_match(&[], headers));
            assert!(is_match(&[("x-match", text("all")), ("x-b", text("1"))], headers));
            assert!(is_match(&[("x-match", text("all-with-x"))], headers));
            assert!(!is_match(&[("x-match", text("any"))], headers));
        }
        let mut exchange = HeadersExchange::default();
        exchange.bind(binding(1, &table(&[])));
        exchange.bind(binding(2, &table(&header)));
        assert_eq!(route(&exchange, None), [Target::queue(1)]);
    }

    // EX-069 EX-070 EX-072
    #[test]
    fn values_are_compared_without_width_and_across_no_kinds() {
        let matches = |wanted: &Value, value: &Value| {
            is_match(&[("h", wanted.clone())], &[("h", value.clone())])
        };
        let array = |values: &[Value]| Value::FieldArray(Array::from(values.to_vec()));
        let values = [
            vec![text("5"), Value::ByteArray(b"5"[..].into())],
            vec![
                Value::ShortShortInt(5),
                Value::ShortShortUInt(5),
                Value::ShortInt(5),
                Value::ShortUInt(5),
                Value::LongInt(5),
                Value::LongUInt(5),
                Value::LongLongInt(5),
            ],
            vec![Value::Float(5.0), Value::Double(5.0)],
            vec![Value::Boolean(true)],
            vec![Value::Boolean(false)],
            vec![Value::Timestamp(5)],
            vec![array(&[text("5")])],
            vec![array(&[text("5"), Value::LongInt(1)])],
            vec![Value::FieldTable(table(&[("x", text("5"))]))],
            vec![text("")],
            vec![text("6")],
            vec![Value::LongLongInt(6)],
        ];
        for (kind, alike) in values.iter().enumerate() {
            for (other_kind, others) in values.iter().enumerate() {
                for (wanted, value) in alike.iter().flat_map(|w| others.iter().map(move |v| (w, v)))
                {
                    assert_eq!(matches(wanted, value), kind == other_kind, "{wanted:?} {value:?}");
                }
            }
            assert!(matches(&Value::Void, &alike[0]));
            assert!(!matches(&alike[0], &Value::Void));
        }
        assert!(matches(&Value::Void, &Value::Void));
        assert!(!is_match(&[("h", Value::Void)], &[("other", text("5"))]));
    }

    #[test]
    fn of_repeated_headers_the_last_counts() {
        struct Twice;
        impl super::super::Headers for Twice {
            fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8], HeaderValue<'a>)) {
                visit(b"h", HeaderValue::Int(1));
                visit(b"a", HeaderValue::Void);
                visit(b"h", HeaderValue::Int(2));
            }
        }
        let mut exchange = HeadersExchange::default();
        exchange.bind(binding(1, &table(&[("h", Value::LongInt(1))])));
        exchange.bind(binding(2, &table(&[("h", Value::LongInt(2))])));
        let mut out = Matches::default();
        exchange.route(&View::new(&[b""], Some(&Twice)), &mut out);
        assert_eq!(out.targets, [Target::queue(2)]);
    }

    fn entries() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
        let name = prop_oneof![Just("a"), Just("b"), Just("c"), Just("x-d")];
        let value = prop_oneof![
            Just(text("1")),
            Just(Value::LongInt(1)),
            Just(Value::LongLongInt(2)),
            Just(Value::Void),
        ];
        proptest::collection::vec((name, value), 0..4)
    }

    /// Whether a binding matches, told without any index.
    fn naive(arguments: &Table, headers: &Table) -> bool {
        let mode = Mode::of(arguments).unwrap();
        let tests = mode.tests(arguments);
        let mut met = tests.iter().map(|test| {
            let name = std::str::from_utf8(&test.name).unwrap();
            headers.inner().get(name).is_some_and(|value| test.is_met(&value.into()))
        });
        if mode.needs_all { met.all(|met| met) } else { met.any(|met| met) }
    }

    proptest! {
        #[test]
        fn index_matches_like_no_index(
            bound in proptest::collection::vec((0..5_usize, entries()), 0..30),
            messages in proptest::collection::vec(entries(), 1..10),
        ) {
            let modes = ["all", "any", "all-with-x", "any-with-x"];
            let mut exchange = HeadersExchange::default();
            let mut bindings = Vec::new();
            for (id, (mode, mut arguments)) in bound.into_iter().enumerate() {
                arguments.extend(modes.get(mode).map(|mode| ("x-match", text(mode))));
                bindings.push((id as u32, table(&arguments)));
            }
            for (id, arguments) in &bindings {
                exchange.bind(binding(*id, arguments));
            }
            while let Some((id, arguments)) = bindings.pop() {
                for message in &messages {
                    let headers = table(message);
                    let mut expected: Vec<_> = bindings
                        .iter()
                        .chain([&(id, arguments.clone())])
                        .filter(|(_, arguments)| naive(arguments, &headers))
                        .map(|(id, _)| Target::queue(*id))
                        .collect();
                    expected.sort_unstable();
                    prop_assert_eq!(route(&exchange, Some(&headers)), expected);
                }
                exchange.unbind(binding(id, &arguments));
            }
            prop_assert!(exchange.filters.is_empty() && exchange.waiting.is_empty());
            prop_assert!(exchange.always.is_empty());
        }
    }
}
