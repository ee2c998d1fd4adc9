//! Clients that are broken or mean no good: the broker ends them at most, and serves the others.

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::*;

/// Another client is served as ever.
#[track_caller]
fn expect_service() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["still here"]);
    assert_eq!(channel.drain(&q), ["still here"]);
    channel.connection().close();
}

/// The bytes of a session in which nothing is wrong.
fn valid_session() -> Vec<u8> {
    let options = Options::new();
    let q = name("queue");
    let headers = Table::new().with("key", vec![1.into(), Table::new().with("a", true).into()]);
    let message = publish("", &q, "some bytes").headers(headers).mandatory();
    let control = [options.start_ok(), tune_ok(2047, 8192, 0), connection_open("/")];
    let channel = [
        channel_open(),
        queue(&q).exclusive().arg("x-max-length", 5),
        bind(&q, "amq.topic", "a.#").arg("x", "y"),
        confirm_select(),
        consume(&q, "tag").arg("x-priority", 1),
    ];
    let mut bytes = PROTOCOL_HEADER.to_vec();
    bytes.extend(control.iter().flat_map(|request| request.frame(0).bytes()));
    bytes.extend(channel.iter().flat_map(|request| request.frame(1).bytes()));
    bytes.extend(message.frames(1, 10).iter().flat_map(Frame::bytes));
    bytes.extend(ack(0).multiple().frame(1).bytes());
    bytes.extend(connection_close().frame(0).bytes());
    bytes
}

/// Writes the bytes, says that no more will come, and reads to the end.
fn send_and_finish(bytes: &[u8]) {
    let connection = Options::new().dial();
    connection.send_bytes(bytes);
    let _ = connection.socket().shutdown(Shutdown::Write);
    while let Ok(bytes) = connection.next_bytes(1) {
        assert_eq!(bytes.len(), 1);
    }
    let end = connection.next_bytes(1);
    assert!(matches!(end, Err(End::Closed(_))), "the broker keeps a dead socket: {end:?}");
}

/// Shares the work among a few threads: each case is mostly waiting.
fn among_threads<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(case);
                }
            });
        }
    });
}

#[test]
fn session_cut_anywhere_does_no_harm() {
    let session = valid_session();
    let cuts: Vec<&[u8]> = (0..session.len()).map(|length| &session[..length]).collect();
    among_threads(&cuts, |bytes| send_and_finish(bytes));
    expect_service();
}

#[test]
fn session_with_any_byte_changed_does_no_harm() {
    let session = valid_session();
    let mut random = Random(0x5EED);
    let changed: Vec<Vec<u8>> = (0..session.len())
        .map(|position| {
            let mut bytes = session.clone();
            bytes[position] ^= 1 << random.below(8);
            bytes
        })
        .collect();
    // A changed length may make the broker wait for more, or the end make it hang up late.
    among_threads(&changed, |bytes| send_and_finish(bytes));
    expect_service();
}

#[test]
fn session_that_arrives_byte_by_byte_is_served() {
    let connection = Options::new().dial();
    for byte in valid_session() {
        connection.send_bytes(&[byte]);
    }
    let control = connection.control();
    for id in [(10, 10), (10, 30), (10, 41), (10, 51)] {
        control.expect(id);
    }
}

#[test]
fn random_bytes_instead_of_a_header_do_no_harm() {
    let mut random = Random(0x0BAD_5EED);
    let cases: Vec<Vec<u8>> = (1..60).map(|length| random.bytes(length * 7)).collect();
    among_threads(&cases, |bytes| send_and_finish(bytes));
    expect_service();
}

#[test]
fn random_bytes_on_an_open_connection_do_no_harm() {
    let mut random = Random(0xFEED);
    let cases: Vec<Vec<u8>> = (0..60).map(|_| random.bytes(200)).collect();
    among_threads(&cases, |bytes| {
        let connection = Connection::open();
        connection.channel(1);
        connection.send_bytes(bytes);
        let _ = connection.socket().shutdown(Shutdown::Write);
        connection.frames_until_end();
    });
    expect_service();
}

/// Frames that are whole, with payloads that are not.
#[test]
fn random_payloads_in_whole_frames_do_no_harm() {
    let mut random = Random(0xF00D);
    let ids: Vec<(u16, u16)> = [10, 20, 30, 40, 50, 60, 85, 90]
        .into_iter()
        .flat_map(|class| (0..13).map(move |method| (class, method * 10)))
        .collect();
    let cases: Vec<Frame> = ids
        .iter()
        .map(|&id| {
            let length = random.below(60);
            Request::new(id, Writer::new().raw(&random.bytes(length))).frame(1)
        })
        .collect();
    among_threads(&cases, |frame| {
        let connection = Connection::open();
        connection.channel(1);
        connection.send_frame(frame);
        connection.send_frame(&connection_close().frame(0));
        let _ = connection.socket().shutdown(Shutdown::Write);
        connection.frames_until_end();
    });
    expect_service();
}

/// Lengths inside a frame that point far behind its end.
#[test]
fn absurd_lengths_inside_a_frame_end_the_connection() {
    let declare = |table: Writer| {
        Request::new((50, 10), Writer::new().short(0).short_string("q").octet(0).raw(&table.0))
    };
    let value = |tag: u8, length: u32| {
        let body = Writer::new().short_string("k").octet(tag).long(length).raw(b"abc");
        declare(Writer::new().long_string(&body.0))
    };
    let cases = [
        declare(Writer::new().long(u32::MAX)),
        declare(Writer::new().long(1)),
        declare(Writer::new().long(0x7FFF_FFFF).raw(b"abc")),
        declare(Writer::new().long_string([255])),
        value(b'S', u32::MAX),
        value(b'S', 0x8000_0000),
        value(b'x', u32::MAX),
        value(b'A', u32::MAX),
        value(b'F', u32::MAX),
        value(b'F', 4),
        Request::new((50, 10), Writer::new().short(0).octet(255).raw(b"short")),
        Request::new((10, 11), Writer::new().long(u32::MAX)),
    ];
    among_threads(&cases, |request| {
        let connection = Connection::open();
        connection.channel(1);
        connection.send_frame(&request.frame(1));
        // A close with an error code, or the end of the socket at once.
        if let Ok(frame) = connection.next_frame() {
            let method = Method::parse(&frame.payload);
            assert!(method.id == (10, 50) && method.close().0 >= 500, "{frame:?}");
            connection.control().send(&connection_close_ok());
        }
        connection.frames_until_end();
    });
    expect_service();
}

/// As deep as a frame can hold: twenty thousand levels.
#[test]
fn deeply_nested_tables_and_arrays_do_no_harm() {
    let tables = |depth: usize| {
        let mut body = Vec::new();
        for level in (0..depth).rev() {
            // Key "", tag F, and the length of all that is inside: six bytes for each level.
            body.extend([0, b'F']);
            body.extend((level as u32 * 6).to_be_bytes());
        }
        body
    };
    let arrays = |depth: usize| {
        let mut body = vec![0];
        for level in (0..depth).rev() {
            body.push(b'A');
            body.extend((level as u32 * 5).to_be_bytes());
        }
        body
    };
    for table in [tables(10), tables(20_000), arrays(10), arrays(25_000)] {
        let connection = Connection::open();
        connection.channel(1);
        let fields = Writer::new().short(0).short_string("").octet(0b100).long_string(&table);
        connection.send_frame(&Request::new((50, 10), fields).frame(1));
        let header = Writer::new().short(60).short(0).longlong(0).short(1 << 13);
        connection.send_frame(&publish("", "nowhere", "").mandatory().method.frame(1));
        connection.send_frame(&Frame::new(HEADER, 1, header.long_string(&table).0));
        connection.send_frame(&connection_close().frame(0));
        let _ = connection.socket().shutdown(Shutdown::Write);
        connection.frames_until_end();
        expect_service();
    }
}

/// Consumers may be subscribed and never read: nobody else waits for them.
#[test]
fn consumer_that_reads_nothing_holds_up_nobody() {
    let publisher = Channel::open();
    let q = publisher.shared_queue();
    let idle = Channel::open();
    idle.consume(&consume(&q, "idle").no_ack());
    publisher.confirm_select();
    let body = "x".repeat(10_000);
    for n in 0..3000 {
        publisher.publish(&publish("", &q, format!("{n} {body}")));
    }
    publisher.expect_acked(3000);
    expect_service();
    // When it reads at last, everything is there and in order.
    for n in 0..3000 {
        let text = idle.delivery().text();
        let number = text.split(' ').next().unwrap();
        assert_eq!(number, n.to_string());
    }
    publisher.call(&delete(&q));
}

/// A client that asks and asks and never reads the answers is not read from either.
#[test]
fn client_that_reads_no_answers_is_served_when_it_does() {
    let channel = Channel::open();
    let connection = channel.connection();
    let returned = publish("", "nowhere", vec![b'x'; 100_000]).mandatory();
    let bytes: Vec<u8> = returned.frames(1, 131_072).iter().flat_map(Frame::bytes).collect();
    let mut socket = connection.socket();
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..400 {
                socket.write_all(&bytes).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Until the broker takes no more: it is stuck on its answers, or it has swallowed all.
        let mut before = usize::MAX;
        while before != written.load(Ordering::Relaxed) {
            before = written.load(Ordering::Relaxed);
            thread::park_timeout(Duration::from_millis(100));
        }
        expect_service();
        for _ in 0..400 {
            assert_eq!(channel.returned().body.len(), 100_000);
        }
    });
}

/// Clients that connect and say nothing keep nobody out.
#[test]
fn clients_that_send_nothing_keep_nobody_out() {
    let silent: Vec<Connection> = (0..200).map(|_| Options::new().dial()).collect();
    expect_service();
    drop(silent);
    expect_service();
}

/// A message that was begun and never finished is not a message.
#[test]
fn publish_that_is_never_finished_leaves_nothing() {
    let watcher = Channel::open();
    let q = watcher.shared_queue();
    let frames = publish("", &q, "never whole").frames(1, 10);
    for count in 1..frames.len() {
        let connection = Connection::open();
        connection.channel(1);
        for frame in &frames[..count] {
            connection.send_frame(frame);
        }
        connection.cut();
    }
    watcher.fill(&q, ["whole"]);
    assert_eq!(watcher.drain(&q), ["whole"]);
    watcher.call(&delete(&q));
}

#[test]
fn connections_that_come_and_go_at_once_do_no_harm() {
    let cases: Vec<usize> = (0..300).collect();
    among_threads(&cases, |n| match n % 3 {
        0 => drop(Options::new().dial()),
        1 => Options::new().until_start().0.cut(),
        _ => Connection::open().cut(),
    });
    expect_service();
}
