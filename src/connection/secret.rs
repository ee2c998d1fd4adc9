//! What a user is known by: another secret in place of the first, and its end.

use std::{sync::Arc, task::Poll, time::Duration};

use super::{
    Session, Stage,
    dispatch::Flow,
    error::{Code, Failure, Ids},
};
use crate::{
    auth::{Identity, Permission},
    clock::{self, Now},
    names::ChannelId,
    wire::method::connection,
};

impl Session {
    /// The user has logged in, or has another secret.
    pub(super) fn known_as(&mut self, identity: Identity) {
        let now = clock::unix_time();
        self.expires = identity
            .expires()
            .map(|time| clock::now().after(Duration::from_millis(time.0.saturating_sub(now.0))));
        self.user = identity.user.clone();
        self.identity = identity;
    }

    /// `connection.update-secret` (CN-140 to CN-142).
    pub(super) fn update_secret(
        &mut self,
        update: &connection::UpdateSecret,
        ids: Ids,
    ) -> Result<Flow, Failure> {
        let secret = String::from_utf8_lossy(update.new_secret.as_bytes());
        let (connection, user) = (self.id.0, self.user.clone());
        match self.context.auth.renew(&self.identity, &secret, &self.waker) {
            Poll::Pending => return Ok(Flow::Again),
            Poll::Ready(Ok(identity)) => self.known_as(identity),
            Poll::Ready(Err(error)) => {
                tracing::error!(connection, %user, "refused a new secret: the token {error}");
                let text = "New secret was refused by one of the backends";
                return Err(Code::NotAllowed.failure(ids, text));
            }
        }
        if self.identity.token.is_some() {
            tracing::info!(connection, %user, "the secret was updated");
            self.access.renewed();
            let vhost = self.vhost.name();
            if !self.access.enter(&self.identity, vhost) {
                let text = format_args!("access to vhost '{vhost}' refused for user '{user}'");
                return Err(Code::NotAllowed.failure(ids, text));
            }
            self.cancel_forbidden();
        }
        let ok = connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {});
        self.send_connection(ok);
        Ok(Flow::On)
    }

    /// Cancels the consumers whose queues the user may not read any more.
    fn cancel_forbidden(&mut self) {
        let consumers = self.sources.iter().filter(|(_, source)| source.handle.is_some());
        let consumers: Vec<_> =
            consumers.map(|(slot, source)| (slot, source.queue.name.clone())).collect();
        for (slot, queue) in consumers {
            if self.access.allows(Permission::Read, &queue) {
                continue;
            }
            let Some(source) = self.sources.get(slot) else { continue };
            let (id, tag) = (source.channel, Arc::clone(&source.tag));
            self.stop_consumer(slot);
            self.send_cancel(id, &tag);
        }
    }

    /// Ends the connection if the user's token has expired (CN-129).
    pub(super) fn end_expired(&mut self, now: Now) {
        if matches!(self.stage, Stage::Running) && self.expires.is_some_and(|at| now >= at) {
            self.expires = None;
            let close = Code::ConnectionForced.close((0, 0), "credential expired");
            self.close_connection(ChannelId(0), &close);
        }
    }
}
