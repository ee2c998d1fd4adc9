//! Runs the broker until a signal comes.

use std::{
    future,
    io::{self, Write},
    process,
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    failure::{Failure, INTERRUPTED},
    huge_pages::HugePages,
    log,
    notify::Manager,
    pid_file::PidFile,
};
use crate::{
    clock::{self, Now},
    config::{Loaded, Note},
    machine,
    server::{Handle, Server},
    store::StoreError,
};

/// Starts the broker, says so, and stops it at the first SIGINT or SIGTERM, or when an operator
/// asks for it, or when the store has failed. A second signal, or one before the start is done,
/// ends the program at once; the store is made for that.
pub(super) fn run(loaded: Loaded, started: Now, huge_pages: HugePages) -> Result<(), Failure> {
    let Loaded { config, notes, .. } = loaded;
    let pid_path = config.pid_file.clone();
    let set_log_level = log::start(&config);
    if let Err(error) = machine::raise_open_files_max() {
        // How many clients there are files for is said at the start.
        tracing::info!(%error, "the limit of open files stays as it is");
    }
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
        handle.admin().node().on_log_level(set_log_level);
        warn_of_open_listeners(&handle);
        let pid_file = match pid_path.as_deref().map(PidFile::write).transpose() {
            Ok(pid_file) => pid_file,
            Err(source) => {
                handle.stop().await;
                let path = pid_path.unwrap_or_default();
                return Err(Failure::PidFile { path, source });
            }
        };
        announce(&handle, started);
        let manager = Manager::from_environment();
        let failure = tokio::select! {
            () = signals.received() => None,
            () = handle.admin().node().stop_asked() => None,
            () = keep_informed(manager.as_ref()) => None,
            () = huge_pages.allow_when_grown() => None,
            why = handle.store_failure() => Some(StoreError::Failed { why }),
        };
        tracing::info!("stopping");
        if let Some(manager) = &manager {
            manager.stopping();
        }
        tokio::select! {
            () = handle.stop() => {}
            () = signals.received() => process::exit(INTERRUPTED),
        }
        drop(pid_file);
        tracing::info!("stopped");
        // Half a broker is of no use; whoever watches over the program starts a whole one.
        failure.map_or(Ok(()), |error| Err(Failure::Store(error)))
    })
}

/// Tells the service manager that clients are accepted, and that it goes on. Never returns.
async fn keep_informed(manager: Option<&Manager>) {
    if let Some(manager) = manager {
        manager.ready();
        manager.stay_alive().await;
    }
    future::pending::<()>().await;
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

/// Writes the line for people and the lines that tools wait for, in RabbitMQ's words (EN-009).
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
    let plugins = plugins(handle);
    let list: String = plugins.iter().flat_map(|plugin| [" * ", plugin, "\n"]).collect();
    // Whoever closed standard output does not want to know.
    let _ = write!(
        io::stdout(),
        "lepus {version} ready on {scheme}://{address}{and_tls} (data {data}, {millis} ms)\n\
         Server startup complete; {} plugins started.\n{list}",
        plugins.len(),
    );
}

/// What is served here and is a plugin of RabbitMQ's.
fn plugins(handle: &Handle) -> Vec<&'static str> {
    const MANAGEMENT: [&str; 3] =
        ["rabbitmq_management", "rabbitmq_management_agent", "rabbitmq_web_dispatch"];
    let has_management = !handle.http_addrs().is_empty() || !handle.https_addrs().is_empty();
    let has_metrics = !handle.metrics_addrs().is_empty();
    let management = MANAGEMENT.into_iter().filter(|_| has_management);
    has_metrics.then_some("rabbitmq_prometheus").into_iter().chain(management).collect()
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
