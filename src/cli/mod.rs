//! The `lepus` program: its arguments, its log, what it prints, and how it ends.
//!
//! Floor 8. Arguments as typed (`args`) become a [`Config`](crate::config::Config); `serve` runs
//! the broker with it until a signal comes; `failure` turns what stops it into one line and an
//! exit code.

mod args;
mod failure;
mod log;
mod serve;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use args::Args;
use failure::Failure;

/// Runs the program.
pub fn main() -> ExitCode {
    let started = crate::clock::now();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // What was asked for (`--help`) or what is wrong with the arguments. There is nobody
            // to tell if that cannot be written.
            let _ = error.print();
            return if error.use_stderr() { failure::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match args.into_config().map_err(Failure::from).and_then(|c| serve::run(c, started)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "lepus: {failure}");
            failure.exit_code().into()
        }
    }
}
