//! The connections of the broker: who is connected to which vhost, and how many may be.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::outbox::{Event, Outbox, Wakes};
use crate::names::{ConnectionId, Name};

/// Every connection, from its first byte to its end.
#[derive(Debug)]
pub struct Registry {
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: HashMap<ConnectionId, Connection>,
    vhosts: HashMap<Name, usize>,
    users: HashMap<Name, OfUser>,
}

#[derive(Debug)]
struct Connection {
    outbox: Arc<Outbox>,
    /// Once `connection.open` named the vhost.
    place: Option<Place>,
}

/// Where a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its user.
    pub user: Name,
    /// Its vhost.
    pub vhost: Name,
    /// Channels that are open on it.
    pub channels: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfUser {
    connections: usize,
    channels: usize,
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The vhost has as many connections as it may have (CN-083).
    Vhost(u64),
    /// The user has (CN-084).
    User(u64),
}

/// A limit as a number: none if it is negative or not said (PO-070).
pub fn as_limit(limit: Option<i64>) -> Option<u64> {
    u64::try_from(limit?).ok()
}

/// The limit, if so many reach it.
fn reached(count: usize, limit: Option<i64>) -> Option<u64> {
    as_limit(limit).filter(|limit| count as u64 >= *limit)
}

impl Default for Registry {
    fn default() -> Self {
        Self { next: AtomicU64::new(1), state: Mutex::default() }
    }
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection that has said nothing yet.
    pub fn connect(&self, outbox: Arc<Outbox>) -> ConnectionId {
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        self.state().connections.insert(id, Connection { outbox, place: None });
        id
    }

    /// Lets a connection into a vhost, if neither the vhost's nor the user's limit says no.
    ///
    /// # Errors
    /// [`Full`], the vhost's first (CN-086).
    pub fn enter(
        &self,
        id: ConnectionId,
        user: &Name,
        vhost: &Name,
        vhost_limit: Option<i64>,
        user_limit: Option<i64>,
    ) -> Result<(), Full> {
        let mut state = self.state();
        let State { connections, vhosts, users } = &mut *state;
        let Some(connection) = connections.get_mut(&id) else { return Ok(()) };
        if connection.place.is_some() {
            return Ok(());
        }
        let in_vhost = vhosts.get(vhost).copied().unwrap_or_default();
        if let Some(limit) = reached(in_vhost, vhost_limit) {
            return Err(Full::Vhost(limit));
        }
        let of_user = users.get(user).copied().unwrap_or_default();
        if let Some(limit) = reached(of_user.connections, user_limit) {
            return Err(Full::User(limit));
        }
        connection.place = Some(Place { user: user.clone(), vhost: vhost.clone(), channels: 0 });
        *vhosts.entry(vhost.clone()).or_default() += 1;
        users.entry(user.clone()).or_default().connections += 1;
        Ok(())
    }

    /// Counts a channel that is to be opened, if the user's limit allows.
    ///
    /// # Errors
    /// The limit.
    pub fn open_channel(&self, id: ConnectionId, limit: Option<i64>) -> Result<(), u64> {
        let mut state = self.state();
        let State { connections, users, .. } = &mut *state;
        let Some(place) = connections.get_mut(&id).and_then(|found| found.place.as_mut()) else {
            return Ok(());
        };
        let of_user = users.entry(place.user.clone()).or_default();
        if let Some(limit) = reached(of_user.channels, limit) {
            return Err(limit);
        }
        of_user.channels += 1;
        place.channels += 1;
        Ok(())
    }

    /// A channel was closed.
    pub fn close_channel(&self, id: ConnectionId) {
        let mut state = self.state();
        let State { connections, users, .. } = &mut *state;
        let Some(place) = connections.get_mut(&id).and_then(|found| found.place.as_mut()) else {
            return;
        };
        place.channels = place.channels.saturating_sub(1);
        if let Some(of_user) = users.get_mut(&place.user) {
            of_user.channels = of_user.channels.saturating_sub(1);
        }
    }

    /// Forgets a connection and all its channels.
    pub fn disconnect(&self, id: ConnectionId) {
        let mut state = self.state();
        let Some(Connection { place: Some(place), .. }) = state.connections.remove(&id) else {
            return;
        };
        if let Some(count) = state.vhosts.get_mut(&place.vhost) {
            *count -= 1;
            if *count == 0 {
                state.vhosts.remove(&place.vhost);
            }
        }
        if let Some(of_user) = state.users.get_mut(&place.user) {
            of_user.connections -= 1;
            of_user.channels = of_user.channels.saturating_sub(place.channels);
            if of_user.connections == 0 {
                state.users.remove(&place.user);
            }
        }
    }

    /// Connections that there are, those that are still introducing themselves with them.
    pub fn count(&self) -> usize {
        self.state().connections.len()
    }

    /// The connections that are in a vhost, in the order in which they came.
    pub fn list(&self) -> Vec<(ConnectionId, Place)> {
        let state = self.state();
        let places = state.connections.iter();
        let mut list: Vec<_> =
            places.filter_map(|(id, found)| Some((*id, found.place.clone()?))).collect();
        list.sort_by_key(|(id, _)| *id);
        list
    }

    /// Asks the connections whose place is like that to close, with 320 and this text. Returns how
    /// many there were.
    ///
    /// # Locks
    /// The registry, then each outbox.
    pub fn close_where(
        &self,
        is_meant: impl Fn(ConnectionId, &Place) -> bool,
        text: &str,
    ) -> usize {
        let mut wakes = Wakes::default();
        let mut count = 0;
        for (id, connection) in &self.state().connections {
            if connection.place.as_ref().is_some_and(|place| is_meant(*id, place)) {
                let event = Event::Close { reason: text.to_owned(), at_once: false };
                connection.outbox.push(event, &mut wakes);
                count += 1;
            }
        }
        count
    }

    /// Closes every connection, for this reason, without waiting for answers (CN-127).
    pub fn close_all(&self, reason: &str) {
        let mut wakes = Wakes::default();
        for connection in self.state().connections.values() {
            let event = Event::Close { reason: reason.to_owned(), at_once: true };
            connection.outbox.push(event, &mut wakes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::outbox::OutboxLimits;

    fn connect(registry: &Registry) -> ConnectionId {
        registry.connect(Arc::new(Outbox::new(OutboxLimits { events_max: 1, bytes_max: 1 })))
    }

    fn enter(registry: &Registry, user: &str, limits: [Option<i64>; 2]) -> Result<(), Full> {
        let [vhost_limit, user_limit] = limits;
        registry.enter(connect(registry), &user.into(), &"v".into(), vhost_limit, user_limit)
    }

    // CN-083, CN-084, CN-086, PO-070
    #[test]
    fn the_vhosts_limit_counts_before_the_users() {
        let registry = Registry::default();
        assert_eq!(enter(&registry, "a", [Some(0), Some(0)]), Err(Full::Vhost(0)));
        assert_eq!(enter(&registry, "a", [Some(-1), Some(0)]), Err(Full::User(0)));
        assert_eq!(enter(&registry, "a", [Some(1), Some(1)]), Ok(()));
        assert_eq!(enter(&registry, "b", [Some(1), None]), Err(Full::Vhost(1)));
        assert_eq!(enter(&registry, "a", [None, Some(1)]), Err(Full::User(1)));
        assert_eq!(enter(&registry, "b", [None, Some(1)]), Ok(()));
        assert_eq!(registry.list().len(), 2);
    }

    // CH-004
    #[test]
    fn channels_of_all_connections_count_and_go_with_them() {
        let registry = Registry::default();
        let (user, vhost) = (Name::from("u"), Name::from("v"));
        let ids = [connect(&registry), connect(&registry)];
        for id in ids {
            registry.enter(id, &user, &vhost, None, None).unwrap();
            assert_eq!(registry.open_channel(id, Some(2)), Ok(()));
        }
        assert_eq!(registry.open_channel(ids[0], Some(2)), Err(2));
        registry.close_channel(ids[1]);
        assert_eq!(registry.open_channel(ids[0], Some(2)), Ok(()));
        registry.disconnect(ids[0]);
        assert_eq!(registry.open_channel(ids[1], Some(1)), Ok(()));
        registry.disconnect(ids[1]);
        assert_eq!(registry.count(), 0);
        assert!(registry.state().users.is_empty() && registry.state().vhosts.is_empty());
    }
}
