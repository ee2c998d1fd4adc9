//! Accepts connections and keeps an eye on their tasks.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
};

use crate::{broker::client::Ends, machine};

/// Time to wait when the machine has no socket to give: until some connection has been closed.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stopped` has lost its sender, then closes the listener and hands back the
/// connections that are still served. Each is served by the future that `serve` makes, in a task
/// of its own; `room` is what is left of the connection limit, for all listeners together.
pub(super) async fn run<S, F>(
    listener: TcpListener,
    room: Arc<Semaphore>,
    mut stopped: watch::Receiver<()>,
    serve: S,
) -> JoinSet<()>
where
    S: Fn(TcpStream, Ends) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    // Each trouble is logged when it begins, not for every connection that meets it.
    let mut is_short = false;
    let mut is_full = false;
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => return connections,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                if !is_short {
                    let remedy = machine::is_out_of_files(&error).then_some(machine::MORE_FILES);
                    tracing::error!(%error, remedy, "cannot accept connections, trying on");
                }
                is_short = true;
                tokio::select! {
                    _ = stopped.changed() => return connections,
                    () = tokio::time::sleep(SHORTAGE_PAUSE) => continue,
                }
            }
        };
        is_short = false;
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            if !is_full {
                tracing::warn!(%peer, "too many connections, closing new ones at once");
            }
            is_full = true;
            continue;
        };
        is_full = false;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        // A socket without an address of its own is about to report its end.
        let local = stream.local_addr().unwrap_or(peer);
        let served = serve(stream, Ends { peer, local });
        connections.spawn(async move {
            served.await;
            drop(permit);
        });
    }
}

/// Whether accepting failed because of the connection to be accepted, which is gone.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// A panic ends the connection that it happens in; the panic hook has said what and where.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{io::AsyncReadExt, sync::mpsc, task::JoinHandle, time::timeout};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    struct Acceptor {
        address: SocketAddr,
        running: watch::Sender<()>,
        task: JoinHandle<JoinSet<()>>,
    }

    /// Accepts on a free port of the loopback address, at most `room` connections at a time.
    async fn start<S, F>(room: usize, serve: S) -> Acceptor
    where
        S: Fn(TcpStream, Ends) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (running, stopped) = watch::channel(());
        let task = tokio::spawn(run(listener, Arc::new(Semaphore::new(room)), stopped, serve));
        Acceptor { address, running, task }
    }

    /// Waits for the other side to close without having sent anything.
    async fn closed(mut stream: TcpStream) -> bool {
        let read = timeout(DEADLINE, stream.read(&mut [0])).await.expect("closed in time");
        !read.is_ok_and(|count| count > 0)
    }

    #[tokio::test]
    async fn stopping_closes_the_listener_and_hands_back_what_is_served() {
        let (arrived, mut arrivals) = mpsc::channel(1);
        let acceptor = start(1, move |stream: TcpStream, ends: Ends| {
            let arrived = arrived.clone();
            async move {
                arrived.send(ends.peer).await.unwrap();
                assert!(closed(stream).await);
            }
        })
        .await;
        let client = TcpStream::connect(acceptor.address).await.unwrap();
        assert_eq!(arrivals.recv().await, Some(client.local_addr().unwrap()));
        drop(acceptor.running);
        let mut connections = timeout(DEADLINE, acceptor.task).await.unwrap().unwrap();
        assert_eq!(connections.len(), 1);
        assert!(TcpStream::connect(acceptor.address).await.is_err());
        drop(client);
        timeout(DEADLINE, connections.join_next()).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_is_closed_and_the_next_one_served() {
        let (arrived, mut arrivals) = mpsc::channel(1);
        let acceptor = start(1, move |stream: TcpStream, ends: Ends| {
            let arrived = arrived.clone();
            async move {
                arrived.send(ends.peer).await.unwrap();
                assert!(closed(stream).await);
            }
        })
        .await;
        let first = TcpStream::connect(acceptor.address).await.unwrap();
        arrivals.recv().await.unwrap();
        assert!(closed(TcpStream::connect(acceptor.address).await.unwrap()).await);
        drop(first);
        // The first one's place is free a moment later; until then newcomers are turned away.
        let served = async {
            loop {
                let client = TcpStream::connect(acceptor.address).await.unwrap();
                tokio::select! {
                    _ = arrivals.recv() => return,
                    true = closed(client) => {}
                }
            }
        };
        timeout(DEADLINE, served).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_connection_alone() {
        let acceptor = start(8, |stream: TcpStream, _| async move {
            let mut stream = stream;
            let byte = stream.read_u8().await.unwrap_or_default();
            assert_ne!(byte, b'!', "a connection that panics");
            tokio::io::AsyncWriteExt::write_all(&mut stream, &[byte]).await.unwrap();
        })
        .await;
        let mut bystander = TcpStream::connect(acceptor.address).await.unwrap();
        let mut victim = TcpStream::connect(acceptor.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut victim, b"!").await.unwrap();
        assert!(closed(victim).await);
        tokio::io::AsyncWriteExt::write_all(&mut bystander, b"?").await.unwrap();
        assert_eq!(timeout(DEADLINE, bystander.read_u8()).await.unwrap().unwrap(), b'?');
    }
}
