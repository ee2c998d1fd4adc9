//! How slow the other end may be: whoever sends or takes a byte now and then would hold a place,
//! and memory, for as long as it likes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::clock::{self, Now};

/// How long the other end may do nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes a second that it must send or take, else its patience is used up by and by.
const RATE_MIN: u64 = 16 * 1024;

/// Until when something must have passed.
#[derive(Clone, Copy, Debug)]
struct Deadline(Now);

impl Deadline {
    /// What passes earns time, of which no more is kept than [`PATIENCE`].
    fn passed(&mut self, bytes: usize, now: Now) {
        let earned = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / RATE_MIN);
        self.0 = self.0.after(earned).min(now.after(PATIENCE));
    }
}

/// Watches over a transfer.
pub(super) struct Pace {
    deadline: Deadline,
    /// Ends at a deadline, the one of now or an earlier one.
    wait: Pin<Box<dyn Future<Output = ()> + Send>>,
    waits_for: Now,
}

impl Pace {
    /// Begins now.
    pub(super) fn start() -> Self {
        let deadline = clock::now().after(PATIENCE);
        let wait = Box::pin(clock::sleep_until(deadline));
        Self { deadline: Deadline(deadline), wait, waits_for: deadline }
    }

    /// So much has passed.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.deadline.passed(bytes, clock::now());
    }

    /// Ready with an error once the other end is too late; asked while nothing can pass.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.wait.as_mut().poll(cx).is_ready() {
            let Deadline(deadline) = self.deadline;
            if deadline <= self.waits_for {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            self.wait = Box::pin(clock::sleep_until(deadline));
            self.waits_for = deadline;
        }
        Poll::Pending
    }
}

/// The body of a request, whose sender is watched over.
pub(super) struct Paced<B> {
    body: B,
    /// From the first wait on.
    pace: Option<Pace>,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, pace: None }
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Some(pace) = &mut self.pace {
                    pace.passed(bytes);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => Poll::Ready(end.map(|end| end.map_err(Into::into))),
            Poll::Pending => {
                let pace = self.pace.get_or_insert_with(Pace::start);
                pace.poll_late(cx).map(|late| Some(Err(late.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_earns_time_and_no_more_is_kept_than_at_the_start() {
        let second = Duration::from_secs(1);
        let start = Now::from_millis(0);
        let mut deadline = Deadline(start.after(PATIENCE));
        // At the very rate it stays as far away as it was.
        deadline.passed(RATE_MIN as usize, start.after(second));
        assert_eq!(deadline.0, start.after(PATIENCE + second));
        // Faster brings nothing more.
        deadline.passed(usize::MAX, start.after(second));
        assert_eq!(deadline.0, start.after(PATIENCE + second));
        // A byte a second brings hardly anything.
        for n in 2..70 {
            deadline.passed(1, start.after(second * n));
        }
        assert!(deadline.0 < start.after(PATIENCE + second * 2));
    }
}
