//! What counters were a while ago, so that rates and charts can be shown (HT-015, HT-016).
//!
//! Every five seconds a sample of everything that changed is taken, beside the tasks that serve
//! clients. A rate compares what a counter is now with the latest sample that is at least five
//! seconds old. Samples are kept for ten minutes; when there are too many things for that, for
//! less, and always so long that rates can be told.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::listing::Query;
use crate::{
    broker::stats::{Stat, Tally},
    clock::{self, UnixTime},
    names::{ChannelId, ConnectionId, Name, QueueId},
};

/// Time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
const INTERVAL_MILLIS: u64 = INTERVAL.as_millis() as u64;
/// Samples of one thing at most: ten minutes of them.
const SAMPLES_MAX: usize = 121;
/// Samples that are needed to tell a rate.
const SAMPLES_MIN: usize = 3;
/// Samples of all things, if each is to have more than [`SAMPLES_MIN`].
const SAMPLES_MAX_ALL: usize = 100_000;
/// Samples of each value that one answer tells, of all things in it together. A thing has a dozen
/// values, and a sample as JSON takes most of a kilobyte while the answer is put together.
const SAMPLES_MAX_TOLD: u64 = 5000;

/// Time until the next sample is due. Samples are of whole intervals of the clock on the wall, so
/// that what is told of a time was true then.
pub(super) fn until_next(now: UnixTime) -> Duration {
    Duration::from_millis(INTERVAL_MILLIS - now.0 % INTERVAL_MILLIS)
}

/// What samples are taken of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// The broker as a whole.
    Broker,
    /// Something that no samples are taken of.
    Nothing,
    /// The process and the machine.
    Node,
    /// A vhost.
    Vhost(Name),
    /// A queue.
    Queue(QueueId),
    /// An exchange of a vhost.
    Exchange(Name, Name),
    /// A connection.
    Connection(ConnectionId),
    /// A channel.
    Channel(ConnectionId, ChannelId),
}

/// Names and values, in an order that is the same for all samples of a subject.
pub(super) type Sample = Vec<(&'static str, u64)>;

/// The name of all kinds of deliveries together.
const DELIVER_GET: &str = "deliver_get";

/// A tally as a sample.
pub(super) fn sample_of(tally: &Tally) -> Sample {
    let mut sample: Sample = Stat::ALL.iter().map(|stat| (stat.name(), tally[*stat])).collect();
    sample.push((DELIVER_GET, tally.deliver_get()));
    sample
}

/// The samples of one thing. Where two would be equal, the later one is left out.
#[derive(Clone, Debug)]
struct Series {
    names: Vec<&'static str>,
    samples: VecDeque<(u64, Box<[u64]>)>,
    /// When it was last looked at.
    seen: u64,
}

impl Series {
    fn push(&mut self, at: u64, values: Box<[u64]>, max: usize) {
        self.seen = at;
        if self.samples.back().is_none_or(|(_, last)| *last != values) {
            self.samples.push_back((at, values));
        }
        // The one before the oldest that is wanted says what was then.
        while self.samples.len() > max {
            self.samples.pop_front();
        }
    }

    /// What a value was at that time; none before the first sample.
    fn at(&self, column: usize, time: u64) -> Option<u64> {
        let count = self.samples.partition_point(|(at, _)| *at <= time);
        self.samples.get(count.checked_sub(1)?).map(|(_, values)| values[column])
    }
}

/// The samples of everything. Its lock is held for no longer than one thing is looked up, or
/// samples are added, and nothing else is locked meanwhile.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<HashMap<Subject, Arc<Series>>>);

impl History {
    fn locked(&self) -> MutexGuard<'_, HashMap<Subject, Arc<Series>>> {
        // Each section leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps samples of everything there is. What is not among them is forgotten.
    pub(super) fn record(&self, time: UnixTime, samples: Vec<(Subject, Sample)>) {
        let at = time.0 / INTERVAL_MILLIS * INTERVAL_MILLIS;
        let share = SAMPLES_MAX_ALL / samples.len().max(1);
        let max = share.clamp(SAMPLES_MIN, SAMPLES_MAX);
        let mut series = self.locked();
        for (subject, sample) in samples {
            let known = series.entry(subject).or_insert_with(|| {
                let names = sample.iter().map(|(name, _)| *name).collect();
                Arc::new(Series { names, samples: VecDeque::new(), seen: at })
            });
            // Whoever looks at it now has the samples from before.
            let known = Arc::make_mut(known);
            known.push(at, sample.into_iter().map(|(_, value)| value).collect(), max);
        }
        series.retain(|_, series| series.seen == at);
    }

    /// A look at the past, as far back as the query wants it.
    pub(super) fn look(&self, query: &Query) -> Look<'_> {
        Look { history: self, now: clock::unix_time(), windows: Windows::of(query) }
    }
}

/// How much of the past is wanted, and in which steps (HT-015).
#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    lengths: Option<(u64, u64)>,
    messages: Option<(u64, u64)>,
    data: Option<(u64, u64)>,
    node: Option<(u64, u64)>,
}

impl Windows {
    fn of(query: &Query) -> Self {
        let seconds = |key: String| query.get(&key)?.parse::<u64>().ok().filter(|n| *n > 0);
        let window = |name: &str| {
            let (age, step) = (seconds(format!("{name}_age"))?, seconds(format!("{name}_incr"))?);
            // No step is shorter than the time between samples, nothing older than they are.
            let oldest = SAMPLES_MAX as u64 * 5;
            Some((age.min(oldest) * 1000, step.clamp(5, oldest) * 1000))
        };
        Self {
            lengths: window("lengths"),
            messages: window("msg_rates"),
            data: window("data_rates"),
            node: window("node_stats"),
        }
    }

    /// The window for a value of this name.
    fn for_name(&self, name: &str) -> Option<(u64, u64)> {
        match name {
            "messages" | "messages_ready" | "messages_unacknowledged" => self.lengths,
            "recv_oct" | "send_oct" => self.data,
            "mem_used" | "fd_used" | "sockets_used" | "proc_used" | "disk_free" => self.node,
            _ => self.messages,
        }
    }

    /// Samples of a value that are wanted at most; 0 where no past is.
    fn samples(&self) -> u64 {
        let all = [self.lengths, self.messages, self.data, self.node];
        all.iter().flatten().map(|(age, step)| age / step + 1).max().unwrap_or(0)
    }
}

/// A look at the past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    history: &'a History,
    now: UnixTime,
    windows: Windows,
}

impl Look<'_> {
    /// Whether more than rates is wanted.
    pub(super) fn is_deep(&self) -> bool {
        self.windows.samples() > 0
    }

    /// The same without samples: rates alone.
    pub(super) fn shallow(self) -> Self {
        Self { windows: Windows::default(), ..self }
    }

    /// The same of the node: all of it is looked at as far back as its own values are.
    pub(super) fn of_node(self) -> Self {
        let Windows { node, .. } = self.windows;
        Self { windows: Windows { messages: node, ..self.windows }, ..self }
    }

    /// The same, but without samples if they would be too many for so many things.
    pub(super) fn for_each_of(self, things: usize) -> Self {
        let is_much = self.windows.samples().saturating_mul(things as u64) > SAMPLES_MAX_TOLD;
        if is_much { self.shallow() } else { self }
    }

    /// The past of one thing.
    pub(super) fn of(&self, subject: &Subject) -> Past {
        let series = self.history.locked().get(subject).cloned();
        Past { series, now: self.now, windows: self.windows }
    }
}

/// The past of one thing, as it was when it was looked for.
#[derive(Debug)]
pub(super) struct Past {
    series: Option<Arc<Series>>,
    now: UnixTime,
    windows: Windows,
}

impl Past {
    /// Puts a value into an object, and beside it its rate and, if wanted, its past (HT-016).
    pub(super) fn put(&self, object: &mut Map<String, Value>, name: &'static str, value: u64) {
        let found = self.series.as_deref().and_then(|series| {
            let column = series.names.iter().position(|known| *known == name)?;
            Some((series, column))
        });
        let mut details = Map::new();
        details.insert("rate".to_owned(), json!(self.rate(found, value)));
        if let Some((age, step)) = self.windows.for_name(name) {
            self.put_samples(&mut details, found, value, age, step);
        }
        object.insert(name.to_owned(), json!(value));
        object.insert(format!("{name}_details"), Value::Object(details));
    }

    /// The same for what all of a tally came to.
    pub(super) fn put_tally(&self, object: &mut Map<String, Value>, tally: &Tally, stats: &[Stat]) {
        for stat in stats {
            self.put(object, stat.name(), tally[*stat]);
        }
        self.put(object, DELIVER_GET, tally.deliver_get());
    }

    /// Change per second since the latest sample that is old enough.
    fn rate(&self, found: Option<(&Series, usize)>, value: u64) -> f64 {
        let Some((series, column)) = found else { return 0.0 };
        let old_enough = self.now.0.saturating_sub(INTERVAL_MILLIS);
        let since = old_enough / INTERVAL_MILLIS * INTERVAL_MILLIS;
        let Some(before) = series.at(column, since) else { return 0.0 };
        let seconds = self.now.0.saturating_sub(since) as f64 / 1000.0;
        (value as f64 - before as f64) / seconds
    }

    fn put_samples(
        &self,
        details: &mut Map<String, Value>,
        found: Option<(&Series, usize)>,
        value: u64,
        age: u64,
        step: u64,
    ) {
        // The sample of this very interval may not be there yet: what was true before it would
        // look like a rest.
        let newest = found.map_or(self.now.0, |(series, _)| series.seen.min(self.now.0));
        let end = newest / step * step;
        let times = (0..=age / step).map(|back| end.saturating_sub(back * step));
        let samples: Vec<(u64, u64)> = times
            .map(|time| {
                let then = found.and_then(|(series, column)| series.at(column, time));
                let oldest = found.is_none().then_some(value);
                (time, then.or(oldest).unwrap_or(0))
            })
            .collect();
        let count = samples.len() as f64;
        let sum: u64 = samples.iter().map(|(_, sample)| sample).sum();
        let (newest, oldest) = (samples.first(), samples.last());
        if let (Some((to, last)), Some((from, first))) = (newest, oldest)
            && to > from
        {
            let seconds = (to - from) as f64 / 1000.0;
            details.insert("avg_rate".into(), json!((*last as f64 - *first as f64) / seconds));
        }
        details.insert("avg".into(), json!(sum as f64 / count.max(1.0)));
        let samples = samples.into_iter();
        let samples = samples.map(|(time, value)| json!({"sample": value, "timestamp": time}));
        details.insert("samples".into(), samples.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(values: &[(u64, u64)]) -> History {
        let history = History::default();
        for (seconds, value) in values {
            let sample = vec![("publish", *value), ("ack", 0)];
            history.record(UnixTime(seconds * 1000), vec![(Subject::Broker, sample)]);
        }
        history
    }

    fn details(history: &History, now: u64, query: &str, value: u64) -> Value {
        let query = Query::parse(query);
        let look = Look { now: UnixTime(now), ..history.look(&query) };
        let mut object = Map::new();
        look.of(&Subject::Broker).put(&mut object, "publish", value);
        object["publish_details"].clone()
    }

    // HT-016
    #[test]
    fn a_rate_is_the_change_since_the_latest_sample_that_is_old_enough() {
        let history = history(&[(5, 0), (10, 100), (15, 200), (20, 300)]);
        let rate = |now, value| details(&history, now, "", value)["rate"].as_f64().unwrap();
        assert!((rate(20_000, 300) - 20.0).abs() < 1e-9);
        assert!((rate(22_500, 350) - 20.0).abs() < 1e-9);
        assert!((rate(60_000, 300)).abs() < 1e-9);
        assert!((rate(4_000, 0)).abs() < 1e-9);
    }

    // HT-015
    #[test]
    fn the_past_is_told_in_steps() {
        let history = history(&[(5, 0), (10, 100), (15, 100), (20, 300)]);
        let past = details(&history, 21_000, "msg_rates_age=15&msg_rates_incr=5", 300);
        let samples: Vec<_> = past["samples"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (s["timestamp"].as_u64().unwrap(), s["sample"].as_u64().unwrap()))
            .collect();
        assert_eq!(samples, [(20_000, 300), (15_000, 100), (10_000, 100), (5_000, 0)]);
        assert_eq!((&past["avg"], &past["avg_rate"]), (&json!(125.0), &json!(20.0)));
    }

    // HT-015
    #[test]
    fn the_past_ends_with_the_newest_sample() {
        let history = history(&[(5, 0), (10, 100), (15, 200)]);
        let past = details(&history, 20_100, "msg_rates_age=10&msg_rates_incr=5", 300);
        assert_eq!(past["samples"][0], json!({"sample": 200, "timestamp": 15_000}));
    }

    #[test]
    fn samples_are_due_at_whole_intervals() {
        for (now, wait) in [(0, 5000), (1, 4999), (4999, 1), (5000, 5000), (12_345, 2655)] {
            assert_eq!(until_next(UnixTime(now)), Duration::from_millis(wait), "{now}");
        }
    }

    // HT-015
    #[test]
    fn no_step_is_longer_than_the_past() {
        let history = history(&[(5, 0), (10, 100)]);
        // In milliseconds these are 0 and a few more than 2^64.
        for step in [1_u64 << 61, u64::MAX, u64::MAX / 1000 + 1] {
            let query = format!("msg_rates_age=600&msg_rates_incr={step}");
            let past = details(&history, 11_000, &query, 100);
            assert!(past["samples"].as_array().unwrap().len() <= 2, "{past}");
        }
    }

    #[test]
    fn who_looks_holds_nobody_up_and_sees_what_was() {
        let history = history(&[(5, 0), (10, 100)]);
        let query = Query::parse("msg_rates_age=5&msg_rates_incr=5");
        let past = history.look(&query).of(&Subject::Broker);
        history.record(UnixTime(15_000), vec![(Subject::Broker, vec![("publish", 500)])]);
        let mut object = Map::new();
        past.put(&mut object, "publish", 100);
        let newest = &object["publish_details"]["samples"][0];
        assert_eq!(newest, &json!({"sample": 100, "timestamp": 10_000}));
    }

    #[test]
    fn samples_are_told_of_as_many_things_as_there_is_room_for() {
        let history = History::default();
        let is_deep = |query: &str, things: usize| {
            history.look(&Query::parse(query)).for_each_of(things).is_deep()
        };
        let all = "lengths_age=600&lengths_incr=5";
        assert_eq!(
            [0, 1, 41, 42, 10_000].map(|n| is_deep(all, n)),
            [true, true, true, false, false]
        );
        let minute = "msg_rates_age=60&msg_rates_incr=5";
        assert_eq!([100, 500].map(|n| is_deep(minute, n)), [true, false]);
        assert!(!is_deep("", 1));
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_stays_is_bounded() {
        let history = history(&(1..1000).map(|n| (n * 5, n)).collect::<Vec<_>>());
        assert_eq!(history.locked()[&Subject::Broker].samples.len(), SAMPLES_MAX);
        history.record(UnixTime(10_000_000), vec![(Subject::Node, vec![("mem_used", 1)])]);
        assert!(!history.locked().contains_key(&Subject::Broker));
    }
}
