//! `tx.*`: publishes and settlements that take effect together (BA-200 to BA-211).

use std::{mem, sync::Arc};

use super::{
    Session,
    channel::Mode,
    error::{Code, Failure, Ids},
    publish::Kept,
    settle::Verdict,
    unacked::Unacked,
};
use crate::{
    broker::queue::{Arrival, Published, Queue},
    message::Message,
    names::{ChannelId, CommitSeq, DeliveryTag},
    wire::method::{AMQPClass, tx},
};

/// A publish that waits for `tx.commit`; its queues were found when it was published (BA-210).
#[derive(Debug)]
pub(super) struct Buffered {
    pub(super) message: Message,
    pub(super) queues: Vec<Arc<Queue>>,
    pub(super) kept: Option<Kept>,
    pub(super) arrival: Arrival,
    pub(super) mandatory: bool,
}

/// What an open transaction holds.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) publishes: Vec<Buffered>,
    pub(super) settlements: Vec<(DeliveryTag, Unacked, Verdict)>,
}

impl Session {
    pub(super) fn tx(
        &mut self,
        channel: ChannelId,
        method: &tx::AMQPMethod,
        ids: Ids,
    ) -> Result<(), Failure> {
        match method {
            tx::AMQPMethod::Select(_) => self.tx_select(channel, ids),
            tx::AMQPMethod::Commit(_) => self.tx_commit(channel, ids),
            tx::AMQPMethod::Rollback(_) => self.tx_rollback(channel, ids),
            _ => Err(Code::CommandInvalid.failure(ids, "unimplemented method")),
        }
    }

    fn tx_select(&mut self, id: ChannelId, ids: Ids) -> Result<(), Failure> {
        let Some(channel) = self.channel_mut(id) else { return Ok(()) };
        match channel.mode {
            Mode::Confirm(_) => {
                return Err(
                    Code::PreconditionFailed.failure(ids, "cannot switch from confirm to tx mode")
                );
            }
            Mode::Plain => {
                channel.mode = Mode::Transaction(Transaction::default());
                channel.info.is_transactional.set(1);
            }
            Mode::Transaction(_) => {}
        }
        self.reply(id, &AMQPClass::Tx(tx::AMQPMethod::SelectOk(tx::SelectOk {})));
        Ok(())
    }

    fn take_transaction(&mut self, id: ChannelId, ids: Ids) -> Result<Transaction, Failure> {
        match self.channel_mut(id).map(|channel| (&mut channel.mode, &channel.info)) {
            Some((Mode::Transaction(transaction), info)) => {
                info.uncommitted.set(0);
                info.uncommitted_acks.set(0);
                Ok(mem::take(transaction))
            }
            _ => Err(Code::PreconditionFailed.failure(ids, "channel is not transactional")),
        }
    }

    fn tx_commit(&mut self, id: ChannelId, ids: Ids) -> Result<(), Failure> {
        let transaction = self.take_transaction(id, ids)?;
        let mut needed = CommitSeq(0);
        let mut is_refused = false;
        for publish in transaction.publishes {
            if publish.queues.is_empty() && publish.mandatory {
                self.return_unroutable(id, &publish.message);
            }
            let queues = publish.queues.len();
            let is_lost = queues == 0 && publish.kept.is_none();
            self.tell_publish(id, &publish.message, queues, is_lost, publish.mandatory);
            needed = needed.max(publish.kept.map_or(CommitSeq(0), |kept| kept.keep(&self.fx)));
            for queue in &publish.queues {
                let message = publish.message.clone();
                match queue.publish(message, publish.arrival, &mut self.fx) {
                    Published::Taken(seq) => needed = needed.max(seq),
                    Published::Refused => is_refused = true,
                    Published::Gone => {}
                }
            }
        }
        let mut returned = Vec::new();
        for (_, unacked, verdict) in transaction.settlements {
            match verdict {
                Verdict::Back(cause) => returned.push((unacked, cause)),
                Verdict::Ack => self.settle_one(id, unacked, verdict),
            }
        }
        needed = needed.max(self.flush_settlements());
        self.take_back(id, returned);
        if is_refused {
            // BA-204: what succeeded stays.
            return Err(Code::PreconditionFailed.failure(ids, "partial tx completion"));
        }
        self.out.hold_until(needed);
        self.reply(id, &AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {})));
        Ok(())
    }

    fn tx_rollback(&mut self, id: ChannelId, ids: Ids) -> Result<(), Failure> {
        let transaction = self.take_transaction(id, ids)?;
        let undone: Vec<_> =
            transaction.settlements.iter().map(|(tag, u, _)| (*tag, u.slot)).collect();
        if let Some(channel) = self.channel_mut(id) {
            let settlements = transaction.settlements.into_iter().map(|(tag, u, _)| (tag, u));
            channel.unacked.restore(settlements);
        }
        // Their time begins anew: it may be over, and it is not the client that let it pass.
        for (tag, slot) in undone {
            self.watch_ack(id, slot, tag);
        }
        self.reply(id, &AMQPClass::Tx(tx::AMQPMethod::RollbackOk(tx::RollbackOk {})));
        Ok(())
    }
}
