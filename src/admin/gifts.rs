//! What vhosts are given when they are made: users, operator policies, limits, as the
//! configuration has them for names like theirs.

use std::collections::BTreeMap;

use super::{Admin, Error, NewPassword, checked_name};
use crate::{
    auth::{User, permissions::UserPermissions},
    broker::{
        Vhost,
        datum::Map,
        policy::{Authority, Draft, Policy},
    },
    config::{Config, Gift, Given, GivenLimits, GivenPolicy, GivenUser},
    pattern::Pattern,
};

/// Everything that vhosts may be given, by name.
#[derive(Debug)]
pub(super) struct Gifts {
    limits: Vec<Template<GivenLimits>>,
    policies: Vec<(Pattern, Policy)>,
    users: Vec<Template<GivenUser>>,
}

/// One thing, for the vhosts whose names match.
#[derive(Debug)]
struct Template<G> {
    name: String,
    vhosts: Pattern,
    said: Vec<Given<G>>,
}

impl<G: Gift> Template<G> {
    /// Puts the properties together that are of the same name.
    fn all(given: &[Given<G>]) -> Vec<Self> {
        let mut by_name: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for one in given {
            by_name.entry(&one.name).or_default().push(one.clone());
        }
        let template = |(name, said): (&str, Vec<Given<G>>)| {
            let vhosts = said.iter().find(|given| given.property == G::VHOSTS);
            // It was held to be one when it was read.
            let vhosts = Pattern::new(vhosts.map_or(".*", |given| given.value.as_str())).ok()?;
            Some(Self { name: name.to_owned(), vhosts, said })
        };
        by_name.into_iter().filter_map(template).collect()
    }

    fn text(&self, property: &str) -> Option<&str> {
        let found = self.said.iter().find(|given| given.property == property);
        found.map(|given| given.value.as_str())
    }

    /// What is a number, under the name that limits and policies have for it.
    fn numbers(&self) -> Map {
        let named = |given: &Given<G>| {
            let property = given.property.rsplit('.').next().unwrap_or_default();
            Some((property.replace('_', "-"), given.number()?.into()))
        };
        self.said.iter().filter_map(named).collect()
    }
}

impl Template<GivenPolicy> {
    fn policy(&self) -> Result<Policy, Error> {
        let mut draft = Draft::new(self.text("queue_pattern").unwrap_or(".*"), self.numbers());
        if let Some(apply_to) = self.text("apply_to") {
            draft.apply_to = apply_to.into();
        }
        let policy = Policy::new(checked_name(&self.name)?, Authority::Operator, draft);
        policy.map_err(|invalid| {
            let faults: Vec<_> = invalid.faults.iter().map(ToString::to_string).collect();
            Error::Gift { name: self.name.clone(), reason: faults.join(", ") }
        })
    }
}

impl Gifts {
    pub(super) fn of(config: &Config) -> Result<Self, Error> {
        let policies = Template::all(&config.default_operator_policies).into_iter();
        let policies = policies.map(|template| Ok((template.vhosts.clone(), template.policy()?)));
        let users = Template::all(&config.default_users);
        users.iter().try_for_each(|user| checked_name(&user.name).map(drop))?;
        let limits = Template::all(&config.default_vhost_limits);
        Ok(Self { limits, policies: policies.collect::<Result<_, Error>>()?, users })
    }
}

impl Admin {
    /// Gives a new vhost what the configuration has for it, in RabbitMQ's order.
    pub(super) fn give(&self, vhost: &Vhost) -> Result<(), Error> {
        let name = vhost.name().as_str();
        if let Some(limits) = self.gifts.limits.iter().find(|limits| limits.vhosts.matches(name)) {
            self.broker.set_vhost_limits(vhost, limits.numbers())?;
        }
        let policies = self.gifts.policies.iter().filter(|(vhosts, _)| vhosts.matches(name));
        for (_, policy) in policies {
            self.broker.set_policy(vhost, policy.clone());
        }
        for user in self.gifts.users.iter().filter(|user| user.vhosts.matches(name)) {
            self.give_user(vhost, user)?;
        }
        Ok(())
    }

    /// A user who is there already keeps the password, and may do this in the vhost, too.
    fn give_user(&self, vhost: &Vhost, template: &Template<GivenUser>) -> Result<(), Error> {
        let name = checked_name(&template.name)?;
        if self.auth.users().get(&name).is_none() {
            let password = template.text("password").map_or(NewPassword::None, NewPassword::Plain);
            let tags = template.text("tags").unwrap_or_default().split([',', ' ']);
            let tags = tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
            let user = User { password: password.hash()?, tags, ..User::new(name.clone()) };
            self.broker.store.submit(self.auth.users().put(user));
        }
        let patterns = ["configure", "write", "read"];
        let patterns = patterns.map(|property| template.text(property).unwrap_or(".*"));
        let permissions = UserPermissions::new(name, vhost.name().clone(), patterns)?;
        self.broker.store.submit(self.auth.permissions().set(permissions));
        Ok(())
    }
}
