use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
    task::Wake,
    thread::{self, Thread},
    time::Duration,
};

use super::*;
use crate::{clock::Now, message::Traits};

const LIMITS: OutboxLimits = OutboxLimits { events_max: 2, bytes_max: 1000 };

fn delivery(slot: u32, position: u64, size: usize) -> Delivery {
    let body = vec![0; size];
    let traits = Traits::default();
    Delivery {
        slot,
        position: Position(position),
        message: Message::copied(b"\0\0", b"\0\0", &[&body], traits, &mut Vec::new()),
        standing: crate::store::Standing::default(),
        is_stored: false,
    }
}

fn offer(outbox: &Outbox, size: usize, window: Option<&Window>) -> Result<(), Refusal> {
    let stalled = || Stalled {
        queue: Weak::new(),
        consumer: ConsumerHandle::unknown(5),
        since: Now::default(),
    };
    outbox
        .offer(delivery(0, 1, size), window, stalled, &mut Wakes::default())
        .map_err(|(refusal, _)| refusal)
}

fn drain(outbox: &Outbox) -> (VecDeque<Event>, Vec<Stalled>) {
    let (mut events, mut stalled) = (VecDeque::new(), Vec::new());
    outbox.drain(&mut events, &mut stalled);
    (events, stalled)
}

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn events_have_a_limit_and_who_finds_none_is_remembered() {
    let outbox = Outbox::new(LIMITS);
    assert_eq!(offer(&outbox, 10, None), Ok(()));
    assert_eq!(offer(&outbox, 10, None), Ok(()));
    assert_eq!(offer(&outbox, 10, None), Err(Refusal::Full));
    let (events, stalled) = drain(&outbox);
    assert_eq!((events.len(), stalled.len()), (2, 1));
    assert_eq!(stalled[0].consumer.id(), 5);
    assert_eq!(offer(&outbox, 10, None), Ok(()));
    assert_eq!(drain(&outbox).1.len(), 0);
}

#[test]
fn bytes_have_a_limit_but_an_empty_outbox_takes_any_size() {
    let outbox = Outbox::new(LIMITS);
    assert_eq!(offer(&outbox, 5000, None), Ok(()));
    assert_eq!(offer(&outbox, 1, None), Err(Refusal::Full));
    drain(&outbox);
    assert_eq!(offer(&outbox, 600, None), Ok(()));
    assert_eq!(offer(&outbox, 600, None), Err(Refusal::Full));
    assert_eq!(offer(&outbox, 1, None), Ok(()));
}

#[test]
fn news_finds_room_always() {
    let outbox = Outbox::new(LIMITS);
    for slot in 0..10 {
        outbox.push(Event::Cancelled { slot }, &mut Wakes::default());
    }
    assert_eq!(drain(&outbox).0.len(), 10);
}

#[test]
fn refused_delivery_takes_no_place_in_the_window() {
    let outbox = Outbox::new(LIMITS);
    let window = Window::new(1, 0);
    offer(&outbox, 10, None).unwrap();
    offer(&outbox, 10, None).unwrap();
    assert_eq!(offer(&outbox, 10, Some(&window)), Err(Refusal::Full));
    // Another queue looks at the same moment, on behalf of another consumer of the channel.
    let stalled = || {
        assert!(window.try_take(), "the window looked full");
        Stalled { queue: Weak::new(), consumer: ConsumerHandle::unknown(0), since: Now::default() }
    };
    let refused = outbox.offer(delivery(0, 1, 10), Some(&window), stalled, &mut Wakes::default());
    assert_eq!(refused.unwrap_err().0, Refusal::Full);
    drain(&outbox);
    assert_eq!(offer(&outbox, 10, Some(&window)), Err(Refusal::NoPlace));
    assert_eq!(drain(&outbox).1.len(), 0, "the channel resumes it, not the outbox");
}

#[test]
fn closed_outbox_takes_nothing_and_gives_back_what_it_had() {
    let outbox = Outbox::new(LIMITS);
    let window = Window::new(1, 0);
    offer(&outbox, 10, None).unwrap();
    assert_eq!(outbox.close().len(), 1);
    assert_eq!(offer(&outbox, 10, Some(&window)), Err(Refusal::Closed));
    assert!(window.try_take());
    outbox.push(Event::Cancelled { slot: 0 }, &mut Wakes::default());
    assert_eq!(drain(&outbox).0.len(), 0);
}

#[test]
fn one_wake_is_owed_for_a_batch_and_paid_on_drop() {
    let outbox = Outbox::new(LIMITS);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    assert!(outbox.park(&waker));
    let mut wakes = Wakes::default();
    for slot in 0..3 {
        outbox.push(Event::Cancelled { slot }, &mut wakes);
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    drop(wakes);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(!outbox.park(&waker), "there is something to drain");
}

#[test]
fn who_is_stalled_keeps_the_task_from_parking() {
    let outbox = Outbox::new(LIMITS);
    offer(&outbox, 10, None).unwrap();
    offer(&outbox, 10, None).unwrap();
    drain(&outbox);
    offer(&outbox, 2000, None).unwrap();
    assert_eq!(offer(&outbox, 10, None), Err(Refusal::Full));
    assert!(!outbox.park(Waker::noop()));
}

#[test]
fn window_counts_places_whatever_its_limit() {
    let window = Window::new(0, 0);
    for _ in 0..5 {
        assert!(window.try_take());
    }
    window.set_limit(3);
    assert!(!window.try_take());
    assert!(window.give_back(2), "queues may wait for it");
    assert!(!window.try_take(), "three are taken still");
    assert!(window.give_back(1));
    assert!(!window.give_back(1), "it had room before");
    assert!(window.try_take() && window.try_take() && !window.try_take());
    window.set_limit(0);
    assert!(window.try_take());
    assert!(!window.give_back(9), "without a limit nobody waits");
}

/// Wakes a thread that waits as a task does.
#[derive(Debug)]
pub(in crate::broker) struct Unpark {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Unpark {
    pub(in crate::broker) fn of_this_thread() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), is_woken: AtomicBool::new(false) })
    }

    /// Waits for a wake since the last wait; a deadline makes one that never comes a failure.
    pub(in crate::broker) fn wait(&self) {
        for _ in 0..600 {
            if self.is_woken.swap(false, Ordering::Acquire) {
                return;
            }
            thread::park_timeout(Duration::from_millis(100));
        }
        panic!("a wake was forgotten");
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Producers fill an outbox of two places as fast as they can; each waits for its resume when it
/// finds no room. Nothing gets lost, neither a delivery nor a resume nor a wake, and each
/// producer's deliveries come in order.
#[test]
fn nobody_is_forgotten_between_stall_and_drain() {
    const EACH: u64 = 20_000;
    const PRODUCERS: u32 = 3;
    let outbox = Outbox::new(LIMITS);
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        let mut resumes = Vec::new();
        for slot in 0..PRODUCERS {
            let (resume, resumed) = mpsc::sync_channel(1);
            resumes.push(resume);
            let outbox = &outbox;
            scope.spawn(move || {
                let mut wakes = Wakes::default();
                for position in 0..EACH {
                    let mut message = delivery(slot, position, 10);
                    loop {
                        let stalled = || Stalled {
                            queue: Weak::new(),
                            consumer: ConsumerHandle::unknown(u64::from(slot)),
                            since: Now::default(),
                        };
                        match outbox.offer(message, None, stalled, &mut wakes) {
                            Ok(()) => break,
                            Err((refusal, again)) => {
                                assert_eq!(refusal, Refusal::Full);
                                message = again;
                            }
                        }
                        wakes.pay();
                        resumed.recv_timeout(Duration::from_secs(60)).expect("forgotten");
                    }
                    if position % 7 == 0 {
                        wakes.pay();
                    }
                }
            });
        }
        let (outbox, taken) = (&outbox, &taken);
        scope.spawn(move || {
            let task = Unpark::of_this_thread();
            let waker = Waker::from(Arc::clone(&task));
            let (mut events, mut stalled) = (VecDeque::new(), Vec::new());
            let mut next = [0; PRODUCERS as usize];
            while taken.load(Ordering::Relaxed) < EACH * u64::from(PRODUCERS) {
                while !outbox.drain(&mut events, &mut stalled) && outbox.park(&waker) {
                    task.wait();
                }
                for event in events.drain(..) {
                    let Event::Deliver(delivery) = event else { panic!("{event:?}") };
                    let next = &mut next[delivery.slot as usize];
                    assert_eq!(delivery.position, Position(*next));
                    *next += 1;
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                for stalled in stalled.drain(..) {
                    resumes[stalled.consumer.id() as usize].send(()).unwrap();
                }
            }
        });
    });
    assert_eq!(taken.into_inner(), EACH * u64::from(PRODUCERS));
}
