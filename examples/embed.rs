//! A broker inside a program: for tests that need one, or where no other is at hand.
//!
//!     cargo run --example embed
//!
//! It is the same broker, with listeners and a data directory; any client may connect to it.

#![allow(clippy::print_stdout, reason = "what an example has to say")]

use std::{error::Error, path::Path};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use lepus::{
    config::Config,
    server::{Handle, Server},
};

const PERSISTENT: u8 = 2;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;

    let broker = start(data.path()).await?;
    println!("a broker listens on {}", broker.amqp_addr());
    let (connection, channel) = connect(&broker).await?;
    channel
        .queue_declare("letters".into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await?;
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    channel.basic_publish("".into(), "letters".into(), options, b"remember me", properties).await?;
    connection.close(200, "goodbye".into()).await?;
    // Waits until all connections are closed and everything is on the disk.
    broker.stop().await;

    // Another broker on the same data has what the first one had.
    let broker = start(data.path()).await?;
    let (connection, channel) = connect(&broker).await?;
    let message = channel.basic_get("letters".into(), BasicGetOptions::default()).await?;
    let message = message.ok_or("the message is gone")?.delivery;
    println!("the next one has: {}", String::from_utf8_lossy(&message.data));
    message.ack(BasicAckOptions::default()).await?;
    connection.close(200, "goodbye".into()).await?;
    broker.stop().await;
    Ok(())
}

/// Starts a broker on free ports that keeps its data in this directory.
async fn start(data: &Path) -> Result<Handle, Box<dyn Error>> {
    let config = Config {
        amqp_port: 0,
        http_port: 0,
        metrics_port: 0,
        data_dir: Some(data.into()),
        ..Config::default()
    };
    Ok(Server::start(config).await?)
}

async fn connect(broker: &Handle) -> lapin::Result<(Connection, Channel)> {
    let uri = format!("amqp://guest:guest@{}/%2f", broker.amqp_addr());
    let connection = Connection::connect(&uri, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}
