//! The clients of a queue: connections with their outboxes and windows, consumers on them, and the
//! deliveries that they have in hand.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use super::{
    bench::{Bench, at, number},
    steps::CONNECTIONS,
    *,
};
use crate::{
    broker::{
        outbox::{Outbox, OutboxLimits, Window},
        queue::Cause,
    },
    names::{ChannelId, ConnectionId},
};

#[derive(Debug)]
pub(super) struct Client {
    pub(super) on: usize,
    pub(super) handle: ConsumerHandle,
    pub(super) no_ack: bool,
    pub(super) prefetch: u32,
    pub(super) priority: i32,
    pub(super) is_started: bool,
    pub(super) is_cancelled: bool,
    pub(super) unacked: u32,
}

/// A delivery in a client's hands.
#[derive(Debug)]
pub(super) struct InHand {
    pub(super) number: usize,
    pub(super) position: Position,
    pub(super) client: Option<usize>,
    pub(super) message: Message,
    pub(super) standing: Standing,
    pub(super) is_stored: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) outbox: Arc<Outbox>,
    pub(super) window: Arc<Window>,
    pub(super) limit: u32,
    /// Events in the outbox that were looked at.
    pub(super) seen: usize,
}

impl Link {
    pub(super) fn new(limits: OutboxLimits) -> Self {
        let (outbox, window) = (Arc::new(Outbox::new(limits)), Arc::new(Window::new(0, 0)));
        Self { outbox, window, limit: 0, seen: 0 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Bench {
    pub(super) fn subscribe(&mut self, on: usize, no_ack: bool, prefetch: u32, priority: i32) {
        let link = &self.links[on];
        let consumer = Consumer {
            outbox: Arc::clone(&link.outbox),
            slot: self.clients.len() as u32,
            channel: ChannelId(1),
            connection: ConnectionId(1),
            tag: Arc::from(""),
            arguments: None,
            exclusive: false,
            no_ack,
            prefetch,
            window: Arc::clone(&link.window),
            priority,
        };
        let handle = self.state.add_consumer(consumer, false);
        self.clients.push(Client {
            on,
            handle,
            no_ack,
            prefetch,
            priority,
            is_started: false,
            is_cancelled: false,
            unacked: 0,
        });
        self.active = self.active.or(Some(self.clients.len() - 1));
    }

    pub(super) fn cancel(&mut self, client: usize) {
        self.clients[client].is_cancelled = true;
        if self.active == Some(client) {
            let there = self.clients.iter().enumerate().filter(|(_, client)| !client.is_cancelled);
            // The first of the highest priority.
            let next = there.rev().max_by_key(|(_, client)| client.priority);
            self.active = next.map(|(at, _)| at);
        }
        self.state.cancel(self.clients[client].handle, &mut self.fx);
        self.finish();
    }

    pub(super) fn pick(&mut self, pick: u16) -> Option<InHand> {
        at(pick, self.held.len()).map(|at| self.held.swap_remove(at))
    }

    pub(super) fn settle(&mut self, held: Vec<InHand>) {
        let mut settled = Vec::new();
        for held in &held {
            self.reference.settle(held.number);
            settled.push(Settled {
                position: held.position,
                consumer: held.client.map(|client| self.clients[client].handle),
                is_stored: held.is_stored,
                is_persistent: held.message.is_persistent(),
                body_bytes: held.message.body_len(),
            });
        }
        self.state.settle(&settled, &mut self.fx);
        self.give_back(held.into_iter().filter_map(|held| held.client).collect());
    }

    pub(super) fn take_back(&mut self, held: Vec<(InHand, Cause)>, are_held: bool) {
        let mut clients = Vec::new();
        let mut returned = Vec::new();
        for (held, cause) in held {
            self.reference.come_back(held.number, cause);
            clients.extend(held.client);
            returned.push(Returned {
                position: held.position,
                consumer: held.client.map(|client| self.clients[client].handle),
                message: {
                    let mut message = Held::Message(held.message);
                    if !are_held && held.is_stored && cause != Cause::Unseen {
                        message.leave_to_store();
                    }
                    message
                },
                standing: held.standing,
                is_stored: held.is_stored,
                cause,
            });
        }
        self.state.take_back(returned, &mut self.fx);
        self.give_back(clients);
    }

    /// Gives credit back, as connections do after the queue was told.
    pub(super) fn give_back(&mut self, clients: Vec<usize>) {
        let mut places = [0; CONNECTIONS];
        for client in clients {
            self.clients[client].unacked -= 1;
            places[self.clients[client].on] += 1;
        }
        self.finish();
        for (on, places) in places.into_iter().enumerate() {
            if self.links[on].window.give_back(places) {
                self.resume_all(on);
            }
        }
    }

    pub(super) fn resume_all(&mut self, on: usize) {
        let is_here = |client: &&Client| client.on == on;
        self.to_resume = self.clients.iter().filter(is_here).map(|c| c.handle).collect();
        while let Some(consumer) = self.to_resume.pop() {
            self.state.window_opened(consumer, &mut self.fx);
            self.finish();
        }
    }

    pub(super) fn get(&mut self, no_ack: bool) -> bool {
        let flag = Arc::new(Flag::default());
        let outcome = self.state.get(no_ack, &Waker::from(Arc::clone(&flag)), &mut self.fx);
        self.take_deaths(false);
        match outcome {
            GetOutcome::Got(got) => {
                let number = number(&got.message);
                self.check_delivered(number, &got.message, got.standing);
                self.handed_out.push(number);
                assert_eq!(got.left, self.reference.counts().ready - 1);
                let stat = if no_ack { Stat::GetNoAck } else { Stat::Get };
                self.reference.deliver(number, no_ack, stat);
                if !no_ack {
                    self.held.push(InHand {
                        number,
                        position: got.position,
                        client: None,
                        message: got.message,
                        standing: got.standing,
                        is_stored: got.is_stored,
                    });
                }
                return true;
            }
            GetOutcome::Empty => {
                assert_eq!(self.reference.counts().ready, 0);
                self.reference.counted[Stat::GetEmpty] += 1;
            }
            GetOutcome::Wait => self.getters.push(flag),
            GetOutcome::Unreadable => {
                assert!(!self.state.has_failed_gets, "it tries again");
                return self.get(no_ack);
            }
            GetOutcome::Gone => panic!("it is there"),
        }
        false
    }

    /// Takes the deliveries out of an outbox; returns those for consumers that acknowledge.
    pub(super) fn take_events(&mut self, on: usize) -> (Vec<InHand>, Vec<Stalled>) {
        let (mut events, mut stalled) = (VecDeque::new(), Vec::new());
        self.links[on].outbox.drain(&mut events, &mut stalled);
        assert_eq!(self.links[on].seen, events.len());
        self.links[on].seen = 0;
        let mut held = Vec::new();
        for event in events {
            let Event::Deliver(delivery) = event else { continue };
            let client = delivery.slot as usize;
            if !self.clients[client].no_ack {
                held.push(InHand {
                    number: number(&delivery.message),
                    position: delivery.position,
                    client: Some(client),
                    message: delivery.message,
                    standing: delivery.standing,
                    is_stored: delivery.is_stored,
                });
            }
        }
        (held, stalled)
    }

    pub(super) fn drain(&mut self, on: usize) {
        let (held, stalled) = self.take_events(on);
        self.held.extend(held);
        self.to_resume = stalled.into_iter().map(|stalled| stalled.consumer).collect();
        while let Some(consumer) = self.to_resume.pop() {
            self.state.resume(consumer, &mut self.fx);
            self.finish();
        }
    }

    pub(super) fn abandon(&mut self, on: usize) {
        for client in 0..self.clients.len() {
            if self.clients[client].on == on && !self.clients[client].is_cancelled {
                self.cancel(client);
            }
        }
        let clients = &self.clients;
        let is_here =
            |held: &mut InHand| held.client.is_some_and(|client| clients[client].on == on);
        let seen: Vec<_> = self.held.extract_if(.., is_here).collect();
        let (unseen, _) = self.take_events(on);
        let mut back: Vec<_> = seen.into_iter().map(|held| (held, Cause::Failed)).collect();
        back.extend(unseen.into_iter().map(|held| (held, Cause::Unseen)));
        self.take_back(back, true);
    }
}
