//! What was measured, as a table for people and as JSON for programs.

use std::{fmt::Write, time::Duration};

use serde_json::{Map, Value, json};

use super::{churn::Churned, flow::Outcome, histogram::Histogram};

/// The shares of times that are told.
const SHARES: [(&str, f64); 5] =
    [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// One row of the result.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What was measured.
    pub(super) name: String,
    /// What there were so many of each second.
    unit: &'static str,
    per_second: f64,
    count: u64,
    seconds: f64,
    times: Option<(&'static str, Histogram)>,
    faults: u64,
}

impl Row {
    /// Messages that were consumed, or published where nothing consumed them.
    pub(super) fn of_messages(name: impl Into<String>, outcome: Outcome) -> Self {
        let (unit, count) = match (outcome.consumed, outcome.confirmed, outcome.published) {
            (0, 0, published) => ("published/s", published),
            (0, confirmed, _) => ("confirmed/s", confirmed),
            (consumed, ..) => ("consumed/s", consumed),
        };
        let times = if outcome.confirms.is_empty() {
            ("latency", outcome.latency)
        } else {
            ("confirm", outcome.confirms)
        };
        let per_second = count as f64 / outcome.seconds.max(1e-9);
        Self {
            name: name.into(),
            unit,
            per_second,
            count,
            seconds: outcome.seconds,
            times: (!times.1.is_empty()).then_some(times),
            faults: outcome.faults,
        }
    }

    /// The time from sending to arrival.
    pub(super) fn of_latency(name: impl Into<String>, mut outcome: Outcome) -> Self {
        outcome.confirms = Histogram::default();
        Self::of_messages(name, outcome)
    }

    /// The time from when they were due to arrival.
    pub(super) fn of_lateness(name: impl Into<String>, outcome: Outcome) -> Self {
        let mut row = Self::of_latency(name, outcome);
        row.times = row.times.map(|(_, times)| ("lateness", times));
        row
    }

    /// What came and went.
    pub(super) fn of_churn(name: impl Into<String>, unit: &'static str, churned: Churned) -> Self {
        Self {
            name: name.into(),
            unit,
            per_second: churned.count as f64 / churned.seconds.max(1e-9),
            count: churned.count,
            seconds: churned.seconds,
            times: Some(("each", churned.times)),
            faults: 0,
        }
    }

    pub(super) fn faults(&self) -> u64 {
        self.faults
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("name".to_owned(), json!(self.name));
        object.insert("unit".to_owned(), json!(self.unit));
        object.insert("per_second".to_owned(), json!(self.per_second));
        object.insert("count".to_owned(), json!(self.count));
        object.insert("seconds".to_owned(), json!(self.seconds));
        object.insert("faults".to_owned(), json!(self.faults));
        if let Some((what, times)) = &self.times {
            object.insert("times_of".to_owned(), json!(what));
            for (share, value) in SHARES {
                let micros = times.percentile(value).as_nanos() as f64 / 1000.0;
                object.insert(format!("{share}_us"), json!(micros));
            }
        }
        Value::Object(object)
    }
}

/// All rows as a JSON array.
pub(super) fn json(rows: &[Row]) -> String {
    Value::Array(rows.iter().map(Row::to_json).collect()).to_string()
}

/// All rows as a table.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:>12} {:<12} {:<8} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "", "rate", "", "time of", "p50", "p95", "p99", "p99.9", "max"
    );
    for row in rows {
        let rate = grouped(row.per_second);
        // Strings can always be written to.
        let _ = write!(text, "{:width$}  {rate:>12} {:<12}", row.name, row.unit);
        if let Some((what, times)) = &row.times {
            let _ = write!(text, " {what:<8}");
            for (_, share) in SHARES {
                let _ = write!(text, " {:>9}", shown(times.percentile(share)));
            }
        }
        if row.faults > 0 {
            let _ = write!(text, "  {} FAULTS", row.faults);
        }
        text = text.trim_end().to_owned();
        text.push('\n');
    }
    text
}

/// A number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in the unit that suits it.
fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1000.0 => format!("{micros:.0} us"),
        ..1_000_000.0 => format!("{:.1} ms", micros / 1000.0),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(0.0), "0");
        assert_eq!(shown(Duration::from_micros(12)), "12 us");
        assert_eq!(shown(Duration::from_micros(12_345)), "12.3 ms");
        assert_eq!(shown(Duration::from_millis(12_345)), "12.35 s");
    }

    #[test]
    fn a_row_is_told_to_people_and_programs() {
        let mut latency = Histogram::default();
        latency.add(Duration::from_micros(50));
        let outcome = Outcome {
            seconds: 2.0,
            published: 10,
            consumed: 10,
            latency,
            faults: 1,
            ..Outcome::default()
        };
        let row = Row::of_messages("a row", outcome);
        let text = table(std::slice::from_ref(&row));
        assert!(text.contains("a row") && text.contains(" 5 consumed/s"), "{text}");
        assert!(text.contains("50 us") && text.contains("1 FAULTS"), "{text}");
        let json: Value = serde_json::from_str(&json(&[row])).unwrap();
        assert_eq!((&json[0]["count"], &json[0]["per_second"]), (&json!(10), &json!(5.0)));
    }
}
