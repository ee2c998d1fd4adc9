//! What a crash keeps: the real program, killed by SIGKILL under load and started again on the
//! same data. What a clean stop keeps is in `restart.rs`; here it comes under load too.
//!
//! Nothing here depends on how fast anything is: a round ends when the broker has given so many
//! promises, whatever else it is doing then.

mod books;
mod load;

use std::{path::Path, thread};

use books::{Books, Id, Standing};
use load::{Ending, Load, Made};

use crate::harness::*;

/// The durable queues of the load.
const QUEUES: [&str; 4] = ["plain", "consumed", "copied", "copied and consumed"];
/// The durable fanout exchange in front of the last two.
const FANOUT: &str = "copies";

/// One broker's life after the other on the same data, and what is known of that data.
struct History {
    home: tempfile::TempDir,
    books: Books,
    made: Vec<Made>,
    rounds: u32,
}

impl History {
    fn begin() -> Self {
        let home = tempfile::tempdir().unwrap();
        let lepus = Lepus::start(home.path());
        let channel = lepus.options.open().channel(1);
        for q in QUEUES {
            channel.declare(&queue(q).durable());
        }
        channel.call(&exchange(FANOUT, "fanout").durable());
        for q in &QUEUES[2..] {
            channel.call(&bind(q, FANOUT, ""));
        }
        lepus.kill();
        Self { home, books: Books::new(&QUEUES), made: Vec::new(), rounds: 0 }
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    /// Loads a broker until it has given `promises`, ends it, starts another, and holds that to
    /// what the first one promised.
    fn round(&mut self, ending: Ending, promises: u64) {
        self.rounds += 1;
        let lepus = Lepus::start(self.home());
        make_transient_things(&lepus.options);
        let (load, reached) = Load::new(lepus.options.clone(), self.rounds, promises);
        let log = thread::scope(|scope| {
            let running = load.start(scope);
            reached.wait();
            match ending {
                Ending::Kill => lepus.kill(),
                Ending::Stop => lepus.stop(),
            }
            running.finish()
        });
        self.books.enter(&log, ending);
        self.made.extend(log.made);

        // Recovering and ending again, with nothing done in between, changes nothing.
        Lepus::start(self.home()).kill();
        let lepus = Lepus::start(self.home());
        self.verify(&lepus.options);
        lepus.kill();
    }

    fn verify(&mut self, options: &Options) {
        let channel = options.open().channel(1);
        channel.connection().set_deadline(load::PATIENCE);
        for q in QUEUES {
            let found = take_all(&channel, q);
            self.books.compare(q, &found);
            // A part is taken out, the rest stays for the next round.
            let (taken, _) = found.as_chunks::<3>();
            for (id, tag) in taken.iter().map(|[first, ..]| first) {
                self.books.set(q, *id, Standing::Possible);
                channel.send(&ack(*tag));
            }
        }
        channel.expect_nothing();
        channel.connection().close();

        let channel = options.open().channel(1);
        channel.connection().set_deadline(load::PATIENCE);
        for made in &self.made {
            verify_made(&channel, made);
        }
        let refusal = |kind| format!("NOT_FOUND - no {kind} 'transient' in vhost '/'");
        channel.refused(&queue("transient").passive(), 404, refusal("queue"));
        channel.reopen();
        channel.refused(&exchange("transient", "direct").passive(), 404, refusal("exchange"));
    }
}

/// A queue and an exchange that no restart keeps, with what they hold.
fn make_transient_things(options: &Options) {
    let channel = options.open().channel(1);
    channel.declare(&queue("transient"));
    channel.call(&exchange("transient", "direct"));
    channel.call(&bind("transient", "transient", ""));
    channel.call(&bind("transient", FANOUT, ""));
    channel.confirm_select();
    channel.publish(&publish("transient", "", "m").persistent());
    channel.expect_acked(1);
}

/// Everything that is ready in a queue, with its delivery tags; none of it is acknowledged.
fn take_all(channel: &Channel, q: &str) -> Vec<(Id, u64)> {
    let count = channel.declare(&queue(q).passive()).messages;
    channel.subscribe(q, q);
    let mut found = Vec::new();
    for _ in 0..count {
        let message = channel.delivery();
        found.push((Id::check(&message), message.delivery_tag));
    }
    assert_eq!(channel.get(q), None, "{q} has more messages than it counted");
    channel.cancel(q);
    found
}

/// Holds the broker to its promises about one set of durable things.
fn verify_made(channel: &Channel, made: &Made) {
    let name = &made.name;
    let is_there = |request: &Request, kind: &str, standing: Standing| match standing {
        Standing::Owed => drop(channel.call(request)),
        Standing::Gone => {
            let text = format!("NOT_FOUND - no {kind} '{name}' in vhost '/'");
            channel.refused(request, 404, text);
            channel.reopen();
        }
        Standing::Possible => {}
    };
    is_there(&queue(name).passive(), "queue", made.queue);
    is_there(&exchange(name, "direct").passive(), "exchange", made.exchange);
    if made.binding == Standing::Owed {
        channel.publish(&publish(name, "key", "m"));
        assert_eq!(channel.drain(name), ["m"], "the binding of {name}");
    }
}

// BA-043, BA-017
#[test]
fn what_was_promised_survives_one_kill_after_another() {
    let mut history = History::begin();
    for promises in [100, 1500, 400, 3000] {
        history.round(Ending::Kill, promises);
    }
}

// BA-230: a dead letter arrives and its message leaves in one commit.
#[test]
fn killed_broker_has_each_message_that_was_dying_once() {
    const EACH: usize = 500;
    for letters in [1, EACH / 2, EACH] {
        let home = tempfile::tempdir().unwrap();
        let lepus = Lepus::start(home.path());
        let connection = lepus.options.open();
        let (channel, dead) = (connection.channel(1), connection.channel(2));
        channel.declare(&queue("dead").durable());
        channel.declare(&queue("rejected").durable().args(letters_to("dead")));
        let mortal = letters_to("dead").with("x-message-ttl", 500);
        channel.declare(&queue("expired").durable().args(mortal));
        channel.confirm_select();
        let queues = ["rejected", "expired"];
        let mut all = Vec::new();
        for q in queues {
            for n in 0..EACH {
                all.push(format!("{q} {n}"));
                channel.publish(&publish("", q, all[all.len() - 1].as_str()).persistent());
            }
        }
        channel.expect_acked(all.len() as u64);
        channel.subscribe("rejected", "t");
        channel.deliveries(EACH);
        for tag in 1..=EACH as u64 {
            channel.send(&reject(tag, false));
        }
        dead.subscribe("dead", "dead");
        dead.deliveries(letters);
        lepus.kill();

        let lepus = Lepus::start(home.path());
        let channel = lepus.options.open().channel(1);
        let mut found = channel.drain("rejected");
        channel.subscribe("dead", "dead");
        found.extend(channel.deliveries(all.len() - found.len()));
        channel.expect_left("expired", 0);
        channel.expect_nothing();
        found.sort();
        all.sort();
        assert_eq!(found, all);
        lepus.kill();
    }
}

// BA-017: and what was settled does not come back.
#[test]
fn what_was_promised_survives_a_clean_stop_under_load() {
    let mut history = History::begin();
    for promises in [500, 2000] {
        history.round(Ending::Stop, promises);
    }
}

// BA-017
#[test]
fn clean_stop_of_the_program_keeps_what_is_unacked_as_redelivered() {
    let home = tempfile::tempdir().unwrap();
    let lepus = Lepus::start(home.path());
    let channel = lepus.options.open().channel(1);
    channel.declare(&queue("q").durable());
    channel.confirm_select();
    for n in 1..=300 {
        channel.publish(&publish("", "q", n.to_string()).persistent());
    }
    channel.expect_acked(300);
    let consumer = lepus.options.open().channel(1);
    consumer.call(&qos(100));
    consumer.subscribe("q", "t");
    consumer.deliveries(100);
    // Every settled message makes room for another.
    let is_settled = |n: &u64| n.is_multiple_of(2) && *n <= 100;
    for n in (1..=100).filter(is_settled) {
        consumer.send(&if n % 4 == 0 { ack(n) } else { reject(n, false) });
    }
    consumer.deliveries(50);
    consumer.expect_nothing();
    lepus.stop();

    let lepus = Lepus::start(home.path());
    let channel = lepus.options.open().channel(1);
    let left: Vec<Message> = std::iter::from_fn(|| channel.get("q")).collect();
    let left: Vec<_> = left.iter().map(|m| (m.text(), m.redelivered)).collect();
    let expected = (1..=300).filter(|n| !is_settled(n)).map(|n| (n.to_string(), n <= 150));
    assert_eq!(left, expected.collect::<Vec<_>>());
    lepus.kill();
}
