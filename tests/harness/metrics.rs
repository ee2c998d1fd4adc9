//! What Prometheus would scrape, read by the letter of its text format.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use super::{DEADLINE, broker};

/// Where metrics are.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    address: String,
}

/// The metrics of the broker that all tests share.
pub(crate) fn metrics() -> Metrics {
    Metrics::at(broker().metrics_address.clone())
}

/// The labels of a series.
pub(crate) type Labels = BTreeMap<String, String>;

/// A family, as a scrape has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetricFamily {
    pub(crate) kind: String,
    help: String,
    /// By names (those of a histogram have endings) and labels.
    pub(crate) series: BTreeMap<(String, Labels), f64>,
}

/// A scrape, by names of families.
#[derive(Clone, Debug)]
pub(crate) struct Scraped(pub(crate) BTreeMap<String, MetricFamily>);

impl Metrics {
    pub(crate) fn at(address: String) -> Self {
        Self { address }
    }

    /// Status, headers and body.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str) -> (u16, String, String) {
        let mut socket = TcpStream::connect(&self.address)
            .unwrap_or_else(|error| panic!("no metrics at {}: {error}", self.address));
        socket.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
        // In 1.0 an answer ends with its connection.
        write!(socket, "{method} {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address)
            .expect("the port reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("the port answers in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("an answer has a status"), head.to_lowercase(), body.to_owned())
    }

    /// Scrapes a path and reads it strictly.
    #[track_caller]
    pub(crate) fn scrape(&self, path: &str) -> Scraped {
        let (status, head, body) = self.call("GET", path);
        assert_eq!(status, 200, "{path}: {body}");
        assert!(head.contains("\r\ncontent-type: text/plain; version=0.0.4\r\n"), "{head}");
        Scraped::parse(&body)
    }

    /// Scrapes `/metrics` until it is as it should be.
    #[track_caller]
    pub(crate) fn until(&self, is_so: impl Fn(&Scraped) -> bool) -> Scraped {
        let start = Instant::now();
        loop {
            let scraped = self.scrape("/metrics");
            if is_so(&scraped) {
                return scraped;
            }
            assert!(start.elapsed() < DEADLINE, "the metrics are not as expected");
        }
    }
}

impl Scraped {
    /// Reads the format; panics at whatever breaks its rules.
    #[track_caller]
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let [word, name, said] = [(); 3].map(|()| words.next().expect(line));
                if current != name {
                    assert!(!families.contains_key(name), "a family in two places: {line}");
                    name.clone_into(&mut current);
                }
                let family = families.entry(current.clone()).or_default();
                assert!(family.series.is_empty(), "said after the values: {line}");
                let place = match word {
                    "TYPE" => &mut family.kind,
                    "HELP" => &mut family.help,
                    _ => panic!("neither TYPE nor HELP: {line}"),
                };
                assert!(place.is_empty(), "said twice: {line}");
                said.clone_into(place);
                continue;
            }
            let (name, labels, value) = series(line);
            let family = families.get_mut(&current).expect("a type stands before values");
            let ending = name.strip_prefix(&*current).unwrap_or("?");
            let is_of_family = match &*family.kind {
                "histogram" => ["_bucket", "_count", "_sum"].contains(&ending),
                "summary" => ["", "_count", "_sum"].contains(&ending),
                "counter" | "gauge" | "untyped" => ending.is_empty(),
                kind => panic!("no type: {kind}"),
            };
            assert!(is_of_family, "{line} below {current}");
            let before = family.series.insert((name, labels), value);
            assert_eq!(before, None, "a series twice: {line}");
        }
        for (name, family) in &families {
            assert!(!family.kind.is_empty() && !family.help.is_empty(), "{name}");
            family.check_histogram();
        }
        Self(families)
    }

    /// The value of a series; none where it is not there.
    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let key = (name.to_owned(), labels);
        self.0.values().find_map(|family| family.series.get(&key)).copied()
    }

    /// The value of a series that is there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.find(name, labels);
        found.unwrap_or_else(|| panic!("no {name} with {labels:?}"))
    }

    /// The names of all series.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let series = self.0.values().flat_map(|family| family.series.keys());
        series.map(|(name, _)| name.as_str()).collect()
    }

    /// Every counter that was there before is there, and no lower.
    #[track_caller]
    pub(crate) fn assert_no_counter_fell_since(&self, before: &Self) {
        let counts = ["counter", "histogram"];
        for (name, family) in before.0.iter().filter(|(_, f)| counts.contains(&&*f.kind)) {
            for (key, value) in &family.series {
                let now = self.0[name].series.get(key);
                assert!(
                    now.is_some_and(|now| now >= value),
                    "{key:?} fell from {value} to {now:?}"
                );
            }
        }
    }
}

impl MetricFamily {
    /// Buckets add up to the count.
    #[track_caller]
    fn check_histogram(&self) {
        let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), count) in &self.series {
            let mut labels = labels.clone();
            if self.kind == "histogram"
                && name.ends_with("_bucket")
                && let Some(limit) = labels.remove("le")
            {
                let limit = limit.parse().expect("a limit is a number");
                buckets.entry(labels).or_default().push((limit, *count));
            }
        }
        for (labels, mut buckets) in buckets {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by(|one, other| one.1 <= other.1), "{buckets:?}");
            let last = buckets.last().expect("a bucket");
            assert!(last.0.is_infinite(), "{buckets:?}");
            let is_count = |name: &str| name.ends_with("_count");
            let count = self.series.iter().find(|((name, l), _)| is_count(name) && *l == labels);
            assert_eq!(count.map(|(_, count)| *count), Some(last.1), "{labels:?}");
        }
    }
}

/// Name, labels and value of a line.
#[track_caller]
fn series(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(after).expect(line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = &after[1..];
            match &after[..1] {
                "," => {}
                "}" => break,
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect(line);
    (name.to_owned(), labels, value.parse().expect(line))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The text up to the quotation mark that ends it, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}
