//! What may happen to a queue, and the queues it may happen to.

use proptest::prelude::*;

use super::reference::{Kind, Rules};
use crate::broker::{
    outbox::OutboxLimits,
    queue::{Cause, Overflow},
};

pub(super) const CONNECTIONS: usize = 3;
/// Milliseconds that a message lives at the most.
const LIFETIME_MAX: u64 = 300;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Publish {
        is_persistent: bool,
        size: usize,
        priority: Option<u8>,
        /// Milliseconds that it says it lives.
        lifetime: Option<u64>,
    },
    /// Time passes, and whoever waited for that is called.
    Pass(u64),
    Subscribe {
        on: usize,
        no_ack: bool,
        prefetch: u32,
        priority: i32,
    },
    /// The first resume of a consumer, or one more.
    Resume(u16),
    Cancel(u16),
    Settle(Vec<u16>),
    /// Some come back, without those messages that the store holds, or with all.
    Return {
        picks: Vec<(u16, Cause)>,
        are_held: bool,
    },
    Get {
        no_ack: bool,
    },
    Purge,
    /// A connection takes what is in its outbox and resumes who found no room.
    Drain(usize),
    /// A channel closes, or its connection dies: consumers end, everything comes back.
    Abandon(usize),
    SetLimit(usize, u32),
    /// The store answers its oldest read, as of one of the moments when it might; or what an
    /// answer ended is settled.
    Read(u16),
    /// The store fails to answer its oldest read.
    FailRead,
    /// A policy gives the queue other rules.
    Apply(Rules),
    /// From now on dead letters have somewhere to go, or have not.
    Route(bool),
    /// The process is killed, with everything written that it submitted, and another one begins.
    Crash,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let on = 0..CONNECTIONS;
    let some = || prop::collection::vec(any::<u16>(), 1..6);
    let returned = prop::collection::vec((any::<u16>(), cause()), 1..6);
    prop_oneof![
        30 => publish(),
        6 => below(100).prop_map(Step::Pass),
        4 => (on.clone(), prop::bool::weighted(0.2), 0u32..4, 0i32..2).prop_map(
            |(on, no_ack, prefetch, priority)| Step::Subscribe { on, no_ack, prefetch, priority }
        ),
        4 => any::<u16>().prop_map(Step::Resume),
        1 => any::<u16>().prop_map(Step::Cancel),
        8 => some().prop_map(Step::Settle),
        12 => (returned, any::<bool>())
            .prop_map(|(picks, are_held)| Step::Return { picks, are_held }),
        8 => any::<bool>().prop_map(|no_ack| Step::Get { no_ack }),
        1 => Just(Step::Purge),
        10 => on.clone().prop_map(Step::Drain),
        1 => on.clone().prop_map(Step::Abandon),
        1 => (on, 0u32..5).prop_map(|(on, limit)| Step::SetLimit(on, limit)),
        12 => any::<u16>().prop_map(Step::Read),
        1 => Just(Step::FailRead),
        1 => rules().prop_map(Step::Apply),
        1 => any::<bool>().prop_map(Step::Route),
        1 => Just(Step::Crash),
    ]
}

/// A number below this one, often a round one, so that sums of some are equal to others.
fn below(max: u64) -> impl Strategy<Value = u64> {
    prop_oneof![0..max, (0..max / 50).prop_map(|number| 50 * number)]
}

fn publish() -> impl Strategy<Value = Step> {
    let lifetime = prop_oneof![6 => Just(None), 2 => below(LIFETIME_MAX).prop_map(Some)];
    let priority = prop_oneof![2 => Just(None), 1 => (0u8..6).prop_map(Some)];
    let size = prop_oneof![8usize..200, Just(50), Just(900)];
    (any::<bool>(), size, priority, lifetime).prop_map(
        |(is_persistent, size, priority, lifetime)| Step::Publish {
            is_persistent,
            size,
            priority,
            lifetime,
        },
    )
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        4 => Just(Cause::Requeued),
        3 => Just(Cause::Failed),
        1 => Just(Cause::Shown),
        3 => Just(Cause::Refused),
    ]
}

#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) kind: Kind,
    pub(super) rules: Rules,
    /// Bytes that a queue that pages keeps in memory.
    pub(super) queue_max: usize,
    pub(super) limits: OutboxLimits,
    /// Whether whoever waits for a moment is called when it comes, and not some time after.
    pub(super) is_prompt: bool,
}

pub(super) fn setup() -> impl Strategy<Value = Setup> {
    let limits = (1usize..5, 100usize..1000)
        .prop_map(|(events_max, bytes_max)| OutboxLimits { events_max, bytes_max });
    (kind(), rules(), 100usize..1500, limits, any::<bool>()).prop_map(
        |(kind, rules, queue_max, limits, is_prompt)| Setup {
            kind,
            rules,
            queue_max,
            limits,
            is_prompt: is_prompt || !kind.has_dead_letters,
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    let priority_max = prop_oneof![2 => Just(0u8), 1 => Just(3)];
    let is_often = || prop::bool::weighted(0.7);
    (
        prop::bool::weighted(0.3),
        any::<bool>(),
        priority_max,
        prop::bool::weighted(0.2),
        is_often(),
        is_often(),
        any::<bool>(),
    )
        .prop_map(|(is_quorum, is_durable, priority_max, is_single, letters, pages, keeps)| {
            Kind {
                is_quorum,
                is_durable: is_durable || is_quorum,
                priority_max: if is_quorum { 31 } else { priority_max },
                is_single_active: is_single,
                has_dead_letters: letters,
                keeps_letters: keeps && is_quorum && letters,
                is_paging: letters && pages,
            }
        })
}

fn rules() -> impl Strategy<Value = Rules> {
    let some = |max: u64| prop::option::weighted(0.3, below(max));
    let overflow = prop_oneof![
        2 => Just(Overflow::DropHead),
        1 => Just(Overflow::Reject),
        1 => Just(Overflow::RejectToDeadLetters),
    ];
    let retry = (1u64..80, 1u64..6).prop_map(|(delay, times)| (delay, delay * times));
    (
        some(LIFETIME_MAX),
        prop::option::weighted(0.3, 0u64..20),
        some(3000),
        overflow,
        prop::option::weighted(0.4, 0u32..4),
        prop::option::weighted(0.4, retry),
    )
        .prop_map(|(ttl, length_max, bytes_max, overflow, delivery_limit, retry)| Rules {
            ttl,
            length_max,
            bytes_max,
            overflow,
            delivery_limit,
            retry,
        })
}
