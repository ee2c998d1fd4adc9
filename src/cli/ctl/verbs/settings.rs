//! What is set in the broker while it runs, and how it is set (EN-075).

use serde_json::{Value, json};

use super::super::{
    call::Call,
    failure::{Failure, code},
    guise::Guise,
    verb::{Section, Verb},
};

const CTL_AND_DIAGNOSTICS: &[Guise] = &[Guise::Ctl, Guise::Diagnostics];

/// RabbitMQ's words for levels of the log, and ours.
const LOG_LEVELS: [(&str, &str); 10] = [
    ("debug", "debug"),
    ("info", "info"),
    ("notice", "info"),
    ("warning", "warn"),
    ("warn", "warn"),
    ("error", "error"),
    ("critical", "error"),
    ("none", "off"),
    ("off", "off"),
    ("trace", "trace"),
];

/// RabbitMQ's units of information, and bytes.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "set_vm_memory_high_watermark",
        Section::Configuration,
        "<fraction> | absolute <value>",
        "Sets the memory in use beyond which publishers wait: a share such as 0.4, or a size",
        set_memory_watermark,
    )
    .takes(1, 2),
    Verb::new(
        "set_disk_free_limit",
        Section::Configuration,
        "<disk_limit> | mem_relative <fraction>",
        "Sets the free space on the disk below which publishers wait: a size, or shares of memory",
        set_disk_free_limit,
    )
    .takes(1, 2),
    Verb::new(
        "set_log_level",
        Section::Configuration,
        "<log_level>",
        "Sets what is logged until the broker ends: debug, info, warning, error, none",
        set_log_level,
    )
    .takes(1, 1),
    Verb::new(
        "rotate_logs",
        Section::Configuration,
        "",
        "Does nothing: the log goes to standard error, and who keeps it rotates it",
        Call::done,
    ),
    Verb::new(
        "environment",
        Section::Configuration,
        "",
        "Shows every setting that is in effect",
        environment,
    )
    .shown_by(CTL_AND_DIAGNOSTICS),
];

/// The bytes in a size such as `1GB`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = unit.to_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    count.parse::<u64>().ok()?.checked_mul(*factor)
}

fn set(call: &mut Call, what: &str, body: &Value) -> Result<(), Failure> {
    call.put_to_lepus(what, body)?;
    call.done()
}

fn set_memory_watermark(call: &mut Call) -> Result<(), Failure> {
    let (body, shown) = match call.arguments.as_slice() {
        [word] if word == "absolute" => {
            return Err(call.misused(code::USAGE, "not enough arguments."));
        }
        [fraction] => {
            let Ok(share) = fraction.parse::<f64>() else {
                return Err(call.misused(code::DATA, "Bad argument."));
            };
            if !(0.0..=1.0).contains(&share) {
                let problem = "The threshold should be a fraction between 0.0 and 1.0";
                return Err(call.bad_argument(problem));
            }
            (json!({"fraction": share}), fraction.clone())
        }
        [word, size] if word == "absolute" => match bytes(size) {
            Some(bytes) => (json!({"bytes": bytes}), format!("{size} bytes")),
            None => return Err(call.misused(code::DATA, "Bad argument.")),
        },
        _ => return Err(call.misused(code::USAGE, "too many arguments.")),
    };
    let node = call.node()?;
    call.banner(format!("Setting memory threshold on {node} to {shown} ..."));
    set(call, "memory-watermark", &body)
}

fn set_disk_free_limit(call: &mut Call) -> Result<(), Failure> {
    let (body, shown) = match call.arguments.as_slice() {
        [word] if word == "mem_relative" => {
            return Err(call.misused(code::USAGE, "not enough arguments."));
        }
        [size] => match bytes(size) {
            Some(bytes) => (json!({"bytes": bytes}), format!("{size} bytes")),
            None => return Err(call.misused(code::DATA, "Bad argument.")),
        },
        [word, fraction] if word == "mem_relative" => match fraction.parse::<f64>() {
            Ok(share) if share >= 0.0 && share.is_finite() => {
                (json!({"memory_fraction": share}), format!("{fraction} times the total RAM"))
            }
            _ => return Err(call.misused(code::DATA, "Bad argument.")),
        },
        _ => return Err(call.misused(code::USAGE, "too many arguments.")),
    };
    let node = call.node()?;
    call.banner(format!("Setting disk free limit on {node} to {shown} ..."));
    set(call, "disk-free-limit", &body)
}

fn set_log_level(call: &mut Call) -> Result<(), Failure> {
    let typed = call.argument(0).to_owned();
    let Some((_, level)) = LOG_LEVELS.iter().find(|(name, _)| *name == typed) else {
        return Err(Failure::refused(format!(
            "level {typed} is not supported. Try one of debug, info, warning, error, critical, none"
        )));
    };
    call.banner(format!("Setting log level to \"{typed}\" ..."));
    set(call, "log-level", &json!({"level": level}))
}

fn environment(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Application environment of node {node} ..."));
    let settings = call.get_of_lepus("settings")?;
    let object = settings.as_object().cloned().unwrap_or_default();
    let line = |(name, value): (&String, &Value)| format!("{name} = {value}");
    let lines: Vec<_> = object.iter().map(line).collect();
    call.result(lines.join("\n"), &settings);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_rabbitmqs_units() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("1k", Some(1024)),
            ("2GB", Some(2_000_000_000)),
            ("2GiB", Some(2 << 30)),
            ("3M", Some(3 << 20)),
            ("", None),
            ("GB", None),
            ("1.5GB", None),
            ("1 GB", None),
            ("1XB", None),
            ("-1", None),
            ("99999999999999999999", None),
            ("99999999999GB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
