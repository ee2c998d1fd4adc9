//! What a broker is, without sockets, disks and clocks: exchanges, bindings, queues.
//!
//! Floor 4. Everything here is plain data behind methods that take what they need and return what
//! came of it; reply codes and JSON are other floors' words (R9, R10).

pub mod arguments;
pub mod error;
pub mod exchange;
pub mod record;
pub mod route;
pub mod topology;

pub use error::Error;
