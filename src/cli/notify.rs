//! Tells the service manager how it goes (`sd_notify(3)`): ready, stopping, still alive.
//!
//! Nothing is told where `NOTIFY_SOCKET` is not set.

use std::{
    env, io,
    os::unix::net::{SocketAddr, UnixDatagram},
    process,
    time::Duration,
};

use crate::clock;

/// The service manager's socket.
#[derive(Debug)]
pub(super) struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Time between two signs of life, if some are asked for.
    interval: Option<Duration>,
}

impl Manager {
    /// The one that the environment names.
    pub(super) fn from_environment() -> Option<Self> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let name = variable("NOTIFY_SOCKET")?;
        let interval =
            interval(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref());
        match Self::new(&name, interval) {
            Ok(manager) => Some(manager),
            Err(error) => {
                tracing::warn!(name, %error, "the service manager cannot be told anything");
                None
            }
        }
    }

    fn new(name: &str, interval: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A manager that does not listen must not hold the broker up.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address: address(name)?, interval })
    }

    /// Clients are accepted.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=clients are accepted");
    }

    /// The broker stops.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=connections are closed");
    }

    /// Gives signs of life as long as tasks are run; returns only if none are asked for.
    pub(super) async fn stay_alive(&self) {
        let Some(interval) = self.interval else { return };
        loop {
            self.tell("WATCHDOG=1");
            clock::sleep_until(clock::now().after(interval)).await;
        }
    }

    fn tell(&self, state: &str) {
        if let Err(error) = self.socket.send_to_addr(state.as_bytes(), &self.address) {
            tracing::warn!(?state, %error, "the service manager does not listen");
        }
    }
}

/// Half the time after which the manager takes this process for dead.
fn interval(microseconds: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    // It may be meant for a process that started this one.
    if pid.is_some_and(|pid| pid.parse() != Ok(process::id())) {
        return None;
    }
    let microseconds: u64 = microseconds?.parse().ok()?;
    (microseconds > 1).then(|| Duration::from_micros(microseconds / 2))
}

/// A path, or after an `@` a name that is in no file system.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => abstract_address(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 128];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn states_are_sent_to_a_path_and_to_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify").display().to_string();
        let mut names = vec![path];
        if cfg!(target_os = "linux") {
            names.push(format!("@lepus-test-{}", process::id()));
        }
        for name in names {
            let socket = UnixDatagram::bind_addr(&address(&name).unwrap()).unwrap();
            let manager = Manager::new(&name, None).unwrap();
            manager.ready();
            assert!(received(&socket).starts_with("READY=1\n"), "{name}");
            manager.stopping();
            assert!(received(&socket).starts_with("STOPPING=1\n"), "{name}");
        }
    }

    #[tokio::test]
    async fn signs_of_life_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let interval = interval(Some("2000"), Some(&process::id().to_string()));
        assert_eq!(interval, Some(Duration::from_millis(1)));
        let manager = Manager::new(&path.display().to_string(), interval).unwrap();
        tokio::spawn(async move { manager.stay_alive().await });
        let three = tokio::task::spawn_blocking(move || [(); 3].map(|()| received(&socket)));
        assert_eq!(three.await.unwrap(), ["WATCHDOG=1"; 3]);
    }

    #[tokio::test]
    async fn none_are_given_where_none_are_asked_for() {
        assert_eq!(interval(None, None), None);
        assert_eq!(interval(Some("2000"), Some("1")), None);
        assert_eq!(interval(Some("soon"), None), None);
        Manager::new("/nowhere", None).unwrap().stay_alive().await;
    }

    #[test]
    fn a_manager_that_is_not_there_does_no_harm() {
        Manager::new("/nowhere/at/all", None).unwrap().ready();
        assert!(Manager::new(&"x".repeat(1000), None).is_err());
    }
}
