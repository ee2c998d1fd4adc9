//! Durable definitions as bytes.
