use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use bytes::Bytes;

use super::*;
use crate::{
    broker::{
        outbox::{Outbox, OutboxLimits, Window},
        queue::{Budget, DeadLetterTo},
    },
    clock::{Now, UnixTime},
    message::Traits,
    names::{ChannelId, ConnectionId},
};

const MIB: usize = 1024 * 1024;
static BODY: [u8; MIB] = [0; MIB];

/// A message that is counted as one MiB and a bit.
fn large() -> Message {
    Message::chunked(b"\0\0", b"\0\0", vec![Bytes::from_static(&BODY)], Traits::default())
}

#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A queue with ready messages, its stalled consumer, and a publisher that waits.
struct Busy {
    state: State,
    fx: Effects,
    outbox: Arc<Outbox>,
    window: Arc<Window>,
    handle: ConsumerHandle,
    publisher: Arc<Flag>,
}

fn consumer(outbox: &Arc<Outbox>, window: &Arc<Window>) -> Consumer {
    Consumer {
        outbox: Arc::clone(outbox),
        slot: 0,
        channel: ChannelId(1),
        connection: ConnectionId(1),
        tag: Arc::from(""),
        arguments: None,
        exclusive: false,
        no_ack: false,
        prefetch: 0,
        window: Arc::clone(window),
        priority: 0,
    }
}

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(OutboxLimits { events_max: 1, bytes_max: MIB }))
}

impl Busy {
    fn new() -> Self {
        let residency = Residency::new(Arc::new(Budget::new(1 << 40, 1 << 30)));
        let mut state = State::new(
            (QueueId(1), "q".into(), false),
            Settings::default(),
            Weak::new(),
            residency,
            Lanes::recovered(0, 0, |_| None),
        );
        let mut fx = Effects::default();
        let (outbox, window) = (outbox(), Arc::new(Window::new(0, 0)));
        let handle = state.add_consumer(consumer(&outbox, &window), false);
        for _ in 0..4 {
            state.publish(large(), Arrival::default(), &mut fx);
        }
        let publisher = Arc::new(Flag::default());
        assert!(state.is_ahead(&Waker::from(Arc::clone(&publisher))));
        Self { state, fx, outbox, window, handle, publisher }
    }

    fn is_publisher_woken(&mut self) -> bool {
        self.fx.wakes.pay();
        self.publisher.is_set()
    }

    fn drain(&mut self) {
        let (mut events, mut stalled) = (VecDeque::new(), Vec::new());
        self.outbox.drain(&mut events, &mut stalled);
        for stalled in stalled {
            self.state.resume(stalled.consumer, &mut self.fx);
        }
    }
}

#[test]
fn publisher_goes_on_when_the_consumers_have_caught_up() {
    let mut busy = Busy::new();
    busy.drain();
    assert!(!busy.is_publisher_woken(), "two MiB are left");
    busy.drain();
    assert!(!busy.is_publisher_woken(), "one MiB and a bit is left");
    busy.drain();
    assert!(busy.is_publisher_woken());
    assert!(!busy.state.is_ahead(Waker::noop()));
}

#[test]
fn publisher_goes_on_when_the_stalled_consumer_is_cancelled() {
    let mut busy = Busy::new();
    busy.state.cancel(busy.handle, &mut busy.fx);
    assert!(busy.is_publisher_woken(), "nobody is busy any more");
    assert!(!busy.state.is_ahead(Waker::noop()));
    // The room that its outbox finds later means nobody.
    busy.drain();
    assert_eq!(busy.state.counts().ready, 3);
}

#[test]
fn publisher_goes_on_when_somebody_else_takes_the_messages() {
    for no_ack in [true, false] {
        let mut busy = Busy::new();
        for left in [2, 1, 0] {
            assert!(!busy.is_publisher_woken());
            let got = busy.state.get(no_ack, Waker::noop(), &mut busy.fx);
            assert!(matches!(got, GetOutcome::Got(got) if got.left == left));
        }
        assert!(busy.is_publisher_woken());
    }
}

#[test]
fn publisher_goes_on_when_the_messages_or_the_queue_go() {
    let mut busy = Busy::new();
    busy.state.purge(&mut busy.fx);
    assert!(busy.is_publisher_woken());
    let mut busy = Busy::new();
    busy.state.delete(&mut busy.fx);
    assert!(busy.is_publisher_woken());
    assert!(!busy.state.is_ahead(Waker::noop()));
}

#[test]
fn what_a_stalled_consumer_leaves_goes_to_the_others() {
    let mut busy = Busy::new();
    let (outbox, window) = (outbox(), Arc::new(Window::new(1, 1)));
    let other = busy.state.add_consumer(consumer(&outbox, &window), false);
    busy.state.resume(other, &mut busy.fx);
    assert_eq!(busy.state.counts().ready, 3, "the other's window is full");
    busy.state.cancel(busy.handle, &mut busy.fx);
    assert!(window.give_back(1));
    busy.state.window_opened(other, &mut busy.fx);
    outbox.look(|events, _| assert_eq!(events.len(), 1));
    assert_eq!(busy.state.counts().ready, 2);
}

#[test]
fn stalled_consumer_is_remembered_once_however_often_its_window_opens() {
    let mut busy = Busy::new();
    for _ in 0..10 {
        busy.state.window_opened(busy.handle, &mut busy.fx);
        busy.state.settle(&[], &mut busy.fx);
    }
    busy.outbox.look(|events, stalled| assert_eq!((events.len(), stalled.len()), (1, 1)));
    assert!(busy.window.try_take());
}

#[test]
fn publisher_that_asks_again_is_woken_once() {
    let mut busy = Busy::new();
    let waker = Waker::from(Arc::clone(&busy.publisher));
    assert!(busy.state.is_ahead(&waker));
    assert!(busy.state.is_ahead(&waker));
    assert_eq!(busy.state.waiting_publishers.len(), 1);
}

#[test]
fn publisher_waits_for_consumers_that_nearly_keep_up_and_for_no_others() {
    let outbox = Arc::new(Outbox::new(OutboxLimits { events_max: 1000, bytes_max: 1 << 30 }));
    let window = Arc::new(Window::new(20, 0));
    let residency = Residency::new(Arc::new(Budget::new(1 << 40, 1 << 30)));
    let about = (QueueId(1), "q".into(), false);
    let ready = Lanes::recovered(0, 0, |_| None);
    let mut state = State::new(about, Settings::default(), Weak::new(), residency, ready);
    let mut fx = Effects::default();
    let handle = state.add_consumer(Consumer { prefetch: 20, ..consumer(&outbox, &window) }, false);
    for _ in 0..32 {
        state.publish(large(), Arrival::default(), &mut fx);
    }
    assert_eq!(state.counts().ready, 12, "it has all that it may have, and has not stalled");
    let publisher = Arc::new(Flag::default());
    assert!(state.is_ahead(&Waker::from(Arc::clone(&publisher))), "20 of 32 were delivered");
    for _ in 0..32 {
        state.publish(large(), Arrival::default(), &mut fx);
    }
    assert!(!state.is_ahead(Waker::noop()), "none of the next 32 was");
    state.cancel(handle, &mut fx);
    fx.wakes.pay();
    assert!(publisher.is_set());
}

#[test]
fn queue_that_has_much_pages_out_in_batches_when_memory_is_short() {
    let budget = Arc::new(Budget::new(0, 1 << 30));
    let mut state = State::new(
        (QueueId(1), "q".into(), true),
        Settings::default(),
        Weak::new(),
        Residency::new(budget),
        Lanes::recovered(0, 0, |_| None),
    );
    let mut fx = Effects::default();
    let mut sections_with_spills = 0;
    for _ in 0..10_000 {
        let body = [0; 60];
        let message =
            Message::copied(b"\0\0", b"\0\0", &[&body], Traits::default(), &mut Vec::new());
        state.publish(message, Arrival::default(), &mut fx);
        sections_with_spills += u32::from(!fx.ops.is_empty());
        fx.ops.clear();
        state.submitted(CommitSeq(1), &mut fx);
    }
    assert!(state.ready.resident_bytes() < 400_000, "{}", state.ready.resident_bytes());
    assert!(sections_with_spills < 10, "{sections_with_spills}");
    assert_eq!(state.counts().ready, 10_000);
}

#[test]
fn dead_letters_from_the_middle_are_settled_before_their_places_are_read() {
    let to = DeadLetterTo { exchange: "dlx".into(), routing_key: None };
    let settings = Settings { dead_letter: Some(to), ..Settings::default() };
    let residency = Residency::new(Arc::new(Budget::new(1 << 40, 3 * MIB)));
    let about = (QueueId(1), "q".into(), true);
    let ready = Lanes::recovered(0, 0, |_| None);
    let mut state = State::new(about, settings, Weak::new(), residency, ready);
    let mut fx = Effects { time: UnixTime(1), ..Effects::default() };
    let traits = Traits { is_persistent: true, ..Traits::default() };
    let persistent = || Message::chunked(b"\0\0", b"\0\0", vec![Bytes::from_static(&BODY)], traits);
    for expiration in [None, Some(10)] {
        state.publish(persistent(), Arrival { expiration, returns: 0 }, &mut fx);
    }
    fx.time = UnixTime(100);
    state.on_deadline(&mut fx);
    assert_eq!((fx.dead.len(), state.counts().ready), (1, 1), "its letter is on the way");
    // Meanwhile the place it had becomes one of those that are in the store alone.
    for _ in 0..4 {
        state.publish(persistent(), Arrival::default(), &mut fx);
    }
    state.submitted(CommitSeq(6), &mut fx);
    for _ in 0..2 {
        state.get(true, Waker::noop(), &mut fx);
    }
    assert!(fx.read.is_none(), "the store has it still");
    state.settled(CommitSeq(7), &mut fx);
    state.get(true, Waker::noop(), &mut fx);
    let asked = fx.read.expect("what is next is read");
    assert_eq!(asked.wanted.after, CommitSeq(7));
}

/// A durable queue without consumers, whose every message leaves memory at once.
fn paging(settings: Settings) -> State {
    let residency = Residency::new(Arc::new(Budget::new(1 << 40, 1)));
    let about = (QueueId(1), "q".into(), true);
    State::new(about, settings, Weak::new(), residency, Lanes::recovered(0, 0, |_| None))
}

/// Publishes a message; returns what the store would give back for it.
fn publish(state: &mut State, fx: &mut Effects) -> Entry {
    let traits = Traits { is_persistent: true, ..Traits::default() };
    let message = Message::copied(b"\0\0", b"\0\0", &[&[0; 60]], traits, &mut Vec::new());
    state.publish(message.clone(), Arrival::default(), fx);
    let Some(&StoreOp::Publish { position, standing, .. }) = fx.ops.last() else {
        panic!("it is stored last")
    };
    state.submitted(CommitSeq(1), fx);
    Entry { position, message, standing, is_stored: true }
}

#[test]
fn queue_without_consumers_keeps_its_limit_when_its_head_is_in_the_store() {
    let mut state = paging(Settings { max_length: Some(2), ..Settings::default() });
    let mut fx = Effects::default();
    let entries = [(); 3].map(|()| publish(&mut state, &mut fx));
    assert_eq!(state.counts().ready, 3, "the first is not there to go");
    let asked = fx.read.take().expect("it is to come");
    let first = entries.into_iter().take(1);
    state.page_in(asked.id, first, Position(2), &mut fx);
    assert_eq!(state.counts().ready, 2);
    assert!(matches!(fx.ops.last(), Some(StoreOp::Settle { position: Position(1), .. })));
    assert!(fx.read.is_none(), "nobody wants the others");
}

#[test]
fn queue_without_consumers_gives_up_in_time_what_is_in_the_store() {
    let mut state = paging(Settings { message_ttl: Some(10), ..Settings::default() });
    let mut fx = Effects::default();
    let entries = [(); 2].map(|()| publish(&mut state, &mut fx));
    let at = fx.arm.take().expect("it expires");
    fx.time.0 = at;
    state.on_deadline(&mut fx);
    let asked = fx.read.take().expect("it is to come");
    state.page_in(asked.id, entries.into_iter(), Position(3), &mut fx);
    assert!(fx.arm.take().is_some_and(|again| again <= at));
    state.on_deadline(&mut fx);
    assert_eq!(state.counts().ready, 0);
}

/// A queue that is blocked from the first moment on: three messages wait for a consumer that does
/// not read.
fn blocked() -> Busy {
    let mut busy = Busy::new();
    assert_capacity(&busy, 1000, 0.5);
    busy.fx.now = Now::from_millis(1000);
    busy
}

#[track_caller]
fn assert_capacity(busy: &Busy, millis: u64, expected: f64) {
    let capacity = busy.state.view().capacity.at(Now::from_millis(millis));
    assert!((capacity - expected).abs() < 1e-9, "{capacity}");
}

// HT-078
#[test]
fn queue_is_blocked_while_messages_wait_for_busy_consumers() {
    let mut busy = blocked();
    for _ in 0..3 {
        busy.drain();
    }
    busy.fx.now = Now::from_millis(2000);
    assert_capacity(&busy, 2000, 0.75);
    busy.state.publish(large(), Arrival::default(), &mut busy.fx);
    assert_capacity(&busy, 3000, 0.375);
}

#[test]
fn queue_is_free_when_nothing_or_nobody_waits() {
    let mut busy = blocked();
    busy.state.purge(&mut busy.fx);
    assert_capacity(&busy, 2000, 0.75);

    let mut busy = blocked();
    for left in (0..3).rev() {
        assert_capacity(&busy, 2000, 0.25);
        let GetOutcome::Got(got) = busy.state.get(true, Waker::noop(), &mut busy.fx) else {
            panic!("it is there");
        };
        assert_eq!(got.left, left);
    }
    assert_capacity(&busy, 2000, 0.75);

    let mut busy = blocked();
    busy.state.cancel(busy.handle, &mut busy.fx);
    assert_capacity(&busy, 2000, 0.75);
}

#[test]
fn queue_is_free_when_another_consumer_comes() {
    let mut busy = blocked();
    let other = Arc::new(Outbox::new(OutboxLimits { events_max: 100, bytes_max: 100 * MIB }));
    let handle = busy.state.add_consumer(consumer(&other, &busy.window), false);
    busy.state.resume(handle, &mut busy.fx);
    assert_eq!(busy.state.counts().ready, 0);
    assert_capacity(&busy, 2000, 0.75);
}
