//! A work queue: tasks that take a while, shared out among workers, and none of them lost.
//!
//!     cargo run --release                    # the broker, in a terminal of its own
//!     cargo run --example work_queue         # or: ... work_queue amqp://user:password@host/%2f
//!
//! Three things make it safe and fair: the queue is durable and its messages persistent, so that
//! they outlive the broker; a worker acknowledges a task when it is done, so that the task of a
//! worker that dies goes to another; and each worker takes one task at a time (prefetch 1), so that
//! no task waits behind a long one while another worker is idle.

#![allow(clippy::print_stdout, reason = "what an example has to say")]

use std::{env, error::Error, time::Duration};

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};
use tokio::{sync::mpsc, time::sleep};

const QUEUE: &str = "example.tasks";
const PERSISTENT: u8 = 2;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = env::args().nth(1).unwrap_or_else(|| "amqp://127.0.0.1:5672/%2f".into());
    let connection =
        Connection::connect(&uri, ConnectionProperties::default()).await.map_err(|error| {
            format!("no broker at {uri}: {error}; `cargo run --release` starts one")
        })?;

    // Whoever needs the queue declares it. Declaring again what is there already does nothing.
    let channel = connection.create_channel().await?;
    channel
        .queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await?;

    // Every dot is a tenth of a second of work.
    let tasks = ["first...", "second.", "third.", "fourth..", "fifth.", "sixth."];
    for task in tasks {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        // The default exchange, which has no name, takes the routing key for the name of a queue.
        channel
            .basic_publish("".into(), QUEUE.into(), options, task.as_bytes(), properties)
            .await?;
    }

    // Workers are usually programs of their own, on many machines. Here each is a task.
    let (report, mut done) = mpsc::channel(tasks.len());
    let mut workers = Vec::new();
    for number in 1..=3 {
        let channel = connection.create_channel().await?;
        let report = report.clone();
        workers.push(tokio::spawn(async move { work(number, &channel, report).await }));
    }
    drop(report);

    for _ in tasks {
        println!("{}", done.recv().await.ok_or("all workers have stopped")?);
    }
    println!("all tasks are done");
    // With their queue the workers' work ends.
    channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    for worker in workers {
        worker.await??;
    }
    connection.close(200, "goodbye".into()).await?;
    Ok(())
}

/// Works until the queue is gone.
async fn work(number: u32, channel: &Channel, report: mpsc::Sender<String>) -> lapin::Result<()> {
    // Without this the first worker is sent all the tasks there are.
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let tag = format!("worker {number}");
    let options = BasicConsumeOptions::default();
    let mut tasks =
        channel.basic_consume(QUEUE.into(), tag.into(), options, FieldTable::default()).await?;
    while let Some(task) = tasks.next().await {
        let task = task?;
        let text = String::from_utf8_lossy(&task.data);
        let dots = text.matches('.').count() as u64;
        sleep(Duration::from_millis(100 * dots)).await;
        // Only now may the broker forget it. Had this program died before, another worker would
        // get the task, marked as redelivered.
        task.ack(BasicAckOptions::default()).await?;
        if report.send(format!("worker {number} did {text}")).await.is_err() {
            break;
        }
    }
    channel.close(200, "goodbye".into()).await?;
    Ok(())
}
