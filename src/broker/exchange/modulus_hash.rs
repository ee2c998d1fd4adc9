//! `x-modulus-hash`: one destination, by the hash of the routing keys modulo their number (EX-095).

use super::{
    BindingRef, ExchangeType, Matches, Target, View,
    hash::{hash, mix},
};

/// The destinations by kind and name, each once, with how often it is bound: the order is that of
/// every process, so that a restart moves nothing.
#[derive(Debug, Default)]
pub(super) struct ModulusHash {
    destinations: Vec<Destination>,
}

#[derive(Debug)]
struct Destination {
    is_exchange: bool,
    name: Box<str>,
    target: Target,
    bindings_count: usize,
}

impl ModulusHash {
    fn find(&self, binding: &BindingRef<'_>) -> Result<usize, usize> {
        let key = (binding.target.as_exchange().is_some(), binding.name);
        self.destinations.binary_search_by(|other| (other.is_exchange, &*other.name).cmp(&key))
    }
}

impl ExchangeType for ModulusHash {
    fn bind(&mut self, binding: BindingRef<'_>) {
        match self.find(&binding) {
            Ok(at) => self.destinations[at].bindings_count += 1,
            Err(at) => self.destinations.insert(
                at,
                Destination {
                    is_exchange: binding.target.as_exchange().is_some(),
                    name: binding.name.into(),
                    target: binding.target,
                    bindings_count: 1,
                },
            ),
        }
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        if let Ok(at) = self.find(&binding) {
            self.destinations[at].bindings_count -= 1;
            if self.destinations[at].bindings_count == 0 {
                self.destinations.remove(at);
            }
        }
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        if self.destinations.is_empty() {
            return;
        }
        let keys = message.keys.iter().fold(0, |keys, key| mix(keys) ^ hash(key));
        let at = keys % self.destinations.len() as u64;
        out.targets.push(self.destinations[at as usize].target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::table::Table;

    // EX-095
    #[test]
    fn destinations_share_evenly_whatever_their_order_and_their_keys() {
        let none = Table::default();
        let names = ["a", "b", "c", "d", "e"];
        let binding = |id: u32, at: usize| {
            let target = Target::queue(at as u32 + 10);
            BindingRef { id, target, name: names[at], key: b"any", arguments: &none }
        };
        let (mut one, mut other) = (ModulusHash::default(), ModulusHash::default());
        for at in 0..names.len() {
            one.bind(binding(at as u32, at));
            other.bind(binding(at as u32, names.len() - 1 - at));
        }
        // A second binding changes nothing, not even when it goes.
        other.bind(binding(99, 2));
        let route = |exchange: &ModulusHash, key: usize| {
            let mut out = Matches::default();
            exchange.route(&View::new(&[key.to_string().as_bytes()], None), &mut out);
            assert_eq!(out.targets.len(), 1);
            out.targets[0].as_queue().unwrap() as usize - 10
        };
        let mut counts = [0_u32; 5];
        for key in 0..10_000 {
            assert_eq!(route(&one, key), route(&other, key));
            counts[route(&one, key)] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(2000) < 200), "{counts:?}");
        other.unbind(binding(99, 2));
        assert!((0..100).all(|key| route(&one, key) == route(&other, key)));
        other.unbind(binding(2, 2));
        assert!((0..1000).all(|key| route(&other, key) != 2));
    }
}
