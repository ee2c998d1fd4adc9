//! The `lepus` program: its arguments, its log, what it prints, and how it ends.
//!
//! Floor 8. Arguments as typed (`args`) become a task and a [`Config`](crate::config::Config);
//! `serve` runs the broker with it until a signal comes; `check` says what it is; `failure` turns
//! what stops the program into one line and an exit code. `ctl` speaks to a broker that runs,
//! `perf` measures one.

mod address;
mod args;
mod check;
mod completions;
mod ctl;
mod failure;
mod huge_pages;
mod log;
mod notify;
mod perf;
mod pid_file;
mod serve;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    process::ExitCode,
};

use args::{BadArgs, Task};
use failure::Failure;
use huge_pages::HugePages;

/// Runs the program.
pub fn main() -> ExitCode {
    let started = crate::clock::now();
    if let Some(exit_code) = ctl::main(&env::args_os().collect::<Vec<_>>()) {
        return exit_code;
    }
    if let Some(name) = strange_name(env::args_os().next()) {
        let what = match name.as_str() {
            // RabbitMQ does not bring it, either.
            "rabbitmqadmin" => "it is a program of its own, which works with Lepus, too",
            _ => "there is no such program here",
        };
        let _ = writeln!(io::stderr(), "{name}: {what}; see lepus ctl help");
        return failure::USAGE.into();
    }
    // Commands are done before it matters.
    let is_command = env::args_os().nth(1).is_some_and(|word| !word.as_bytes().starts_with(b"-"));
    let huge_pages = (!is_command).then(HugePages::hold_back).unwrap_or_default();
    let done = match Task::read(env::args_os()) {
        Ok(Task::Serve(loaded)) => serve::run(loaded, started, huge_pages),
        Ok(Task::Perf(perf)) => perf::run(&perf).map_err(Failure::from),
        Ok(Task::Check(loaded)) => check::print(&loaded).map_err(Failure::from),
        Ok(Task::PrintDefaults) => check::print_defaults().map_err(Failure::from),
        Ok(Task::Complete(shell, program, lepus)) => {
            completions::print(shell, &program, *lepus).map_err(Failure::from)
        }
        Err(BadArgs::Configuration(error)) => Err(error.into()),
        Err(BadArgs::Usage(error)) => {
            // What was asked for (`--help`) or what is wrong with the arguments. There is nobody
            // to tell if that cannot be written.
            let _ = error.print();
            return if error.use_stderr() { failure::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "lepus: {failure}");
            failure.exit_code().into()
        }
    }
}

/// The name that the program was called by, if it is one of RabbitMQ's other programs: whoever
/// called that does not mean to start a broker.
fn strange_name(path: Option<OsString>) -> Option<String> {
    let path = PathBuf::from(path?);
    let name = path.file_name()?.to_str()?;
    (name.starts_with("rabbitmq") && name != "rabbitmq-server").then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_started_by_its_own_names_alone() {
        let strange = |path: &str| strange_name(Some(path.into()));
        for path in ["lepus", "/usr/bin/lepus", "rabbitmq-server", "/opt/sbin/rabbitmq-server"] {
            assert_eq!(strange(path), None, "{path}");
        }
        assert_eq!(strange("/usr/bin/rabbitmq-streams").as_deref(), Some("rabbitmq-streams"));
    }
}
