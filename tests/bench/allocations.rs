//! How often the broker allocates for each message: `cargo bench --bench allocations -- [batch]`.
//!
//! A whole broker runs in this process, and clients speak to it over loopback: they publish a
//! batch [256], take it in and, where that is the case, acknowledge each message and wait for the
//! confirms. The clients allocate nothing meanwhile, so all that is counted is the broker's. A
//! transient message may cost one allocation, the message itself; the bench fails when it costs
//! more. In batches of a few messages each pays for what there is once for a batch.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::mpsc,
    thread,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use lepus::{
    config::Config,
    names::PublishSeq,
    server::Server,
    wire::{
        encode,
        frame::{self, FrameKind},
        method::{
            self, AMQPClass, Incoming, LongString, basic, channel, confirm, connection, queue,
        },
        table::Table,
    },
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CHANNEL: u16 = 1;
const FRAME_MAX: u32 = 131_072;
/// Messages that are on their way at a time, unless an argument says how many.
const BATCH: usize = 256;
/// Batches before counting begins, for buffers to grow, and batches that are counted.
const BATCHES: (usize, usize) = (200, 2_000);
/// Allocations that a transient message may cost. What is not the message's is there once for many.
const TRANSIENT_MAX: f64 = 1.05;

/// What is counted.
struct Load {
    name: &'static str,
    queue: &'static str,
    /// Persistent messages in a durable queue, each confirmed and acknowledged.
    is_persistent: bool,
    body_bytes: usize,
    /// Messages that are on their way at a time.
    batch: usize,
}

fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let batch = asked.unwrap_or(BATCH);
    let address = start_broker();
    println!(
        "{:<44} {:>11} {:>13} {:>9}",
        "for each message", "allocations", "reallocations", "bytes"
    );
    let load = |name, queue, is_persistent, body_bytes| Load {
        name,
        queue,
        is_persistent,
        body_bytes,
        batch,
    };
    for load in [
        load("transient, without acks, 100 B", "t100", false, 100),
        load("transient, without acks, 1 KiB", "t1024", false, 1024),
        load("persistent, confirmed, acked, 100 B", "p100", true, 100),
        load("persistent, confirmed, acked, 1 KiB", "p1024", true, 1024),
    ] {
        let allocations = measure(address, &load);
        let is_free = load.is_persistent || batch < BATCH;
        assert!(is_free || allocations <= TRANSIENT_MAX, "{allocations}: {}", load.name);
    }
}

/// Runs a broker until the process ends.
fn start_broker() -> SocketAddr {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::from_toml(Path::new("no file"), "").unwrap();
    (config.amqp_port, config.http_port, config.metrics_port) = (0, 0, 0);
    config.data_dir = Some(directory.path().to_owned());
    let (started, start) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let _directory = directory;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start(config).await.unwrap();
            started.send(server.amqp_addr()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    start.recv().unwrap()
}

/// Prints what a message costs, and returns its allocations.
fn measure(address: SocketAddr, load: &Load) -> f64 {
    let (mut producer, mut consumer) = (Client::open(address), Client::open(address));
    consumer.consume_from_new(load);
    if load.is_persistent {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        producer.call(&AMQPClass::Confirm(select), (85, 11));
    }
    let batch = published(load).repeat(load.batch);
    let mut counted = None;
    for at in 0..BATCHES.0 + BATCHES.1 {
        if at == BATCHES.0 {
            counted = Some(Region::new(ALLOCATOR));
        }
        producer.stream.write_all(&batch).unwrap();
        consumer.take_deliveries(load);
        if load.is_persistent {
            producer.take_confirms(((at + 1) * load.batch) as u64);
        }
    }
    let change = counted.unwrap().change();
    let each = |count: usize| count as f64 / (BATCHES.1 * load.batch) as f64;
    println!(
        "{:<44} {:>11.3} {:>13.3} {:>9.0}",
        load.name,
        each(change.allocations),
        each(change.reallocations),
        each(change.bytes_allocated),
    );
    each(change.allocations)
}

/// The frames of one publish.
fn published(load: &Load) -> Vec<u8> {
    let mut out = Vec::new();
    let publish = basic::Publish {
        exchange: "".into(),
        routing_key: load.queue.into(),
        mandatory: false,
        immediate: false,
    };
    encode::method(&mut out, CHANNEL, &AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
    let properties: &[u8] = if load.is_persistent { b"\x10\0\x02" } else { b"\0\0" };
    encode::content(&mut out, CHANNEL, properties, &vec![7; load.body_bytes], FRAME_MAX);
    out
}

/// A client whose buffers are as large as they will ever have to be.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    /// What of `input` has come in and is not taken yet.
    start: usize,
    end: usize,
    output: Vec<u8>,
}

impl Client {
    /// Logs in and opens a channel.
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let (input, output) = (vec![0; 1 << 20], Vec::with_capacity(1 << 16));
        let mut client = Self { stream, input, start: 0, end: 0, output };
        client.stream.write_all(&frame::AMQP_0_9_1).unwrap();
        client.wait_for((10, 10));
        let start_ok = connection::StartOk {
            client_properties: Table::default(),
            mechanism: "PLAIN".into(),
            response: LongString::from("\0guest\0guest"),
            locale: "en_US".into(),
        };
        client.send(0, &AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)));
        client.wait_for((10, 30));
        let tune_ok = connection::TuneOk { channel_max: 0, frame_max: FRAME_MAX, heartbeat: 0 };
        client.send(0, &AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)));
        let open = connection::Open { virtual_host: "/".into() };
        client.send(0, &AMQPClass::Connection(connection::AMQPMethod::Open(open)));
        client.wait_for((10, 41));
        client.call(&AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})), (20, 11));
        client
    }

    fn send(&mut self, channel: u16, class: &AMQPClass) {
        self.output.clear();
        encode::method(&mut self.output, channel, class);
        self.stream.write_all(&self.output).unwrap();
    }

    fn call(&mut self, class: &AMQPClass, answer: (u16, u16)) {
        self.send(CHANNEL, class);
        self.wait_for(answer);
    }

    fn wait_for(&mut self, wanted: (u16, u16)) {
        self.take(|payload, _| method::payload_ids(payload) == Some(wanted));
    }

    /// Declares the queue and consumes from it.
    fn consume_from_new(&mut self, load: &Load) {
        let declare = queue::Declare {
            queue: load.queue.into(),
            passive: false,
            durable: load.is_persistent,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: Table::default(),
        };
        self.call(&AMQPClass::Queue(queue::AMQPMethod::Declare(declare)), (50, 11));
        let consume = basic::Consume {
            queue: load.queue.into(),
            consumer_tag: "c".into(),
            no_local: false,
            no_ack: !load.is_persistent,
            exclusive: false,
            nowait: false,
            arguments: Table::default(),
        };
        self.call(&AMQPClass::Basic(basic::AMQPMethod::Consume(consume)), (60, 21));
    }

    /// Takes a batch in, and acknowledges each message if asked to.
    fn take_deliveries(&mut self, load: &Load) {
        let mut count = 0;
        self.output.clear();
        self.take(|payload, output| {
            // Class and method, the consumer's tag of one byte behind its length, delivery tag.
            if let Some((&[0, 60, 0, 60, 1, _], rest)) = payload.split_first_chunk() {
                let tag = u64::from_be_bytes(*rest.first_chunk().unwrap());
                encode::ack(output, CHANNEL, PublishSeq(tag), false);
                count += 1;
            }
            count == load.batch
        });
        if load.is_persistent {
            self.stream.write_all(&self.output).unwrap();
        }
    }

    /// Waits until everything up to this one is confirmed.
    fn take_confirms(&mut self, last: u64) {
        self.take(|payload, _| match method::decode(payload) {
            Ok(Incoming::Ack { delivery_tag, .. }) => delivery_tag.0 == last,
            other => panic!("{other:?} is no confirm"),
        });
    }

    /// Hands over the payload of each method that comes in, and something to write to, until that
    /// was the last; what is left of its content is passed over by the next call.
    fn take(&mut self, mut is_last: impl FnMut(&[u8], &mut Vec<u8>) -> bool) {
        loop {
            let buffer = &self.input[self.start..self.end];
            let Some(frame) = frame::parse(buffer, 0).unwrap() else {
                self.fill();
                continue;
            };
            let is_method = frame.kind == FrameKind::Method;
            let is_done = is_method && is_last(&buffer[frame.payload], &mut self.output);
            self.start += frame.len;
            if is_done {
                return;
            }
        }
    }

    fn fill(&mut self) {
        self.input.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let read = self.stream.read(&mut self.input[self.end..]).unwrap();
        assert!(read > 0, "the broker hung up");
        self.end += read;
    }
}
