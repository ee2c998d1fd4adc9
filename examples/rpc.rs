//! Request and reply: calling a function that runs elsewhere.
//!
//!     cargo run --release                    # the broker, in a terminal of its own
//!     cargo run --example rpc                # or: ... rpc amqp://user:password@host/%2f
//!
//! Requests go to a queue that everybody knows. Each says where its reply is to go (`reply_to`) and
//! carries a mark of the caller's (`correlation_id`), which the reply brings back: replies need not
//! come in the order of the requests.

#![allow(clippy::print_stdout, reason = "what an example has to say")]

use std::{collections::BTreeMap, env, error::Error};

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::FieldTable,
};

const REQUESTS: &str = "example.fibonacci";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = env::args().nth(1).unwrap_or_else(|| "amqp://127.0.0.1:5672/%2f".into());
    let connection =
        Connection::connect(&uri, ConnectionProperties::default()).await.map_err(|error| {
            format!("no broker at {uri}: {error}; `cargo run --release` starts one")
        })?;

    // The server is usually a program of its own. Several may share the queue, and the work.
    let channel = connection.create_channel().await?;
    channel
        .queue_declare(REQUESTS.into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await?;
    let server = connection.create_channel().await?;
    let serving = tokio::spawn(async move { serve(&server).await });

    // The caller's own queue: the broker finds a name, and removes it with the connection.
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
    let no_ack = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let mut replies = channel
        .basic_consume(queue.name().clone(), "caller".into(), no_ack, FieldTable::default())
        .await?;

    // All requests go out before the first reply is awaited.
    let mut waiting = BTreeMap::new();
    for n in [10, 20, 30] {
        let id = format!("request {n}");
        let properties = BasicProperties::default()
            .with_reply_to(queue.name().clone())
            .with_correlation_id(id.as_str().into());
        let (options, body) = (BasicPublishOptions::default(), n.to_string());
        channel
            .basic_publish("".into(), REQUESTS.into(), options, body.as_bytes(), properties)
            .await?;
        waiting.insert(id, n);
    }
    while !waiting.is_empty() {
        let reply = replies.next().await.ok_or("the queue of the replies is gone")??;
        // A reply to something that was not asked here is not for us.
        let Some(id) = reply.properties.correlation_id() else { continue };
        let Some(n) = waiting.remove(id.as_str()) else { continue };
        println!("fibonacci({n}) = {}", text(&reply));
    }

    // With its queue the server's work ends.
    channel.queue_delete(REQUESTS.into(), QueueDeleteOptions::default()).await?;
    serving.await??;
    connection.close(200, "goodbye".into()).await?;
    Ok(())
}

/// Answers requests until the queue is gone.
async fn serve(channel: &Channel) -> lapin::Result<()> {
    let options = BasicConsumeOptions::default();
    let mut requests = channel
        .basic_consume(REQUESTS.into(), "server".into(), options, FieldTable::default())
        .await?;
    while let Some(request) = requests.next().await {
        let request = request?;
        // Without a return address nobody waits for the reply.
        if let Some(reply_to) = request.properties.reply_to() {
            let reply = match text(&request).parse() {
                Ok(n) => fibonacci(n).to_string(),
                Err(_) => "that is no number".into(),
            };
            let mut properties = BasicProperties::default();
            if let Some(id) = request.properties.correlation_id() {
                properties = properties.with_correlation_id(id.clone());
            }
            let options = BasicPublishOptions::default();
            channel
                .basic_publish("".into(), reply_to.clone(), options, reply.as_bytes(), properties)
                .await?;
        }
        // Acknowledged after the reply: if this server dies before, another one answers.
        request.ack(BasicAckOptions::default()).await?;
    }
    channel.close(200, "goodbye".into()).await?;
    Ok(())
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.data).into_owned()
}

fn fibonacci(n: u32) -> u64 {
    (0..n).fold((0_u64, 1_u64), |(a, b), _| (b, a.saturating_add(b))).0
}
