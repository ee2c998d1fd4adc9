//! Definitions: everything that was declared, as RabbitMQ's JSON has it (HT-120 to HT-129).
//!
//! [`export`] writes them, [`import`] reads them: all entries are read and checked first, so that
//! a file with a mistake changes nothing, and is told which entry is wrong and why.

mod export;
mod files;
mod import;

pub(super) use export::{of_all, of_vhost};
pub use files::{Files, FilesError};
pub use import::{Definitions, DefinitionsError};

/// What is not exported, and not imported, either: what every vhost has.
const RESERVED_PREFIX: &str = "amq.";
/// The component as which parameters have operator policies.
const OPERATOR_POLICY: &str = "operator_policy";
