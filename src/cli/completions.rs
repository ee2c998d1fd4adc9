//! Scripts that complete the program's arguments in a shell.

use std::io;

use clap::{Command, ValueEnum};

use super::ctl;

/// The shells that there are scripts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// Save it as `/etc/bash_completion.d/lepus`
    Bash,
    /// Save it as `_lepus` in a directory of `$fpath`
    Zsh,
    /// Save it as `~/.config/fish/completions/lepus.fish`
    Fish,
}

/// The programs whose arguments can be completed.
pub(super) const PROGRAMS: [&str; 6] = [
    "lepus",
    "rabbitmqctl",
    "rabbitmq-diagnostics",
    "rabbitmq-plugins",
    "rabbitmq-queues",
    "rabbitmq-upgrade",
];

/// Prints the script for a program, of which `lepus` is given.
pub(super) fn print(shell: Shell, program: &str, lepus: Command) -> io::Result<()> {
    let mut command = ctl::completion::of_program(program).unwrap_or_else(|| {
        // The help of commands that complete each other would make most of the script.
        lepus
            .disable_help_subcommand(true)
            .mut_subcommand("config", |config| config.disable_help_subcommand(true))
            .mut_subcommand("ctl", ctl::completion::of_ctl)
            .mut_subcommand("check", ctl::completion::of_check)
    });
    // The script is made in memory: making it may not fail.
    let mut script = Vec::new();
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, program, &mut script);
    io::Write::write_all(&mut io::stdout(), &script)
}
