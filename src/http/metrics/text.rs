//! Prometheus' text format, version 0.0.4, as RabbitMQ writes it.
//!
//! Written by hand: `prometheus-client` writes another format, `OpenMetrics`, whose content type
//! no RabbitMQ answers with, and `prometheus` makes an object of every line first; a scrape of
//! many queues is hundreds of thousands of lines. What there is to get wrong is escaping, below.

use std::fmt::{Display, Write as _};

use crate::histogram::Distribution;

/// The content type of the format (HT-140).
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// What a family's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number that only rises.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// How values are distributed.
    Histogram,
    /// RabbitMQ does not say.
    Untyped,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Untyped => "untyped",
        }
    }
}

/// A family of which each thing of a kind has one value.
#[derive(Debug)]
pub(super) struct Metric<T, V = u64> {
    /// Its name without what all names begin with.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What it says, in one line.
    pub(super) help: &'static str,
    pub(super) value: fn(&T) -> V,
}

/// What the numbers of a histogram are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Whatever is counted.
    Plain,
    /// Nanoseconds, to be written as seconds.
    Nanoseconds,
}

impl Unit {
    fn write(self, out: &mut String, value: u64) {
        // Strings can be written to.
        let _ = match self {
            Self::Plain => write!(out, "{value}"),
            Self::Nanoseconds => write!(out, "{}", value as f64 / 1e9),
        };
    }
}

/// A page of metrics that is being written.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// A family on a page, whose values are being written.
#[derive(Debug)]
pub(super) struct Family<'a> {
    out: &'a mut String,
    name: String,
}

impl Page {
    /// Begins a family; its name is `prefix` and `name`.
    pub(super) fn family(
        &mut self,
        (prefix, name): (&str, &str),
        kind: Kind,
        help: &str,
    ) -> Family<'_> {
        let name = format!("{prefix}{name}");
        let out = &mut self.0;
        out.extend(["# TYPE ", &name, " ", kind.as_str(), "\n# HELP ", &name, " ", help, "\n"]);
        Family { out, name }
    }

    /// Writes a family of one value.
    pub(super) fn single(
        &mut self,
        name: (&str, &str),
        kind: Kind,
        help: &str,
        value: impl Display,
    ) {
        self.family(name, kind, help).put("", value);
    }

    /// Writes families of which each of these things, given with its labels, has one value.
    pub(super) fn table<T, V: Display>(
        &mut self,
        prefix: &str,
        metrics: &[Metric<T, V>],
        things: &[(String, T)],
    ) {
        for metric in metrics {
            let mut family = self.family((prefix, metric.name), metric.kind, metric.help);
            for (labels, thing) in things {
                family.put(labels, (metric.value)(thing));
            }
        }
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Writes the value of what has these [`labels`].
    pub(super) fn put(&mut self, labels: &str, value: impl Display) {
        self.out.push_str(&self.name);
        self.out.push_str(labels);
        // Strings can be written to.
        let _ = writeln!(self.out, " {value}");
    }

    /// Writes a histogram of what has these labels, as pairs of name and value.
    pub(super) fn histogram(&mut self, pairs: &[(&str, &str)], seen: &Distribution, unit: Unit) {
        let mut up_to = 0;
        for (at, count) in seen.buckets.iter().enumerate() {
            up_to += count;
            let mut limit = String::new();
            match seen.limits.get(at) {
                Some(value) => unit.write(&mut limit, *value),
                None => limit.push_str("+Inf"),
            }
            let labels = labels(&[pairs, &[("le", &*limit)]].concat());
            self.put_as("_bucket", &labels, up_to);
        }
        let labels = labels(pairs);
        self.put_as("_count", &labels, up_to);
        let mut sum = String::new();
        unit.write(&mut sum, seen.sum);
        self.put_as("_sum", &labels, sum);
    }

    fn put_as(&mut self, suffix: &str, labels: &str, value: impl Display) {
        self.out.extend([&*self.name, suffix, labels]);
        // Strings can be written to.
        let _ = writeln!(self.out, " {value}");
    }
}

/// Labels as they stand behind a name; nothing for none.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (at, (name, value)) in pairs.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        out.extend([name, "=\""]);
        for char in value.chars() {
            match char {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    if !pairs.is_empty() {
        out.push('}');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    #[test]
    fn a_family_is_named_once_and_its_values_follow() {
        let mut page = Page::default();
        page.single(("p_", "one"), Kind::Gauge, "One.", 1.5);
        let things = [(labels(&[("q", "a")]), 1_u64), (labels(&[("q", "b")]), 2)];
        let metric = Metric { name: "two_total", kind: Kind::Counter, help: "Two.", value: |n| *n };
        page.table("p_", &[metric], &things);
        let expected = "# TYPE p_one gauge\n# HELP p_one One.\np_one 1.5\n\
                        # TYPE p_two_total counter\n# HELP p_two_total Two.\n\
                        p_two_total{q=\"a\"} 1\np_two_total{q=\"b\"} 2\n";
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn no_value_of_a_label_ends_it_or_its_line() {
        let hostile = "a\"} 1\nrabbitmq_up{b=\"\\";
        assert_eq!(
            labels(&[("queue", hostile), ("vhost", "/")]),
            "{queue=\"a\\\"} 1\\nrabbitmq_up{b=\\\"\\\\\",vhost=\"/\"}"
        );
        assert_eq!(labels(&[]), "");
    }

    #[test]
    fn buckets_add_up_and_times_are_seconds() {
        let times = Histogram::of_time();
        times.add(75_000);
        times.add(20_000_000_000);
        let mut page = Page::default();
        let mut family = page.family(("", "t_seconds"), Kind::Histogram, "T.");
        family.histogram(&[("a", "b")], &times.get(), Unit::Nanoseconds);
        let text = page.finish();
        for line in [
            "t_seconds_bucket{a=\"b\",le=\"0.00005\"} 0",
            "t_seconds_bucket{a=\"b\",le=\"0.0001\"} 1",
            "t_seconds_bucket{a=\"b\",le=\"10\"} 1",
            "t_seconds_bucket{a=\"b\",le=\"+Inf\"} 2",
            "t_seconds_count{a=\"b\"} 2",
            "t_seconds_sum{a=\"b\"} 20.000075",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
