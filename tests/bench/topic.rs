//! What routing costs as bindings grow: `cargo bench --bench topic`.
//!
//! Each line is one exchange with 1, 1,000 or 100,000 bindings. Every route matches exactly one of
//! them, so that its cost should not grow with the others.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::{
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use lepus::{
    broker::{
        exchange::{Headers, View},
        route::RouteSet,
        topology::{Destination, ExchangeSpec, Topology},
    },
    wire::table::{ShortString, Table, Value},
};

/// How long each figure is measured for.
const MEASURED: Duration = Duration::from_millis(500);

/// Bindings of one form: which exchange type, which patterns, which keys meet them.
struct Case {
    name: &'static str,
    type_name: &'static str,
    /// The key or pattern of binding `n`.
    pattern: fn(n: usize) -> String,
    /// A key that only binding `n` matches.
    key: fn(n: usize) -> String,
}

const CASES: [Case; 6] = [
    Case {
        name: "topic, words: stock.N.price",
        type_name: "topic",
        pattern: |n| format!("stock.{n}.price"),
        key: |n| format!("stock.{n}.price"),
    },
    Case {
        name: "topic, star: stock.N.*",
        type_name: "topic",
        pattern: |n| format!("stock.{n}.*"),
        key: |n| format!("stock.{n}.price"),
    },
    Case {
        name: "topic, pound: stock.N.#",
        type_name: "topic",
        pattern: |n| format!("stock.{n}.#"),
        key: |n| format!("stock.{n}.price.eur"),
    },
    Case {
        name: "topic, both: *.stock.N.#.price",
        type_name: "topic",
        pattern: |n| format!("*.stock.{n}.#.price"),
        key: |n| format!("eu.stock.{n}.day.price"),
    },
    Case {
        name: "direct",
        type_name: "direct",
        pattern: |n| format!("stock.{n}.price"),
        key: |n| format!("stock.{n}.price"),
    },
    Case {
        name: "headers, all of two",
        type_name: "headers",
        pattern: |n| n.to_string(),
        key: |n| n.to_string(),
    },
];

fn main() {
    let this = std::env::current_exe().unwrap();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    if let (Some(case), Some(bindings)) = (arguments.next(), arguments.next()) {
        return measure(&CASES[case.parse::<usize>().unwrap()], bindings.parse().unwrap());
    }
    let heads =
        ["one key", "every key", "bind", "unbind", "memory"].map(|head| format!("{head:>9}"));
    let units = ["ns/route", "ns/route", "ns", "ns", "B/binding"].map(|unit| format!("{unit:>9}"));
    println!("{:<30} {:>8} {}", "exchange", "bindings", heads.join(" "));
    println!("{:<30} {:>8} {}", "", "", units.join(" "));
    for case in 0..CASES.len() {
        for bindings in ["1", "1000", "100000"] {
            // A process of its own, whose memory no earlier case has used.
            let arguments = [case.to_string(), bindings.to_owned()];
            assert!(Command::new(&this).args(arguments).status().unwrap().success());
        }
    }
}

fn measure(case: &Case, bindings: usize) {
    let mut topology = Topology::new();
    let spec = ExchangeSpec {
        type_name: case.type_name.to_owned(),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    };
    topology.declare_exchange("x", spec).unwrap();
    topology.insert_queue("q".into(), 1_u64, true);
    let queue = Destination::Queue("q".into());
    let patterns: Vec<_> = (0..bindings).map(case.pattern).collect();
    let arguments: Vec<_> = (0..bindings).map(|n| arguments(case, n)).collect();

    let (memory, start) = (resident_bytes(), Instant::now());
    for (pattern, arguments) in patterns.iter().zip(&arguments) {
        topology.bind("x", &queue, pattern.as_bytes(), arguments).unwrap();
    }
    let bind = start.elapsed();
    let memory = resident_bytes().saturating_sub(memory);

    let messages: Vec<_> =
        (0..bindings.min(10_000)).map(|n| spread(n, bindings)).map(|n| message(case, n)).collect();
    let one_key = routes(&topology, &messages[..1]);
    let every_key = routes(&topology, &messages);

    let start = Instant::now();
    for (pattern, arguments) in patterns.iter().zip(&arguments) {
        topology.unbind("x", &queue, pattern.as_bytes(), arguments).unwrap();
    }
    let unbind = start.elapsed();

    print!("{:<30} {bindings:>8} {one_key:>9.0} {every_key:>9.0}", case.name);
    if bindings > 1 {
        let each = |time: Duration| time.as_nanos() / bindings as u128;
        print!(" {:>9} {:>9} {:>9}", each(bind), each(unbind), memory / bindings);
    }
    println!();
}

/// Numbers all over `0..bindings`, so that memory is not read in the order it was written in.
fn spread(n: usize, bindings: usize) -> usize {
    (n * 7_919) % bindings
}

fn arguments(case: &Case, n: usize) -> Table {
    let mut table = Table::default();
    if case.type_name == "headers" {
        table.insert(ShortString::from("format"), Value::LongString("pdf".into()));
        table.insert(ShortString::from("number"), Value::LongLongInt(n.try_into().unwrap()));
    }
    table
}

fn message(case: &Case, n: usize) -> (String, Table) {
    ((case.key)(n), arguments(case, n))
}

/// Nanoseconds of one route, its answer checked.
fn routes(topology: &Topology<u64>, messages: &[(String, Table)]) -> f64 {
    let mut out = RouteSet::new();
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < MEASURED {
        for (key, headers) in messages.iter().cycle().take(10_000) {
            let headers: &dyn Headers = headers;
            topology
                .route("x", &View::new(&[black_box(key.as_bytes())], Some(headers)), &mut out)
                .unwrap();
            assert_eq!(out.queues(), [1]);
            count += 1;
        }
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

/// The memory that the process has in use; nothing where Linux doesn't say.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0_usize);
    pages * 4096
}
