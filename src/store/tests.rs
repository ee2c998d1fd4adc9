//! The store through its public face.

use std::sync::mpsc;

use super::*;
use crate::message::Traits;

fn message(body: &[u8]) -> Message {
    let traits = Traits { is_persistent: true, priority: 0 };
    Message::copied(b"\x02ex\x03key", b"\0\0", &[body], traits, &mut Vec::new())
}

fn read_all(store: &Store, queue: QueueId, after: CommitSeq) -> Vec<(u64, Vec<u8>, bool)> {
    let (sender, receiver) = mpsc::channel();
    let request = ReadRequest {
        queue,
        from: Position(0),
        end: Position(u64::MAX),
        max_bytes: usize::MAX,
        after,
    };
    store.read(request, move |batch| drop(sender.send(batch)));
    let batch = receiver.recv().unwrap().unwrap();
    assert!(batch.is_end);
    batch
        .messages
        .into_iter()
        .map(|m| (m.position.0, m.message.body().collect::<Vec<_>>().concat(), m.redelivered))
        .collect()
}

#[test]
fn messages_and_records_come_back_after_a_close() {
    let dir = std::env::temp_dir().join(format!("lepus-store-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let queue = QueueId(3);
    let (store, recovered) = Store::open(StoreConfig::new(&dir)).unwrap();
    assert!(recovered.queues.is_empty());
    store.submit(StoreOp::Put {
        kind: RecordKind::Queue,
        key: b"q".as_slice().into(),
        value: b"v".as_slice().into(),
    });
    for position in 0..10 {
        let message = message(&[position as u8]);
        store.submit(StoreOp::Publish { queue, position: Position(position), message });
    }
    store.submit(StoreOp::Settle { queue, position: Position(4) });
    let last = store.submit(StoreOp::Returned { queue, position: Position(5) });
    let found = read_all(&store, queue, last);
    assert_eq!(found.len(), 9);
    assert!(found.iter().all(|(p, body, r)| *body == [*p as u8] && *r == (*p == 5)));
    store.close();
    let (store, recovered) = Store::open(StoreConfig::new(&dir)).unwrap();
    assert_eq!(recovered.records.len(), 1);
    let counted = recovered.queues[&queue];
    assert_eq!((counted.first.0, counted.end.0, counted.count, counted.bytes), (0, 10, 9, 9));
    assert_eq!(read_all(&store, queue, CommitSeq(0)), found);
    store.close();
    let _ = std::fs::remove_dir_all(&dir);
}
