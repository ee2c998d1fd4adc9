//! Opens the listening sockets.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::StartError;

/// How often a free port is looked for that is free on every address.
const FREE_PORT_TRIES: u32 = 16;

type Listener = (TcpListener, SocketAddr);

/// Listens on `port` of every address. With port 0 the first address takes a free one, and the
/// others use the same.
pub(super) fn open(
    addresses: &[IpAddr],
    port: u16,
    backlog: u16,
) -> Result<Vec<Listener>, StartError> {
    let mut tries = if port == 0 { FREE_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match open_all(addresses, port, backlog) {
            Err(StartError::PortTaken(_)) if tries > 0 => {}
            result => return result,
        }
    }
}

fn open_all(
    addresses: &[IpAddr],
    mut port: u16,
    backlog: u16,
) -> Result<Vec<Listener>, StartError> {
    let mut listeners: Vec<Listener> = Vec::new();
    for &ip in addresses {
        let address = SocketAddr::new(ip, port);
        match open_one(address, backlog).map_err(|source| explain(address, source)) {
            Ok(listener) => {
                port = listener.1.port();
                listeners.push(listener);
            }
            // The default and whoever asks for everything ask for IPv4 and IPv6; a machine
            // without IPv6 has the first alone.
            Err(StartError::NoSuchAddress(_) | StartError::Listen { .. })
                if is_ipv6_of(ip, addresses) && !listeners.is_empty() =>
            {
                tracing::debug!(%ip, "left out: no IPv6 on this machine");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(listeners)
}

/// Whether the address is IPv6's counterpart of one that is listened on.
fn is_ipv6_of(ip: IpAddr, addresses: &[IpAddr]) -> bool {
    let has = |address: Ipv4Addr| addresses.contains(&address.into());
    ip == Ipv6Addr::LOCALHOST || ip == Ipv6Addr::UNSPECIFIED && has(Ipv4Addr::UNSPECIFIED)
}

fn open_one(address: SocketAddr, backlog: u16) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has listeners of its own, so that "::" and "0.0.0.0" can be listened on together.
        socket.set_only_v6(true)?;
    }
    // A port whose last connections have just been closed can be listened on at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.into())?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn explain(address: SocketAddr, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken(address),
        io::ErrorKind::PermissionDenied => StartError::PortForbidden(address),
        io::ErrorKind::AddrNotAvailable => StartError::NoSuchAddress(address),
        _ => StartError::Listen { address, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKLOG: u16 = 16;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_free_port_is_the_same_on_every_address() {
        let listeners = open(&ips(&["127.0.0.1", "127.0.0.2"]), 0, BACKLOG).unwrap();
        let ports: Vec<_> = listeners.iter().map(|(_, address)| address.port()).collect();
        assert_eq!(ports.len(), 2);
        assert_eq!(ports[0], ports[1]);
        assert_ne!(ports[0], 0);
    }

    #[tokio::test]
    async fn all_addresses_of_both_families_can_be_listened_on_together() {
        // Where there is no IPv6 there is nothing to see.
        if open(&ips(&["::1"]), 0, BACKLOG).is_ok() {
            assert_eq!(open(&ips(&["0.0.0.0", "::"]), 0, BACKLOG).unwrap().len(), 2);
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_told_from_a_strange_address() {
        let held = open(&ips(&["127.0.0.1"]), 0, BACKLOG).unwrap();
        let error = open(&ips(&["127.0.0.1"]), held[0].1.port(), BACKLOG).unwrap_err();
        assert!(matches!(error, StartError::PortTaken(_)), "{error}");
        // TEST-NET-1, an address that no machine has.
        let error = open(&ips(&["192.0.2.1"]), 0, BACKLOG).unwrap_err();
        assert!(matches!(error, StartError::NoSuchAddress(_)), "{error}");
    }

    #[tokio::test]
    async fn an_address_that_was_asked_for_is_not_left_out() {
        let error = open(&ips(&["127.0.0.1", "192.0.2.1"]), 0, BACKLOG).unwrap_err();
        assert!(matches!(error, StartError::NoSuchAddress(_)), "{error}");
    }
}
