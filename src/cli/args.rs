//! The arguments as typed, and what they make of the configuration.

use std::{
    env,
    ffi::OsString,
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};

use super::{
    completions::{PROGRAMS, Shell},
    perf::Perf,
};
use crate::config::{
    Config, Error, Loaded, LogFilter, LogFormat, Origin, Setting, Sources, SyncMode,
};

/// Where RabbitMQ has its configuration.
pub(super) const RABBITMQ_DIRECTORY: &str = "/etc/rabbitmq";

const AFTER_HELP: &str = "\
Without arguments it listens on the loopback addresses, port 5672.
Every setting, these and more, can stand in the configuration file or in an environment variable
LEPUS_* (LEPUS_AMQP_PORT=5673). `lepus config default` lists them all, `lepus config check` says
what applies. What is configured for RabbitMQ in /etc/rabbitmq applies, too.";

/// An AMQP 0-9-1 broker that RabbitMQ clients use unchanged.
#[derive(Debug, Parser)]
#[command(name = "lepus", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what the configuration is, without starting the broker
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Measure a broker, this one or another
    Perf(Box<Perf>),
    /// Speak to a running broker: lists, users, permissions, policies, ...; see `lepus ctl help`
    #[command(disable_help_flag = true)]
    Ctl(Words),
    /// Check a running broker, for Nagios, Zabbix and their kin; see `lepus check help`
    #[command(disable_help_flag = true)]
    Check(Words),
    /// Print a script that completes arguments in a shell
    Completions {
        shell: Shell,
        /// The program to complete
        #[arg(default_value = "lepus", value_parser = PROGRAMS)]
        program: String,
    },
}

/// Words that `ctl` reads itself, before anything else is looked at.
#[derive(Debug, clap::Args)]
struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting as it would apply, and where it comes from; fail if one is wrong
    Check(Box<Settings>),
    /// Print the configuration file with all settings and their defaults
    Default,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum Task {
    /// Run the broker.
    Serve(Loaded),
    /// Measure a broker.
    Perf(Box<Perf>),
    /// Say what applies.
    Check(Loaded),
    /// Say what the defaults are.
    PrintDefaults,
    /// Print a script that completes the arguments of this program, made of this definition.
    Complete(Shell, String, Box<clap::Command>),
}

/// Why nothing can be done with the arguments.
#[derive(Debug)]
pub(super) enum BadArgs {
    /// They are wrong, or they ask for help.
    Usage(clap::Error),
    /// They are right, and the configuration is not.
    Configuration(Error),
}

impl From<clap::Error> for BadArgs {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl From<Error> for BadArgs {
    fn from(error: Error) -> Self {
        Self::Configuration(error)
    }
}

impl Task {
    /// Reads the arguments, the first of which is the program's name, and the configuration.
    pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, BadArgs> {
        let matches = Args::command().try_get_matches_from(args)?;
        let Args { settings, command } = Args::from_arg_matches(&matches)?;
        match command {
            None => Ok(Self::Serve(settings.load(&matches)?)),
            Some(Command::Perf(perf)) => Ok(Self::Perf(perf)),
            Some(Command::Completions { shell, program }) => {
                Ok(Self::Complete(shell, program, Box::new(Args::command())))
            }
            Some(Command::Ctl(Words { words }) | Command::Check(Words { words })) => {
                // They are taken by their first word, which must be the program's first argument.
                let text = format!("put {words:?} and what belongs to it first");
                Err(Args::command().error(clap::error::ErrorKind::ArgumentConflict, text).into())
            }
            Some(Command::Config(ConfigCommand::Default)) => Ok(Self::PrintDefaults),
            Some(Command::Config(ConfigCommand::Check(settings))) => {
                let check = matches.subcommand_matches("config");
                let check = check.and_then(|config| config.subcommand_matches("check"));
                Ok(Self::Check(settings.load(check.unwrap_or(&matches))?))
            }
        }
    }
}

/// What of the configuration can be said by arguments.
#[derive(Debug, clap::Args)]
struct Settings {
    /// Address to listen on; may be given more than once. 0.0.0.0 lets everybody in
    #[arg(long, value_name = "ADDR")]
    bind: Vec<IpAddr>,
    /// Port for AMQP, 0 for a free one [default: 5672]
    #[arg(long, value_name = "N")]
    amqp_port: Option<u16>,
    /// Port for AMQP over TLS [default: 5671]
    #[arg(long, value_name = "N")]
    tls_port: Option<u16>,
    /// Certificate for TLS and those above it (PEM); without one there is no TLS
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Authorities of clients' certificates (PEM)
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Port for the management API [default: 15672]
    #[arg(long, value_name = "N")]
    http_port: Option<u16>,
    /// Port for the metrics that Prometheus reads [default: 15692]
    #[arg(long, value_name = "N")]
    metrics_port: Option<u16>,
    /// Directory for everything durable [default: ~/.local/share/lepus]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// RabbitMQ's configuration file, instead of those in /etc/rabbitmq; none for neither
    #[arg(long, value_name = "FILE")]
    rabbitmq_conf: Option<PathBuf>,
    /// When what is durable reaches the disk [default: always]
    #[arg(long, value_name = "WHEN")]
    sync: Option<SyncMode>,
    /// What is logged: off, error, warn, info, debug or trace, or targets with levels
    /// [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = log_filter)]
    log_level: Option<LogFilter>,
    /// How the log is written [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Settings {
    /// Makes the configuration of files, environment and these arguments, which win. `matches` is
    /// what they were read from.
    fn load(self, matches: &ArgMatches) -> Result<Loaded, Error> {
        let sources = Sources {
            file: self.config.as_deref(),
            rabbitmq_conf: self.rabbitmq_conf.as_deref(),
            rabbitmq_directory: Some(Path::new(RABBITMQ_DIRECTORY)),
        };
        let mut loaded = Loaded::read(&sources, env::vars_os())?;
        loaded.config = self.over(loaded.config);
        for Setting { key, .. } in Setting::ALL {
            let name = if *key == "log" { "log_level" } else { key };
            let is_known = matches!(matches.try_contains_id(name), Ok(true));
            if is_known && matches.value_source(name) == Some(ValueSource::CommandLine) {
                let flag = format!("--{}", name.replace('_', "-"));
                loaded.came_from(key, Origin::Flag { flag });
            }
        }
        Ok(loaded)
    }

    fn over(self, base: Config) -> Config {
        Config {
            bind: if self.bind.is_empty() { base.bind } else { self.bind },
            amqp_port: self.amqp_port.unwrap_or(base.amqp_port),
            tls_port: self.tls_port.unwrap_or(base.tls_port),
            tls_certificate: self.tls_certificate.or(base.tls_certificate),
            tls_key: self.tls_key.or(base.tls_key),
            tls_ca: self.tls_ca.or(base.tls_ca),
            http_port: self.http_port.unwrap_or(base.http_port),
            metrics_port: self.metrics_port.unwrap_or(base.metrics_port),
            data_dir: self.data_dir.or(base.data_dir),
            sync: self.sync.unwrap_or(base.sync),
            log: self.log_level.unwrap_or(base.log),
            log_format: self.log_format.unwrap_or(base.log_format),
            ..base
        }
    }
}

fn log_filter(text: &str) -> Result<LogFilter, &'static str> {
    LogFilter::parse(text).ok_or("no level, and no list of targets with levels")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Config {
        let args = Args::try_parse_from([&["lepus"], args].concat()).unwrap();
        args.settings.over(Config::default())
    }

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_arguments_change_nothing() {
        assert_eq!(config(&[]), Config::default());
    }

    #[test]
    fn each_argument_sets_what_it_is_called() {
        let given = config(&[
            "--bind=0.0.0.0",
            "--bind=::",
            "--amqp-port=1",
            "--tls-port=4",
            "--tls-certificate=/cert.pem",
            "--tls-key=/key.pem",
            "--tls-ca=/ca.pem",
            "--http-port=2",
            "--metrics-port=3",
            "--data-dir=/data",
            "--sync=interval",
            "--log-level=lepus=debug",
            "--log-format=json",
        ]);
        let expected = Config {
            bind: vec!["0.0.0.0".parse().unwrap(), "::".parse().unwrap()],
            amqp_port: 1,
            tls_port: 4,
            tls_certificate: Some("/cert.pem".into()),
            tls_key: Some("/key.pem".into()),
            tls_ca: Some("/ca.pem".into()),
            http_port: 2,
            metrics_port: 3,
            data_dir: Some("/data".into()),
            sync: SyncMode::Interval,
            log: LogFilter::parse("lepus=debug").unwrap(),
            log_format: LogFormat::Json,
            ..Config::default()
        };
        assert_eq!(given, expected);
    }

    #[test]
    fn bad_arguments_are_refused() {
        for args in
            [["--amqp-port=70000"], ["--bind=home"], ["--sync=never"], ["--log-level=loud"], ["up"]]
        {
            let args = [&["lepus"][..], &args].concat();
            assert!(Args::try_parse_from(&args).is_err(), "{args:?}");
        }
    }
}
