//! The properties of a message (AMQP 0-9-1 4.2.6.1), read from their raw bytes.
/// Why properties are malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertiesError {
    /// They end too early.
    #[error("properties end too early")]
    Truncated,
}
