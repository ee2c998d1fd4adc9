//! Ends of bindings as small numbers, and sets of them.

use std::fmt;

/// What a binding leads to: the number of a queue or of an exchange in its topology.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(u32);

/// Marks the numbers of exchanges, which so stand behind those of all queues.
const EXCHANGE: u32 = 1 << 31;

impl Target {
    /// The queue with this number.
    pub fn queue(slot: u32) -> Self {
        debug_assert!(slot < EXCHANGE);
        Self(slot)
    }

    /// The exchange with this number.
    pub fn exchange(slot: u32) -> Self {
        debug_assert!(slot < EXCHANGE);
        Self(slot | EXCHANGE)
    }

    /// The queue's number, unless this is an exchange.
    pub fn as_queue(self) -> Option<u32> {
        (self.0 & EXCHANGE == 0).then_some(self.0)
    }

    /// The exchange's number, unless this is a queue.
    pub fn as_exchange(self) -> Option<u32> {
        (self.0 & EXCHANGE != 0).then_some(self.0 & !EXCHANGE)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_exchange() {
            Some(slot) => write!(f, "exchange {slot}"),
            None => write!(f, "queue {}", self.0),
        }
    }
}

/// Targets in ascending order, each as often as it was added: two bindings that differ in their
/// arguments alone lead to the same target twice (EX-041).
///
/// Most keys lead to one queue, and there may be very many keys, so that a single target takes no
/// memory of its own.
#[derive(Debug, Default)]
pub enum TargetSet {
    /// No target.
    #[default]
    Empty,
    /// A single one.
    One([Target; 1]),
    /// Two or more, or what is left of them.
    Many(Vec<Target>),
}

impl TargetSet {
    /// Adds a target once more.
    pub fn add(&mut self, target: Target) {
        match self {
            Self::Empty => *self = Self::One([target]),
            Self::One([other]) => {
                *self = Self::Many(vec![target.min(*other), target.max(*other)]);
            }
            Self::Many(targets) => {
                let at = targets.partition_point(|t| *t < target);
                targets.insert(at, target);
            }
        }
    }

    /// Removes a target once.
    pub fn remove(&mut self, target: Target) {
        match self {
            Self::One(only) if *only == [target] => *self = Self::Empty,
            Self::Many(targets) => {
                if let Ok(at) = targets.binary_search(&target) {
                    targets.remove(at);
                }
                if targets.is_empty() {
                    *self = Self::Empty;
                }
            }
            Self::Empty | Self::One(_) => {}
        }
    }

    /// Whether there is no target.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The targets.
    pub fn as_slice(&self) -> &[Target] {
        match self {
            Self::Empty => &[],
            Self::One(only) => only,
            Self::Many(targets) => targets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_stays_until_it_was_removed_as_often_as_added() {
        let mut set = TargetSet::default();
        let (queue, exchange) = (Target::queue(7), Target::exchange(7));
        for target in [exchange, queue, queue] {
            set.add(target);
        }
        assert_eq!(set.as_slice(), [queue, queue, exchange]);
        set.remove(queue);
        assert_eq!(set.as_slice(), [queue, exchange]);
        set.remove(queue);
        set.remove(queue);
        set.remove(exchange);
        assert!(set.is_empty());
    }

    #[test]
    fn queues_and_exchanges_have_their_own_numbers() {
        assert_eq!((Target::queue(3).as_queue(), Target::queue(3).as_exchange()), (Some(3), None));
        let exchange = Target::exchange(3);
        assert_eq!((exchange.as_queue(), exchange.as_exchange()), (None, Some(3)));
    }
}
