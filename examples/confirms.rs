//! Publisher confirms: how a program knows that the broker has its messages.
//!
//!     cargo run --release                    # the broker, in a terminal of its own
//!     cargo run --example confirms           # or: ... confirms amqp://user:password@host/%2f
//!
//! A publish has no answer of its own. On a channel in confirm mode the broker confirms each one
//! when it is safe: a persistent message in a durable queue when it is on the disk, and synced.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example talks and times")]

use std::{env, error::Error, time::Instant};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};

const QUEUE: &str = "example.confirmed";
const PERSISTENT: u8 = 2;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = env::args().nth(1).unwrap_or_else(|| "amqp://127.0.0.1:5672/%2f".into());
    let connection =
        Connection::connect(&uri, ConnectionProperties::default()).await.map_err(|error| {
            format!("no broker at {uri}: {error}; `cargo run --release` starts one")
        })?;
    let channel = connection.create_channel().await?;
    channel
        .queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;

    // The plain way: publish, wait, publish the next. Each message waits for the disk by itself.
    let start = Instant::now();
    for n in 0..100 {
        let confirm = publish(&channel, QUEUE, n).await?;
        if !confirm.await?.is_ack() {
            return Err(format!("message {n} was refused").into());
        }
    }
    println!("100 messages, one after the other: {:?}", start.elapsed());

    // The fast way: publish many, then look at their confirms. They share the syncs of the disk,
    // and one frame of the broker confirms many. A program that publishes without end limits how
    // many are open at a time: here a thousand.
    let start = Instant::now();
    let mut open = Vec::new();
    for n in 0..1000 {
        open.push((n, publish(&channel, QUEUE, n).await?));
    }
    for (n, confirm) in open {
        if !confirm.await?.is_ack() {
            return Err(format!("message {n} was refused").into());
        }
    }
    println!("1000 messages together: {:?}", start.elapsed());

    // A message that no queue takes is confirmed as well: there is nothing to keep. As it was
    // published with `mandatory`, it comes back before its confirm.
    let confirm = publish(&channel, "example.no-such-queue", 0).await?;
    match confirm.await?.take_message() {
        Some(message) => println!("came back: {} {}", message.reply_code, message.reply_text),
        None => return Err("a message went to a queue that does not exist".into()),
    }

    let count = channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    println!("{count} messages were in the queue");
    connection.close(200, "goodbye".into()).await?;
    Ok(())
}

/// Publishes a message and hands back the confirm that is to come.
async fn publish(channel: &Channel, queue: &str, n: u32) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let body = format!("message {n}");
    channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await
}
