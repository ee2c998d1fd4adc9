//! `config/lepus.toml` as the table of settings would have it.

use super::{Config, Setting};

const HEADER: &str = "\
# The settings of Lepus, all of them, with their defaults.
#
# A line that begins with # and no space is a setting: take the # away and change the value.
# A size is a number of bytes or has a unit: \"64KiB\", \"50MB\". A time is a number of
# milliseconds or has a unit: \"100ms\", \"10s\", \"5m\", \"1h\".
#
# Every setting is also an environment variable, LEPUS_ and its name in capitals
# (LEPUS_AMQP_PORT=5673; lists with commas, or none), which wins over this file, as flags win
# over both. What RabbitMQ's files say (rabbitmq.conf and its kin) comes before this file, what
# the variables of its image say (RABBITMQ_DEFAULT_USER and so on) before the LEPUS_ ones.
# `lepus config check` shows what applies and where it came from.
#
#     lepus --config lepus.toml
";

/// Renders the file.
pub(super) fn render() -> String {
    let config = Config::default();
    let mut text = HEADER.to_owned();
    for setting in Setting::ALL {
        text.push('\n');
        for line in setting.doc {
            text.extend(["#", &line.replace('`', ""), "\n"]);
        }
        text.extend(["# Value: ", &(setting.expected)(), ".\n"]);
        text.extend(["#", setting.key, " = ", &(setting.show)(&config), "\n"]);
    }
    text
}

/// Takes the # away from every line that is a setting.
pub(super) fn uncomment(text: &str) -> String {
    let is_setting = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if is_setting(rest) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}
