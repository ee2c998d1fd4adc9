//! Listeners with a limit: whoever connects beyond it is cut off, and one that does not take what
//! it asked for gives its place up. Clients of AMQP keep their files, whatever is done to the API.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::pace::Pace;
use crate::clock::{self, Now};

/// A listener that shares a number of connections with others.
#[derive(Debug)]
pub struct Bounded<L> {
    listener: L,
    room: Arc<Semaphore>,
    /// What is served there, for the log.
    name: &'static str,
    /// When it may be logged again that there is no room.
    silent_until: Now,
}

/// Time from one such line in the log to the next.
const SILENCE: Duration = Duration::from_secs(60);

impl<L> Bounded<L> {
    /// Accepts with `listener` while there is room. The log knows what is served by `name`.
    pub fn new(name: &'static str, listener: L, room: &Arc<Semaphore>) -> Self {
        Self { listener, room: Arc::clone(room), name, silent_until: Now::default() }
    }

    /// Somebody was cut off.
    fn complain(&mut self) {
        let now = clock::now();
        if now >= self.silent_until {
            self.silent_until = now.after(SILENCE);
            let to = self.name;
            tracing::warn!(to, "too many HTTP connections, closing new ones at once");
        }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Placed<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await;
            if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
                return (Placed { stream, pace: None, _place: Some(place) }, address);
            }
            self.complain();
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A stream that has a place, and keeps it while its other end takes what is sent.
pub struct Placed<S> {
    stream: S,
    /// While something waits to be sent.
    pace: Option<Pace>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<S> Placed<S> {
    /// A stream without a listener.
    #[cfg(test)]
    pub(super) fn anywhere(stream: S) -> Self {
        Self { stream, pace: None, _place: None }
    }

    /// Ends what waits for too long.
    fn timed(
        &mut self,
        sent: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match &sent {
            Poll::Pending => {
                let pace = self.pace.get_or_insert_with(Pace::start);
                return pace.poll_late(cx).map(Err);
            }
            Poll::Ready(Ok(bytes)) => {
                if let Some(pace) = &mut self.pace {
                    pace.passed(*bytes);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        sent
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for Placed<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Placed").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(sent, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_pending() {
            return self.timed(Poll::Pending, cx).map_ok(drop);
        }
        // Everything has been taken: what comes next has its own time.
        self.pace = None;
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.timed(sent, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[tokio::test]
    async fn whoever_is_beyond_the_limit_is_cut_off_until_another_has_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = Bounded::new("test", listener, &Arc::new(Semaphore::new(1)));
        let mut first = TcpStream::connect(address).await.unwrap();
        let (mut stream, _) = listener.accept().await;
        first.write_all(b"a").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        let mut second = TcpStream::connect(address).await.unwrap();
        let cut_off = async {
            let read = second.read(&mut [0]).await;
            assert!(!read.is_ok_and(|count| count > 0));
            drop(stream);
            TcpStream::connect(address).await.unwrap()
        };
        let (_third, _) = tokio::join!(cut_off, listener.accept());
    }
}
