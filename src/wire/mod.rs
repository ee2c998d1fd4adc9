//! Bytes to frames to methods, and back. Floor 1.
//!
//! * No I/O, no clock, no panic on input (R1): everything here is a function of a byte slice, and
//!   every slice is taken through `reader`, which cannot run past its end.
//! * What every message passes through ([`frame::parse`], [`method::decode`] of publish, ack, nack
//!   and reject, [`content::header`], [`properties::Properties::scan`], [`encode::deliver`],
//!   [`encode::content`]) neither allocates nor copies more than it writes out.
//! * Everything else is decoded and built by `amq-protocol`, after `grammar` has checked that the
//!   bytes have the shape that the method must have. No other floor names `amq_protocol`.
//! * Errors are facts. What a peer reads of them is written in `connection::error`.
//!
//! ```text
//! bytes -> frame -> method -> (publish) -> content header -> properties -> headers table
//!          frame    method                 content           properties    table
//!          encode: the way back
//! ```
//!
//! # Figures
//! `cargo bench --bench frame` on a shared virtual machine of two cores, the least of its samples:
//! a publish of 100 B is taken apart in 14 ns, its delivery put together in 11 ns (18 ns with
//! 1 KiB), an acknowledgement read in 12 ns and a confirm written in 1 ns.

#![warn(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

pub mod content;
pub mod encode;
pub mod frame;
mod grammar;
pub mod method;
pub mod properties;
mod reader;
pub mod table;
#[cfg(test)]
mod tests;

/// Whatever can be wrong with what a peer sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] frame::FrameError),
    /// The frame's payload is no method.
    #[error(transparent)]
    Method(#[from] method::MethodError),
    /// The frame's payload is no content header.
    #[error(transparent)]
    Content(#[from] content::ContentError),
    /// The content header's properties are malformed.
    #[error(transparent)]
    Properties(#[from] properties::PropertiesError),
    /// A field table is malformed.
    #[error(transparent)]
    Table(#[from] table::TableError),
}
