//! Lepus, an AMQP 0-9-1 broker that RabbitMQ clients use unchanged.

pub mod auth;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod message;
pub mod names;
pub mod server;
pub mod store;
pub mod wire;
