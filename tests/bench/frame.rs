//! What one message costs as bytes: `cargo bench --bench frame`.
//!
//! `decode` takes a publish of a read buffer apart: its three frames, its method, its content
//! header, its properties. `encode` writes the delivery of the same message. The third is the
//! acknowledgement or the confirm that comes of it. The figures are in `src/wire/mod.rs`.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use lepus::{
    names::{DeliveryTag, PublishSeq},
    wire::{
        content, encode,
        frame::{self, Frame},
        method::{self, Incoming},
        properties::Properties,
    },
};

const CHANNEL: u16 = 1;
const FRAME_MAX: u32 = 131_072;
/// The default exchange, and a queue's name for the routing key.
const ADDRESS: &[u8] = b"\0\x0atask_queue";
/// `delivery_mode` 2.
const PROPERTIES: &[u8] = b"\x10\0\x02";
const BODY_BYTES: [usize; 2] = [100, 1024];
/// Messages in the buffer that is decoded or written, as many as one read may bring.
const MESSAGES: usize = 64;

criterion_group!(benches, decode, encode, settle);
criterion_main!(benches);

/// The frames of a publish.
fn published(body: &[u8]) -> Vec<u8> {
    let payload = [b"\0\x3c\0\x28\0\0", ADDRESS, b"\0"].concat();
    let mut out = vec![1, 0, CHANNEL as u8, 0, 0, 0, payload.len() as u8];
    out.extend_from_slice(&payload);
    out.push(frame::FRAME_END);
    encode::content(&mut out, CHANNEL, PROPERTIES, body, FRAME_MAX);
    out
}

/// The next frame's payload, and what follows the frame.
fn next(buffer: &[u8]) -> (&[u8], &[u8]) {
    let Frame { payload, len, .. } = frame::parse(buffer, FRAME_MAX).unwrap().unwrap();
    (&buffer[payload], &buffer[len..])
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for bytes in BODY_BYTES {
        let buffer = published(&vec![7; bytes]).repeat(MESSAGES);
        group.bench_with_input(BenchmarkId::new("publish", bytes), &buffer, |b, buffer| {
            b.iter(|| {
                let mut rest = black_box(&buffer[..]);
                while !rest.is_empty() {
                    let (payload, behind) = next(rest);
                    let Ok(Incoming::Publish(publish)) = method::decode(payload) else { panic!() };
                    let (payload, behind) = next(behind);
                    let header = content::header(payload).unwrap();
                    let (body, behind) = next(behind);
                    let properties = Properties::scan(header.properties).unwrap();
                    black_box((publish.address, properties, body));
                    rest = behind;
                }
            });
        });
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for bytes in BODY_BYTES {
        let (mut out, body) = (Vec::new(), vec![7; bytes]);
        group.bench_function(BenchmarkId::new("deliver", bytes), |b| {
            b.iter(|| {
                out.clear();
                for tag in 1..=MESSAGES as u64 {
                    let (body, tag) = (black_box(&body[..]), DeliveryTag(tag));
                    encode::deliver(&mut out, CHANNEL, b"ctag1.1", tag, false, ADDRESS);
                    encode::content(&mut out, CHANNEL, PROPERTIES, body, FRAME_MAX);
                }
                black_box(&out);
            });
        });
    }
}

fn settle(c: &mut Criterion) {
    let mut group = c.benchmark_group("settle");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let mut acks = Vec::new();
    group.bench_function("encode ack", |b| {
        b.iter(|| {
            acks.clear();
            for seq in 1..=MESSAGES as u64 {
                encode::ack(&mut acks, CHANNEL, PublishSeq(black_box(seq)), false);
            }
            black_box(&acks);
        });
    });
    group.bench_function("decode ack", |b| {
        b.iter(|| {
            let mut rest = black_box(&acks[..]);
            while !rest.is_empty() {
                let (payload, behind) = next(rest);
                black_box(method::decode(payload).unwrap());
                rest = behind;
            }
        });
    });
}
