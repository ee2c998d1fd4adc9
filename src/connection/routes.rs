//! The routes of a connection's latest publishes, so that most publishes ask nobody.
//!
//! Keyed by exchange and routing key as they came in. All of it is forgotten when something was
//! declared, bound or deleted in the vhost, or a permission changed. A hit takes no lock.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::broker::{exchange::Tap, queue::Queue, route::RouteSet, stats::ExchangeStats};

/// Routes kept at the most; beyond them it starts anew.
const ROUTES_MAX: usize = 4096;

/// The generations of what routes and the right to use them depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Generations {
    /// The vhost's.
    pub(super) topology: u64,
    /// That of permissions.
    pub(super) access: u64,
}

#[derive(Debug, Default)]
pub(super) struct Routes {
    generations: Generations,
    kept: HashMap<Box<[u8]>, Route>,
    /// The route in use: that of the last publish.
    current: Route,
    current_address: Vec<u8>,
    has_current: bool,
    set: RouteSet<Arc<Queue>>,
    is_from_set: bool,
    passing: Passing,
}

/// Where messages of one address go.
#[derive(Clone, Debug, Default)]
struct Route {
    queues: Arc<[Arc<Queue>]>,
    /// What their exchange counts.
    source: Option<Arc<ExchangeStats>>,
}

/// Messages that passed through one exchange and are not counted there yet.
#[derive(Debug, Default)]
struct Passing {
    exchange: Option<Arc<ExchangeStats>>,
    came_in: u64,
    went_out: u64,
}

impl Passing {
    fn settle(&mut self) {
        if let Some(exchange) = &self.exchange
            && self.came_in > 0
        {
            exchange.add(self.came_in, self.went_out);
        }
        (self.came_in, self.went_out) = (0, 0);
    }
}

impl Routes {
    /// Makes the route of `address` the current one, if it is known.
    pub(super) fn find(&mut self, address: &[u8], generations: Generations) -> bool {
        if self.generations != generations {
            self.generations = generations;
            self.kept.clear();
            self.has_current = false;
        }
        if self.has_current && self.current_address == address {
            return true;
        }
        let Some(route) = self.kept.get(address) else { return false };
        self.current = route.clone();
        self.set_address(address);
        true
    }

    fn set_address(&mut self, address: &[u8]) {
        self.current_address.clear();
        self.current_address.extend_from_slice(address);
        self.has_current = true;
        self.is_from_set = false;
    }

    /// Where a route is to be put that was not known; it is the current one until the next.
    pub(super) fn set(&mut self) -> &mut RouteSet<Arc<Queue>> {
        self.has_current = false;
        self.is_from_set = true;
        &mut self.set
    }

    /// Keeps the route that was just put into the set.
    pub(super) fn keep(&mut self, address: &[u8], generations: Generations) {
        if self.generations != generations {
            return;
        }
        if self.kept.len() >= ROUTES_MAX {
            self.kept.clear();
        }
        let source = self.set.source().cloned();
        self.current = Route { queues: self.set.queues().into(), source };
        self.kept.insert(address.into(), self.current.clone());
        self.set_address(address);
    }

    /// What else is to become of a message on the current route.
    pub(super) fn taps(&self) -> &[Tap] {
        if self.is_from_set { self.set.taps() } else { &[] }
    }

    /// The queues of the current route.
    pub(super) fn queues(&self) -> &[Arc<Queue>] {
        if self.is_from_set { self.set.queues() } else { &self.current.queues }
    }

    /// Counts a message that took the current route, for its exchange. The exchange knows of it at
    /// the latest after [`Self::settle`].
    pub(super) fn count(&mut self) {
        let queues = self.queues().len() as u64;
        let source =
            if self.is_from_set { self.set.source() } else { self.current.source.as_ref() };
        let (Some(source), passing) = (source, &mut self.passing) else { return };
        if !passing.exchange.as_ref().is_some_and(|exchange| Arc::ptr_eq(exchange, source)) {
            passing.settle();
            passing.exchange = Some(Arc::clone(source));
        }
        passing.came_in += 1;
        passing.went_out += queues;
    }

    /// Tells exchanges what passed through them.
    pub(super) fn settle(&mut self) {
        self.passing.settle();
    }
}
