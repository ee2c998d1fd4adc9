use super::*;
use crate::broker::outbox::OutboxLimits;

fn consumer(slot: u32, prefetch: u32, priority: i32) -> Consumer {
    Consumer {
        outbox: Arc::new(Outbox::new(OutboxLimits { events_max: 1, bytes_max: 1 })),
        slot,
        channel: ChannelId(1),
        connection: ConnectionId(1),
        tag: Arc::from(""),
        arguments: None,
        exclusive: false,
        no_ack: false,
        prefetch,
        window: Arc::new(Window::new(0, 0)),
        priority,
    }
}

fn all<const N: usize>(priorities: [i32; N]) -> (Consumers, [ConsumerHandle; N]) {
    let mut consumers = Consumers::default();
    let mut slot = 0;
    let handles = priorities.map(|priority| {
        slot += 1;
        consumers.add(consumer(slot, 0, priority))
    });
    (consumers, handles)
}

fn next(consumers: &Consumers) -> Option<u32> {
    consumers.next().map(|(_, consumer)| consumer.slot)
}

/// Serves so many messages; to whom?
fn serve(consumers: &mut Consumers, count: usize) -> Vec<u32> {
    let mut served = Vec::new();
    for _ in 0..count {
        served.extend(next(consumers));
        consumers.served();
    }
    served
}

#[test]
fn equals_take_turns() {
    let (mut consumers, _) = all([0, 0, 0]);
    assert_eq!(serve(&mut consumers, 7), [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn higher_priorities_go_first_while_they_have_credit() {
    let mut consumers = Consumers::default();
    consumers.add(consumer(1, 0, -1));
    let high = consumers.add(consumer(2, 2, 5));
    consumers.add(consumer(3, 1, 5));
    consumers.add(consumer(4, 0, -1));
    assert_eq!(serve(&mut consumers, 6), [2, 3, 2, 1, 4, 1]);
    consumers.settled(high, 1);
    assert_eq!(serve(&mut consumers, 3), [2, 4, 1]);
}

#[test]
fn consumer_that_comes_back_goes_behind_its_equals() {
    let (mut consumers, handles) = all([1, 0, 0, 0]);
    assert_eq!(serve(&mut consumers, 1), [1]);
    consumers.step_aside(true);
    consumers.step_aside(true);
    assert_eq!(serve(&mut consumers, 1), [3]);
    consumers.resume(handles[1]);
    assert_eq!(serve(&mut consumers, 4), [4, 3, 2, 4]);
    consumers.resume(handles[0]);
    assert_eq!(serve(&mut consumers, 2), [1, 1]);
}

#[test]
fn consumer_out_of_credit_leaves_the_line_until_it_settles() {
    let mut consumers = Consumers::default();
    let handle = consumers.add(consumer(1, 3, 0));
    assert_eq!(serve(&mut consumers, 5), [1, 1, 1]);
    consumers.resume(handle);
    assert_eq!(next(&consumers), None, "resuming is no credit");
    consumers.settled(handle, 2);
    assert_eq!(serve(&mut consumers, 5), [1, 1]);
    // More is settled than was ever delivered: still no more credit than the prefetch.
    consumers.settled(handle, 10);
    assert_eq!(serve(&mut consumers, 5), [1, 1, 1]);
}

#[test]
fn consumer_without_acknowledgements_needs_no_credit() {
    let mut consumers = Consumers::default();
    consumers.add(Consumer { no_ack: true, ..consumer(1, 1, 0) });
    assert_eq!(serve(&mut consumers, 3), [1, 1, 1]);
}

#[test]
fn stalled_consumers_are_counted_until_they_come_back_or_go() {
    let (mut consumers, handles) = all([0, 0, 0]);
    assert!(!consumers.has_stalled());
    consumers.step_aside(true);
    consumers.step_aside(true);
    consumers.step_aside(false);
    assert_eq!(next(&consumers), None);
    consumers.resume(handles[0]);
    assert!(consumers.has_stalled());
    consumers.resume(handles[0]);
    assert!(consumers.has_stalled(), "one that is not stalled does not count twice");
    consumers.remove(handles[1]);
    assert!(!consumers.has_stalled());
    consumers.resume(handles[1]);
    consumers.resume(handles[2]);
    assert_eq!(serve(&mut consumers, 3), [1, 3, 1]);
}

#[test]
fn settling_does_not_bring_a_stalled_consumer_back() {
    let mut consumers = Consumers::default();
    let handle = consumers.add(consumer(1, 2, 0));
    assert_eq!(serve(&mut consumers, 1), [1]);
    consumers.step_aside(true);
    consumers.settled(handle, 1);
    assert_eq!(next(&consumers), None);
    assert!(consumers.has_stalled());
    consumers.resume(handle);
    assert_eq!(serve(&mut consumers, 3), [1, 1]);
}

#[test]
fn handles_of_the_gone_mean_nobody_when_their_slot_is_taken_again() {
    let (mut consumers, [first, _]) = all([0, 0]);
    assert_eq!(consumers.remove(first).map(|consumer| consumer.slot), Some(1));
    let again = consumers.add(consumer(9, 1, 7));
    assert_eq!(again.index, first.index);
    assert_ne!(again, first);
    assert!(consumers.remove(first).is_none());
    assert_eq!(serve(&mut consumers, 1), [9]);
    consumers.settled(first, 1);
    consumers.resume(first);
    assert_eq!(serve(&mut consumers, 2), [2, 2], "its credit is used up still");
    assert_eq!(consumers.len(), 2);
}

#[test]
fn cleared_consumers_are_gone_for_good() {
    let (mut consumers, [first, _]) = all([0, 0]);
    consumers.step_aside(true);
    assert_eq!(consumers.clear().len(), 2);
    assert_eq!(consumers.len(), 0);
    assert!(!consumers.has_stalled());
    consumers.resume(first);
    assert_eq!(next(&consumers), None);
    let new = consumers.add(consumer(3, 0, 0));
    assert_ne!(new, first);
    assert_eq!(serve(&mut consumers, 1), [3]);
}

mod line {
    //! The line against a list that is sorted anew for every message.

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Add(u32, i32),
        Remove(usize),
        Serve,
        Refuse(bool),
        Settle(usize),
        Resume(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u32..3, -1i32..2).prop_map(|(prefetch, priority)| Step::Add(prefetch, priority)),
            any::<usize>().prop_map(Step::Remove),
            Just(Step::Serve),
            Just(Step::Serve),
            any::<bool>().prop_map(Step::Refuse),
            any::<usize>().prop_map(Step::Settle),
            any::<usize>().prop_map(Step::Resume),
        ]
    }

    struct Known {
        handle: ConsumerHandle,
        slot: u32,
        prefetch: u32,
        priority: i32,
        unacked: u32,
        is_stalled: bool,
        /// When it joined the line, if it stands there.
        since: Option<u32>,
    }

    impl Known {
        fn join(&mut self, now: u32) {
            if self.since.is_none() && (self.prefetch == 0 || self.unacked < self.prefetch) {
                self.since = Some(now);
            }
        }
    }

    fn first(known: &mut [Known]) -> Option<&mut Known> {
        let line = known.iter_mut().filter(|known| known.since.is_some());
        line.min_by_key(|known| (-known.priority, known.since))
    }

    proptest! {
        #[test]
        fn is_sorted_by_priority_and_turn(steps in prop::collection::vec(step(), 1..200)) {
            let mut consumers = Consumers::default();
            let mut known: Vec<Known> = Vec::new();
            for (now, step) in (0..).zip(steps) {
                match step {
                    Step::Add(prefetch, priority) => known.push(Known {
                        handle: consumers.add(consumer(now, prefetch, priority)),
                        slot: now,
                        prefetch,
                        priority,
                        unacked: 0,
                        is_stalled: false,
                        since: Some(now),
                    }),
                    Step::Serve => {
                        consumers.served();
                        if let Some(first) = first(&mut known) {
                            first.unacked += 1;
                            first.since = None;
                            first.join(now);
                        }
                    }
                    Step::Refuse(is_stalled) => {
                        consumers.step_aside(is_stalled);
                        if let Some(first) = first(&mut known) {
                            first.since = None;
                            first.is_stalled = is_stalled;
                        }
                    }
                    Step::Remove(pick) | Step::Settle(pick) | Step::Resume(pick)
                        if !known.is_empty() =>
                    {
                        let at = pick % known.len();
                        let picked = &mut known[at];
                        match step {
                            Step::Remove(_) => {
                                prop_assert!(consumers.remove(picked.handle).is_some());
                                known.remove(at);
                            }
                            Step::Settle(_) => {
                                consumers.settled(picked.handle, 1);
                                picked.unacked = picked.unacked.saturating_sub(1);
                                if !picked.is_stalled {
                                    picked.join(now);
                                }
                            }
                            _ => {
                                consumers.resume(picked.handle);
                                picked.is_stalled = false;
                                picked.join(now);
                            }
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(next(&consumers), first(&mut known).map(|first| first.slot));
                prop_assert_eq!(consumers.has_stalled(), known.iter().any(|k| k.is_stalled));
                prop_assert_eq!(consumers.len(), known.len());
            }
        }
    }
}
