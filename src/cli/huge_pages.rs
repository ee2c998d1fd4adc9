//! Huge pages: none while the broker is small, as many as the system likes when it has grown.
//!
//! The allocator asks for huge pages, which make a long queue's memory cheap. But every thread has
//! a heap of its own, and each that holds a few objects takes a whole page: an idle broker has
//! 1.7 MB in use, and takes 13 MB with pages of 2 MiB.
//!
//! Before the first line of the program runs, the allocator has taken two of them already. So the
//! program holds them back and begins anew, as the same process: that costs a millisecond, and an
//! idle broker takes 3.8 MB less.

use std::{
    env,
    os::unix::process::CommandExt,
    process::{self, Command},
    time::Duration,
};

use crate::{clock, machine};

/// Memory in use from which on huge pages are worth it.
const WORTH_IT: u64 = 24 << 20;
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// The variable that tells the program that it has begun anew: the number of its process.
const HELD_BACK: &str = "_LEPUS_HUGE_PAGES_HELD_BACK";

/// Whether huge pages are to be allowed later.
#[derive(Debug, Default)]
pub(super) struct HugePages {
    are_held_back: bool,
}

impl HugePages {
    /// Does without them for now. Where the system allows them, the program begins anew here, with
    /// the same arguments.
    pub(super) fn hold_back() -> Self {
        let process = process::id().to_string();
        if env::var(HELD_BACK).is_ok_and(|held| held == process) {
            return Self { are_held_back: true };
        }
        // Who started the program may have ruled them out for good.
        let are_held_back = machine::allow_huge_pages(false).unwrap_or(false);
        if are_held_back {
            begin_anew(&process);
        }
        Self { are_held_back }
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

/// Runs the program once more in place of itself. Returns if that cannot be done; then it takes
/// more memory, and nothing else is amiss.
fn begin_anew(process: &str) {
    let mut words = env::args_os();
    if let (Some(name), Ok(program)) = (words.next(), env::current_exe()) {
        let _ = Command::new(program).arg0(name).args(words).env(HELD_BACK, process).exec();
    }
}
