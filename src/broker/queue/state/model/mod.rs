//! Random work on a queue and on a plain reference of it, which must agree after every step.
//!
//! * `reference`: what a queue is to do, as one list that is searched from end to end.
//! * `steps`: what may happen, and to what queues.
//! * `bench`: everybody around the queue, who does each step to both: its `clients`, and what its
//!   `sections` leave to others.
//! * `stored`: a store without threads, pages or files.
//! * `checks`: what must hold then: counts, order, deaths and their reasons, confirms, what is
//!   durable, and that nobody waits in vain.
//!
//! Budgets are so small that messages leave memory and come back all the time; where none may
//! leave, everything is to happen at once.

mod bench;
mod checks;
mod clients;
mod reference;
mod sections;
mod steps;
mod stored;

use proptest::prelude::*;

use super::*;
use crate::broker::{outbox::OutboxLimits, queue::Cause};
use bench::Bench;
use reference::{Kind, Rules};
use steps::{Setup, Step, setup, step};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn behaves_as_its_model(setup in setup(), steps in prop::collection::vec(step(), 1..150)) {
        run(&setup, &steps);
    }
}

fn run(setup: &Setup, steps: &[Step]) {
    let mut bench = Bench::new(setup);
    for step in steps {
        bench.step(step);
    }
    bench.run_dry();
}

const KIND: Kind = Kind {
    is_durable: true,
    is_quorum: false,
    priority_max: 0,
    is_single_active: false,
    has_dead_letters: true,
    keeps_letters: false,
    is_paging: true,
};

/// A queue with a budget of 100 bytes, and outboxes that have room for one delivery each.
fn tight() -> Setup {
    Setup {
        kind: KIND,
        rules: Rules::default(),
        queue_max: 100,
        limits: OutboxLimits { events_max: 1, bytes_max: 100 },
        is_prompt: true,
    }
}

fn publish(size: usize) -> Step {
    Step::Publish { is_persistent: true, size, priority: None, lifetime: None }
}

fn subscribe(prefetch: u32) -> Step {
    Step::Subscribe { on: 0, no_ack: false, prefetch, priority: 0 }
}

fn back(cause: Cause, are_held: bool) -> Step {
    Step::Return { picks: vec![(0, cause)], are_held }
}

const GET: Step = Step::Get { no_ack: false };

#[test]
fn message_that_came_back_does_not_take_unacked_ones_behind_it_into_the_run() {
    // The first and the second are taken, the third is in the outbox, when the first comes back.
    let mut steps = vec![subscribe(0), publish(200), Step::Drain(0)];
    steps.extend([publish(8), Step::Drain(0), publish(8), back(Cause::Requeued, true)]);
    steps.extend([publish(8), Step::Drain(0), Step::Read(0), Step::Drain(0)]);
    run(&tight(), &steps);
}

#[test]
fn get_that_waits_for_the_store_takes_what_came_back_meanwhile() {
    let mut steps = vec![GET, publish(8), publish(200), publish(200)];
    steps.extend([GET, GET, back(Cause::Requeued, true)]);
    run(&tight(), &steps);
}

#[test]
fn get_that_waits_for_the_store_takes_what_has_waited_long_enough() {
    let rules = Rules { retry: Some((1, 1)), ..Rules::default() };
    let setup = Setup { rules, queue_max: 952, ..tight() };
    let mut steps = vec![publish(900), publish(8), GET, back(Cause::Requeued, true)];
    steps.extend([GET, Step::Pass(1)]);
    run(&setup, &steps);
}

#[test]
fn consumers_and_gets_do_not_wait_for_what_cannot_be_read() {
    let mut bench = Bench::new(&tight());
    for step in [publish(200), subscribe(0), Step::Resume(0), GET, Step::FailRead] {
        bench.step(&step);
    }
    assert!(bench.getters[0].is_set());
    let persistent = Amount { messages: 1, bytes: 200 };
    let expected = Counts { ready: 1, ready_bytes: 200, persistent, ..Counts::default() };
    assert_eq!(bench.state.counts(), expected);
    bench.links[0].outbox.look(|events, _| {
        assert!(matches!(events, [Event::Cancelled { slot: 0 }]));
    });
    let outcome = bench.state.get(true, Waker::noop(), &mut Effects::default());
    assert!(matches!(outcome, GetOutcome::Unreadable));
    bench.run_dry();
}

#[test]
fn message_of_a_higher_priority_does_not_wait_for_a_lower_one_to_be_read() {
    let setup = Setup { kind: Kind { priority_max: 1, ..KIND }, ..tight() };
    let high = Step::Publish { is_persistent: true, size: 8, priority: Some(1), lifetime: None };
    for taker in [vec![subscribe(0), Step::Resume(0)], vec![GET]] {
        let mut steps = vec![publish(200)];
        steps.extend(taker);
        steps.push(high.clone());
        run(&setup, &steps);
    }
}

// QU-120
#[test]
fn message_that_is_kept_for_its_letter_is_not_read_as_one_that_is_ready() {
    let kind = Kind { is_quorum: true, priority_max: 31, keeps_letters: true, ..KIND };
    let setup = Setup { kind, ..tight() };
    let mortal = Step::Publish { is_persistent: true, size: 49, priority: None, lifetime: Some(1) };
    let mut steps = vec![Step::Route(false), publish(49), publish(8), publish(8), mortal];
    steps.extend([publish(8), publish(8), Step::Pass(1), Step::Read(0), Step::Read(0)]);
    run(&setup, &[steps, vec![subscribe(0)]].concat());
}

// QU-106, QU-120
#[test]
fn message_without_a_moment_to_live_is_stored_if_it_stays_for_its_letter() {
    let kind = Kind { is_quorum: true, priority_max: 31, keeps_letters: true, ..KIND };
    let dead = Step::Publish { is_persistent: true, size: 8, priority: None, lifetime: Some(0) };
    run(&Setup { kind, ..tight() }, &[Step::Route(false), dead, Step::Crash]);
}

// QU-120
#[test]
fn letter_of_a_message_deep_in_the_store_is_tried_again_after_a_restart() {
    let kind = Kind { is_quorum: true, priority_max: 31, keeps_letters: true, ..KIND };
    let last = Step::Return { picks: vec![(2, Cause::Refused)], are_held: true };
    let mut steps = vec![Step::Route(false), publish(900), publish(900), publish(8)];
    steps.extend([GET, Step::Read(0), GET, Step::Read(0), GET, Step::Read(0), GET, last]);
    run(&Setup { kind, ..tight() }, &[steps, vec![Step::Crash]].concat());
}

#[test]
fn message_that_waited_over_a_restart_stays_behind_one_that_did_not_come_back() {
    let rules = Rules { retry: Some((1, 1)), ..Rules::default() };
    let setup = Setup { rules, queue_max: 218, ..tight() };
    let second = Step::Return { picks: vec![(1, Cause::Requeued)], are_held: true };
    let before = [publish(8), publish(8), GET, GET, second, Step::Crash];
    run(&setup, &[&before[..], &[Step::Read(0), Step::Pass(1), GET]].concat());
}

/// A queue of which nothing leaves memory.
fn roomy(rules: Rules) -> Setup {
    let limits = OutboxLimits { events_max: 100, bytes_max: 100_000 };
    Setup { kind: Kind { is_paging: false, ..KIND }, rules, limits, ..tight() }
}

// QU-109, PO-053
#[test]
fn message_expires_behind_those_that_a_queue_took_under_another_ttl() {
    for before in [None, Some(1000)] {
        let setup = roomy(Rules { ttl: before, ..Rules::default() });
        let after = Step::Apply(Rules { ttl: Some(10), ..Rules::default() });
        run(&setup, &[publish(8), after, publish(8), Step::Pass(10)]);
    }
}

#[test]
fn message_expires_that_becomes_the_first_when_those_in_the_store_have() {
    let rules = Rules { ttl: Some(1), ..Rules::default() };
    let kind = Kind { is_durable: false, ..KIND };
    let setup = Setup { kind, rules, queue_max: 204, ..tight() };
    run(&setup, &[900, 900, 153, 8].map(publish));
}

// BA-244
#[test]
fn letter_of_a_message_that_is_in_the_store_alone_says_that_it_was_delivered() {
    let failing = Rules { delivery_limit: Some(0), ..Rules::default() };
    for (rules, cause) in [(Rules::default(), Cause::Refused), (failing, Cause::Failed)] {
        run(&Setup { rules, ..tight() }, &[publish(8), GET, back(cause, false)]);
    }
}
