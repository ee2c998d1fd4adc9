//! Huge pages: none while the broker is small, as many as the system likes when it has grown.
//!
//! The allocator asks for huge pages, which make a long queue's memory cheap. But every thread has
//! a heap of its own, and each that holds a few objects takes a whole page: an idle broker has
//! 1.7 MB in use, and takes 13 MB with pages of 2 MiB.

use std::time::Duration;

use crate::{clock, machine};

/// Memory in use from which on huge pages are worth it.
const WORTH_IT: u64 = 24 << 20;
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// Whether huge pages are to be allowed later.
#[derive(Debug)]
pub(super) struct HugePages {
    are_held_back: bool,
}

impl HugePages {
    /// Does without them for now; to be called before much is allocated.
    pub(super) fn hold_back() -> Self {
        // Who started the program may have ruled them out for good.
        Self { are_held_back: machine::allow_huge_pages(false).unwrap_or(false) }
    }

    /// Allows them when the broker has grown. Never returns.
    pub(super) async fn allow_when_grown(self) {
        if self.are_held_back {
            while machine::memory_used().is_some_and(|used| used < WORTH_IT) {
                clock::sleep_until(clock::now().after(INTERVAL)).await;
            }
            let result = machine::allow_huge_pages(true);
            tracing::debug!(?result, "huge pages are allowed");
        }
        std::future::pending::<()>().await;
    }
}
