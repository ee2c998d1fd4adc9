//! The real program, as a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::Options;

/// How long the program may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// `lepus` with nothing in its environment but a home of its own, and without what the machine has
/// for RabbitMQ.
pub(crate) fn lepus(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lepus"));
    command.env_clear().env("HOME", home).args(args).stdin(Stdio::null());
    // Many run side by side.
    command.envs([("LEPUS_HTTP_PORT", "0"), ("LEPUS_METRICS_PORT", "0")]);
    command.env("LEPUS_RABBITMQ_CONF", "none");
    // There are files for so many wherever tests run, so that nothing is to be warned of.
    command.env("LEPUS_CONNECTIONS_MAX", "500");
    command
}

/// The same program with limits set by the shell: `ulimit -n 100`.
pub(crate) fn limited(limits: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    let exec = format!("{limits} && exec \"$0\" \"$@\"");
    shell.env_clear().stdin(Stdio::null()).arg("-c").arg(exec);
    shell.arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// A started program. Killed if the test ends before it is stopped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// Lines of standard output; closed when the program has ended.
    lines: Receiver<String>,
    /// Collects standard error, so that the program never waits for a reader.
    log: Option<JoinHandle<String>>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(64);
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|l| sender.send(l))
        });
        let mut stderr = child.stderr.take().unwrap();
        let log = Some(thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).unwrap();
            log
        }));
        Self { child, lines, log }
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the program by a signal, and gives back its exit status and its standard error.
    pub(crate) fn stop(self, signal: &str) -> (ExitStatus, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let (status, _, log) = self.finish();
        (status, log)
    }

    /// Waits until the program ends by itself, and gives back its exit status, the lines that it
    /// still said, and its standard error.
    pub(crate) fn finish(mut self) -> (ExitStatus, Vec<String>, String) {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on and on, after {said:?}"),
            }
        }
        let status = self.child.wait().unwrap();
        let log = self.log.take().map(|log| log.join().unwrap());
        (status, said, log.unwrap_or_default())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in `lepus 0.1.0 ready on amqp://127.0.0.1:5672 (data /path, 4 ms)`.
pub(crate) fn address(ready: &str) -> SocketAddr {
    let (_, rest) = ready.split_once(" ready on amqp://").expect(ready);
    rest.split_once(' ').expect(ready).0.parse().expect(ready)
}

/// A `lepus` that is ready for clients.
#[derive(Debug)]
pub(crate) struct Lepus {
    program: Program,
    pub(crate) options: Options,
}

impl Lepus {
    /// Starts on a free port, with the data that an earlier one left below `home`.
    pub(crate) fn start(home: &Path) -> Self {
        let args = ["--amqp-port=0", "--log-level=warn"];
        let program = Program::start(&mut lepus(home, &args));
        let options = Options::at(address(&program.line()));
        Self { program, options }
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(self) {
        let (status, log) = self.program.stop("-KILL");
        assert_eq!(status.code(), None, "it ended by itself: {log}");
        assert_eq!(unexpected(&log), "");
    }

    /// Ends it in order, by SIGTERM.
    pub(crate) fn stop(self) {
        let (status, log) = self.program.stop("-TERM");
        assert_eq!((status.code(), unexpected(&log).as_str()), (Some(0), ""));
    }
}

/// The log but for what clients were told: they may ask whether something is there.
fn unexpected(log: &str) -> String {
    log.lines().filter(|line| !line.contains(": channel error, ")).collect()
}
