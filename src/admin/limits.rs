//! Limits and runtime parameters.

use super::{Admin, Error};
use crate::{
    broker::{
        datum::{Datum, Map},
        parameter::{
            self, InvalidLimits, LIMITS, MAX_CHANNELS, MAX_CONNECTIONS, OPERATOR_POLICY, POLICY,
            Parameter, Scope, VHOST_LIMITS,
        },
        policy::{Authority, Draft},
    },
    names::CommitSeq,
};

impl Admin {
    /// Sets limits of a vhost: `max-connections`, `max-queues` (PO-070). Those that are not named
    /// stay.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::Limits`].
    pub fn set_vhost_limits(&self, vhost: &str, limits: Map) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        let vhost = self.vhost(vhost)?;
        let mut all = self.broker.vhost_limits(vhost.name());
        all.extend(limits);
        Ok(self.broker.set_vhost_limits(&vhost, all)?)
    }

    /// Takes a limit of a vhost away, or all of them.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`].
    pub fn clear_vhost_limits(&self, vhost: &str, limit: Option<&str>) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        let vhost = self.vhost(vhost)?;
        let mut all = self.broker.vhost_limits(vhost.name());
        all.retain(|name, _| limit.is_some_and(|limit| name != limit));
        Ok(self.broker.set_vhost_limits(&vhost, all)?)
    }

    /// The limits of a vhost, as they were set.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`].
    pub fn vhost_limits(&self, vhost: &str) -> Result<Map, Error> {
        Ok(self.broker.vhost_limits(self.vhost(vhost)?.name()))
    }

    /// Sets limits of a user: `max-connections`, `max-channels` (PO-071). Those that are not named
    /// stay.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`], [`Error::Limits`].
    pub fn set_user_limits(&self, user: &str, limits: Map) -> Result<CommitSeq, Error> {
        let [max_connections, max_channels] = parameter::user_limits(limits)?;
        self.change_user(user, |user| {
            let limits = &mut user.limits;
            limits.max_connections = max_connections.or(limits.max_connections);
            limits.max_channels = max_channels.or(limits.max_channels);
        })
    }

    /// Takes a limit of a user away, or all of them.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`].
    pub fn clear_user_limits(&self, user: &str, limit: Option<&str>) -> Result<CommitSeq, Error> {
        let is_meant = |name| limit.is_none_or(|limit| limit == name);
        self.change_user(user, |user| {
            user.limits.max_connections.take_if(|_| is_meant(MAX_CONNECTIONS));
            user.limits.max_channels.take_if(|_| is_meant(MAX_CHANNELS));
        })
    }

    /// Sets a runtime parameter of a component in a vhost. An operator policy is one, too.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::NoSuchComponent`] (PO-072), [`Error::Limits`],
    /// [`Error::Policy`], [`Error::IsPolicy`].
    pub fn set_parameter(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
        value: Datum,
    ) -> Result<CommitSeq, Error> {
        if component == OPERATOR_POLICY {
            return self.set_policy(vhost, Authority::Operator, name, Draft::of_datum(value));
        }
        let _changing = self.changing();
        let vhost = self.vhost(vhost)?;
        match (component, value) {
            (VHOST_LIMITS, Datum::Map(limits)) if name == LIMITS => {
                Ok(self.broker.set_vhost_limits(&vhost, limits)?)
            }
            (VHOST_LIMITS, value) if name == LIMITS => Err(InvalidLimits::not_a_map(value).into()),
            (POLICY, _) => Err(Error::IsPolicy("set")),
            _ => Err(Error::NoSuchComponent(component.to_owned())),
        }
    }

    /// Removes a runtime parameter.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::NotFound`], [`Error::IsPolicy`].
    pub fn delete_parameter(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
    ) -> Result<CommitSeq, Error> {
        match component {
            POLICY if self.vhost(vhost)?.policies().get(Authority::User, name).is_some() => {
                return Err(Error::IsPolicy("cleared"));
            }
            OPERATOR_POLICY => return self.delete_policy(vhost, Authority::Operator, name),
            _ => {}
        }
        let _changing = self.changing();
        let vhost = self.vhost(vhost)?.name().clone();
        let scope = Scope::Vhost { vhost, component: component.to_owned() };
        self.broker.remove_parameter(&scope, name).ok_or(Error::NotFound)
    }

    /// Sets a global parameter (PO-073).
    pub fn set_global_parameter(&self, name: &str, value: Datum) -> CommitSeq {
        let _changing = self.changing();
        self.broker.set_global_parameter(name, value)
    }

    /// Removes a global parameter.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn delete_global_parameter(&self, name: &str) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        self.broker.remove_parameter(&Scope::Global, name).ok_or(Error::NotFound)
    }

    /// All parameters, global ones first, but for policies, which have a list of their own.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.broker.parameters()
    }
}
