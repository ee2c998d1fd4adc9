//! What must hold after every step.

use std::collections::BTreeMap;

use super::{
    bench::number,
    clients::Client,
    reference::{End, Place, Reference},
    steps::CONNECTIONS,
    *,
};
use crate::{
    broker::{dead_letter::Reason, queue::Place as StorePlace},
    store::StoreOp,
};

impl Bench {
    /// A message left the queue: the right one, as it should?
    pub(super) fn check_delivered(&self, number: usize, message: &Message, standing: Standing) {
        let known = &self.reference.messages[number];
        assert_eq!(known.place, Place::Ready, "{number} was delivered");
        // QU-106: a consumer that waits gets what has no moment to live.
        let is_in_time = !self.reference.is_over(known) || self.arriving == Some(number);
        assert!(is_in_time, "{number} is over: {known:?}");
        assert_eq!(standing.returns, known.returns, "{number}");
        assert_eq!(standing.failures, known.failures, "{number}");
        assert_eq!(standing.expires_at, known.expires_at, "{number}");
        assert_eq!(message.body_len(), known.size);
        assert_eq!(message.is_persistent(), known.is_persistent);
    }

    /// Looks at what the queue put into outboxes since the last look.
    pub(super) fn look(&mut self) {
        let mut served = Vec::new();
        for on in 0..CONNECTIONS {
            let new = self.new_deliveries(on);
            let mut last = BTreeMap::new();
            for (client, message, standing) in new {
                let number = number(&message);
                self.check_delivered(number, &message, standing);
                assert!(!self.clients[client].is_cancelled, "delivered after cancel");
                let is_served = !self.reference.kind.is_single_active;
                assert!(is_served || self.active == Some(client), "it is not its turn");
                let rank = Some(self.reference.rank(number));
                let before = last.insert(client, rank);
                assert!(before < Some(rank), "{rank:?} came after {before:?}");
                self.handed_out.push(number);
                served.push(client);
                let no_ack = self.clients[client].no_ack;
                let stat = if no_ack { Stat::DeliverNoAck } else { Stat::Deliver };
                self.reference.deliver(number, no_ack, stat);
                self.clients[client].unacked += u32::from(!no_ack);
                self.check_credit(client);
            }
        }
        if let Some(lowest) = served.iter().map(|client| self.clients[*client].priority).min() {
            let is_above = |client: &&Client| client.priority > lowest;
            let above = self.clients.iter().filter(is_above).find(|c| self.may_have_more(c));
            assert!(above.is_none(), "{above:?} had to be served first");
        }
        let last = self.handed_out.drain(..).map(|number| self.reference.rank(number)).max();
        let first = self.reference.first_ready().map(|number| self.reference.rank(number));
        if let (Some(last), Some(first)) = (last, first) {
            assert!(last < first, "{last:?} was handed out before {first:?}");
        }
    }

    fn new_deliveries(&mut self, on: usize) -> Vec<(usize, Message, Standing)> {
        let link = &mut self.links[on];
        let delivery = |event: &Event| match event {
            Event::Deliver(d) => Some((d.slot as usize, d.message.clone(), d.standing)),
            _ => None,
        };
        let seen = std::mem::replace(&mut link.seen, link.outbox.look(|events, _| events.len()));
        link.outbox.look(|events, _| events[seen..].iter().filter_map(delivery).collect())
    }

    fn check_credit(&self, client: usize) {
        let Client { on, prefetch, unacked, no_ack, .. } = self.clients[client];
        assert!(no_ack || prefetch == 0 || unacked <= prefetch);
        let here = self.clients.iter().filter(|client| client.on == on);
        let (limit, used) = (self.links[on].limit, here.map(|client| client.unacked).sum::<u32>());
        assert!(no_ack || limit == 0 || used <= limit);
    }

    pub(super) fn may_have_more(&self, client: &Client) -> bool {
        let link = &self.links[client.on];
        let is_stalled = link
            .outbox
            .look(|_, stalled| stalled.iter().any(|stalled| stalled.consumer == client.handle))
            || self.to_resume.contains(&client.handle);
        let has_place = || {
            let has_place = link.window.try_take();
            link.window.give_back(has_place.into());
            has_place
        };
        let has_credit = client.no_ack
            || ((client.prefetch == 0 || client.unacked < client.prefetch) && has_place());
        let is_active = || {
            let active = self.active.map(|active| self.clients[active].handle);
            !self.reference.kind.is_single_active || active == Some(client.handle)
        };
        client.is_started && !client.is_cancelled && !is_stalled && has_credit && is_active()
    }

    pub(super) fn check(&mut self) {
        self.look();
        self.check_counts();
        self.check_nothing_overdue();
        self.check_liveness();
        self.check_store();
    }

    fn check_counts(&self) {
        let there = self.clients.iter().filter(|client| !client.is_cancelled);
        let expected = Counts { consumers: there.count(), ..self.reference.counts() };
        assert_eq!(self.state.counts(), expected);
        let Reference { kind, counted, deaths, .. } = &self.reference;
        let tally = &self.state.tally;
        assert_eq!(tally.messages, *counted);
        let of = |is_counted: bool| if is_counted { *deaths } else { [0; Reason::COUNT] };
        assert_eq!(tally.given_up, of(!kind.has_dead_letters));
        assert_eq!(tally.dead_lettered, of(kind.has_dead_letters && !kind.keeps_letters));
        assert_eq!(tally.kept_letters, of(kind.keeps_letters));
    }

    /// What must have happened has, or is about to.
    fn check_nothing_overdue(&self) {
        let reference = &self.reference;
        assert!(!reference.has_too_much() || self.is_coming() || self.is_troubled, "too much");
        let dying = reference.all(|known| matches!(known.place, Place::Dying(_)));
        assert_eq!(dying.len(), self.away.len(), "still to die: {dying:?}");
        if !reference.kind.is_paging && self.deadline > reference.time {
            let overdue =
                reference.all(|known| known.place == Place::Ready && reference.is_over(known));
            assert!(overdue.is_empty(), "their time has come: {overdue:?}");
        }
    }

    /// Whether the queue waits for the store to answer.
    fn is_coming(&self) -> bool {
        let is_asked_for = |asked: &PageIn| self.reads.iter().any(|read| read.id == asked.id);
        // When what has expired is settled, the queue goes on.
        self.is_settling() || self.state.reading.as_ref().is_some_and(is_asked_for)
    }

    /// A message that is ready waits for a consumer, or for the store, but not for nothing.
    fn check_liveness(&self) {
        let is_deliverable = |number: &usize| {
            let known = &self.reference.messages[*number];
            !self.reference.is_over(known)
        };
        let Some(first) = self.reference.first_ready().filter(is_deliverable) else { return };
        let is_wanted = self.clients.iter().any(|client| self.may_have_more(client))
            || self.getters.iter().any(|getter| !getter.is_set());
        let is_coming = self.is_settling() || (self.state.ready.is_paged() && self.is_coming());
        assert!(!is_wanted || is_coming, "{first} is forgotten");
    }

    fn check_store(&self) {
        let rows = self.stored.messages.values().map(|row| (number(&row.message), row.standing));
        let rows: BTreeMap<usize, Standing> = rows.collect();
        assert_eq!(rows.len(), self.stored.messages.len(), "stored twice");
        let late: Vec<usize> = self.late.iter().filter_map(|op| self.number_of(op)).collect();
        for (number, known) in self.reference.messages.iter().enumerate() {
            let stored = rows.get(&number);
            let is_there = !matches!(known.place, Place::Gone(_));
            if !is_there {
                let is_right = stored.is_none() || late.contains(&number);
                assert!(is_right, "{number} is still stored: {known:?}");
                continue;
            }
            assert!(stored.is_some() || !self.reference.is_kept(known), "{number} is not stored");
            let Some(standing) = stored else { continue };
            let Standing { expires_at, returns, failures, ready_at } = *standing;
            assert_eq!(expires_at, known.expires_at, "{number}");
            if let (true, Place::Kept(reason) | Place::Dying(reason)) =
                (known.was_kept, known.place)
            {
                // What counts is why it died, and whether it had been delivered.
                assert_eq!(ready_at, reason.ready_at(), "{number}");
                continue;
            }
            assert_eq!((returns, failures), (known.returns, known.failures), "{number}");
            if let Place::Waiting(due) = known.place {
                assert_eq!(ready_at, due, "{number}");
            }
        }
        for held in &self.held {
            let StorePlace { queue, position } = StorePlace::of(super::bench::QUEUE, held.position);
            let is_stored = self.stored.messages.contains_key(&(queue, position));
            assert_eq!(held.is_stored, is_stored, "{}", held.number);
        }
    }

    /// The message that an operation settles, if it is there still.
    fn number_of(&self, op: &StoreOp) -> Option<usize> {
        let StoreOp::Settle { queue, position } = op else { panic!("a settlement: {op:?}") };
        self.stored.messages.get(&(*queue, *position)).map(|row| number(&row.message))
    }

    /// Nothing is left, and everything went in one way: conservation.
    pub(super) fn check_end(&self) {
        for (number, known) in self.reference.messages.iter().enumerate() {
            let Place::Gone(end) = known.place else { panic!("{number} is left: {known:?}") };
            let letters = self.letters.get(&number).copied().unwrap_or(0);
            let has_letter = self.reference.kind.has_dead_letters && matches!(end, End::Died(_));
            assert_eq!(letters, u32::from(has_letter), "letters of {number}: {known:?}");
        }
        assert!(self.stored.messages.is_empty());
        assert_eq!(self.state.ready.resident_bytes(), 0);
        assert_eq!((self.state.waiting.len(), self.state.waiting.bytes()), (0, 0));
    }
}
