//! Measures the store: `cargo bench --bench store -- <what> [numbers]`.
//!
//! * `sync`: one fdatasync, as the floor of what follows
//! * `single [n]`: one message at a time, each confirmed and then settled
//! * `window [n] [body] [window]`: so many unconfirmed at most, settled 100 behind
//! * `steady [n] [body] [backlog]`: a backlog of so many messages, as fast as it goes
//! * `backlog [n] [body]`: grows, is killed, opened again, drained
//! * `purge [n] [body]`: the same, purged in one operation instead of drained
//! * `spill [n] [body]`: transient messages out of memory and back
//! * `bodies`: what large bodies cost in time and space
//!
//! `LEPUS_BENCH_DIR` says where. Figures worth keeping go to `src/store/mod.rs`, with the command.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    task::{Context, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use lepus::{
    message::{Message, Traits},
    names::{CommitSeq, Position, QueueId},
    store::{ReadRequest, Registration, Store, StoreConfig, StoreOp},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUEUE: QueueId = QueueId(1);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits as a connection does: one registration, parked until the watermark has moved.
struct Waiter {
    waker: Waker,
    registration: Registration,
}

impl Waiter {
    fn new() -> Self {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        Self { waker, registration: Registration::default() }
    }

    fn durable(&mut self, store: &Store, needed: CommitSeq) {
        let mut cx = Context::from_waker(&self.waker);
        while store.poll_durable(needed, &mut self.registration, &mut cx).is_pending() {
            thread::park();
        }
        assert!(store.durable() >= needed, "{:?}", store.failed());
    }

    fn room(&mut self, store: &Store) {
        let mut cx = Context::from_waker(&self.waker);
        while store.poll_room(&mut self.registration, &mut cx).is_pending() {
            thread::park();
        }
    }
}

fn dir() -> PathBuf {
    std::env::var_os("LEPUS_BENCH_DIR").map_or_else(|| "target/bench-store".into(), PathBuf::from)
}

fn fresh_dir() -> PathBuf {
    let dir = dir();
    let _ = fs::remove_dir_all(&dir);
    dir
}

fn publish(position: u64, body: &[u8], scratch: &mut Vec<u8>) -> StoreOp {
    let traits = Traits { is_persistent: true, ..Traits::default() };
    let message = Message::copied(b"\0\x0atask_queue", b"\x10\0\x02", &[body], traits, scratch);
    StoreOp::Publish {
        queue: QUEUE,
        position: Position(position),
        message,
        standing: lepus::store::Standing::default(),
    }
}

fn settle(position: u64) -> StoreOp {
    StoreOp::Settle { queue: QUEUE, position: Position(position) }
}

/// Seconds of CPU used by this process.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// Kilobytes of memory of this process: now and at most.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Bytes that the directory takes on the disk.
fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok()).map(|m| m.blocks() * 512).sum()
}

fn percentiles(what: &str, mut micros: Vec<f64>) {
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {:.0} p90 {:.0} p99 {:.0} us", at(0.5), at(0.9), at(0.99));
}

fn rate(what: &str, messages: u64, body: usize, start: Instant, cpu_before: f64, store: &Store) {
    let seconds = start.elapsed().as_secs_f64();
    let stats = store.stats();
    println!(
        "{what}: {:.0} k msg/s, {:.0} MB/s of bodies, {:.2} us CPU each; {} commits of {:.0} ops, \
         {:.0} us each, {:.1} % elided, {:.2} bytes written per byte, {} MiB now, {} at most",
        messages as f64 / seconds / 1e3,
        messages as f64 * body as f64 / seconds / 1e6,
        (cpu() - cpu_before) * 1e6 / messages as f64,
        stats.commits,
        stats.ops as f64 / stats.commits.max(1) as f64,
        stats.commit_nanos as f64 / stats.commits.max(1) as f64 / 1e3,
        stats.elided as f64 * 100.0 / messages as f64,
        stats.written_bytes as f64 / (messages as f64 * body as f64),
        memory().0 / 1024,
        memory().1 / 1024,
    );
}

fn sync() {
    let dir = fresh_dir();
    fs::create_dir_all(&dir).unwrap();
    for (what, writes) in [("append 200 B", 0), ("overwrite 5 x 4 KiB", 5)] {
        let mut options = OpenOptions::new();
        options.create(true).append(writes == 0).write(true).truncate(writes > 0);
        let file = options.open(dir.join("raw")).unwrap();
        if writes > 0 {
            (&file).write_all(&vec![1; 1 << 20]).unwrap();
            file.sync_all().unwrap();
        }
        let micros = (0..2000u64).map(|i| {
            use std::os::unix::fs::FileExt;
            let start = Instant::now();
            for k in 0..writes {
                file.write_all_at(&[i as u8; 4096], (i * 7 + k * 13) % 250 * 4096).unwrap();
            }
            if writes == 0 {
                (&file).write_all(&[7; 200]).unwrap();
            }
            file.sync_data().unwrap();
            start.elapsed().as_secs_f64() * 1e6
        });
        percentiles(what, micros.collect());
    }
}

fn single(count: u64) {
    let dir = fresh_dir();
    let (store, _) = Store::open(StoreConfig::new(&dir)).unwrap();
    let (mut waiter, mut scratch) = (Waiter::new(), Vec::new());
    for settles in [true, false] {
        let mut micros = Vec::new();
        let (before, cpu_before) = (store.stats(), cpu());
        for i in 0..count {
            let position = i + if settles { 0 } else { count };
            let start = Instant::now();
            let seq = store.submit(publish(position, &[7; 100], &mut scratch));
            waiter.durable(&store, seq);
            micros.push(start.elapsed().as_secs_f64() * 1e6);
            if settles {
                store.submit(settle(position));
            }
            // The client's round trip.
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(50) {
                std::hint::spin_loop();
            }
        }
        percentiles(if settles { "single, settled" } else { "single, kept" }, micros);
        let stats = store.stats();
        println!(
            "  {} commits, {} bytes written each, {:.0} us of CPU each, 50 of them the client's",
            stats.commits - before.commits,
            (stats.written_bytes - before.written_bytes) / (stats.commits - before.commits).max(1),
            (cpu() - cpu_before) * 1e6 / count as f64,
        );
    }
}

fn window(count: u64, body: usize, window: u64) {
    let dir = fresh_dir();
    let (store, _) = Store::open(StoreConfig::new(&dir)).unwrap();
    let (mut waiter, mut scratch) = (Waiter::new(), Vec::new());
    let body = vec![7; body];
    let mut seqs = std::collections::VecDeque::new();
    let (start, cpu_before) = (Instant::now(), cpu());
    for i in 0..count {
        seqs.push_back(store.submit(publish(i, &body, &mut scratch)));
        if i >= 100 {
            store.submit(settle(i - 100));
        }
        if seqs.len() as u64 >= window {
            let needed = seqs.pop_front().unwrap();
            waiter.durable(&store, needed);
            let durable = store.durable();
            while seqs.front().is_some_and(|seq| *seq <= durable) {
                seqs.pop_front();
            }
        }
    }
    waiter.durable(&store, store.submit_all([]));
    rate(
        &format!("window {window}, {} B", body.len()),
        count,
        body.len(),
        start,
        cpu_before,
        &store,
    );
}

fn steady(count: u64, body: usize, backlog: u64) {
    let dir = fresh_dir();
    let (store, _) = Store::open(StoreConfig::new(&dir)).unwrap();
    let (mut waiter, mut scratch) = (Waiter::new(), Vec::new());
    let body = vec![7; body];
    let (start, cpu_before) = (Instant::now(), cpu());
    let mut last = CommitSeq(0);
    for i in 0..count {
        last = store.submit(publish(i, &body, &mut scratch));
        if i >= backlog {
            last = store.submit(settle(i - backlog));
        }
        if store.is_full() {
            waiter.room(&store);
        }
    }
    waiter.durable(&store, last);
    let what = format!("steady, backlog {backlog}, {} B", body.len());
    rate(&what, count, body.len(), start, cpu_before, &store);
    println!("  {} MB on the disk", disk_bytes(&dir) / 1_000_000);
}

/// Publishes, says so, and waits to be killed.
fn grow(count: u64, body: usize) {
    let (store, _) = Store::open(StoreConfig::new(dir())).unwrap();
    let (mut waiter, mut scratch) = (Waiter::new(), Vec::new());
    let body = vec![7; body];
    let (start, cpu_before) = (Instant::now(), cpu());
    let mut last = CommitSeq(0);
    for i in 0..count {
        last = store.submit(publish(i, &body, &mut scratch));
        if store.is_full() {
            waiter.room(&store);
        }
    }
    waiter.durable(&store, last);
    rate("grow", count, body.len(), start, cpu_before, &store);
    println!("grown");
    // Whoever started it kills it, or is gone.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Lets a child grow a backlog, kills it, and opens what it left.
fn reopen(count: u64, body: usize) -> Store {
    let dir = fresh_dir();
    let arguments = ["grow".to_owned(), count.to_string(), body.to_string()];
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok).take_while(|line| line != "grown") {
        println!("{line}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    println!("  {} MB on the disk", disk_bytes(&dir) / 1_000_000);
    let _ = Command::new("sh").args(["-c", "echo 3 > /proc/sys/vm/drop_caches"]).status();
    let start = Instant::now();
    let (store, recovered) = Store::open(StoreConfig::new(&dir)).unwrap();
    println!("opened after kill -9, caches dropped: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    assert_eq!(recovered.queues[&QUEUE].count, count);
    store
}

/// Waits until the directory is small, and says how long that took.
fn watch_shrinking(start: Instant) {
    let dir = dir();
    while disk_bytes(&dir) > 20_000_000 && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(5));
    }
    println!("  {} MB on the disk after {:?}", disk_bytes(&dir) / 1_000_000, start.elapsed());
}

/// Reads a whole queue back, settling as it goes; returns how many messages there were.
fn drain(store: &Store, count: u64) -> u64 {
    let mut from = Position(0);
    let (mut waiter, mut last, mut read) = (Waiter::new(), CommitSeq(0), 0);
    loop {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (end, after) = (Position(count), CommitSeq(0));
        let request = ReadRequest { queue: QUEUE, from, end, max_bytes: 1 << 20, after };
        store.read(request, move |batch| drop(sender.send(batch)));
        let batch = receiver.recv().unwrap().unwrap();
        for message in &batch.messages {
            last = store.submit(settle(message.position.0));
        }
        read += batch.messages.len() as u64;
        if batch.is_end {
            waiter.durable(store, last);
            return read;
        }
        from = batch.next;
    }
}

fn backlog(count: u64, body: usize) {
    let store = reopen(count, body);
    let (start, cpu_before) = (Instant::now(), cpu());
    assert_eq!(drain(&store, count), count);
    rate("drain", count, body, start, cpu_before, &store);
    watch_shrinking(Instant::now());
}

fn purge(count: u64, body: usize) {
    let store = reopen(count, body);
    let start = Instant::now();
    let end = Position(u64::MAX);
    let seq = store.submit(StoreOp::SettleRange { queue: QUEUE, first: Position(0), end });
    Waiter::new().durable(&store, seq);
    println!("purged: {:?}", start.elapsed());
    watch_shrinking(start);
}

fn spill(count: u64, body: usize) {
    let (store, _) = Store::open(StoreConfig::new(fresh_dir())).unwrap();
    let (mut waiter, mut scratch) = (Waiter::new(), Vec::new());
    let bytes = vec![7; body];
    let (start, cpu_before) = (Instant::now(), cpu());
    let mut last = CommitSeq(0);
    for i in 0..count {
        let traits = Traits::default();
        let message = Message::copied(b"\0\x01q", b"\0\0", &[&bytes], traits, &mut scratch);
        last = store.submit(StoreOp::Spill {
            queue: QUEUE,
            position: Position(i),
            message,
            standing: lepus::store::Standing::default(),
        });
        if store.is_full() {
            waiter.room(&store);
        }
    }
    waiter.durable(&store, last);
    rate("spill", count, body, start, cpu_before, &store);
    println!("  {} MB on the disk", disk_bytes(&dir()) / 1_000_000);
    let (start, cpu_before) = (Instant::now(), cpu());
    assert_eq!(drain(&store, count), count);
    rate("back", count, body, start, cpu_before, &store);
    watch_shrinking(Instant::now());
}

fn bodies() {
    for (count, body) in [(400, 100_000), (200, 1_000_000), (20, 10_000_000)] {
        let dir = fresh_dir();
        let (store, _) = Store::open(StoreConfig::new(&dir)).unwrap();
        let (mut waiter, bytes) = (Waiter::new(), bytes::Bytes::from(vec![7; body]));
        let (start, cpu_before) = (Instant::now(), cpu());
        let mut last = CommitSeq(0);
        for i in 0..count {
            // As it comes in: frames of 128 KiB.
            let frames =
                (0..body).step_by(131_072).map(|at| bytes.slice(at..(at + 131_072).min(body)));
            let traits = Traits { is_persistent: true, ..Traits::default() };
            let message = Message::chunked(b"\0\x01q", b"\x10\0\x02", frames.collect(), traits);
            last = store.submit(StoreOp::Publish {
                queue: QUEUE,
                position: Position(i),
                message,
                standing: lepus::store::Standing::default(),
            });
            if store.is_full() {
                waiter.room(&store);
            }
        }
        waiter.durable(&store, last);
        rate(&format!("bodies of {body} B"), count, body, start, cpu_before, &store);
        let share = disk_bytes(&dir) as f64 / (count as f64 * body as f64);
        println!("  {share:.3} bytes on the disk per byte");
        let (start, cpu_before) = (Instant::now(), cpu());
        assert_eq!(drain(&store, count), count);
        rate("  back", count, body, start, cpu_before, &store);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().filter(|a| a != "--bench").collect();
    let number = |at: usize, default: u64| {
        arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    match arguments.get(1).map(String::as_str) {
        Some("sync") => sync(),
        Some("single") => single(number(2, 3000)),
        Some("window") => window(number(2, 1_000_000), number(3, 100) as usize, number(4, 1000)),
        Some("steady") => steady(number(2, 3_000_000), number(3, 100) as usize, number(4, 100_000)),
        Some("grow") => grow(number(2, 1_000_000), number(3, 1024) as usize),
        Some("backlog") => backlog(number(2, 1_000_000), number(3, 1024) as usize),
        Some("purge") => purge(number(2, 1_000_000), number(3, 1024) as usize),
        Some("spill") => spill(number(2, 1_000_000), number(3, 1024) as usize),
        Some("bodies") => bodies(),
        _ => {
            sync();
            single(2000);
            window(1_000_000, 100, 1000);
            window(500_000, 1024, 1000);
            steady(3_000_000, 100, 100_000);
            steady(1_000_000, 1024, 100_000);
        }
    }
}
