//! Crashes at every point, with every kind of loss; disks that fail; random operations.

use std::{collections::BTreeMap, io};

use proptest::prelude::*;

use super::{
    memory::{Logged, Loss, MemoryDisk, Random, after_crash},
    script::Script,
    *,
};

/// Limits so small that everything happens within a few operations.
fn tight() -> StoreConfig {
    let mut config = StoreConfig::new("memory");
    config.hot_bytes_max = 30_000;
    config.direct_bytes_min = 60_000;
    config.segment_bytes = Some(300_000);
    config.cache_bytes = 1 << 20;
    config.linger = Duration::from_millis(1);
    config
}

fn open(disk: &MemoryDisk) -> (Store, Recovered) {
    open_with(disk, SyncMode::Always)
}

fn on(disk: &MemoryDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn open_with(disk: &MemoryDisk, sync: SyncMode) -> (Store, Recovered) {
    let config = StoreConfig { sync, ..tight() };
    Store::open_on(&on(disk), &config).unwrap()
}

/// A run of random operations on a disk that keeps a log.
struct Run {
    script: Script,
    log: Vec<Logged>,
    /// How many operations were submitted when the log was so long.
    submitted: Vec<(usize, u64)>,
    sync: SyncMode,
}

fn run(seed: u64, bursts: u64, sizes: u64, sync: SyncMode) -> Run {
    let mut random = Random(seed);
    let mut script = Script::default();
    let mut log = Vec::new();
    let mut submitted = Vec::new();
    let disk = MemoryDisk::default();
    disk.log_opening();
    let (store, _) = open_with(&disk, sync);
    let weak = Arc::downgrade(&store.handle.shared);
    disk.log(move || weak.upgrade().map_or(u64::MAX, |shared| shared.durable.get()));
    for _ in 0..bursts {
        for _ in 0..=random.below(40) {
            store.submit(script.op(&mut random, sizes));
        }
        if random.below(2) == 0 {
            let _group = store.group();
            for op in script.group(&mut random, sizes) {
                store.submit(op);
                thread::yield_now();
            }
        }
        if random.below(3) > 0 {
            assert!(wait_durable(&store, CommitSeq(script.last)));
        }
        submitted.push((disk.log_len(), script.last));
    }
    assert!(wait_durable(&store, CommitSeq(script.last)));
    let all = (script.last, script.last);
    script.check(&store, &mut random, all, CommitSeq(script.last)).unwrap();
    log.extend(disk.take_log());
    store.close();
    script.restart();
    Run { script, log, submitted, sync }
}

impl Run {
    /// The operations that may have happened before event `at`.
    fn submitted_at(&self, at: usize) -> u64 {
        let later = self.submitted.iter().find(|(len, _)| *len > at);
        later.map_or(self.script.last, |&(_, last)| last)
    }

    /// Crashes before event `at` and checks what is found then.
    fn crash(&self, at: usize, loss: Loss, seed: u64) -> Result<(), String> {
        let mut random = Random(seed | 1);
        let confirmed = match self.log.get(at) {
            Some(logged) => logged.confirmed,
            None => self.script.last,
        };
        let confirmed = if self.sync == SyncMode::Always { confirmed } else { 0 };
        let bounds = (confirmed, self.submitted_at(at));
        let none = BTreeMap::new();
        let left = after_crash(&none, &self.log[..at], loss);
        let disk = MemoryDisk::with(left.clone());
        disk.log_opening();
        let (store, recovered) =
            Store::open_on(&on(&disk), &tight()).map_err(|e| format!("cannot open: {e}"))?;
        self.script.check_recovered(&store, &recovered, bounds)?;
        self.script.check(&store, &mut random, bounds, CommitSeq(0))?;
        self.script.check_prefix(&store, &recovered, bounds)?;
        let seq = store.submit(StoreOp::Settle { queue: QueueId(99), position: Position(0) });
        wait_durable(&store, seq);
        let log = disk.take_log();
        store.close();
        // A second crash while the first is being put right.
        let again = random.below(log.len() as u64 + 1) as usize;
        let left = after_crash(&left, &log[..again], Loss::Some(random.next()));
        let disk = MemoryDisk::with(left);
        let (store, recovered) = Store::open_on(&on(&disk), &tight())
            .map_err(|e| format!("cannot open after a second crash: {e}"))?;
        self.script.check_recovered(&store, &recovered, bounds)?;
        self.script.check(&store, &mut random, bounds, CommitSeq(0))?;
        self.script.check_prefix(&store, &recovered, bounds)
    }

    fn crash_everywhere(&self, step: usize, seed: u64) {
        for at in (0..=self.log.len()).step_by(step) {
            let seed = seed.wrapping_mul(31) + at as u64;
            for loss in [Loss::All, Loss::Nothing, Loss::Some(seed), Loss::Some(seed ^ 0x5555)] {
                if let Err(why) = self.crash(at, loss, seed) {
                    panic!("crash before event {at} of {}, {loss:?}: {why}", self.log.len());
                }
            }
        }
    }
}

/// How much more than usual the crash tests try: `LEPUS_CRASH_ROUNDS=50 cargo test --release`.
fn rounds() -> u64 {
    std::env::var("LEPUS_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn crash_at_any_point_loses_nothing_confirmed() {
    for seed in 1..=rounds() {
        let run = run(seed * 7919, 12, 6, SyncMode::Always);
        run.crash_everywhere(run.log.len() / 40 + 1, seed);
    }
}

#[test]
fn crash_with_large_bodies_loses_nothing_confirmed() {
    for seed in 1..=rounds() {
        let run = run(seed * 104_729, 8, 8, SyncMode::Always);
        run.crash_everywhere(run.log.len() / 25 + 1, seed);
    }
}

#[test]
fn crash_at_every_single_point_of_a_short_run() {
    let run = run(42, 3, 6, SyncMode::Always);
    run.crash_everywhere(if rounds() > 1 { 1 } else { 3 }, 42);
}

#[test]
fn crash_between_syncs_leaves_a_store_that_opens() {
    for seed in 1..=rounds() {
        let sync = SyncMode::Interval(Duration::from_millis(5));
        let run = run(seed * 15_485_863, 12, 7, sync);
        run.crash_everywhere(run.log.len() / 25 + 1, seed);
    }
}

#[test]
fn failing_disk_ends_all_promises() {
    for count in (0..200).step_by(7) {
        let disk = MemoryDisk::default();
        let (store, _) = open(&disk);
        let mut random = Random(count as u64 + 1);
        let mut script = Script::default();
        disk.fail_after(count, io::ErrorKind::StorageFull);
        let mut failed_at = None;
        for _ in 0..60 {
            for _ in 0..10 {
                store.submit(script.op(&mut random, 6));
            }
            let is_durable = wait_durable(&store, CommitSeq(script.last));
            if !is_durable {
                failed_at = Some(store.durable());
                break;
            }
        }
        let Some(durable) = failed_at else { continue };
        let why = store.failed().expect("a reason");
        assert!(why.contains("no space left"), "{why}");
        disk.heal();
        // Nothing is confirmed from here on, though the disk would.
        let seq = store.submit(script.op(&mut random, 6));
        assert!(!wait_durable(&store, seq));
        assert_eq!(store.durable(), durable);
        let (waker, why) = (std::task::Waker::noop(), Some(why));
        let failure = std::pin::pin!(store.failure()).poll(&mut Context::from_waker(waker));
        assert_eq!(failure, Poll::Ready(why.unwrap()));
        assert!(!store.is_full());
        store.close();
        let disk = MemoryDisk::with(disk.files());
        let (store, recovered) = open(&disk);
        script.restart();
        let bounds = (durable.0, script.last);
        script.check_recovered(&store, &recovered, bounds).unwrap();
        script.check(&store, &mut random, bounds, CommitSeq(0)).unwrap();
    }
}

#[test]
fn an_earlier_error_of_the_disk_is_no_damage() {
    let disk = MemoryDisk::default();
    let volume = schema::Volume::open(&disk, "x", disk::Safety::Durable, 1 << 20).unwrap();
    let write = || {
        volume.write(schema::Commit::Safe, |txn| {
            txn.open_table(schema::META)?.insert("x", 1)?;
            Ok(())
        })
    };
    write().unwrap();
    disk.fail_after(0, io::ErrorKind::StorageFull);
    let error = write().unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    disk.heal();
    let error = write().unwrap_err();
    assert!(matches!(error, StoreError::GivenUp { .. }), "{error}");
}

/// The files of a store that was closed in order, or of one that was killed.
fn files_of_a_store(is_closed: bool) -> BTreeMap<String, Vec<u8>> {
    let disk = MemoryDisk::default();
    let (store, _) = open(&disk);
    let (mut random, mut script) = (Random(5), Script::default());
    for _ in 0..60 {
        for _ in 0..10 {
            store.submit(script.op(&mut random, 6));
        }
        assert!(wait_durable(&store, CommitSeq(script.last)));
    }
    let killed = disk.files();
    store.close();
    if is_closed { disk.files() } else { killed }
}

#[test]
fn damaged_pages_are_found_or_harmless_and_never_a_panic() {
    let mut random = Random(7);
    let mut refused = 0;
    for is_closed in [true, false] {
        let files = files_of_a_store(is_closed);
        assert!(files.keys().any(|name| name.starts_with("cold-")), "{:?}", files.keys());
        for (name, bytes) in &files {
            for page in (0..bytes.len()).step_by(4096) {
                let end = bytes.len().min(page + 4096);
                if bytes[page..end].iter().all(|&byte| byte == 0) {
                    continue;
                }
                let mut bytes = bytes.clone();
                // What a page begins with says what it is and where its rows are.
                for byte in &mut bytes[page..(page + 64).min(end)] {
                    *byte = random.next() as u8;
                }
                let files = files.iter().filter(|(other, _)| *other != name);
                let mut files: BTreeMap<_, _> =
                    files.map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
                files.insert(name.clone(), bytes);
                let disk = on(&MemoryDisk::with(files));
                let open = || Store::open_on(&disk, &tight());
                let opened = catch_unwind(AssertUnwindSafe(open));
                match opened.unwrap_or_else(|_| panic!("a panic, with {name} damaged at {page}")) {
                    Ok((store, _)) => store.close(),
                    Err(StoreError::Damaged { .. } | StoreError::Version { .. }) => refused += 1,
                    Err(other) => panic!("{other}, with {name} damaged at {page}"),
                }
            }
        }
    }
    assert!(refused > 0);
}

/// Submits bursts of that many operations, each followed by a restart (0), a check of all that
/// must be there (1, 2), a wait for the watermark (3) or nothing.
fn compare_with_a_plain_model(
    seed: u64,
    bursts: Vec<(u64, u8)>,
    sizes: u64,
) -> Result<(), TestCaseError> {
    let disk = MemoryDisk::default();
    let mut random = Random(seed);
    let mut script = Script::default();
    let mut offset = 0;
    let (mut store, _) = open(&disk);
    for (count, then) in bursts {
        for _ in 0..count {
            store.submit(script.op(&mut random, sizes));
        }
        let last = CommitSeq(script.last - offset);
        let all = (script.last, script.last);
        match then {
            0 => {
                store.close();
                offset = script.last;
                let (opened, recovered) = open(&disk);
                store = opened;
                script.restart();
                script.resume(&recovered);
                script.check_recovered(&store, &recovered, all).map_err(TestCaseError::fail)?;
                let checked = script.check(&store, &mut random, all, CommitSeq(0));
                checked.map_err(TestCaseError::fail)?;
            }
            1..3 => {
                script.check(&store, &mut random, all, last).map_err(TestCaseError::fail)?;
            }
            3 => prop_assert!(wait_durable(&store, last)),
            _ => {}
        }
    }
    Ok(())
}

/// A read that began before a segment was given up, and saw its states when they were gone.
#[test]
fn reads_see_no_segment_without_its_states() {
    let bursts = vec![(42, 4), (21, 2), (113, 0), (55, 0), (53, 3), (23, 1)];
    compare_with_a_plain_model(48273, bursts, 6).expect("the store agrees with the model");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn store_holds_what_a_plain_model_holds(
        seed in 1u64..u64::MAX,
        bursts in prop::collection::vec((1u64..120, 0u8..6), 1..15),
        sizes in 4u64..8,
    ) {
        compare_with_a_plain_model(seed, bursts, sizes)?;
    }
}
