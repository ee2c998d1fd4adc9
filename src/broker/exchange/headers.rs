//! `headers`: the binding's arguments are compared with the message's headers (EX-067..073).

use hashbrown::HashMap;

use super::{BindingRef, ExchangeType, HeaderValue, Matches, Target, View};
use crate::{
    broker::{Error, error::BindingFault},
    wire::table::{Table, Value},
};

/// The filter of each binding, by the binding's number.
#[derive(Debug, Default)]
pub(super) struct HeadersExchange {
    filters: HashMap<u32, Filter>,
}

/// A binding's arguments, ready to be compared.
#[derive(Debug)]
struct Filter {
    target: Target,
    needs_all: bool,
    /// The headers that are looked at; a void value asks for presence alone (EX-070).
    tests: Box<[(Box<[u8]>, Value)]>,
}

impl ExchangeType for HeadersExchange {
    fn check_binding(&self, _key: &[u8], arguments: &Table) -> Result<(), Error> {
        Mode::of(arguments)?;
        Ok(())
    }

    fn bind(&mut self, binding: BindingRef<'_>) {
        let mode = Mode::of(binding.arguments).unwrap_or_default();
        let filter = Filter {
            target: binding.target,
            needs_all: mode.needs_all,
            tests: mode.tests(binding.arguments),
        };
        self.filters.insert(binding.id, filter);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        self.filters.remove(&binding.id);
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        let mut headers = HashMap::new();
        if let Some(of_message) = message.headers {
            of_message.each(&mut |name, value| {
                headers.insert(name, value);
            });
        }
        for filter in self.filters.values() {
            if filter.matches(&headers) {
                out.targets.push(filter.target);
            }
        }
    }

    fn is_cacheable(&self) -> bool {
        false
    }
}

impl Filter {
    fn matches(&self, headers: &HashMap<&[u8], HeaderValue<'_>>) -> bool {
        let mut tests = self.tests.iter().map(|(name, wanted)| {
            headers
                .get(&**name)
                .is_some_and(|value| *wanted == Value::Void || *value == wanted.into())
        });
        if self.needs_all { tests.all(|met| met) } else { tests.any(|met| met) }
    }
}

/// What `x-match` says.
#[derive(Clone, Copy, Debug)]
struct Mode {
    needs_all: bool,
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

    /// The arguments that are compared: without those that start with `x-`, or without `x-match`
    /// alone (EX-068).
    fn tests(self, arguments: &Table) -> Box<[(Box<[u8]>, Value)]> {
        let is_compared =
            |name: &str| if self.with_x { name != "x-match" } else { !name.starts_with("x-") };
        arguments
            .into_iter()
            .filter(|(name, _)| is_compared(name.as_str()))
            .map(|(name, value)| (name.as_str().as_bytes().into(), value.clone()))
            .collect()
    }
}
