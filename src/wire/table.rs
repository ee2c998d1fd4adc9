//! Field tables (AMQP 0-9-1 4.2.5.5), read and edited in their raw bytes.
/// Why a table is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It ends in the middle of an entry.
    #[error("table ends in the middle of an entry")]
    Truncated,
    /// A value of a type that does not exist.
    #[error("unknown field type {tag}")]
    UnknownType {
        /// The octet for the type.
        tag: u8,
    },
}
/// Checks.
pub fn check(_raw: &[u8]) -> Result<(), TableError> {
    Ok(())
}
