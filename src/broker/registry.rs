//! The connections of the broker: who is connected to which vhost, and how many may be.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    client::{ChannelInfo, ConnectionInfo, Ends},
    outbox::{Event, Outbox, Wakes},
    stats::{Stat, Tally, Traffic},
};
use crate::{
    clock::UnixTime,
    names::{ChannelId, ConnectionId, Name},
};

/// What connections are told when the broker stops, or an operator has no more of them served.
pub const SHUTDOWN: &str = "broker forced connection closure with reason 'shutdown'";

/// Every connection, from its first byte to its end.
#[derive(Debug)]
pub struct Registry {
    next: AtomicU64,
    /// Whether newcomers are taken. An operator may turn them away.
    is_accepting: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: HashMap<ConnectionId, Connection>,
    vhosts: HashMap<Name, usize>,
    users: HashMap<Name, OfUser>,
    churn: ClientChurn,
    /// What channels counted that are gone, by vhost.
    departed: HashMap<Name, Tally>,
    /// What passed connections that are gone.
    departed_traffic: Traffic,
}

/// How connections and channels came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientChurn {
    /// Connections opened.
    pub connections_opened: u64,
    /// Connections closed.
    pub connections_closed: u64,
    /// Channels opened.
    pub channels_opened: u64,
    /// Channels closed.
    pub channels_closed: u64,
}

/// What all connections there ever were come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientTotals {
    /// Connections that are open.
    pub connections: usize,
    /// Channels that are open.
    pub channels: usize,
    /// Those of them that have published.
    pub publishers: usize,
    /// Their consumers.
    pub consumers: u64,
    /// How they came and went.
    pub churn: ClientChurn,
    /// What happened to messages on their channels.
    pub messages: Tally,
    /// What else passed them.
    pub traffic: Traffic,
}

/// An open connection.
#[derive(Clone, Debug)]
pub struct OpenConnection {
    /// Where it is.
    pub place: Place,
    /// What is known of it.
    pub info: Arc<ConnectionInfo>,
}

#[derive(Debug)]
struct Connection {
    outbox: Arc<Outbox>,
    info: Arc<ConnectionInfo>,
    /// Once `connection.open` named the vhost.
    place: Option<Place>,
}

/// Where a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its user.
    pub user: Name,
    /// Whether that is one of the broker's own users, not one that a token names.
    pub is_internal: bool,
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
    /// The operator has newcomers turned away.
    Suspended,
}

/// Why a channel is not opened: as many are open as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullOfChannels {
    /// The user has (CH-004).
    User(u64),
    /// All users together have (CH-005).
    Node(u64),
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
        Self {
            next: AtomicU64::new(1),
            is_accepting: AtomicBool::new(true),
            state: Mutex::default(),
        }
    }
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether newcomers are taken.
    pub fn is_accepting(&self) -> bool {
        self.is_accepting.load(Ordering::SeqCst)
    }

    /// Takes newcomers, or turns them away. Those that are in a vhost stay.
    pub fn set_accepting(&self, is_accepting: bool) {
        // Behind the lock, so that whoever is let in at this moment is there to be closed.
        let _state = self.state();
        self.is_accepting.store(is_accepting, Ordering::SeqCst);
    }

    /// Registers a connection that has said nothing yet.
    pub fn connect(&self, outbox: Arc<Outbox>, ends: Ends, now: UnixTime) -> Arc<ConnectionInfo> {
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let info = Arc::new(ConnectionInfo::new(id, ends, now));
        let connection = Connection { outbox, info: Arc::clone(&info), place: None };
        self.state().connections.insert(id, connection);
        info
    }

    /// Lets a connection into a place without channels, if neither the vhost's nor the user's limit
    /// says no.
    ///
    /// # Errors
    /// [`Full`], the vhost's first (CN-086).
    pub fn enter(
        &self,
        id: ConnectionId,
        place: Place,
        vhost_limit: Option<i64>,
        user_limit: Option<i64>,
    ) -> Result<(), Full> {
        let mut state = self.state();
        let State { connections, vhosts, users, churn, .. } = &mut *state;
        let Some(connection) = connections.get_mut(&id) else { return Ok(()) };
        if connection.place.is_some() {
            return Ok(());
        }
        if !self.is_accepting() {
            return Err(Full::Suspended);
        }
        let (user, vhost) = (place.user.clone(), place.vhost.clone());
        let in_vhost = vhosts.get(&vhost).copied().unwrap_or_default();
        if let Some(limit) = reached(in_vhost, vhost_limit) {
            return Err(Full::Vhost(limit));
        }
        let of_user = users.get(&user).copied().unwrap_or_default();
        if let Some(limit) = reached(of_user.connections, user_limit) {
            return Err(Full::User(limit));
        }
        connection.place = Some(place);
        *vhosts.entry(vhost).or_default() += 1;
        users.entry(user).or_default().connections += 1;
        churn.connections_opened += 1;
        Ok(())
    }

    /// Opens a channel, if the user's limit and that of all together allow.
    ///
    /// # Errors
    /// [`FullOfChannels`], the user's first.
    pub fn open_channel(
        &self,
        id: ConnectionId,
        channel: Arc<ChannelInfo>,
        limit: Option<i64>,
        node_limit: Option<u32>,
    ) -> Result<(), FullOfChannels> {
        let mut state = self.state();
        let State { connections, users, churn, .. } = &mut *state;
        let Some(connection) = connections.get_mut(&id) else { return Ok(()) };
        let Some(place) = connection.place.as_mut() else { return Ok(()) };
        // They are counted only where they are limited.
        let all = node_limit.map_or(0, |_| users.values().map(|user| user.channels).sum());
        let of_user = users.entry(place.user.clone()).or_default();
        if let Some(limit) = reached(of_user.channels, limit) {
            return Err(FullOfChannels::User(limit));
        }
        if let Some(limit) = reached(all, node_limit.map(i64::from)) {
            return Err(FullOfChannels::Node(limit));
        }
        of_user.channels += 1;
        place.channels += 1;
        churn.channels_opened += 1;
        connection.info.insert(channel);
        Ok(())
    }

    /// A channel was closed.
    pub fn close_channel(&self, id: ConnectionId, channel: ChannelId) {
        let mut state = self.state();
        let State { connections, users, churn, departed, .. } = &mut *state;
        let Some(connection) = connections.get_mut(&id) else { return };
        let Some(place) = connection.place.as_mut() else { return };
        let Some(tally) = connection.info.remove(channel) else { return };
        *departed.entry(place.vhost.clone()).or_default() += tally;
        churn.channels_closed += 1;
        place.channels = place.channels.saturating_sub(1);
        if let Some(of_user) = users.get_mut(&place.user) {
            of_user.channels = of_user.channels.saturating_sub(1);
        }
    }

    /// Forgets a connection and all its channels.
    pub fn disconnect(&self, id: ConnectionId) {
        let mut state = self.state();
        let Some(Connection { place: Some(place), info, .. }) = state.connections.remove(&id)
        else {
            return;
        };
        let (tally, channels) = info.clear();
        *state.departed.entry(place.vhost.clone()).or_default() += tally;
        state.departed_traffic += info.traffic();
        state.churn.connections_closed += 1;
        state.churn.channels_closed += channels;
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

    /// The connections that are in a vhost, in the order in which they came, with what is known of
    /// them.
    pub fn connections(&self) -> Vec<OpenConnection> {
        let mut list: Vec<_> = self
            .state()
            .connections
            .values()
            .filter_map(|found| {
                let place = found.place.clone()?;
                Some(OpenConnection { place, info: Arc::clone(&found.info) })
            })
            .collect();
        list.sort_unstable_by_key(|connection| connection.info.id);
        list
    }

    /// The connection of this number, if it is in a vhost.
    pub fn connection(&self, id: ConnectionId) -> Option<OpenConnection> {
        let state = self.state();
        let found = state.connections.get(&id)?;
        Some(OpenConnection { place: found.place.clone()?, info: Arc::clone(&found.info) })
    }

    /// What all connections there ever were come to.
    pub fn totals(&self) -> ClientTotals {
        let state = self.state();
        let mut totals = ClientTotals {
            churn: state.churn,
            traffic: state.departed_traffic,
            ..ClientTotals::default()
        };
        for tally in state.departed.values() {
            totals.messages += *tally;
        }
        for connection in state.connections.values().filter(|found| found.place.is_some()) {
            totals.connections += 1;
            totals.traffic += connection.info.traffic();
            for channel in connection.info.channels() {
                let tally = channel.tally.get();
                totals.channels += 1;
                totals.publishers += usize::from(tally[Stat::Publish] > 0);
                totals.consumers += channel.consumers.get();
                totals.messages += tally;
            }
        }
        totals
    }

    /// What happened to messages in each vhost, on all channels that there ever were.
    pub fn messages_by_vhost(&self) -> HashMap<Name, Tally> {
        let state = self.state();
        let mut sums = state.departed.clone();
        for connection in state.connections.values() {
            let Some(place) = &connection.place else { continue };
            let sum = sums.entry(place.vhost.clone()).or_default();
            for channel in connection.info.channels() {
                *sum += channel.tally.get();
            }
        }
        sums
    }

    /// Counts what happened to messages of a vhost on no channel: by the management API.
    pub fn count_apart(&self, vhost: &Name, tally: Tally) {
        *self.state().departed.entry(vhost.clone()).or_default() += tally;
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

    /// Closes every connection, because of [`SHUTDOWN`], without waiting for answers (CN-127).
    pub fn close_all(&self) {
        let mut wakes = Wakes::default();
        for connection in self.state().connections.values() {
            let event = Event::Close { reason: SHUTDOWN.to_owned(), at_once: true };
            connection.outbox.push(event, &mut wakes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::outbox::OutboxLimits;

    fn connect(registry: &Registry) -> ConnectionId {
        let outbox = Arc::new(Outbox::new(OutboxLimits { events_max: 1, bytes_max: 1 }));
        let address = ([127, 0, 0, 1], 1).into();
        registry.connect(outbox, Ends { peer: address, local: address }, UnixTime(0)).id
    }

    fn open(
        registry: &Registry,
        id: ConnectionId,
        limit: Option<i64>,
    ) -> Result<ChannelId, FullOfChannels> {
        let taken = registry.connection(id).map_or(0, |found| found.info.channel_count());
        let channel = ChannelId(taken as u16 + 1);
        let info = Arc::new(ChannelInfo::new(channel, UnixTime(0)));
        info.tally.add(crate::broker::stats::Stat::Publish, 1);
        registry.open_channel(id, info, limit, None).map(|()| channel)
    }

    fn enter(registry: &Registry, user: &str, limits: [Option<i64>; 2]) -> Result<(), Full> {
        let [vhost_limit, user_limit] = limits;
        registry.enter(connect(registry), place(user), vhost_limit, user_limit)
    }

    fn place(user: &str) -> Place {
        Place { user: user.into(), is_internal: true, vhost: "v".into(), channels: 0 }
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

    #[test]
    fn nobody_enters_while_newcomers_are_turned_away() {
        let registry = Registry::default();
        assert_eq!(enter(&registry, "a", [None, None]), Ok(()));
        registry.set_accepting(false);
        assert_eq!(enter(&registry, "b", [None, None]), Err(Full::Suspended));
        assert_eq!(registry.list().len(), 1);
        registry.set_accepting(true);
        assert_eq!(enter(&registry, "b", [None, None]), Ok(()));
    }

    // CH-004
    #[test]
    fn channels_of_all_connections_count_and_go_with_them() {
        let registry = Registry::default();
        let ids = [connect(&registry), connect(&registry)];
        for id in ids {
            registry.enter(id, place("u"), None, None).unwrap();
            assert_eq!(open(&registry, id, Some(2)), Ok(ChannelId(1)));
        }
        assert_eq!(open(&registry, ids[0], Some(2)), Err(FullOfChannels::User(2)));
        registry.close_channel(ids[1], ChannelId(1));
        assert_eq!(open(&registry, ids[0], Some(2)), Ok(ChannelId(2)));
        registry.disconnect(ids[0]);
        assert_eq!(open(&registry, ids[1], Some(1)), Ok(ChannelId(1)));
        registry.disconnect(ids[1]);
        assert_eq!(registry.count(), 0);
        let totals = registry.totals();
        let churn = totals.churn;
        assert_eq!((churn.connections_opened, churn.connections_closed), (2, 2));
        assert_eq!((churn.channels_opened, churn.channels_closed), (4, 4));
        // What channels counted is not forgotten with them.
        assert_eq!(totals.messages[crate::broker::stats::Stat::Publish], 4);
        assert!(registry.state().users.is_empty() && registry.state().vhosts.is_empty());
    }
}
