//! What was read from the socket and not yet dispatched.
//!
//! Reading goes into a large buffer that the thread lends: a connection that waits with nothing
//! left over holds none, so that idle connections cost next to nothing.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at once, at the most.
const BUFFER_LEN: usize = 256 * 1024;
/// Left-over bytes up to this many are copied out, so that the large buffer can be given back.
const LEFT_OVER_MAX: usize = 4 * 1024;
/// Buffers that a thread keeps for the next connection.
const POOL_MAX: usize = 4;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug, Default)]
pub(super) struct Input {
    /// All of it is initialised; `start..end` is unread.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// The bytes to dispatch.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Takes the buffer out, so that its bytes can be read while the connection changes.
    /// [`Self::put_back`] returns it.
    pub(super) fn take(&mut self) -> (Vec<u8>, usize, usize) {
        (std::mem::take(&mut self.buffer), self.start, self.end)
    }

    /// Returns the buffer; bytes before `start` were dispatched.
    pub(super) fn put_back(&mut self, buffer: Vec<u8>, start: usize) {
        self.buffer = buffer;
        self.start = start;
    }

    /// Reads once. Ready with the bytes read, 0 at the end of the stream.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let mut space = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(stream).poll_read(cx, &mut space))?;
        let count = space.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// Sees to it that there is room to read into.
    fn make_room(&mut self) {
        let len = self.end - self.start;
        if self.buffer.len() < BUFFER_LEN {
            let mut buffer = POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; BUFFER_LEN]);
            if buffer.len() < len {
                buffer.resize(len, 0);
            }
            buffer[..len].copy_from_slice(self.bytes());
            self.buffer = buffer;
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
        }
        (self.start, self.end) = (0, len);
        if len == self.buffer.len() {
            // A frame larger than the buffer, as the negotiated maximum may allow.
            self.buffer.resize(len * 2, 0);
        }
    }

    /// Gives the large buffer back, before a wait.
    pub(super) fn rest(&mut self) {
        let len = self.end - self.start;
        if self.buffer.len() < BUFFER_LEN || len > LEFT_OVER_MAX {
            return;
        }
        let left_over = self.bytes().to_vec();
        let large = std::mem::replace(&mut self.buffer, left_over);
        (self.start, self.end) = (0, len);
        POOL.with_borrow_mut(|pool| {
            if pool.len() < POOL_MAX && large.len() == BUFFER_LEN {
                pool.push(large);
            }
        });
    }
}
