//! Runtime parameters: values under names that components of the broker look at, and limits, the
//! one component there is.
//!
//! Parameters belong to a vhost and a component; global ones have a name alone.

use std::fmt;

use super::{
    datum::{Datum, Map, Pairs},
    record::{Reader, Record, RecordError, VERSION, put_bytes},
};
use crate::{names::Name, store::RecordKind};

/// The component of a vhost's limits (PO-070).
pub const VHOST_LIMITS: &str = "vhost-limits";
/// The component as which RabbitMQ keeps policies.
pub const POLICY: &str = "policy";
/// The component as which RabbitMQ keeps operator policies.
pub const OPERATOR_POLICY: &str = "operator_policy";
/// The only name under the component of limits.
pub const LIMITS: &str = "limits";
/// A limit of vhosts and users.
pub const MAX_CONNECTIONS: &str = "max-connections";
/// A limit of vhosts.
pub const MAX_QUEUES: &str = "max-queues";
/// A limit of users.
pub const MAX_CHANNELS: &str = "max-channels";

/// The global parameter with the cluster's identity, made once. As with RabbitMQ, names that begin
/// with `internal` are no part of exported definitions.
pub const CLUSTER_ID: &str = "internal_cluster_id";

/// Whose parameter it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The whole broker's.
    Global,
    /// A component's, in a vhost.
    Vhost {
        /// The vhost.
        vhost: Name,
        /// The component.
        component: String,
    },
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Whose it is.
    pub scope: Scope,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Datum,
}

const GLOBAL: u8 = 0;
const OF_VHOST: u8 = 1;

/// The key of a parameter's record.
pub(super) fn key(scope: &Scope, name: &str) -> Box<[u8]> {
    let mut out = Vec::new();
    match scope {
        Scope::Global => out.push(GLOBAL),
        Scope::Vhost { vhost, component } => {
            out.push(OF_VHOST);
            put_bytes(&mut out, vhost.as_bytes());
            put_bytes(&mut out, component.as_bytes());
        }
    }
    put_bytes(&mut out, name.as_bytes());
    out.into()
}

impl Record for Parameter {
    const KIND: RecordKind = RecordKind::Parameter;

    fn key(&self) -> Box<[u8]> {
        key(&self.scope, &self.name)
    }

    fn value(&self) -> Box<[u8]> {
        let mut out = vec![VERSION];
        self.value.put(&mut out);
        out.into()
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut key = Reader(key);
        let scope = match key.byte()? {
            GLOBAL => Scope::Global,
            OF_VHOST => Scope::Vhost { vhost: key.name()?, component: key.text()?.to_owned() },
            _ => return Err(RecordError::Damaged),
        };
        let name = key.text()?.to_owned();
        key.end()?;
        let mut reader = Reader(value);
        reader.version()?;
        let value = Datum::take(&mut reader)?;
        reader.end()?;
        Ok(Self { scope, name, value })
    }
}

/// What is wrong with limits; each text is RabbitMQ's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct InvalidLimits {
    /// At least one.
    pub faults: Vec<LimitFault>,
}

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl InvalidLimits {
    /// Limits of a vhost that are no limits at all.
    pub fn not_a_map(value: Datum) -> Self {
        Self { faults: vec![LimitFault::NoMap { value }] }
    }
}

/// One thing that is wrong with limits.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitFault {
    /// There are no such limits.
    #[error("Unrecognised terms {} in {whose}", Pairs(.limits))]
    Unknown {
        /// The limits.
        limits: Map,
        /// `limits` of a vhost, `user-limits`.
        whose: &'static str,
    },
    /// The limits of a vhost are no map.
    #[error("limits not a list {value}")]
    NoMap {
        /// What they are.
        value: Datum,
    },
    /// A limit is no integer.
    #[error("{limit} should be a number, actually was {value}")]
    NoNumber {
        /// The limit.
        limit: &'static str,
        /// Its value.
        value: Datum,
    },
}

/// Reads the limits of a user: connections, then channels (PO-071).
///
/// # Errors
/// [`InvalidLimits`].
pub fn user_limits(given: Map) -> Result<[Option<i64>; 2], InvalidLimits> {
    limits("user-limits", [MAX_CONNECTIONS, MAX_CHANNELS], given)
}

/// Reads the limits of a vhost: connections, then queues (PO-070).
///
/// # Errors
/// [`InvalidLimits`].
pub fn vhost_limits(given: Map) -> Result<[Option<i64>; 2], InvalidLimits> {
    limits(LIMITS, [MAX_CONNECTIONS, MAX_QUEUES], given)
}

/// Reads limits of these names.
///
/// # Errors
/// [`InvalidLimits`], with everything that is wrong, in RabbitMQ's order.
pub fn limits<const N: usize>(
    whose: &'static str,
    names: [&'static str; N],
    mut given: Map,
) -> Result<[Option<i64>; N], InvalidLimits> {
    let mut faults = Vec::new();
    let limits = names.map(|limit| match given.remove(limit) {
        None => None,
        Some(Datum::Integer(value)) => Some(value),
        Some(value) => {
            faults.insert(0, LimitFault::NoNumber { limit, value });
            None
        }
    });
    if !given.is_empty() {
        faults.insert(0, LimitFault::Unknown { limits: given, whose });
    }
    if faults.is_empty() { Ok(limits) } else { Err(InvalidLimits { faults }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broker::{datum::tests::datum, record::tests::check};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parameters_come_back_whole(
            vhost in proptest::option::of("\\PC{0,9}"),
            name in "\\PC{0,9}",
            value in datum(),
        ) {
            let scope = match vhost {
                None => Scope::Global,
                Some(vhost) => {
                    Scope::Vhost { vhost: vhost.into(), component: VHOST_LIMITS.to_owned() }
                }
            };
            check(&Parameter { scope, name, value });
        }
    }

    // PO-070, PO-071: run against RabbitMQ 4.3.6.
    #[test]
    fn limits_are_whole_numbers_under_known_names() {
        let read = |pairs: &[(&str, Datum)]| {
            let map = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            limits(LIMITS, [MAX_CONNECTIONS, MAX_QUEUES], map).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[]), Ok([None, None]));
        assert_eq!(read(&[(MAX_QUEUES, 0.into())]), Ok([None, Some(0)]));
        assert_eq!(read(&[(MAX_CONNECTIONS, (-5).into())]), Ok([Some(-5), None]));
        let error = read(&[("max-foo", 1.into())]).unwrap_err();
        assert_eq!(error, "Unrecognised terms [{<<\"max-foo\">>,1}] in limits");
        let error = read(&[(MAX_CONNECTIONS, "x".into())]).unwrap_err();
        assert_eq!(error, "max-connections should be a number, actually was <<\"x\">>");
    }
}
