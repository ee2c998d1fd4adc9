//! `lepus config`: what the settings are, and where they come from.

use std::io::{self, Write};

use crate::config::{Loaded, Note, SHIPPED, Setting};

/// Column that the origins are aligned at, at most.
const COLUMN_MAX: usize = 60;

/// Prints every setting as TOML, with its origin as a comment; and, on standard error, what
/// there is to tell about the configuration.
pub(super) fn print(loaded: &Loaded) -> io::Result<()> {
    for note in &loaded.notes {
        match note {
            Note::Idle(text) => writeln!(io::stderr(), "note: {text}")?,
            Note::Warning(text) => writeln!(io::stderr(), "warning: {text}")?,
        }
    }
    ignore_broken_pipe(io::stdout().write_all(render(loaded).as_bytes()))
}

/// Prints the file with all settings.
pub(super) fn print_defaults() -> io::Result<()> {
    ignore_broken_pipe(io::stdout().write_all(SHIPPED.as_bytes()))
}

fn render(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut lines: Vec<_> = loaded.files.iter().map(|file| format!("# read: {file}")).collect();
    lines.push(format!("# data directory: {}", config.data_path().display()));
    lines.push(format!("# node: {}", config.node()));
    let line = |setting: &Setting| {
        let value = if setting.is_secret { "(secret)".into() } else { (setting.show)(config) };
        format!("{} = {value}", setting.key)
    };
    let settings: Vec<_> = Setting::ALL.iter().map(|s| (line(s), loaded.origin(s.key))).collect();
    let widths = settings.iter().map(|(line, _)| line.len());
    // A long list must not push the origins of all the others to the right.
    let width = widths.filter(|width| *width <= COLUMN_MAX).max().unwrap_or_default();
    lines.extend(settings.iter().map(|(line, origin)| format!("{line:width$}  # {origin}")));
    lines.join("\n") + "\n"
}

/// Whoever has read enough does not want to know.
fn ignore_broken_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
