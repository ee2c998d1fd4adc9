//! Bytes to frames to methods, and back.

pub mod table;
