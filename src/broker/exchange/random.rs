//! `x-random`: one of all bindings, whatever the keys (EX-093). `x-local-random`: the same with
//! stricter bindings (EX-094); one node has local queues alone.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    BindingRef, ExchangeType, Fittings, Matches, TargetSet, View,
    hash::{below, mix},
};
use crate::{
    broker::{
        Error,
        arguments::QueueType,
        error::{BindingFault, Kind},
    },
    wire::table::Table,
};

/// All targets, and the state of the numbers they are drawn by.
#[derive(Debug, Default)]
pub(super) struct Random {
    targets: TargetSet,
    state: AtomicU64,
}

impl ExchangeType for Random {
    fn fit(&mut self, fittings: &Fittings<'_>) {
        self.state = AtomicU64::new(fittings.seed);
    }

    fn bind(&mut self, binding: BindingRef<'_>) {
        self.targets.add(binding.target);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        self.targets.remove(binding.target);
    }

    fn route(&self, _message: &View<'_>, out: &mut Matches) {
        if let targets @ [_, ..] = self.targets.as_slice() {
            let number = mix(self.state.fetch_add(1, Ordering::Relaxed));
            out.targets.push(targets[below(number, targets.len())]);
        }
    }

    fn is_cacheable(&self) -> bool {
        false
    }
}

/// `x-local-random`.
#[derive(Debug, Default)]
pub(super) struct LocalRandom(Random);

impl ExchangeType for LocalRandom {
    fn fit(&mut self, fittings: &Fittings<'_>) {
        self.0.fit(fittings);
    }

    fn check_binding(&self, key: &[u8], _arguments: &Table) -> Result<(), Error> {
        if !key.is_empty() {
            return Err(BindingFault::KeyNotEmpty { key: key.to_vec() }.into());
        }
        Ok(())
    }

    fn check_destination(&self, kind: Kind, queue_type: Option<QueueType>) -> Result<(), Error> {
        match (kind, queue_type) {
            (Kind::Exchange, _) => Err(BindingFault::DestinationNotFound.into()),
            (Kind::Queue, None | Some(QueueType::Classic)) => Ok(()),
            (Kind::Queue, Some(other)) => {
                Err(BindingFault::QueueTypeNotValid { queue_type: other.as_str() }.into())
            }
        }
    }

    fn bind(&mut self, binding: BindingRef<'_>) {
        self.0.bind(binding);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        self.0.unbind(binding);
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        self.0.route(message, out);
    }

    fn is_cacheable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Target, *};

    fn picks(seed: u64, queues: u32, count: usize) -> Vec<u32> {
        let mut exchange = Random::default();
        exchange.fit(&Fittings { seed, ..Fittings::none() });
        let none = Table::default();
        for queue in 0..queues {
            let target = Target::queue(queue);
            exchange.bind(BindingRef { id: queue, target, name: "q", key: b"k", arguments: &none });
        }
        let mut out = Matches::default();
        for _ in 0..count {
            exchange.route(&View::new(&[b"other"], None), &mut out);
        }
        out.targets.iter().filter_map(|target| target.as_queue()).collect()
    }

    // EX-093
    #[test]
    fn each_queue_is_picked_as_often() {
        assert!(picks(1, 0, 10).is_empty());
        assert_eq!(picks(1, 1, 3), [0, 0, 0]);
        let mut counts = [0_u32; 5];
        for queue in picks(7, 5, 50_000) {
            counts[queue as usize] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{counts:?}");
    }

    // R9
    #[test]
    fn equal_seeds_give_equal_picks() {
        assert_eq!(picks(5, 9, 100), picks(5, 9, 100));
        assert_ne!(picks(5, 9, 100), picks(6, 9, 100));
    }
}
