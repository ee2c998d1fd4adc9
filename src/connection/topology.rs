//! `exchange.*` and `queue.*`: from methods to the vhost, and the replies, which leave when what
//! they promise is durable (R6).

use std::sync::Arc;

use super::{
    Session,
    error::{Code, Failure, Ids},
    reply_to,
};
use crate::{
    auth::Permission,
    broker::{
        self, Kind, Vhost,
        arguments::{self, ALTERNATE_EXCHANGE, DEAD_LETTER_EXCHANGE, QueueSpec, with_queue_type},
        queue::Queue,
        topology::{Destination, ExchangeSpec, check_deletable, check_new_name, strip_cr_lf},
        vhost::{DeclaredBy, DeclaredQueue},
    },
    names::{ChannelId, CommitSeq, Name},
    wire::{
        method::{AMQPClass, exchange, queue, short_string},
        table::Value,
    },
};

impl Session {
    pub(super) fn exchange(
        &mut self,
        id: ChannelId,
        method: &exchange::AMQPMethod,
        ids: Ids,
    ) -> Result<(), Failure> {
        use exchange::AMQPMethod as M;
        let (needed, nowait, ok) = match method {
            M::Declare(declare) => (
                self.exchange_declare(declare, ids)?,
                declare.nowait,
                M::DeclareOk(exchange::DeclareOk {}),
            ),
            M::Delete(delete) => {
                let name = strip_cr_lf(delete.exchange.as_str());
                self.checked(check_deletable(&name), ids)?;
                self.check(Permission::Configure, Kind::Exchange, &name, ids)?;
                let needed = self.vhost.delete_exchange(&name, delete.if_unused);
                (self.checked(needed, ids)?, delete.nowait, M::DeleteOk(exchange::DeleteOk {}))
            }
            M::Bind(bind) => {
                let source = strip_cr_lf(bind.source.as_str());
                let destination =
                    Destination::Exchange(strip_cr_lf(bind.destination.as_str()).into());
                let key = bind.routing_key.as_str().as_bytes();
                self.check_binding(&source, &destination, key, ids)?;
                let needed =
                    self.vhost.bind(&source, &destination, key, &bind.arguments, &mut self.fx);
                (self.checked(needed, ids)?, bind.nowait, M::BindOk(exchange::BindOk {}))
            }
            M::Unbind(unbind) => {
                let source = strip_cr_lf(unbind.source.as_str());
                let destination =
                    Destination::Exchange(strip_cr_lf(unbind.destination.as_str()).into());
                let key = unbind.routing_key.as_str().as_bytes();
                self.check_binding(&source, &destination, key, ids)?;
                let needed = self.vhost.unbind(&source, &destination, key, &unbind.arguments);
                (self.checked(needed, ids)?, unbind.nowait, M::UnbindOk(exchange::UnbindOk {}))
            }
            _ => return Err(Code::CommandInvalid.failure(ids, "unimplemented method")),
        };
        self.promise(id, needed, nowait, &AMQPClass::Exchange(ok));
        Ok(())
    }

    fn checked<T>(&self, result: Result<T, broker::Error>, ids: Ids) -> Result<T, Failure> {
        result.map_err(|error| self.refused(&error, ids))
    }

    /// Sends a reply that is true once the store has reached `needed`.
    fn promise(&mut self, id: ChannelId, needed: CommitSeq, nowait: bool, ok: &AMQPClass) {
        if !nowait {
            self.out.hold_until(needed);
            self.reply(id, ok);
        }
    }

    fn exchange_declare(
        &mut self,
        declare: &exchange::Declare,
        ids: Ids,
    ) -> Result<CommitSeq, Failure> {
        let name = strip_cr_lf(declare.exchange.as_str());
        if declare.passive {
            self.check_not_default(&[&name], ids)?;
            self.check_any(Kind::Exchange, &name, ids)?;
            let found = self.vhost.topology().check_exchange(&name).map(|_| CommitSeq(0));
            return self.checked(found, ids);
        }
        let spec = ExchangeSpec {
            type_name: declare.kind.as_str().to_owned(),
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: declare.arguments.clone(),
        };
        let made = broker::exchange::make(&spec.type_name, &spec.arguments).map(drop);
        self.checked(made, ids)?;
        self.check_not_default(&[&name], ids)?;
        self.check(Permission::Configure, Kind::Exchange, &name, ids)?;
        let declared = match self.check_new_exchange(&name, &spec, ids) {
            Ok(()) => self.vhost.declare_exchange(&name, spec),
            // What must not be made anew may still be there already.
            Err(refusal) => match self.vhost.redeclare_exchange(&name, &spec) {
                Some(equivalence) => equivalence.map(|()| CommitSeq(0)),
                None => return Err(refusal),
            },
        };
        self.checked(declared, ids)
    }

    /// Whether an exchange that is not there may be made (PO-011).
    fn check_new_exchange(
        &mut self,
        name: &str,
        spec: &ExchangeSpec,
        ids: Ids,
    ) -> Result<(), Failure> {
        let Some(alternate) = spec.arguments.inner().get(ALTERNATE_EXCHANGE) else { return Ok(()) };
        self.checked(check_new_name(Kind::Exchange, name), ids)?;
        let is_name =
            arguments::exchange_name(Kind::Exchange, name, &spec.arguments, ALTERNATE_EXCHANGE);
        self.checked(is_name, ids)?;
        let alternate = text_of(alternate);
        self.check(Permission::Read, Kind::Exchange, name, ids)?;
        self.check(Permission::Write, Kind::Exchange, &alternate, ids)
    }

    fn check_not_default(&self, exchanges: &[&str], ids: Ids) -> Result<(), Failure> {
        if exchanges.contains(&"") {
            return Err(self.refused(&broker::Error::DefaultExchange, ids));
        }
        Ok(())
    }

    /// Whether the user may bind and unbind these, in RabbitMQ's order (PO-014, PO-019, PO-022).
    fn check_binding(
        &mut self,
        source: &str,
        destination: &Destination,
        key: &[u8],
        ids: Ids,
    ) -> Result<(), Failure> {
        match destination {
            Destination::Queue(name) => {
                self.check(Permission::Write, Kind::Queue, name, ids)?;
                self.check_not_default(&[source], ids)?;
            }
            Destination::Exchange(name) => {
                self.check(Permission::Write, Kind::Exchange, name, ids)?;
                self.check_not_default(&[source, name], ids)?;
            }
        }
        self.check(Permission::Read, Kind::Exchange, source, ids)?;
        self.check_topic(Permission::Read, source, key, ids)
    }

    pub(super) fn queue(
        &mut self,
        id: ChannelId,
        method: &queue::AMQPMethod,
        ids: Ids,
    ) -> Result<(), Failure> {
        use queue::AMQPMethod as M;
        match method {
            M::Declare(declare) => self.queue_declare(id, declare, ids),
            M::Delete(delete) => self.queue_delete(id, delete, ids),
            M::Purge(purge) => self.queue_purge(id, purge, ids),
            M::Bind(bind) => {
                let (queue, key) =
                    self.queue_and_key(id, bind.queue.as_str(), bind.routing_key.as_str(), ids)?;
                let source = strip_cr_lf(bind.exchange.as_str());
                let destination = Destination::Queue(queue.clone());
                self.check_binding(&source, &destination, key.as_bytes(), ids)?;
                self.check_binding_ends(&source, &queue, ids)?;
                let arguments = &bind.arguments;
                let needed =
                    self.vhost.bind(&source, &destination, key.as_bytes(), arguments, &mut self.fx);
                let needed = self.checked(needed, ids)?;
                let ok = AMQPClass::Queue(M::BindOk(queue::BindOk {}));
                self.promise(id, needed, bind.nowait, &ok);
                Ok(())
            }
            M::Unbind(unbind) => {
                let (queue, key) = self.queue_and_key(
                    id,
                    unbind.queue.as_str(),
                    unbind.routing_key.as_str(),
                    ids,
                )?;
                let source = strip_cr_lf(unbind.exchange.as_str());
                let destination = Destination::Queue(queue.clone());
                self.check_binding(&source, &destination, key.as_bytes(), ids)?;
                let found = self.vhost.queue(&queue, self.id);
                // What is not there is unbound already (EX-043), what is another's stays (EX-046).
                if let Err(error @ broker::Error::Locked { .. }) = found
                    && self.vhost.topology().is_bound(
                        &source,
                        &destination,
                        key.as_bytes(),
                        &unbind.arguments,
                    )
                {
                    return Err(self.refused(&error, ids));
                }
                let needed =
                    self.vhost.unbind(&source, &destination, key.as_bytes(), &unbind.arguments);
                let needed = self.checked(needed, ids)?;
                let ok = AMQPClass::Queue(M::UnbindOk(queue::UnbindOk {}));
                self.promise(id, needed, false, &ok);
                Ok(())
            }
            _ => Err(Code::CommandInvalid.failure(ids, "unimplemented method")),
        }
    }

    /// Another connection's exclusive queue cannot be bound (EX-046); a missing exchange is found
    /// first (EX-042).
    fn check_binding_ends(&self, source: &str, queue: &str, ids: Ids) -> Result<(), Failure> {
        if source.is_empty() || self.vhost.topology().exchange(source).is_none() {
            return Ok(());
        }
        self.checked(self.vhost.queue(queue, self.id), ids).map(|_| ())
    }

    /// The queue that a name means: an empty one is the channel's last declared (CH-020).
    pub(super) fn queue_name(
        &mut self,
        id: ChannelId,
        name: &str,
        ids: Ids,
    ) -> Result<Name, Failure> {
        if !name.is_empty() {
            return Ok(strip_cr_lf(name).into());
        }
        self.channel_mut(id)
            .and_then(|channel| channel.last_queue.clone())
            .ok_or_else(|| Code::NotFound.failure(ids, "no previously declared queue"))
    }

    /// Where both name and key are empty, both are the last declared queue's name (CH-021).
    fn queue_and_key(
        &mut self,
        id: ChannelId,
        name: &str,
        key: &str,
        ids: Ids,
    ) -> Result<(Name, String), Failure> {
        let queue = self.queue_name(id, name, ids)?;
        reply_to::check_not_reply(&queue, ids)?;
        let key = match (name, key) {
            ("", "") => queue.as_str().to_owned(),
            (_, key) => key.to_owned(),
        };
        Ok((queue, key))
    }

    fn queue_declare(
        &mut self,
        id: ChannelId,
        declare: &queue::Declare,
        ids: Ids,
    ) -> Result<(), Failure> {
        let given = strip_cr_lf(declare.queue.as_str());
        if given == reply_to::NAME || reply_to::is_reply_name(given.as_bytes()) {
            return self.declare_reply_queue(id, &given, declare.nowait, ids);
        }
        let (queue, needed) = if declare.passive {
            self.check_any(Kind::Queue, &given, ids)?;
            (self.checked(self.vhost.queue(&given, self.id), ids)?, CommitSeq(0))
        } else {
            let DeclaredQueue { queue, needed } = self.declare(&given, declare, ids)?;
            (queue, needed)
        };
        if let Some(channel) = self.channel_mut(id) {
            channel.last_queue = Some(queue.name.clone());
        }
        queue.touch(&mut self.fx);
        let counts = queue.counts();
        let ok = queue::DeclareOk {
            queue: short_string(&queue.name),
            message_count: u32::try_from(counts.ready).unwrap_or(u32::MAX),
            consumer_count: u32::try_from(counts.consumers).unwrap_or(u32::MAX),
        };
        let ok = AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok));
        self.promise(id, needed, declare.nowait, &ok);
        Ok(())
    }

    fn declare(
        &mut self,
        given: &str,
        declare: &queue::Declare,
        ids: Ids,
    ) -> Result<DeclaredQueue, Failure> {
        let gave_name = given.is_empty();
        let name = if gave_name { self.generated("amq.gen-") } else { given.to_owned() };
        if !gave_name {
            self.checked(check_new_name(Kind::Queue, &name), ids)?;
        }
        self.check(Permission::Configure, Kind::Queue, &name, ids)?;
        let owner = declare.exclusive.then_some(self.id);
        let (is_exclusive, is_auto_delete) = (declare.exclusive, declare.auto_delete);
        let default_type =
            self.vhost.default_queue_type(declare.durable, is_exclusive, is_auto_delete);
        let spec = QueueSpec {
            // QU-009: an exclusive queue is never durable.
            durable: declare.durable && !declare.exclusive,
            auto_delete: declare.auto_delete,
            arguments: with_queue_type(declare.arguments.clone(), default_type),
        };
        let permitted = self.check_new_queue(&name, &spec, ids);
        let by = DeclaredBy {
            connection: self.id,
            user: self.user.clone(),
            gave_name,
            may_create: permitted.is_ok(),
        };
        let declared = match (self.vhost.declare_queue(&name, spec, owner, &by), permitted) {
            (Err(broker::Error::NotFound { .. }), Err(refusal)) => return Err(refusal),
            (declared, _) => self.checked(declared, ids)?,
        };
        let queue = &declared.queue;
        if owner.is_some() && !self.exclusive.iter().any(|known| Arc::ptr_eq(known, queue)) {
            self.exclusive.push(Arc::clone(queue));
        }
        Ok(declared)
    }

    /// Whether a queue that is not there may be made (PO-016).
    fn check_new_queue(&mut self, name: &str, spec: &QueueSpec, ids: Ids) -> Result<(), Failure> {
        let argument = spec.arguments.inner().get(DEAD_LETTER_EXCHANGE);
        let Some(dead_letter_exchange) = argument else { return Ok(()) };
        let is_name =
            arguments::exchange_name(Kind::Queue, name, &spec.arguments, DEAD_LETTER_EXCHANGE);
        self.checked(is_name, ids)?;
        let dead_letter_exchange = text_of(dead_letter_exchange);
        self.check(Permission::Read, Kind::Queue, name, ids)?;
        self.check(Permission::Write, Kind::Exchange, &dead_letter_exchange, ids)
    }

    fn queue_delete(
        &mut self,
        id: ChannelId,
        delete: &queue::Delete,
        ids: Ids,
    ) -> Result<(), Failure> {
        let name = self.queue_name(id, delete.queue.as_str(), ids)?;
        self.check(Permission::Configure, Kind::Queue, &name, ids)?;
        let (count, needed) = match self.vhost.queue(&name, self.id) {
            Ok(queue) => self.delete_found(&queue, delete, ids)?,
            // QU-080: one that is not there is deleted already.
            Err(broker::Error::NotFound { .. }) => (0, CommitSeq(0)),
            Err(error) => return Err(self.refused(&error, ids)),
        };
        let message_count = u32::try_from(count).unwrap_or(u32::MAX);
        let ok = queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count });
        self.promise(id, needed, delete.nowait, &AMQPClass::Queue(ok));
        Ok(())
    }

    fn delete_found(
        &mut self,
        queue: &Arc<Queue>,
        delete: &queue::Delete,
        ids: Ids,
    ) -> Result<(u64, CommitSeq), Failure> {
        let (if_unused, if_empty) = (delete.if_unused, delete.if_empty);
        self.checked(Vhost::check_conditions(queue, if_unused, if_empty), ids)?;
        let deleted = self.vhost.delete_queue(queue, if_unused, if_empty, &mut self.fx);
        let deleted = self.checked(deleted, ids)?;
        self.exclusive.retain(|known| !Arc::ptr_eq(known, queue));
        Ok(deleted)
    }

    fn queue_purge(
        &mut self,
        id: ChannelId,
        purge: &queue::Purge,
        ids: Ids,
    ) -> Result<(), Failure> {
        let name = self.queue_name(id, purge.queue.as_str(), ids)?;
        self.check(Permission::Read, Kind::Queue, &name, ids)?;
        let queue = self.checked(self.vhost.queue(&name, self.id), ids)?;
        let count = queue.purge(&mut self.fx);
        let message_count = u32::try_from(count).unwrap_or(u32::MAX);
        let ok = queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count });
        self.promise(id, CommitSeq(0), purge.nowait, &AMQPClass::Queue(ok));
        Ok(())
    }
}

/// The name in an argument that is one.
fn text_of(value: &Value) -> String {
    match value {
        Value::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        _ => String::new(),
    }
}
