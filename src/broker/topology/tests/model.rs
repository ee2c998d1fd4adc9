//! Random operations on a topology and on a list of bindings, which must agree.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const EXCHANGES: [&str; 4] = ["x0", "x1", "x2", "x3"];
const QUEUES: [&str; 3] = ["q0", "q1", "q2"];
const KEYS: [&str; 5] = ["", "a", "a.b", "*", "#.b"];
const TYPES: [&str; 3] = ["direct", "fanout", "topic"];

/// The naive topology.
#[derive(Clone, Debug, Default)]
struct Model {
    exchanges: BTreeMap<&'static str, ExchangeSpec>,
    queues: BTreeSet<&'static str>,
    bindings: BTreeSet<(&'static str, Destination, &'static str)>,
}

#[derive(Clone, Debug)]
enum Op {
    Declare(&'static str, &'static str, bool, Option<&'static str>),
    Delete(&'static str, bool),
    Bind(&'static str, Destination, &'static str),
    Unbind(&'static str, Destination, &'static str),
    InsertQueue(&'static str),
    RemoveQueue(&'static str),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || proptest::sample::select(&EXCHANGES[..]);
    let queue_name = || proptest::sample::select(&QUEUES[..]);
    let key = || proptest::sample::select(&KEYS[..]);
    let end =
        move || prop_oneof![2 => queue_name().prop_map(queue), 1 => name().prop_map(exchange)];
    let type_name = proptest::sample::select(&TYPES[..]);
    prop_oneof![
        4 => (name(), type_name, any::<bool>(), proptest::option::of(name()))
            .prop_map(|(name, type_name, auto, other)| Op::Declare(name, type_name, auto, other)),
        1 => (name(), any::<bool>()).prop_map(|(name, if_unused)| Op::Delete(name, if_unused)),
        8 => (name(), end(), key()).prop_map(|(source, to, key)| Op::Bind(source, to, key)),
        3 => (name(), end(), key()).prop_map(|(source, to, key)| Op::Unbind(source, to, key)),
        3 => queue_name().prop_map(Op::InsertQueue),
        1 => queue_name().prop_map(Op::RemoveQueue),
    ]
}

impl Model {
    fn has(&self, destination: &Destination) -> bool {
        match destination {
            Destination::Queue(name) => self.queues.contains(name.as_str()),
            Destination::Exchange(name) => self.exchanges.contains_key(name.as_str()),
        }
    }

    /// Drops bindings without ends, and auto-delete exchanges that so lost their last binding,
    /// until nothing more goes.
    fn settle(&mut self) {
        loop {
            let before = self.bindings.clone();
            let ends = self.clone();
            self.bindings
                .retain(|(source, to, _)| ends.exchanges.contains_key(source) && ends.has(to));
            if self.bindings == before {
                return;
            }
            self.drop_unused(&before);
        }
    }

    /// Drops auto-delete exchanges that have no bindings any more.
    fn drop_unused(&mut self, before: &BTreeSet<(&'static str, Destination, &'static str)>) {
        let bindings = &self.bindings;
        self.exchanges.retain(|name, spec| {
            let is_source = |all: &BTreeSet<_>| all.iter().any(|(source, _, _)| source == name);
            !(spec.auto_delete && is_source(before) && !is_source(bindings))
        });
    }

    /// Does an operation and says whether it changed anything.
    fn apply(&mut self, op: &Op) -> bool {
        let before = (self.exchanges.len(), self.queues.len(), self.bindings.clone());
        match op {
            Op::Declare(name, type_name, auto, alternate) => {
                let spec = declared(type_name, *auto, *alternate);
                self.exchanges.entry(name).or_insert(spec);
            }
            Op::Delete(name, if_unused) => {
                let is_used = self.bindings.iter().any(|(source, _, _)| source == name);
                if !(is_used && *if_unused) {
                    self.exchanges.remove(name);
                }
            }
            Op::Bind(source, to, key) => {
                if self.exchanges.contains_key(source) && self.has(to) {
                    self.bindings.insert((source, to.clone(), key));
                }
            }
            Op::Unbind(source, to, key) => {
                self.bindings.remove(&(*source, to.clone(), *key));
                self.drop_unused(&before.2);
            }
            Op::InsertQueue(name) => {
                self.queues.insert(name);
                return true;
            }
            Op::RemoveQueue(name) => {
                self.queues.remove(name);
            }
        }
        self.settle();
        before != (self.exchanges.len(), self.queues.len(), self.bindings.clone())
    }

    fn route(&self, exchange: &str, key: &str) -> Vec<&'static str> {
        let mut pending = vec![exchange];
        let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
        while let Some(name) = pending.pop() {
            let Some(spec) = self.exchanges.get(name) else { continue };
            if !seen.insert(name) {
                continue;
            }
            let is_match = |pattern: &str| match spec.type_name.as_str() {
                "direct" => pattern == key,
                "topic" => is_topic_match(pattern, key),
                _ => true,
            };
            let matching = self.bindings.iter().filter(|b| b.0 == name && is_match(b.2));
            let mut is_routed = false;
            for (_, to, _) in matching {
                is_routed = true;
                match to {
                    Destination::Queue(name) => {
                        found.insert(*self.queues.get(name.as_str()).unwrap());
                    }
                    Destination::Exchange(name) => pending.push(name),
                }
            }
            if !is_routed {
                pending.extend(arguments::text(&spec.arguments, ALTERNATE_EXCHANGE));
            }
        }
        found.into_iter().collect()
    }
}

/// Whether one of `KEYS`, as a pattern, matches one of them as a key.
fn is_topic_match(pattern: &str, key: &str) -> bool {
    match pattern {
        "*" => !key.is_empty() && !key.contains('.'),
        "#.b" => key.rsplit('.').next() == Some("b"),
        literal => literal == key,
    }
}

fn declared(type_name: &str, auto: bool, alternate: Option<&str>) -> ExchangeSpec {
    let spec =
        alternate.map_or_else(|| spec(type_name), |name| with_alternate(type_name, text(name)));
    ExchangeSpec { auto_delete: auto, ..spec }
}

/// Does an operation, and adds what went to the counts of what is gone.
fn apply(topology: &mut Vhost, op: &Op, gone: &mut (usize, usize)) {
    let none = Table::default();
    let removed = match op {
        Op::Declare(name, type_name, auto, alternate) => {
            // Whether it was refused shows in what is there.
            let _ = topology.declare_exchange(name, declared(type_name, *auto, *alternate));
            None
        }
        Op::Delete(name, if_unused) => topology.delete_exchange(name, *if_unused).ok(),
        Op::Bind(source, to, key) => {
            let _ = topology.bind(source, to, key.as_bytes(), &none);
            None
        }
        Op::Unbind(source, to, key) => {
            Some(topology.unbind(source, to, key.as_bytes(), &none).unwrap())
        }
        Op::InsertQueue(name) => {
            topology.insert_queue((*name).into(), name, true);
            None
        }
        Op::RemoveQueue(name) => topology.remove_queue(name).map(|(_, removed)| removed),
    };
    if let Some(removed) = removed {
        gone.0 += removed.exchanges.len();
        gone.1 += removed.bindings.len();
    }
}

fn listed(topology: &Vhost) -> BTreeSet<(String, Destination, Vec<u8>)> {
    let bindings: Vec<_> = topology.bindings().collect();
    assert_eq!(bindings.len(), topology.bindings_count());
    bindings
        .into_iter()
        .map(|binding| (binding.source.to_string(), binding.destination, binding.key.into()))
        .collect()
}

fn restored(topology: &Vhost) -> Vhost {
    let exchanges = topology.exchanges().map(|exchange| ExchangeRecord {
        vhost: "/".into(),
        name: exchange.name().clone(),
        spec: exchange.spec().clone(),
        log: None,
    });
    let queues = topology.queues().map(|(name, queue)| (name.clone(), *queue));
    let bindings = topology.bindings().map(|binding| BindingRecord::new("/".into(), binding));
    let (restored, dropped) = Topology::restore(exchanges, queues, bindings);
    assert_eq!(dropped, []);
    restored
}

proptest! {
    #[test]
    fn topology_agrees_with_the_model(ops in proptest::collection::vec(op(), 1..80)) {
        let mut topology = Vhost::new();
        let mut model = Model::default();
        for op in &ops {
            let (mut gone, before) = ((0, 0), model.clone());
            let generation = topology.generation();
            apply(&mut topology, op, &mut gone);
            let has_changed = model.apply(op);
            prop_assert_eq!(topology.generation() > generation, has_changed, "{:?}", op);

            let bindings: BTreeSet<_> = model
                .bindings
                .iter()
                .map(|(source, to, key)| (source.to_string(), to.clone(), key.as_bytes().to_vec()))
                .collect();
            prop_assert_eq!(listed(&topology), bindings, "{:?}", op);
            let is_gone = |name: &&&str| !model.exchanges.contains_key(**name);
            let exchanges = before.exchanges.keys().filter(is_gone).count();
            let bindings = before.bindings.difference(&model.bindings).count();
            prop_assert_eq!(gone, (exchanges, bindings), "{:?}", op);
        }
        let restored = restored(&topology);
        for name in EXCHANGES {
            prop_assert_eq!(topology.exchange(name).is_some(), model.exchanges.contains_key(name));
            if topology.exchange(name).is_some() {
                for key in KEYS {
                    let expected = model.route(name, key);
                    prop_assert_eq!(&route(&topology, name, &[key]), &expected, "{} {}", name, key);
                    prop_assert_eq!(&route(&restored, name, &[key]), &expected);
                }
            }
        }
    }
}
