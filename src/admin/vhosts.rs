//! Vhosts.

use std::sync::Arc;

use super::{Admin, Error, checked_name};
use crate::{
    broker::{Metadata, Vhost, arguments::QueueType},
    names::{CommitSeq, Name},
};

impl Admin {
    /// Adds a vhost, with the exchanges that every vhost has and nobody's permissions; or says
    /// something else about the one of that name (PO-076).
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::VhostLimit`].
    pub fn put_vhost(&self, name: &str, metadata: Metadata) -> Result<CommitSeq, Error> {
        let name = checked_name(name)?;
        let _changing = self.changing();
        self.make_vhost(&name, metadata)
    }

    /// Makes the default vhost, if there is none at all.
    ///
    /// # Errors
    /// As [`Self::put_vhost`]'s.
    pub fn introduce_vhost(&self) -> Result<CommitSeq, Error> {
        if !self.broker.vhosts().is_empty() {
            return Ok(CommitSeq(0));
        }
        self.put_vhost(&self.config.default_vhost, Metadata::of_default_vhost())
    }

    /// Puts a vhost while nothing else is changed; a new one is given what the configuration has
    /// for it.
    pub(super) fn make_vhost(&self, name: &Name, metadata: Metadata) -> Result<CommitSeq, Error> {
        if self.broker.vhost(name).is_some() {
            return Ok(self.broker.put_vhost(name, metadata));
        }
        if let Some(limit) = self.config.vhosts_max
            && self.broker.vhosts().len() >= limit as usize
        {
            return Err(Error::VhostLimit(name.clone(), limit));
        }
        // With half of its limits it would be worse than not there.
        let _group = self.broker.store.group();
        self.broker.put_vhost(name, metadata);
        let vhost = self.vhost(name)?;
        self.give(&vhost)?;
        Ok(self.broker.store.submitted())
    }

    /// Changes what is said about a vhost, which is added if it is not there. Returns whether it
    /// was added.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::VhostLimit`].
    pub fn change_vhost(
        &self,
        name: &str,
        change: impl FnOnce(&mut Metadata),
    ) -> Result<(bool, CommitSeq), Error> {
        let name = checked_name(name)?;
        let _changing = self.changing();
        let found = self.broker.vhost(&name);
        let mut metadata = found.as_ref().map(|vhost| vhost.metadata()).unwrap_or_default();
        change(&mut metadata);
        Ok((found.is_none(), self.make_vhost(&name, metadata)?))
    }

    /// Has whatever is published and delivered in a vhost told to its exchange
    /// `amq.rabbitmq.trace` (see [`trace`](crate::broker::trace)), or told no more. It ends with
    /// the broker.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`].
    pub fn trace_vhost(&self, name: &str, is_traced: bool) -> Result<(), Error> {
        let was_traced = self.vhost(name)?.set_traced(is_traced);
        if is_traced != was_traced {
            tracing::info!(vhost = name, is_traced, "tracing was started or stopped");
        }
        Ok(())
    }

    /// The type of queues that a vhost says which is added without one.
    pub fn default_queue_type(&self) -> QueueType {
        self.broker.default_queue_type
    }

    /// Deletes a vhost with all that is in it and all that is said about it, and closes its
    /// connections (CN-126).
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::Protected`].
    pub fn delete_vhost(&self, name: &str) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        let vhost = self.vhost(name)?;
        if vhost.metadata().is_protected {
            return Err(Error::Protected(vhost.name().clone()));
        }
        let permissions = self.auth.permissions().forget_vhost(name);
        self.broker.delete_vhost(name, permissions).map_err(|_| Error::NoSuchVhost)
    }

    /// All vhosts, by name.
    pub fn vhosts(&self) -> Vec<Arc<Vhost>> {
        self.broker.vhosts()
    }
}
