//! What is still to be written to the socket, in order.
//!
//! Frames are encoded into one growing buffer; long bodies are not copied but kept as shared
//! segments between two pieces of it. A *barrier* holds back everything behind it until the store's
//! watermark has passed: so a reply that promises durability is encoded in its order and leaves
//! when it is true (R6), with whatever follows it.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::names::CommitSeq;

/// Segments of one vectored write.
const SEGMENTS_MAX: usize = 64;
/// A buffer larger than this is not kept once it is empty.
const KEPT_CAPACITY: usize = 256 * 1024;

#[derive(Debug)]
enum Segment {
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Segment {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Output {
    /// Closed segments, before `open`.
    segments: VecDeque<Segment>,
    /// Bytes of them.
    segments_len: usize,
    /// What is being encoded into.
    open: Vec<u8>,
    /// Bytes of the front (the first segment, or `open`) that were written already.
    written: usize,
    /// Bytes written since the connection began.
    total: u64,
    /// Where output stops (counted as `total`) until the store has reached a number.
    barriers: VecDeque<(u64, CommitSeq)>,
}

impl Output {
    /// Where frames are encoded to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.open
    }

    /// Appends a long piece without copying it.
    pub(super) fn push_shared(&mut self, bytes: Bytes) {
        self.close_open();
        self.segments_len += bytes.len();
        self.segments.push_back(Segment::Shared(bytes));
    }

    fn close_open(&mut self) {
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.segments_len += open.len();
            self.segments.push_back(Segment::Owned(open));
        }
    }

    /// Bytes not yet written.
    pub(super) fn len(&self) -> usize {
        self.segments_len + self.open.len() - self.written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Holds back whatever is encoded from here on until the store has reached `needed`.
    pub(super) fn hold_until(&mut self, needed: CommitSeq) {
        if needed > CommitSeq(0) {
            self.barriers.push_back((self.total + self.len() as u64, needed));
        }
    }

    /// What the store must reach before more can be written, if it has not reached it yet.
    pub(super) fn held_by(&mut self, durable: CommitSeq) -> Option<CommitSeq> {
        while self.barriers.front().is_some_and(|&(_, needed)| needed <= durable) {
            self.barriers.pop_front();
        }
        self.barriers.front().map(|&(_, needed)| needed)
    }

    /// Bytes that may be written now.
    fn writable(&self) -> usize {
        let held = self.barriers.front().map(|&(at, _)| (at - self.total) as usize);
        held.unwrap_or(usize::MAX).min(self.len())
    }

    /// Whether there is anything that may be written now.
    pub(super) fn is_writable(&self) -> bool {
        self.writable() > 0
    }

    /// Writes once. Ready with the bytes written; what is left stays in order.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let limit = self.writable();
        if limit == 0 {
            return Poll::Ready(Ok(0));
        }
        let stream = Pin::new(stream);
        let count = if self.segments.is_empty() {
            let end = self.written + limit;
            ready!(stream.poll_write(cx, &self.open[self.written..end]))?
        } else {
            let mut slices = [IoSlice::new(&[]); SEGMENTS_MAX];
            let count = self.gather(&mut slices, limit);
            ready!(stream.poll_write_vectored(cx, &slices[..count]))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(count);
        Poll::Ready(Ok(count))
    }

    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>], mut limit: usize) -> usize {
        let pieces = self.segments.iter().map(Segment::as_slice).chain([&self.open[..]]);
        let mut skip = self.written;
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            let piece = &piece[skip..];
            skip = 0;
            let piece = &piece[..piece.len().min(limit)];
            limit -= piece.len();
            *slice = IoSlice::new(piece);
            count += 1;
            if limit == 0 {
                break;
            }
        }
        count
    }

    fn advance(&mut self, count: usize) {
        self.total += count as u64;
        self.written += count;
        while let Some(front) = self.segments.front() {
            let len = front.as_slice().len();
            if self.written < len {
                return;
            }
            self.written -= len;
            self.segments_len -= len;
            self.segments.pop_front();
        }
        if self.written == self.open.len() {
            self.written = 0;
            self.open.clear();
            if self.open.capacity() > KEPT_CAPACITY {
                self.open = Vec::new();
            }
        }
    }

    /// Gives the memory of an empty buffer back, before a long wait.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            self.open = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes at most `step` bytes of each write.
    struct Slow {
        step: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = buf.len().min(self.step);
            self.taken.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn drain(output: &mut Output, step: usize) -> Vec<u8> {
        let mut slow = Slow { step, taken: Vec::new() };
        let mut cx = Context::from_waker(Waker::noop());
        while output.is_writable() {
            assert!(matches!(output.poll_write(&mut slow, &mut cx), Poll::Ready(Ok(_))));
        }
        slow.taken
    }

    #[test]
    fn owned_and_shared_pieces_leave_in_order_however_slowly() {
        for step in 1..12 {
            let mut output = Output::default();
            output.buffer().extend_from_slice(b"head");
            output.push_shared(Bytes::from_static(b"-body-"));
            output.push_shared(Bytes::from_static(b"more"));
            output.buffer().extend_from_slice(b"|tail");
            assert_eq!(output.len(), 19);
            assert_eq!(drain(&mut output, step), b"head-body-more|tail");
            assert!(output.is_empty());
        }
    }

    #[test]
    fn nothing_behind_a_barrier_leaves_before_its_time() {
        let mut output = Output::default();
        output.buffer().extend_from_slice(b"free");
        output.hold_until(CommitSeq(5));
        output.buffer().extend_from_slice(b"promise");
        output.hold_until(CommitSeq(7));
        output.buffer().extend_from_slice(b"last");
        assert_eq!(output.held_by(CommitSeq(4)), Some(CommitSeq(5)));
        assert_eq!(drain(&mut output, 3), b"free");
        assert_eq!(output.held_by(CommitSeq(6)), Some(CommitSeq(7)));
        assert_eq!(drain(&mut output, 3), b"promise");
        assert_eq!(output.held_by(CommitSeq(9)), None);
        assert_eq!(drain(&mut output, 3), b"last");
    }
}
