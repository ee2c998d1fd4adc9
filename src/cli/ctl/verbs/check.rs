//! `lepus check`: checks for Nagios, Icinga, Zabbix and their kin. A check says one line, with what
//! it measured behind a bar, and ends with 0 if all is well, 1 for a warning, 2 if it is critical,
//! 3 if it was asked wrongly.

use serde_json::{Map, Value, json};

use super::{
    super::{
        call::{self, Call},
        cell::Kind,
        failure::Failure,
        guise::Guise,
        options::{Switch, text},
        range::Range,
        verb::{Run, Section, Verb},
    },
    health,
};

const CHECK: &[Guise] = &[Guise::Check];

/// The thresholds: `-w messages=1000`, or `-w 1000` for what the check is mainly about.
const THRESHOLDS: &[Switch] = &[text("warning").or('w'), text("critical").or('c')];
const OF_CONNECTIONS: &[Switch] =
    &[text("warning").or('w'), text("critical").or('c'), text("user").or('u')];

const fn check(name: &'static str, usage: &'static str, about: &'static str, run: Run) -> Verb {
    Verb::new(name, Section::Checks, usage, about, run).with(THRESHOLDS).shown_by(CHECK)
}

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    check("alive", "", "The broker answers and serves clients", alive),
    check("alarms", "", "There is no memory or disk alarm", alarms),
    check(
        "queue",
        "[--vhost <vhost>] <queue> [-w <metric>=<range>] [-c <metric>=<range>]",
        "A queue is there, and its messages, ready, unacked, consumers, bytes and age (seconds \
         since its first message's timestamp) are within ranges",
        queue,
    )
    .takes(1, 1),
    check(
        "queues",
        "[--vhost <vhost>] [-w <metric>=<range>] [-c <metric>=<range>]",
        "The messages, ready, unacked, consumers and bytes of every queue are within ranges",
        queues,
    ),
    check(
        "connection",
        "<name> [-w <range>] [-c <range>]",
        "There are connections of this name, as the client gave it, or as the broker has it [1:]",
        connection,
    )
    .takes(1, 1),
    check(
        "connections",
        "[--vhost <vhost>] [--user <user>] [-w <range>] [-c <range>]",
        "The number of connections is within ranges",
        connections,
    )
    .with(OF_CONNECTIONS),
    check(
        "memory",
        "[-w <range>] [-c <range>]",
        "Memory in use, in percent of the watermark, is within ranges [-w 80 -c 100]",
        memory,
    ),
    check(
        "disk",
        "[-w <range>] [-c <range>]",
        "Free space on the disk, in percent of the limit, is within ranges [-w 200: -c 100:]",
        disk,
    ),
];

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok,
    Warning,
    Critical,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Something that was measured.
#[derive(Clone, Debug)]
struct Metric {
    name: &'static str,
    value: f64,
    /// What stands behind the number in the performance data: `B`, `s`, `%` or nothing.
    unit: &'static str,
}

const fn count(name: &'static str, value: f64) -> Metric {
    Metric { name, value, unit: "" }
}

/// The ranges that were given, by the name of what they are for.
#[derive(Debug)]
struct Thresholds {
    warning: Vec<(String, Range)>,
    critical: Vec<(String, Range)>,
}

impl Thresholds {
    /// Reads the options. `names` are what can be measured; a range without a name is for the
    /// first. Where none are given, these are taken.
    fn of(call: &Call, names: &[&str], defaults: [Option<&str>; 2]) -> Result<Self, Failure> {
        let read = |option: &str, default: Option<&str>| {
            let given = call.options.texts(option);
            let texts = if given.is_empty() { default.into_iter().collect() } else { given };
            let one = |text: &str| {
                let (name, range) = text.split_once('=').unwrap_or((names[0], text));
                let range = Range::parse(range).filter(|_| names.contains(&name));
                range.map(|range| (name.to_owned(), range)).ok_or_else(|| {
                    call.bad_argument(&format!(
                        "--{option} {text}: write <metric>=<range> with one of the metrics {} and \
                         a range such as 10, 10: or 5:10",
                        names.join(", ")
                    ))
                })
            };
            texts.into_iter().map(one).collect::<Result<Vec<_>, _>>()
        };
        let [warning, critical] = defaults;
        Ok(Self { warning: read("warning", warning)?, critical: read("critical", critical)? })
    }

    fn judge(&self, metric: &Metric) -> State {
        let is_outside = |ranges: &[(String, Range)]| {
            ranges.iter().any(|(name, range)| name == metric.name && !range.allows(metric.value))
        };
        if is_outside(&self.critical) {
            State::Critical
        } else if is_outside(&self.warning) {
            State::Warning
        } else {
            State::Ok
        }
    }

    /// The metric as performance data: `name=value[unit];warning;critical;least`.
    fn performance(&self, metric: &Metric) -> String {
        let range = |ranges: &[(String, Range)]| {
            let found = ranges.iter().find(|(name, _)| name == metric.name);
            found.map(|(_, range)| range.to_string()).unwrap_or_default()
        };
        let Metric { name, value, unit } = metric;
        format!("{name}={value}{unit};{};{};0", range(&self.warning), range(&self.critical))
    }
}

/// Says how it is and ends with the code for it.
fn conclude(
    call: &Call,
    state: State,
    text: &str,
    metrics: &[Metric],
    thresholds: &Thresholds,
) -> Result<(), Failure> {
    // A bar would begin the performance data.
    let text = Kind::Plain.text(&Value::from(text.replace('|', "/")));
    let title = call.verb.name.to_uppercase();
    let line = if call.format.is_json() {
        let values: Map<_, _> =
            metrics.iter().map(|metric| (metric.name.into(), json!(metric.value))).collect();
        let value = json!({"state": state.name(), "message": text, "metrics": values});
        value.to_string()
    } else {
        let data: Vec<_> = metrics.iter().map(|metric| thresholds.performance(metric)).collect();
        let bar = if data.is_empty() { "" } else { " | " };
        format!("LEPUS {title} {} - {text}{bar}{}", state.name(), data.join(" "))
    };
    match state {
        State::Ok => {
            call::write(&format!("{line}\n"));
            Ok(())
        }
        state => Err(Failure::verdict(state as u8, line)),
    }
}

/// Judges each metric, and says which are bad, else what was measured.
fn judge(
    call: &Call,
    subject: &str,
    metrics: &[Metric],
    thresholds: &Thresholds,
) -> Result<(), Failure> {
    let judged = metrics.iter().map(|metric| (thresholds.judge(metric), metric));
    let judged: Vec<_> = judged.collect();
    let state = judged.iter().map(|(state, _)| *state).max().unwrap_or(State::Ok);
    let shown = |(_, metric): &&(State, &Metric)| {
        format!("{} {}{}", metric.name, metric.value, metric.unit)
    };
    let bad: Vec<_> = judged.iter().filter(|(s, _)| *s != State::Ok).collect();
    let worth_saying = if bad.is_empty() { judged.iter().collect() } else { bad };
    let words: Vec<_> = worth_saying.iter().map(shown).collect();
    let text = format!("{subject}: {}", words.join(", "));
    conclude(call, state, &text, metrics, thresholds)
}

fn alive(call: &mut Call) -> Result<(), Failure> {
    let thresholds = Thresholds::of(call, &["uptime"], [None, None])?;
    let node = call.node()?;
    let info = call.get(&["nodes", &node])?.unwrap_or_default();
    let seconds = (number(&info["uptime"]) / 1000.0).floor();
    let uptime = Metric { name: "uptime", value: seconds, unit: "s" };
    if !health::serves(call)? {
        let text = format!("{node} takes no clients");
        return conclude(call, State::Critical, &text, &[uptime], &thresholds);
    }
    judge(call, &format!("{node} serves clients"), &[uptime], &thresholds)
}

fn alarms(call: &mut Call) -> Result<(), Failure> {
    let thresholds = Thresholds::of(call, &["alarms"], [None, None])?;
    let node = call.node()?;
    let raised = health::raised(call)?;
    let metrics = [count("alarms", raised.len() as f64)];
    if raised.is_empty() {
        return conclude(call, State::Ok, "no alarms", &metrics, &thresholds);
    }
    let lines: Vec<_> = raised.iter().map(|what| health::alarm_line(what, &node)).collect();
    let text = format!("publishers wait: {}", lines.join(", "));
    conclude(call, State::Critical, &text, &metrics, &thresholds)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

const QUEUE_METRICS: [&str; 6] = ["messages", "ready", "unacked", "consumers", "bytes", "age"];

/// What is measured of a queue. Its age is only known if its first message carries a timestamp.
fn metrics_of(queue: &Value) -> Vec<Metric> {
    let mut metrics = vec![
        count("messages", number(&queue["messages"])),
        count("ready", number(&queue["messages_ready"])),
        count("unacked", number(&queue["messages_unacknowledged"])),
        count("consumers", number(&queue["consumers"])),
        Metric { name: "bytes", value: number(&queue["message_bytes"]), unit: "B" },
    ];
    let now = crate::clock::unix_time().seconds();
    let age = match queue["head_message_timestamp"].as_u64() {
        Some(timestamp) => Some(now.saturating_sub(timestamp) as f64),
        None => (number(&queue["messages"]) == 0.0).then_some(0.0),
    };
    metrics.extend(age.map(|value| Metric { name: "age", value, unit: "s" }));
    metrics
}

fn queue(call: &mut Call) -> Result<(), Failure> {
    let thresholds = Thresholds::of(call, &QUEUE_METRICS, [None, None])?;
    let (name, vhost) = (call.argument(0).to_owned(), call.vhost());
    let Some(queue) = call.get(&["queues", &vhost, &name])? else {
        let text = format!("there is no queue {name} in vhost {vhost}");
        return conclude(call, State::Critical, &text, &[], &thresholds);
    };
    let metrics = metrics_of(&queue);
    let wants_age = [&thresholds.warning, &thresholds.critical];
    let wants_age = wants_age.into_iter().flatten().any(|(name, _)| name == "age");
    if wants_age && !metrics.iter().any(|metric| metric.name == "age") {
        let text = format!("the first message of queue {name} has no timestamp to tell its age");
        return conclude(call, State::Warning, &text, &metrics, &thresholds);
    }
    judge(call, &format!("queue {name} in vhost {vhost}"), &metrics, &thresholds)
}

/// How many bad queues are named.
const NAMED_MAX: usize = 5;

fn queues(call: &mut Call) -> Result<(), Failure> {
    let thresholds = Thresholds::of(call, &QUEUE_METRICS[..5], [None, None])?;
    let vhost = call.options.text("vhost").map(str::to_owned);
    let path: &[&str] = match &vhost {
        Some(vhost) => &["queues", vhost],
        None => &["queues"],
    };
    let queues = call
        .get_list(path)?
        .ok_or_else(|| Failure::no_vhost(vhost.as_deref().unwrap_or_default()))?;
    let mut state = State::Ok;
    let mut bad = Vec::new();
    for queue in &queues {
        let metrics = metrics_of(queue);
        let worst = metrics.iter().map(|metric| thresholds.judge(metric)).max();
        let worst = worst.unwrap_or(State::Ok);
        state = state.max(worst);
        if worst != State::Ok {
            let is_bad = |metric: &&Metric| thresholds.judge(metric) != State::Ok;
            let words: Vec<_> = metrics.iter().filter(is_bad).collect();
            let words: Vec<_> =
                words.iter().map(|metric| format!("{} {}", metric.name, metric.value)).collect();
            let name = queue["name"].as_str().unwrap_or_default();
            bad.push((worst, format!("{name}: {}", words.join(", "))));
        }
    }
    bad.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let total =
        |key: &str| queues.iter().map(|queue| number(&queue[key])).fold(0.0, |sum, n| sum + n);
    let metrics = [
        count("queues", queues.len() as f64),
        count("bad", bad.len() as f64),
        count("total_messages", total("messages")),
        count("total_ready", total("messages_ready")),
        count("total_unacked", total("messages_unacknowledged")),
    ];
    let named: Vec<_> = bad.iter().take(NAMED_MAX).map(|(_, text)| text.as_str()).collect();
    let text = match bad.len() {
        0 => format!("{} queues are within the ranges", queues.len()),
        count if count > NAMED_MAX => {
            format!("{} and {} more", named.join("; "), count - NAMED_MAX)
        }
        _ => named.join("; "),
    };
    conclude(call, state, &text, &metrics, &thresholds)
}

fn connection(call: &mut Call) -> Result<(), Failure> {
    let thresholds = Thresholds::of(call, &["connections"], [None, Some("1:")])?;
    let name = call.argument(0).to_owned();
    let connections = call.get_list(&["connections"])?.unwrap_or_default();
    let is_it = |connection: &&Value| {
        let keys = ["name", "user_provided_name"];
        keys.iter().any(|key| connection[*key] == name.as_str())
    };
    let found = connections.iter().filter(is_it).count();
    let metrics = [count("connections", found as f64)];
    judge(call, &format!("connections called {name}"), &metrics, &thresholds)
}

fn connections(call: &mut Call) -> Result<(), Failure> {
    let thresholds = Thresholds::of(call, &["connections"], [None, None])?;
    let wanted = [("vhost", call.options.text("vhost")), ("user", call.options.text("user"))];
    let wanted = wanted.map(|(key, value)| (key, value.map(str::to_owned)));
    let connections = call.get_list(&["connections"])?.unwrap_or_default();
    let is_meant = |connection: &&Value| {
        let fits = |(key, value): &(&str, Option<String>)| {
            value.as_ref().is_none_or(|value| connection[*key] == value.as_str())
        };
        wanted.iter().all(fits)
    };
    let found = connections.iter().filter(is_meant).count();
    judge(call, "the broker", &[count("connections", found as f64)], &thresholds)
}

fn percent(part: &Value, whole: &Value) -> f64 {
    let whole = number(whole);
    if whole > 0.0 { (number(part) * 1000.0 / whole).round() / 10.0 } else { 0.0 }
}

fn memory(call: &mut Call) -> Result<(), Failure> {
    let thresholds = Thresholds::of(call, &["memory"], [Some("80"), Some("100")])?;
    let node = call.node()?;
    let info = call.get(&["nodes", &node])?.unwrap_or_default();
    let used = percent(&info["mem_used"], &info["mem_limit"]);
    let metrics = [
        Metric { name: "memory", value: used, unit: "%" },
        Metric { name: "used", value: number(&info["mem_used"]), unit: "B" },
        Metric { name: "limit", value: number(&info["mem_limit"]), unit: "B" },
    ];
    judge(call, &format!("memory of {node}"), &metrics, &thresholds)
}

fn disk(call: &mut Call) -> Result<(), Failure> {
    let thresholds = Thresholds::of(call, &["disk"], [Some("200:"), Some("100:")])?;
    let node = call.node()?;
    let info = call.get(&["nodes", &node])?.unwrap_or_default();
    let free = percent(&info["disk_free"], &info["disk_free_limit"]);
    // Without a limit there is always enough.
    let free = if number(&info["disk_free_limit"]) > 0.0 { free } else { f64::from(u32::MAX) };
    let metrics = [
        Metric { name: "disk", value: free, unit: "%" },
        Metric { name: "free", value: number(&info["disk_free"]), unit: "B" },
        Metric { name: "limit", value: number(&info["disk_free_limit"]), unit: "B" },
    ];
    judge(call, &format!("disk of {node}"), &metrics, &thresholds)
}
