//! What packing messages into pages costs: `cargo bench --bench page`.
//!
//! `pack` makes the rows of as many messages as fill a few pages, `unpack` makes messages of a
//! row again, as a drain of a backlog does. Nothing is written anywhere: what a commit costs is
//! measured by `cargo bench --bench store`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

// What the modules of the store find in their crate.
use lepus::{message, names};
use message::{Message, Traits};

/// The pure part of the store, which nobody outside it sees: its sources are compiled for this
/// bench once more.
#[path = "../../src/store"]
#[allow(dead_code, unreachable_pub, unused_imports, clippy::duplicate_mod)]
mod store {
    mod op;
    mod page;
    mod record;
    mod state;

    use op::Standing;
    use page::{Draft, Records};

    use crate::message::Message;

    /// The rows of these messages, written as the store does.
    pub(super) fn pack(messages: &[Message], mut done: impl FnMut(Vec<u8>)) {
        let mut write = |draft: Draft| {
            let mut row = Vec::with_capacity(draft.row_bytes());
            draft.put(&mut row);
            done(row);
        };
        let mut draft = Draft::default();
        for (position, message) in (0..).zip(messages) {
            page::pack(&mut draft, position, message.clone(), Standing::default(), &mut write);
        }
        write(draft);
    }

    /// The messages of a row.
    pub(super) fn unpack<'a>(
        row: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> impl Iterator<Item = Message> + 'a {
        let records = Records::new(0, row).map(Result::unwrap);
        records.map(|(_, _, record)| record.message(Vec::new(), scratch))
    }
}

const MESSAGES: usize = 1000;
const BODY_BYTES: [usize; 2] = [100, 1024];

criterion_group!(benches, pack, unpack);
criterion_main!(benches);

fn messages(body_bytes: usize) -> Vec<Message> {
    let traits = Traits { is_persistent: true, ..Traits::default() };
    let body = vec![7; body_bytes];
    let (address, properties) = (b"\0\x0atask_queue", b"\x10\0\x02");
    let message = |_| Message::copied(address, properties, &[&body], traits, &mut Vec::new());
    (0..MESSAGES).map(message).collect()
}

fn pack(c: &mut Criterion) {
    let mut group = c.benchmark_group("pack");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for bytes in BODY_BYTES {
        group.bench_with_input(BenchmarkId::from_parameter(bytes), &messages(bytes), |b, all| {
            b.iter(|| store::pack(black_box(all), |row| drop(black_box(row))));
        });
    }
}

fn unpack(c: &mut Criterion) {
    let mut group = c.benchmark_group("unpack");
    for bytes in BODY_BYTES {
        let (mut rows, mut scratch) = (Vec::new(), Vec::new());
        store::pack(&messages(bytes), |row| rows.push(row));
        let row = &rows[0];
        let count = store::unpack(row, &mut scratch).count();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| store::unpack(black_box(row), &mut scratch).for_each(|m| drop(black_box(m))));
        });
    }
}
