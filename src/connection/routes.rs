//! The routes of a connection's latest publishes, so that most publishes ask nobody.
//!
//! Keyed by exchange and routing key as they came in. All of it is forgotten when something was
//! declared, bound or deleted in the vhost, or a permission changed. A hit takes no lock.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::broker::{exchange::Tap, queue::Queue, route::RouteSet};

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
    kept: HashMap<Box<[u8]>, Arc<[Arc<Queue>]>>,
    /// The route in use: that of the last publish.
    current: Arc<[Arc<Queue>]>,
    current_address: Vec<u8>,
    has_current: bool,
    set: RouteSet<Arc<Queue>>,
    is_from_set: bool,
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
        self.current = Arc::clone(route);
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
        self.current = self.set.queues().into();
        self.kept.insert(address.into(), Arc::clone(&self.current));
        self.set_address(address);
    }

    /// What else is to become of a message on the current route.
    pub(super) fn taps(&self) -> &[Tap] {
        if self.is_from_set { self.set.taps() } else { &[] }
    }

    /// The queues of the current route.
    pub(super) fn queues(&self) -> &[Arc<Queue>] {
        if self.is_from_set { self.set.queues() } else { &self.current }
    }
}
