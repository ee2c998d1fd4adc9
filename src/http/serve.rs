//! Serves HTTP/1.1 on connections: each request's head, its body and the answer have their time.

use std::{pin::pin, time::Duration};

use axum::{Router, extract::ConnectInfo, serve::Listener};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::JoinSet,
};

use super::{Peer, pace::Paced};

/// Time for a request's head, from when the one before it was answered. So long may a connection
/// be kept for later, too. Whoever knows no password may take up a place for that time.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Serves whoever connects, until `stopped` has lost its sender and the last request is answered.
pub(super) async fn serve<L>(mut listener: L, router: Router, stopped: watch::Receiver<()>)
where
    L: Listener,
    L::Addr: Into<Peer>,
{
    let mut connections = JoinSet::new();
    let mut end = stopped.clone();
    loop {
        tokio::select! {
            // It never changes; it ends.
            _ = end.changed() => break,
            Some(_) = connections.join_next() => {}
            (stream, address) = listener.accept() => {
                let served = serve_one(stream, address.into(), router.clone(), stopped.clone());
                connections.spawn(served);
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection.
async fn serve_one<S>(stream: S, peer: Peer, router: Router, mut stopped: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request.map(Paced::new))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(?peer, %error, "an HTTP connection failed");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        task::JoinHandle,
        time::{advance, timeout},
    };

    use super::*;
    use crate::http::{Failure, Placed};

    /// A connection to a server that takes texts and has a long one; and the connection's task.
    fn connect() -> (DuplexStream, JoinHandle<()>) {
        let long = || async { "x".repeat(1 << 20) };
        let take = |text: Result<String, _>| async move { text.map_err(|_| Failure::TooSlow) };
        let router = Router::new().route("/long", get(long)).route("/take", post(take));
        let (client, server) = tokio::io::duplex(1024);
        let (running, stopped) = watch::channel(());
        let task = tokio::spawn(async move {
            let _running = running;
            serve_one(Placed::anywhere(server), Peer::Operator, router, stopped).await;
        });
        (client, task)
    }

    /// Sends a byte now and then until nobody takes it any more.
    async fn trickle(client: &mut DuplexStream) {
        while client.write_all(b"x").await.is_ok() {
            advance(Duration::from_secs(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_cut_off() {
        let (_client, task) = connect();
        timeout(HEAD_TIME * 2, task).await.expect("in time").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_ends_the_head_of_a_request_is_cut_off() {
        let (mut client, task) = connect();
        client.write_all(b"GET /long HTTP/1.1\r\nhost: ").await.unwrap();
        let cut_off = async {
            while client.write_all(b"x").await.is_ok() {
                advance(Duration::from_secs(1)).await;
            }
            task.await.unwrap();
        };
        timeout(HEAD_TIME * 2, cut_off).await.expect("in time");
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_ends_the_body_of_a_request_is_told_and_cut_off() {
        let (mut client, task) = connect();
        let head = b"POST /take HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\n";
        client.write_all(head).await.unwrap();
        trickle(&mut client).await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_the_answer_is_cut_off() {
        let (mut client, task) = connect();
        client.write_all(b"GET /long HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        // Nor is it enough to read a byte of it now and then.
        while client.read_u8().await.is_ok() {
            advance(Duration::from_secs(10)).await;
        }
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_is_answered_and_may_ask_again() {
        let (mut client, task) = connect();
        for _ in 0..2 {
            client.write_all(b"GET /long HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
            let mut answer = vec![0; 1 << 20];
            client.read_exact(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
            while !answer.ends_with(b"\r\n\r\nx") {
                answer.pop();
            }
            // As much as the head of the answer took is still to come.
            let head = answer.len() - 1;
            client.read_exact(&mut vec![0; head]).await.unwrap();
            advance(HEAD_TIME * 9 / 10).await;
        }
        drop(client);
        task.await.unwrap();
    }
}
