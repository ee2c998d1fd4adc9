//! The store: what outlives the process, and what does not fit in memory.

mod op;

pub use op::{RecordKind, StoreOp};
