//! The `lepus` program.

use std::process::ExitCode;

/// Messages are made by one thread and freed by another; this allocator takes that lightly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lepus::cli::main()
}
