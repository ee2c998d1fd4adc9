//! On a real directory.

use std::{fs, path::PathBuf};

use super::*;
use crate::clock;

/// A directory of its own for each test, gone at the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("lepus-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Self(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn publish(store: &Store, queue: QueueId, position: u64, body: &[u8]) -> CommitSeq {
    let message = message_of(body);
    store.submit(StoreOp::Publish {
        queue,
        position: Position(position),
        message,
        standing: crate::store::Standing::default(),
    })
}

#[test]
fn messages_and_records_come_back_after_a_close() {
    let dir = TempDir::new("close");
    let queue = QueueId(3);
    let (store, recovered) = Store::open(StoreConfig::new(&dir.0)).unwrap();
    assert!(recovered.queues.is_empty());
    store.submit(StoreOp::Put {
        kind: RecordKind::Queue,
        key: b"q".as_slice().into(),
        value: b"v".as_slice().into(),
    });
    for position in 0..10 {
        publish(&store, queue, position, &[position as u8]);
    }
    store.submit(StoreOp::Settle { queue, position: Position(4) });
    let last = store.submit(StoreOp::Returned {
        queue,
        position: Position(5),
        returns: 1,
        failures: 0,
        ready_at: 77,
    });
    let found = read_all(&store, queue, last, usize::MAX);
    assert_eq!(found.len(), 9);
    for message in &found {
        assert_eq!(message.message.inline_body(), Some(&[message.position.0 as u8][..]));
        assert_eq!(message.standing.returns > 0, message.position == Position(5));
        assert_eq!(message.standing.ready_at == 77, message.position == Position(5));
    }
    store.close();
    let (store, recovered) = Store::open(StoreConfig::new(&dir.0)).unwrap();
    assert_eq!(recovered.records.len(), 1);
    assert_eq!(recovered.queue_id_floor, QueueId(4));
    let counted = recovered.queues[&queue];
    assert_eq!((counted.first.0, counted.end.0, counted.count, counted.bytes), (0, 10, 9, 9));
    assert_eq!(read_all(&store, queue, CommitSeq(0), 1).len(), 9);
}

#[test]
fn second_store_on_the_same_directory_is_refused() {
    let dir = TempDir::new("second");
    let (store, _) = Store::open(StoreConfig::new(&dir.0)).unwrap();
    let refused = Store::open(StoreConfig::new(&dir.0)).unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    drop(store);
    Store::open(StoreConfig::new(&dir.0)).unwrap();
}

#[test]
fn damaged_file_is_refused_and_left_alone() {
    let dir = TempDir::new("damaged");
    fs::create_dir_all(&dir.0).unwrap();
    let path = dir.0.join("hot.redb");
    fs::write(&path, b"this is no database, and it is long enough to look at").unwrap();
    let refused = Store::open(StoreConfig::new(&dir.0)).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    assert!(fs::read(&path).unwrap().starts_with(b"this is no database"));
}

#[test]
fn directory_that_is_a_file_is_refused() {
    let dir = TempDir::new("file");
    fs::write(&dir.0, b"").unwrap();
    let refused = Store::open(StoreConfig::new(&dir.0)).unwrap_err();
    assert!(matches!(refused, StoreError::Unreadable { .. }), "{refused}");
    fs::remove_file(&dir.0).unwrap();
}

#[test]
fn missing_segment_is_damage_and_names_it() {
    let dir = TempDir::new("segment");
    let mut config = StoreConfig::new(&dir.0);
    config.hot_bytes_max = 10_000;
    let (store, _) = Store::open(config.clone()).unwrap();
    for position in 0..100 {
        publish(&store, QueueId(1), position, &[7; 1000]);
    }
    store.close();
    let (store, recovered) = Store::open(config.clone()).unwrap();
    assert_eq!(recovered.queues[&QueueId(1)].count, 100);
    // The chores have had no time yet; wait for a segment to appear.
    let segment = dir.0.join("cold-000001.redb");
    let deadline = clock::now().after(Duration::from_secs(20));
    while !segment.exists() || store.durable() < CommitSeq(1) {
        assert!(clock::now() < deadline);
        wait_durable(&store, publish(&store, QueueId(2), store.durable().0, b""));
    }
    store.close();
    fs::rename(&segment, dir.0.join("elsewhere")).unwrap();
    let refused = Store::open(config).unwrap_err();
    assert!(refused.to_string().contains("cold-000001.redb"), "{refused}");
}

#[test]
fn directory_shrinks_after_a_backlog_has_drained() {
    let dir = TempDir::new("shrink");
    let mut config = StoreConfig::new(&dir.0);
    config.hot_bytes_max = 1 << 20;
    config.segment_bytes = Some(8 << 20);
    let (store, _) = Store::open(config).unwrap();
    let queue = QueueId(1);
    let body = vec![7; 10_000];
    let mut last = CommitSeq(0);
    for position in 0..3000 {
        last = publish(&store, queue, position, &body);
        if position % 100 == 0 {
            assert!(wait_durable(&store, last));
        }
    }
    assert!(wait_durable(&store, last));
    assert!(store.stats().file_bytes > 25_000_000);
    for position in (0..3000).filter(|position| position % 1000 != 500) {
        last = store.submit(StoreOp::Settle { queue, position: Position(position) });
    }
    assert!(wait_durable(&store, last));
    let deadline = clock::now().after(Duration::from_secs(20));
    while store.stats().file_bytes > 8_000_000 {
        assert!(clock::now() < deadline, "{:?}", store.stats());
        wait_durable(&store, store.submit(StoreOp::Settle { queue, position: Position(0) }));
    }
    let found = read_all(&store, queue, last, usize::MAX);
    let places: Vec<u64> = found.iter().map(|m| m.position.0).collect();
    assert_eq!(places, [500, 1500, 2500]);
}

#[test]
fn spill_file_is_given_back_when_empty() {
    let dir = TempDir::new("spill");
    let (store, _) = Store::open(StoreConfig::new(&dir.0)).unwrap();
    let queue = QueueId(1);
    let mut last = CommitSeq(0);
    for position in 0..2000 {
        let message = message_of(&[7; 10_000]);
        last = store.submit(StoreOp::Spill {
            queue,
            position: Position(position),
            message,
            standing: crate::store::Standing::default(),
        });
    }
    assert_eq!(read_all(&store, queue, last, 1 << 20).len(), 2000);
    assert!(dir.0.join("spill.redb").exists());
    let end = Position(u64::MAX);
    last = store.submit(StoreOp::SettleRange { queue, first: Position(0), end });
    assert!(wait_durable(&store, last));
    assert!(!dir.0.join("spill.redb").exists());
}

#[test]
fn interval_and_off_keep_what_was_submitted_over_a_close() {
    for sync in [SyncMode::Interval(Duration::from_millis(2)), SyncMode::Off] {
        let dir = TempDir::new("modes");
        let mut config = StoreConfig::new(&dir.0);
        config.sync = sync;
        let (store, _) = Store::open(config.clone()).unwrap();
        for position in 0..100 {
            assert!(wait_durable(&store, publish(&store, QueueId(1), position, b"x")));
        }
        store.close();
        let (_store, recovered) = Store::open(config).unwrap();
        assert_eq!(recovered.queues[&QueueId(1)].count, 100);
    }
}

#[test]
fn inbox_over_its_limit_says_so_until_it_is_written() {
    let dir = TempDir::new("full");
    let mut config = StoreConfig::new(&dir.0);
    config.inbox_bytes_max = 100_000;
    let (store, _) = Store::open(config).unwrap();
    let mut position = 0;
    while !store.is_full() {
        publish(&store, QueueId(1), position, &[0; 10_000]);
        position += 1;
    }
    let waker = std::task::Waker::noop();
    let mut registration = Registration::default();
    let mut cx = Context::from_waker(waker);
    while store.poll_room(&mut registration, &mut cx).is_pending() {
        thread::yield_now();
    }
    assert!(!store.is_full());
}

#[test]
fn closed_store_keeps_nobody_waiting() {
    let dir = TempDir::new("closed");
    let (store, _) = Store::open(StoreConfig::new(&dir.0)).unwrap();
    store.close();
    store.close();
    let seq = publish(&store, QueueId(1), 0, b"too late");
    assert!(!wait_durable(&store, seq));
    assert!(store.failed().is_some());
    let (sender, receiver) = mpsc::sync_channel(1);
    let request = ReadRequest {
        queue: QueueId(1),
        from: Position(0),
        end: Position(1),
        max_bytes: 1,
        after: seq,
    };
    store.read(request, move |batch| drop(sender.send(batch)));
    assert!(matches!(receiver.recv().unwrap(), Err(StoreError::Closed)));
}

#[test]
fn row_that_makes_no_sense_is_an_error_that_names_it() {
    use crate::store::schema::{Commit, PAGES, STATES};
    for table in ["pages", "states"] {
        let dir = TempDir::new(table);
        let (store, _) = Store::open(StoreConfig::new(&dir.0)).unwrap();
        assert!(wait_durable(&store, publish(&store, QueueId(1), 7, b"x")));
        store.close();
        let disk = DiskDirectory::open(&dir.0, SyncMode::Always).unwrap();
        let volume =
            schema::Volume::open(&disk, "hot.redb", disk::Safety::Durable, 1 << 20).unwrap();
        let damage = |txn: &redb::WriteTransaction| {
            match table {
                "pages" => drop(txn.open_table(PAGES)?.insert((1, 7), &b"nonsense"[..])?),
                _ => drop(txn.open_table(STATES)?.insert((0, 1, 7), &b"nonsense"[..])?),
            }
            Ok(())
        };
        volume.write(Commit::Safe, damage).unwrap();
        drop((volume, disk));
        let refused = Store::open(StoreConfig::new(&dir.0)).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains(&format!("table {table}")), "{refused}");
    }
}

#[test]
fn file_of_a_later_version_is_refused() {
    use crate::store::schema::{Commit, META, META_FORMAT};
    let dir = TempDir::new("version");
    drop(Store::open(StoreConfig::new(&dir.0)).unwrap());
    let disk = DiskDirectory::open(&dir.0, SyncMode::Always).unwrap();
    let volume = schema::Volume::open(&disk, "hot.redb", disk::Safety::Durable, 1 << 20).unwrap();
    let later = |txn: &redb::WriteTransaction| {
        txn.open_table(META)?.insert(META_FORMAT, 99)?;
        Ok(())
    };
    volume.write(Commit::Safe, later).unwrap();
    drop((volume, disk));
    let refused = Store::open(StoreConfig::new(&dir.0)).unwrap_err();
    assert!(matches!(refused, StoreError::Version { found: 99, .. }), "{refused}");
}

#[test]
fn nothing_is_taken_in_the_middle_of_a_group() {
    let dir = TempDir::new("group");
    let mut config = StoreConfig::new(&dir.0);
    config.linger = Duration::from_millis(1);
    let (store, _) = Store::open(config).unwrap();
    publish(&store, QueueId(1), 0, b"before");
    let group = store.group();
    let last = publish(&store, QueueId(1), 1, b"within");
    // Longer than anything lingers.
    thread::park_timeout(Duration::from_millis(30));
    assert!(store.durable() < last);
    drop(group);
    assert!(wait_durable(&store, last));
}

#[test]
fn settled_before_written_is_never_written() {
    let dir = TempDir::new("elide");
    let mut config = StoreConfig::new(&dir.0);
    config.linger = Duration::from_secs(60);
    config.linger_bytes_max = usize::MAX;
    let (store, _) = Store::open(config).unwrap();
    let queue = QueueId(1);
    // A group, so that the store thread takes all of it at once, whatever it is at.
    let group = store.group();
    for position in 0..1000 {
        publish(&store, queue, position, &[0; 1000]);
    }
    let end = Position(1000);
    let last = store.submit(StoreOp::SettleRange { queue, first: Position(0), end });
    drop(group);
    assert!(wait_durable(&store, last));
    let stats = store.stats();
    assert_eq!((stats.elided, stats.commits, stats.empty_batches), (1000, 0, 1));
    assert_eq!(stats.written_messages, 0);
    let group = store.group();
    for position in 1000..1010 {
        publish(&store, queue, position, b"m");
    }
    let last = store.submit(StoreOp::Settle { queue, position: Position(1003) });
    drop(group);
    assert!(wait_durable(&store, last));
    assert_eq!(store.stats().written_messages, 9);
}
