//! Runs the broker until a signal comes.

use std::{
    io::{self, Write},
    process,
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    failure::{Failure, INTERRUPTED},
    log,
};
use crate::{
    clock::{self, Now},
    config::{Loaded, Note},
    server::{Handle, Server},
};

/// Starts the broker, says so, and stops it at the first SIGINT or SIGTERM. A second signal, or
/// one before the start is done, ends the program at once; the store is made for that.
pub(super) fn run(loaded: Loaded, started: Now) -> Result<(), Failure> {
    let Loaded { config, notes, .. } = loaded;
    log::start(&config);
    for note in notes {
        match note {
            Note::Idle(text) => tracing::info!("{text}"),
            Note::Warning(text) => tracing::warn!("{text}"),
        }
    }
    runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut signals = Signals::listen()?;
        let handle = tokio::select! {
            handle = Server::start(config) => handle?,
            () = signals.received() => process::exit(INTERRUPTED),
        };
        warn_of_open_listeners(&handle);
        announce(&handle, started);
        signals.received().await;
        tracing::info!("stopping");
        tokio::select! {
            () = handle.stop() => {}
            () = signals.received() => process::exit(INTERRUPTED),
        }
        tracing::info!("stopped");
        Ok(())
    })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Writes the line for people and the line that tools wait for (EN-009).
fn announce(handle: &Handle, started: Now) {
    let address = handle.amqp_addr();
    let millis = clock::now().since(started).as_millis();
    tracing::info!(
        addresses = ?handle.addrs(),
        tls = ?handle.tls_addrs(),
        data = %handle.data_path().display(),
        "started"
    );
    let version = env!("CARGO_PKG_VERSION");
    let data = handle.data_path().display();
    let is_plain = !handle.addrs().is_empty();
    let scheme = if is_plain { "amqp" } else { "amqps" };
    let over_tls = handle.tls_addrs().first().filter(|_| is_plain);
    let and_tls = over_tls.map(|address| format!(" and amqps://{address}")).unwrap_or_default();
    // Whoever closed standard output does not want to know.
    let _ = write!(
        io::stdout(),
        "lepus {version} ready on {scheme}://{address}{and_tls} (data {data}, {millis} ms)\n\
         Server startup complete\n",
    );
}

fn warn_of_open_listeners(handle: &Handle) {
    let plain = handle.addrs().iter().chain(handle.http_addrs());
    let open: Vec<_> = plain.filter(|address| !address.ip().is_loopback()).collect();
    if !open.is_empty() {
        tracing::warn!(
            addresses = ?open,
            "open to the network without TLS: passwords and messages cross it as plain text"
        );
    }
}
