//! A first store behind the final seam: one row per message. To be replaced.

use std::{collections::BTreeMap, fs, ops::Bound, sync::Arc, thread};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::*;
use crate::store::record::{put_record, take_record};

const MESSAGES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("messages");
const RECORDS: TableDefinition<'_, (u8, &[u8]), &[u8]> = TableDefinition::new("records");

type Spilled = Arc<Mutex<BTreeMap<(u64, u64), (Message, bool)>>>;

fn damaged(path: &std::path::Path) -> impl Fn(redb::Error) -> StoreError + '_ {
    |e| match e {
        redb::Error::DatabaseAlreadyOpen => StoreError::Locked { dir: path.to_owned() },
        e => StoreError::Damaged { path: path.to_owned(), what: e.to_string() },
    }
}

pub(super) fn open(config: StoreConfig) -> Result<(Store, Recovered), StoreError> {
    let unreadable = |source| StoreError::Unreadable { path: config.dir.clone(), source };
    fs::create_dir_all(&config.dir).map_err(unreadable)?;
    let path = config.dir.join("hot.redb");
    let fail = damaged(&path);
    let db = Database::builder()
        .set_cache_size(config.cache_bytes)
        .create(&path)
        .map_err(|e| fail(e.into()))?;
    let recovered = recover(&db).map_err(&fail)?;
    let (sender, reads) = mpsc::channel();
    let shared = Arc::new(Shared {
        inbox: Inbox::new(config.inbox_bytes_max, config.linger, config.linger_bytes_max),
        durable: Watermark::default(),
        has_failed: AtomicBool::new(false),
        failure: OnceLock::new(),
        reads: Mutex::new(Some(sender)),
        threads: Mutex::default(),
    });
    let db = Arc::new(db);
    let spilled = Spilled::default();
    let writer = {
        let (shared, db, spilled) = (Arc::clone(&shared), Arc::clone(&db), Arc::clone(&spilled));
        thread::spawn(move || write_all(&shared, &db, &spilled))
    };
    let reader = {
        let path = path.clone();
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            for job in reads {
                while shared.durable.get() < job.request.after.0
                    && !shared.has_failed.load(Ordering::Acquire)
                {
                    thread::yield_now();
                }
                let batch = read(&db, &spilled, job.request)
                    .map_err(|e| StoreError::Damaged { path: path.clone(), what: e.to_string() });
                (job.done)(batch);
            }
        })
    };
    lock(&shared.threads).extend([writer, reader]);
    Ok((Store { shared }, recovered))
}

fn recover(db: &Database) -> Result<Recovered, redb::Error> {
    let mut recovered = Recovered::default();
    let txn = db.begin_write()?;
    {
        for row in txn.open_table(RECORDS)?.iter()? {
            let (key, value) = row?;
            let (kind, key) = key.value();
            if let Some(kind) = kind_of(kind) {
                recovered.records.push((kind, key.into(), value.value().into()));
            }
        }
        for row in txn.open_table(MESSAGES)?.iter()? {
            let (key, value) = row?;
            let (queue, position) = key.value();
            let Some(record) = take_record(&mut value.value()) else { continue };
            let queue = recovered.queues.entry(QueueId(queue)).or_insert(RecoveredQueue {
                first: Position(position),
                ..RecoveredQueue::default()
            });
            queue.end = Position(position + 1);
            queue.count += 1;
            queue.bytes += record.body_len as u64;
        }
    }
    txn.commit()?;
    Ok(recovered)
}

fn kind_of(kind: u8) -> Option<RecordKind> {
    use RecordKind::*;
    [Vhost, Exchange, Queue, Binding, User, Permission, TopicPermission, Policy, Parameter]
        .into_iter()
        .find(|&k| k as u8 == kind)
}

fn write_all(shared: &Shared, db: &Database, spilled: &Spilled) {
    loop {
        let taken = shared.inbox.take_blocking(Vec::new());
        if let Err(e) = write(db, spilled, taken.ops) {
            shared.fail(&e.to_string());
            return;
        }
        shared.inbox.written(taken.bytes);
        shared.durable.advance(taken.last);
        if taken.is_closed {
            return;
        }
    }
}

fn write(db: &Database, spilled: &Spilled, ops: Vec<StoreOp>) -> Result<(), redb::Error> {
    let mut spilled = lock(spilled);
    let txn = db.begin_write()?;
    {
        let mut messages = txn.open_table(MESSAGES)?;
        let mut records = txn.open_table(RECORDS)?;
        let mut bytes = Vec::new();
        for op in ops {
            match op {
                StoreOp::Put { kind, key, value } => {
                    records.insert((kind as u8, &*key), &*value)?;
                }
                StoreOp::Remove { kind, key } => {
                    records.remove((kind as u8, &*key))?;
                }
                StoreOp::Publish { queue, position, message } => {
                    bytes.clear();
                    put_record(&mut bytes, &message, false, false);
                    messages.insert((queue.0, position.0), &*bytes)?;
                }
                StoreOp::Settle { queue, position } => {
                    messages.remove((queue.0, position.0))?;
                    spilled.remove(&(queue.0, position.0));
                }
                StoreOp::SettleRange { queue, first, end } => {
                    messages.retain_in((queue.0, first.0)..(queue.0, end.0), |_, _| false)?;
                    spilled.retain(|&(q, p), _| q != queue.0 || p < first.0 || p >= end.0);
                }
                StoreOp::Returned { queue, position } => {
                    let key = (queue.0, position.0);
                    if let Some(spilled) = spilled.get_mut(&key) {
                        spilled.1 = true;
                    }
                    let row = messages.get(key)?.map(|row| row.value().to_vec());
                    if let Some(mut row) = row {
                        row[0] |= 4;
                        messages.insert(key, &*row)?;
                    }
                }
                StoreOp::Spill { queue, position, message } => {
                    spilled.insert((queue.0, position.0), (message, false));
                }
                StoreOp::DropQueue { queue } => {
                    messages.retain_in((queue.0, 0)..=(queue.0, u64::MAX), |_, _| false)?;
                    spilled.retain(|&(q, _), _| q != queue.0);
                }
            }
        }
    }
    txn.commit()?;
    Ok(())
}

fn read(db: &Database, spilled: &Spilled, request: ReadRequest) -> Result<ReadBatch, redb::Error> {
    let spilled = lock(spilled);
    let from = (request.queue.0, request.from.0);
    let end = (request.queue.0, request.end.0);
    let mut found: BTreeMap<u64, (Message, bool)> = BTreeMap::new();
    for (key, value) in spilled.range((Bound::Included(from), Bound::Excluded(end))) {
        found.insert(key.1, value.clone());
    }
    for row in db.begin_read()?.open_table(MESSAGES)?.range(from..end)? {
        let (key, value) = row?;
        if let Some(record) = take_record(&mut value.value()) {
            let message = record.message(Vec::new(), &mut Vec::new());
            found.insert(key.value().1, (message, record.is_returned));
        }
    }
    let mut batch = ReadBatch { next: request.end, is_end: true, ..ReadBatch::default() };
    let mut bytes = 0;
    for (position, (message, redelivered)) in found {
        if bytes >= request.max_bytes && !batch.messages.is_empty() {
            batch.next = Position(position);
            batch.is_end = false;
            break;
        }
        bytes += message.footprint();
        batch.messages.push(StoredMessage { position: Position(position), message, redelivered });
    }
    Ok(batch)
}
