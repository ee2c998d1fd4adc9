//! lapin, the Rust client, through the interop scenarios: `interop-lapin --uri URI [--id ID] [--clean] SCENARIO`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    Event, ExchangeKind,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

const DEADLINE: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(110);
const LARGE: usize = 10 * 1024 * 1024;

/// Body sizes around the largest payload of one frame (frame-max 131072 less 8).
const FRAME_EDGES: [usize; 6] = [0, 1, 131_063, 131_064, 131_065, 262_128];

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// What the command line says.
#[derive(Default)]
struct Options {
    uri: String,
    id: String,
    clean: bool,
    scenario: String,
}

impl Options {
    fn from_arguments() -> Self {
        let mut options = Self {
            uri: std::env::var("AMQP_URI").unwrap_or_default(),
            id: std::process::id().to_string(),
            ..Self::default()
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--uri" => options.uri = arguments.next().unwrap_or_default(),
                "--id" => options.id = arguments.next().unwrap_or_default(),
                "--broker-pid" => drop(arguments.next()),
                "--clean" => options.clean = true,
                _ => options.scenario = argument,
            }
        }
        options
    }

    /// Gives each thing of this run a name of its own.
    fn name(&self, what: &str) -> String {
        let family = self.scenario.trim_end_matches("-before").trim_end_matches("-after");
        format!("interop.lapin.{family}.{}.{what}", self.id)
    }

    async fn connect(&self) -> Outcome<Connection> {
        self.connect_as(|_| ()).await.map_err(Into::into)
    }

    /// Connects to the URI after it was changed.
    async fn connect_as(&self, change: impl FnOnce(&mut AMQPUri)) -> lapin::Result<Connection> {
        let mut uri: AMQPUri = self.uri.parse().expect("the URI");
        change(&mut uri);
        Connection::connect_uri(uri, ConnectionProperties::default()).await
    }
}

#[tokio::main]
async fn main() {
    let options = Options::from_arguments();
    let result = match timeout(LIMIT, run(&options)).await {
        Ok(result) => result,
        Err(_) => Err(format!("still running after {LIMIT:?}").into()),
    };
    if let Err(error) = result {
        eprintln!("lapin {}: {error}", options.scenario);
        exit(1);
    }
}

async fn run(options: &Options) -> Outcome {
    match options.scenario.as_str() {
        "work-queue" => work_queue(options).await,
        "pubsub" => pubsub(options).await,
        "routing" => routing(options).await,
        "topics" => topics(options).await,
        "headers" => headers(options).await,
        "rpc" => rpc(options).await,
        "confirms" => confirms(options).await,
        "nack-requeue" => nack_requeue(options).await,
        "persistence-before" => persistence_before(options).await,
        "persistence-after" => persistence_after(options).await,
        "large-bodies" => large_bodies(options).await,
        "many-channels" => many_channels(options).await,
        "heartbeat-idle" => heartbeat_idle(options).await,
        "error-codes" => error_codes(options).await,
        "recovery" => recovery(options).await,
        _ => Err("no such scenario".into()),
    }
}

// What the scenarios share

/// Fails unless what was seen is what RabbitMQ shows.
fn expect<T: PartialEq<U> + Debug, U: Debug>(seen: T, wanted: U, what: &str) -> Outcome {
    if seen == wanted {
        return Ok(());
    }
    let brief = |text: String| text.chars().take(400).collect::<String>();
    let (wanted, seen) = (brief(format!("{wanted:?}")), brief(format!("{seen:?}")));
    Err(format!("{what}: expected {wanted}, got {seen}").into())
}

/// Waits for something, but not forever.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> Outcome<T> {
    timeout(DEADLINE, future).await.map_err(|_| format!("waited {DEADLINE:?} for {what}").into())
}

async fn confirming(connection: &Connection) -> Outcome<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

async fn declare(channel: &Channel, queue: &str, arguments: FieldTable) -> Outcome {
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await?;
    Ok(())
}

/// Declares an exclusive queue that the server names.
async fn temporary(channel: &Channel) -> Outcome<String> {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    Ok(channel.queue_declare("".into(), options, FieldTable::default()).await?.name().to_string())
}

async fn declare_exchange(channel: &Channel, exchange: &str, kind: ExchangeKind) -> Outcome {
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await?;
    Ok(())
}

async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
    arguments: FieldTable,
) -> Outcome {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await?;
    Ok(())
}

async fn ready(channel: &Channel, queue: &str) -> Outcome<u32> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    Ok(channel.queue_declare(queue.into(), options, FieldTable::default()).await?.message_count())
}

async fn delete_queue(channel: &Channel, queue: &str) -> Outcome {
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    Ok(())
}

async fn delete_exchange(channel: &Channel, exchange: &str) -> Outcome {
    channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await?;
    Ok(())
}

async fn finish(connection: &Connection) -> Outcome {
    connection.close(200, "OK".into()).await?;
    Ok(())
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// Publishes on a confirming channel and waits for the ack.
async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Outcome {
    let options = BasicPublishOptions::default();
    let confirm =
        channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
    expect(within("a confirm", confirm).await??, Confirmation::Ack(None), "the confirm")
}

async fn consume(channel: &Channel, queue: &str, no_ack: bool) -> Outcome<Consumer> {
    let options = BasicConsumeOptions { no_ack, ..Default::default() };
    Ok(channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?)
}

async fn next(consumer: &mut Consumer) -> Outcome<Delivery> {
    Ok(within("a message", consumer.next()).await?.ok_or("the consumer ended early")??)
}

/// The next `count` deliveries of a queue.
async fn take(channel: &Channel, queue: &str, count: usize) -> Outcome<Vec<Delivery>> {
    let mut consumer = consume(channel, queue, true).await?;
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(next(&mut consumer).await?);
    }
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    Ok(taken)
}

/// The bodies of all ready messages of a queue, got one by one.
async fn drain(channel: &Channel, queue: &str) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    while let Some(message) =
        channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await?
    {
        bodies.push(text(&message.delivery));
    }
    Ok(bodies)
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.data).into_owned()
}

/// A body in which no two pages are alike, so that a lost or swapped frame shows.
fn pattern(size: usize) -> Vec<u8> {
    let mut body: Vec<u8> = (0..=size / 8).flat_map(|n| format!("{n:07}\n").into_bytes()).collect();
    body.truncate(size);
    body
}

fn table<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value));
    FieldTable::from(pairs.collect::<BTreeMap<_, _>>())
}

fn string(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

// The scenarios

async fn work_queue(options: &Options) -> Outcome {
    const TASKS: usize = 20;
    let queue = options.name("tasks");
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    declare(&channel, &queue, FieldTable::default()).await?;
    for n in 0..TASKS {
        publish(&channel, "", &queue, format!("task {n:02}").as_bytes(), persistent()).await?;
    }

    struct Worker {
        connection: Connection,
        channel: Channel,
        consumer: Consumer,
        seen: Vec<String>,
        hand: u64,
    }
    impl Worker {
        fn receive(&mut self, delivery: &Delivery) -> Outcome {
            expect(delivery.redelivered, false, "redelivered of a fresh message")?;
            self.seen.push(text(delivery));
            self.hand = delivery.delivery_tag;
            Ok(())
        }

        async fn ack(&self) -> Outcome {
            self.channel.basic_ack(self.hand, BasicAckOptions::default()).await?;
            Ok(())
        }
    }

    let mut workers = Vec::new();
    for _ in 0..2 {
        let connection = options.connect().await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(1, BasicQosOptions::default()).await?;
        let mut consumer = consume(&channel, &queue, false).await?;
        let first = next(&mut consumer).await?;
        let mut worker = Worker { connection, channel, consumer, seen: Vec::new(), hand: 0 };
        worker.receive(&first)?;
        workers.push(worker);
    }
    expect(
        ready(&channel, &queue).await? as usize,
        TASKS - 2,
        "ready messages while each worker holds one",
    )?;
    for worker in &workers {
        worker.ack().await?;
    }
    for _ in 2..TASKS {
        let [one, two] = &mut workers[..] else { unreachable!("two workers") };
        let either = futures_lite::future::or(async { (0, one.consumer.next().await) }, async {
            (1, two.consumer.next().await)
        });
        let (who, delivery) = within("a task", either).await?;
        workers[who].receive(&delivery.ok_or("the consumer ended early")??)?;
        workers[who].ack().await?;
    }
    let mut seen = Vec::new();
    for worker in workers {
        expect(worker.seen.len() > 1, true, "each worker has its share")?;
        seen.extend(worker.seen);
        worker.channel.close(200, "OK".into()).await?;
        finish(&worker.connection).await?;
    }
    seen.sort();
    expect(seen, (0..TASKS).map(|n| format!("task {n:02}")).collect::<Vec<_>>(), "tasks done")?;
    expect(ready(&channel, &queue).await?, 0, "messages left")?;
    delete_queue(&channel, &queue).await?;
    finish(&connection).await
}

async fn pubsub(options: &Options) -> Outcome {
    let exchange = options.name("logs");
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    declare_exchange(&channel, &exchange, ExchangeKind::Fanout).await?;
    let (left, stayed, late) =
        (temporary(&channel).await?, temporary(&channel).await?, temporary(&channel).await?);
    expect(left.starts_with("amq.gen-") && left.len() == 30, true, "a server-named queue")?;
    bind(&channel, &left, &exchange, "", FieldTable::default()).await?;
    bind(&channel, &stayed, &exchange, "", FieldTable::default()).await?;
    let mut logs: Vec<_> = (0..10).map(|n| format!("log {n}")).collect();
    for line in &logs {
        publish(&channel, &exchange, "ignored", line.as_bytes(), BasicProperties::default())
            .await?;
    }
    bind(&channel, &late, &exchange, "", FieldTable::default()).await?;
    let from = exchange.as_str().into();
    channel.queue_unbind(left.as_str().into(), from, "".into(), FieldTable::default()).await?;
    publish(&channel, &exchange, "", b"late", BasicProperties::default()).await?;
    expect(&drain(&channel, &left).await?, &logs, "the subscriber that left")?;
    expect(drain(&channel, &late).await?, ["late"], "the subscriber that came late")?;
    logs.push("late".into());
    let seen: Vec<_> = take(&channel, &stayed, 11).await?.iter().map(text).collect();
    expect(seen, logs, "the subscriber that stayed")?;
    delete_exchange(&channel, &exchange).await?;
    finish(&connection).await
}

async fn routing(options: &Options) -> Outcome {
    let exchange = options.name("direct");
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    declare_exchange(&channel, &exchange, ExchangeKind::Direct).await?;
    let (errors, everything) = (temporary(&channel).await?, temporary(&channel).await?);
    bind(&channel, &errors, &exchange, "error", FieldTable::default()).await?;
    for key in ["info", "warning", "error"] {
        bind(&channel, &everything, &exchange, key, FieldTable::default()).await?;
    }
    for key in ["info", "error", "warning", "Error"] {
        publish(&channel, &exchange, key, key.as_bytes(), BasicProperties::default()).await?;
    }
    expect(drain(&channel, &errors).await?, ["error"], "messages by the key error")?;
    expect(
        drain(&channel, &everything).await?,
        ["info", "error", "warning"],
        "messages by three keys",
    )?;
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let (to, properties) = (exchange.as_str().into(), BasicProperties::default());
    let confirm =
        channel.basic_publish(to, "debug".into(), mandatory, b"nobody listens", properties).await?;
    let returned = within("the confirm", confirm)
        .await??
        .take_message()
        .ok_or("no return came before the ack")?;
    expect(
        (returned.reply_code, returned.reply_text.as_str()),
        (312, "NO_ROUTE"),
        "reply of the return",
    )?;
    let origin = (returned.delivery.exchange.as_str(), returned.delivery.routing_key.as_str());
    expect(origin, (exchange.as_str(), "debug"), "origin of the return")?;
    expect(text(&returned.delivery), "nobody listens", "body of the return")?;
    delete_exchange(&channel, &exchange).await?;
    finish(&connection).await
}

async fn topics(options: &Options) -> Outcome {
    const KEYS: [&str; 12] = [
        "",
        "a",
        "a.b",
        "a.b.c",
        ".",
        "a.",
        ".a",
        "a..b",
        "quick.orange.rabbit",
        "lazy.pink.rabbit",
        "A",
        "*",
    ];
    const MATCHES: [(&str, &[&str]); 11] = [
        ("#", &KEYS),
        ("*", &["a", "A", "*"]),
        ("a.*", &["a.b", "a."]),
        ("a.#", &["a", "a.b", "a.b.c", "a.", "a..b"]),
        ("#.b", &["a.b", "a..b"]),
        ("*.*", &["a.b", ".", "a.", ".a"]),
        ("a.*.b", &["a..b"]),
        ("*.orange.*", &["quick.orange.rabbit"]),
        ("*.*.rabbit", &["quick.orange.rabbit", "lazy.pink.rabbit"]),
        ("lazy.#", &["lazy.pink.rabbit"]),
        ("a#", &[]),
    ];
    let exchange = options.name("topic");
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    declare_exchange(&channel, &exchange, ExchangeKind::Topic).await?;
    let mut queues = Vec::new();
    for (binding, _) in MATCHES {
        let queue = temporary(&channel).await?;
        bind(&channel, &queue, &exchange, binding, FieldTable::default()).await?;
        queues.push(queue);
    }
    for key in KEYS {
        publish(&channel, &exchange, key, key.as_bytes(), BasicProperties::default()).await?;
    }
    for ((binding, keys), queue) in MATCHES.iter().zip(&queues) {
        expect(drain(&channel, queue).await?, *keys, &format!("keys that match {binding}"))?;
    }
    delete_exchange(&channel, &exchange).await?;
    finish(&connection).await
}

async fn headers(options: &Options) -> Outcome {
    let int = AMQPValue::LongInt;
    let messages = [
        (
            "pdf-report",
            table([("format", string("pdf")), ("type", string("report")), ("pages", int(5))]),
        ),
        ("pdf-log", table([("format", string("pdf")), ("type", string("log")), ("pages", int(6))])),
        ("zip-report", table([("format", string("zip")), ("type", string("report"))])),
        ("text-pages", table([("format", string("txt")), ("pages", string("5"))])),
        ("none", table([])),
    ];
    let all = ("x-match", string("all"));
    let any = ("x-match", string("any"));
    let (pdf, report) = (("format", string("pdf")), ("type", string("report")));
    let bindings = [
        (table([all.clone(), pdf.clone(), report.clone()]), vec!["pdf-report"]),
        (table([any, pdf, report]), vec!["pdf-report", "pdf-log", "zip-report"]),
        (table([("format", string("zip"))]), vec!["zip-report"]),
        (table([all.clone(), ("pages", AMQPValue::LongLongInt(5))]), vec!["pdf-report"]),
        (
            table([all.clone(), ("pages", AMQPValue::Void)]),
            vec!["pdf-report", "pdf-log", "text-pages"],
        ),
        (table([all]), messages.iter().map(|(name, _)| *name).collect()),
    ];
    let exchange = options.name("headers");
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    declare_exchange(&channel, &exchange, ExchangeKind::Headers).await?;
    let mut queues = Vec::new();
    for (arguments, _) in &bindings {
        let queue = temporary(&channel).await?;
        bind(&channel, &queue, &exchange, "", arguments.clone()).await?;
        queues.push(queue);
    }
    for (name, headers) in &messages {
        let properties = BasicProperties::default().with_headers(headers.clone());
        publish(&channel, &exchange, "", name.as_bytes(), properties).await?;
    }
    for ((arguments, matches), queue) in bindings.iter().zip(&queues) {
        expect(
            &drain(&channel, queue).await?,
            matches,
            &format!("messages that match {arguments:?}"),
        )?;
    }

    let queue = temporary(&channel).await?;
    let list = FieldArray::from(vec![int(1), string("two"), AMQPValue::Boolean(false)]);
    let deep = table([("inner", AMQPValue::FieldTable(table([("deep", int(1))])))]);
    let sent = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_priority(7)
        .with_correlation_id("c-1".into())
        .with_reply_to("nobody".into())
        .with_expiration("600000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_234_567_890)
        .with_type("t".into())
        .with_app_id("interop".into())
        .with_cluster_id("cluster".into())
        .with_headers(table([
            ("text", string("grüße")),
            ("int", int(-5)),
            ("big", AMQPValue::LongLongInt(1 << 40)),
            ("short", AMQPValue::ShortInt(-3)),
            ("byte", AMQPValue::ShortShortInt(-7)),
            ("unsigned", AMQPValue::LongUInt(4_000_000_000)),
            ("bool", AMQPValue::Boolean(true)),
            ("none", AMQPValue::Void),
            ("double", AMQPValue::Double(1.5)),
            ("float", AMQPValue::Float(2.5)),
            ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
            ("time", AMQPValue::Timestamp(1_234_567_890)),
            ("list", AMQPValue::FieldArray(list)),
            ("table", AMQPValue::FieldTable(deep)),
        ]));
    publish(&channel, "", &queue, b"", sent.clone()).await?;
    let got = channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await?;
    let got = got.ok_or("a message with every property did not arrive")?;
    expect(&got.delivery.properties, &sent, "the properties")?;
    expect(got.delivery.data.len(), 0, "length of the empty body")?;
    delete_exchange(&channel, &exchange).await?;
    finish(&connection).await
}

fn fibonacci(n: u64) -> u64 {
    if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

async fn rpc(options: &Options) -> Outcome {
    const CALLS: u64 = 10;
    let queue = options.name("rpc");
    let serving = options.connect().await?;
    let server = serving.create_channel().await?;
    declare(&server, &queue, FieldTable::default()).await?;
    server.basic_qos(1, BasicQosOptions::default()).await?;
    let mut requests = consume(&server, &queue, false).await?;
    let answering = server.clone();
    tokio::spawn(async move {
        while let Some(Ok(request)) = requests.next().await {
            let n = text(&request).parse().unwrap_or(0);
            let to = request.properties.reply_to().clone().unwrap_or_else(|| "".into());
            let id = request.properties.correlation_id().clone().unwrap_or_else(|| "".into());
            let properties = BasicProperties::default().with_correlation_id(id);
            let (answer, options) = (fibonacci(n).to_string(), BasicPublishOptions::default());
            let sent = answering
                .basic_publish("".into(), to, options, answer.as_bytes(), properties)
                .await;
            if sent.is_err() || request.ack(BasicAckOptions::default()).await.is_err() {
                return;
            }
        }
    });

    let connection = options.connect().await?;
    let wanted: BTreeMap<_, _> =
        (0..CALLS).map(|n| (n.to_string(), fibonacci(n).to_string())).collect();
    for direct in [false, true] {
        let channel = connection.create_channel().await?;
        let reply_to =
            if direct { "amq.rabbitmq.reply-to".into() } else { temporary(&channel).await? };
        let mut replies = consume(&channel, &reply_to, true).await?;
        for n in wanted.keys() {
            let properties = BasicProperties::default()
                .with_reply_to(reply_to.as_str().into())
                .with_correlation_id(n.as_str().into());
            let options = BasicPublishOptions::default();
            channel
                .basic_publish("".into(), queue.as_str().into(), options, n.as_bytes(), properties)
                .await?;
        }
        let mut answers = BTreeMap::new();
        while answers.len() < wanted.len() {
            let reply = next(&mut replies).await?;
            let id = reply
                .properties
                .correlation_id()
                .clone()
                .ok_or("an answer without a correlation id")?;
            answers.insert(id.to_string(), text(&reply));
        }
        expect(&answers, &wanted, "answers")?;
        channel.close(200, "OK".into()).await?;
    }
    finish(&connection).await?;
    delete_queue(&server, &queue).await?;
    finish(&serving).await
}

async fn confirms(options: &Options) -> Outcome {
    const COUNT: u32 = 500;
    let queue = options.name("confirms");
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    declare(&channel, &queue, FieldTable::default()).await?;
    let mut pending = Vec::new();
    for n in 0..COUNT {
        let (to, body) = (queue.as_str().into(), n.to_string());
        let options = BasicPublishOptions::default();
        pending.push(
            channel.basic_publish("".into(), to, options, body.as_bytes(), persistent()).await?,
        );
    }
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let (nowhere, properties) = (format!("{queue}.missing"), BasicProperties::default());
    let lost = channel
        .basic_publish("".into(), nowhere.as_str().into(), mandatory, b"lost", properties)
        .await?;
    pending.push(lost);
    let mut returned = Vec::new();
    for confirm in pending {
        let confirm = within("a confirm", confirm).await??;
        expect(confirm.is_ack(), true, "each publish is acked")?;
        returned.extend(confirm.take_message());
    }
    // lapin ties a return to the first confirm that comes after it, whichever that is.
    let bodies: Vec<_> = returned.iter().map(|message| text(&message.delivery)).collect();
    expect(bodies, ["lost"], "the messages that came back before an ack")?;
    expect(ready(&channel, &queue).await?, COUNT, "messages in the queue once all are confirmed")?;
    delete_queue(&channel, &queue).await?;
    finish(&connection).await
}

/// Gets messages and keeps them in hand; returns what it saw, and the last tag.
async fn get(channel: &Channel, queue: &str, count: usize) -> Outcome<(String, u64)> {
    let (mut seen, mut last) = (Vec::new(), 0);
    for _ in 0..count {
        let message = channel.basic_get(queue.into(), BasicGetOptions::default()).await?;
        let message = message.ok_or("the queue is empty too early")?.delivery;
        last = message.delivery_tag;
        seen.push(text(&message) + if message.redelivered { "*" } else { "" });
    }
    Ok((seen.join(" "), last))
}

async fn nack_requeue(options: &Options) -> Outcome {
    let queue = options.name("queue");
    let connection = options.connect().await?;
    let publisher = confirming(&connection).await?;
    declare(&publisher, &queue, FieldTable::default()).await?;
    for n in 1..5 {
        publish(&publisher, "", &queue, format!("m{n}").as_bytes(), BasicProperties::default())
            .await?;
    }
    let channel = connection.create_channel().await?;
    let (seen, last) = get(&channel, &queue, 1).await?;
    expect(seen, "m1", "first get")?;
    channel.basic_nack(last, BasicNackOptions { multiple: false, requeue: true }).await?;
    let (seen, last) = get(&channel, &queue, 3).await?;
    expect(seen, "m1* m2 m3", "after a nack with requeue")?;
    channel.basic_nack(last, BasicNackOptions { multiple: true, requeue: true }).await?;
    let (seen, last) = get(&channel, &queue, 4).await?;
    expect(seen, "m1* m2* m3* m4", "after a nack of three with requeue")?;
    channel.basic_reject(last, BasicRejectOptions { requeue: false }).await?;
    channel.basic_recover(BasicRecoverOptions { requeue: true }).await?;
    let (seen, _) = get(&channel, &queue, 3).await?;
    expect(seen, "m1* m2* m3*", "after a reject without requeue and a recover")?;
    channel.close(200, "OK".into()).await?;
    let channel = connection.create_channel().await?;
    let (seen, last) = get(&channel, &queue, 3).await?;
    expect(seen, "m1* m2* m3*", "after the channel was closed with three in hand")?;
    channel.basic_ack(last, BasicAckOptions { multiple: true }).await?;
    expect(ready(&channel, &queue).await?, 0, "messages left")?;
    delete_queue(&channel, &queue).await?;
    finish(&connection).await
}

/// Arguments of the durable queue; both phases declare it.
fn kept() -> FieldTable {
    table([("x-max-length", AMQPValue::LongInt(100_000))])
}

async fn persistence_before(options: &Options) -> Outcome {
    let (exchange, queue) = (options.name("exchange"), options.name("queue"));
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let to = exchange.as_str().into();
    channel.exchange_declare(to, ExchangeKind::Topic, durable, FieldTable::default()).await?;
    declare(&channel, &queue, kept()).await?;
    bind(&channel, &queue, &exchange, "kept.#", FieldTable::default()).await?;
    for n in 0..100 {
        let headers = table([("n", AMQPValue::LongInt(n))]);
        let properties = persistent().with_message_id(n.to_string().into()).with_headers(headers);
        publish(&channel, &exchange, &format!("kept.{n}"), &pattern(n as usize * 100), properties)
            .await?;
    }
    let passing = BasicProperties::default().with_delivery_mode(1);
    publish(&channel, &exchange, "kept.not", b"transient", passing).await?;
    let (_, last) = get(&channel, &queue, 10).await?;
    channel.basic_ack(last, BasicAckOptions { multiple: true }).await?;
    channel.close(200, "OK".into()).await?;
    finish(&connection).await
}

async fn persistence_after(options: &Options) -> Outcome {
    let (exchange, queue) = (options.name("exchange"), options.name("queue"));
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let to = exchange.as_str().into();
    channel.exchange_declare(to, ExchangeKind::Topic, passive, FieldTable::default()).await?;
    declare(&channel, &queue, kept()).await?;
    let new = BasicProperties::default().with_message_id("new".into());
    publish(&channel, &exchange, "kept.new", b"", new).await?;
    let count = ready(&channel, &queue).await?;
    let mut seen = take(&channel, &queue, count as usize).await?;
    let id = |message: &Delivery| {
        message.properties.message_id().as_ref().map_or(String::new(), ToString::to_string)
    };
    let ids: Vec<_> = seen.iter().map(id).collect();
    // What was acked may come back after a kill, never after a clean stop.
    let first = ids[0].parse().unwrap_or(10);
    let start = if options.clean { 10 } else { first.min(10) };
    let mut wanted: Vec<_> = (start..100).map(|n: usize| n.to_string()).collect();
    wanted.push("new".into());
    expect(ids, wanted, "messages after the restart")?;
    seen.pop();
    for (n, message) in (start..).zip(&seen) {
        expect(message.data == pattern(n * 100), true, &format!("body of {n} unchanged"))?;
        let headers = table([("n", AMQPValue::LongInt(n as i32))]);
        let properties = persistent().with_message_id(n.to_string().into()).with_headers(headers);
        expect(&message.properties, &properties, "properties")?;
        let origin = (message.exchange.as_str(), message.routing_key.as_str());
        expect(origin, (exchange.as_str(), format!("kept.{n}").as_str()), "origin")?;
    }
    delete_queue(&channel, &queue).await?;
    delete_exchange(&channel, &exchange).await?;
    finish(&connection).await
}

async fn large_bodies(options: &Options) -> Outcome {
    let queue = options.name("queue");
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    declare(&channel, &queue, FieldTable::default()).await?;
    let sizes = [&FRAME_EDGES[..], &[LARGE]].concat();
    for &size in &sizes {
        publish(&channel, "", &queue, &pattern(size), persistent()).await?;
    }
    for (message, &size) in take(&channel, &queue, sizes.len()).await?.iter().zip(&sizes) {
        expect(message.data.len(), size, "length")?;
        expect(message.data == pattern(size), true, &format!("{size} octets arrive unchanged"))?;
    }
    delete_queue(&channel, &queue).await?;
    finish(&connection).await
}

async fn many_channels(options: &Options) -> Outcome {
    let connection = options.connect().await?;
    let mut channels = Vec::new();
    for _ in 0..200 {
        channels.push(connection.create_channel().await?);
    }
    let queue = temporary(&channels[0]).await?;
    for (n, channel) in channels.iter().enumerate() {
        let (options, body, properties) =
            (BasicPublishOptions::default(), n.to_string(), BasicProperties::default());
        channel
            .basic_publish("".into(), queue.as_str().into(), options, body.as_bytes(), properties)
            .await?;
        let got = &take(channel, &queue, 1).await?[0];
        expect((got.delivery_tag, text(got)), (1, body), "message")?;
    }
    for channel in &channels {
        channel.close(200, "OK".into()).await?;
    }
    for _ in 0..500 {
        connection.create_channel().await?.close(200, "OK".into()).await?;
    }
    finish(&connection).await
}

async fn heartbeat_idle(options: &Options) -> Outcome {
    let connection = options.connect_as(|uri| uri.query.heartbeat = Some(2)).await?;
    expect(connection.configuration().heartbeat(), 2, "the heartbeat")?;
    let channel = connection.create_channel().await?;
    let queue = temporary(&channel).await?;
    sleep(Duration::from_secs(6)).await;
    let properties = BasicProperties::default();
    let options = BasicPublishOptions::default();
    channel
        .basic_publish("".into(), queue.as_str().into(), options, b"still here", properties)
        .await?;
    expect(
        text(&take(&channel, &queue, 1).await?[0]),
        "still here",
        "message after the idle time",
    )?;
    finish(&connection).await
}

/// A line to the broker that can be cut: passes on what comes on a port of the loopback, both ways.
struct Line {
    port: u16,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Line {
    async fn to(broker: &AMQPUri) -> Outcome<Self> {
        let address = format!("{}:{}", broker.authority.host, broker.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let line = Self { port: listener.local_addr()?.port(), connections: Arc::default() };
        let connections = line.connections.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let address = address.clone();
                let connection = tokio::spawn(async move {
                    let mut far = TcpStream::connect(address).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
                connections.lock().expect("no panic").push(connection.abort_handle());
            }
        });
        Ok(line)
    }

    /// Ends all connections that there are now; returns how many these were.
    fn cut(&self) -> usize {
        let mut connections = self.connections.lock().expect("no panic");
        connections.drain(..).map(|connection| connection.abort()).count()
    }

    /// Waits until the client has come again after a cut. What it sends before it has noticed goes
    /// nowhere, and lapin waits for such a confirm for ever.
    async fn come_again(&self) -> Outcome {
        let is_away = || self.connections.lock().expect("no panic").is_empty();
        let come = async {
            while is_away() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("the client", come).await
    }
}

/// Publishes, as often as it takes, on a channel that may have to recover first.
async fn persist(channel: &Channel, exchange: &str, key: &str, body: &str) -> Outcome {
    loop {
        let (options, properties) = (BasicPublishOptions::default(), persistent());
        let sent =
            channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties);
        let confirm = async { sent.await?.await };
        match within("a confirm", confirm).await? {
            Ok(confirm) => return expect(confirm, Confirmation::Ack(None), "the confirm"),
            Err(error) => within("the recovery", channel.wait_for_recovery(error)).await??,
        }
    }
}

/// The next delivery with this body, on a channel that may have to recover first; acknowledges
/// those before it, which may come again because their acks were lost with the line.
async fn hear(channel: &Channel, consumer: &mut Consumer, body: &str) -> Outcome {
    loop {
        match within("a message", consumer.next()).await?.ok_or("the consumer ended early")? {
            Ok(delivery) => {
                delivery.ack(BasicAckOptions::default()).await?;
                if text(&delivery) == body {
                    return Ok(());
                }
                expect(delivery.redelivered, true, "redelivered of an earlier message")?;
            }
            Err(error) => within("the recovery", channel.wait_for_recovery(error)).await??,
        }
    }
}

/// Lapin's own recovery: what was declared and consumed comes back, queues by the names that they
/// were given; so this has none that the server names.
async fn recovery(options: &Options) -> Outcome {
    let (logs, subscriber) = (options.name("logs"), options.name("subscriber"));
    let tasks = options.name("tasks");
    let mut uri: AMQPUri = options.uri.parse()?;
    let line = Line::to(&uri).await?;
    uri.authority.port = line.port;
    let properties = ConnectionProperties::default().enable_auto_recover();
    let connection = Connection::connect_uri(uri, properties).await?;
    let channel = confirming(&connection).await?;
    let none = FieldTable::default;
    declare_exchange(&channel, &logs, ExchangeKind::Fanout).await?;
    declare(&channel, &subscriber, none()).await?;
    bind(&channel, &subscriber, &logs, "", none()).await?;
    declare(&channel, &tasks, none()).await?;
    let mut lines = consume(&channel, &subscriber, false).await?;
    let mut work = consume(&channel, &tasks, false).await?;
    for when in ["before", "after"] {
        persist(&channel, &logs, "", when).await?;
        hear(&channel, &mut lines, when).await?;
        persist(&channel, "", &tasks, when).await?;
        hear(&channel, &mut work, when).await?;
        if when == "before" {
            expect(line.cut(), 1, "connections")?;
            line.come_again().await?;
        }
    }
    delete_queue(&channel, &subscriber).await?;
    delete_queue(&channel, &tasks).await?;
    delete_exchange(&channel, &logs).await?;
    finish(&connection).await
}

/// Something that the broker refuses.
type Act<'a> = Box<dyn Fn(Channel) -> Pin<Box<dyn Future<Output = Outcome> + 'a>> + 'a>;

/// Boxes an async closure of a channel.
fn act<'a, F: Future<Output = Outcome> + 'a>(closure: impl Fn(Channel) -> F + 'a) -> Act<'a> {
    Box::new(move |channel| Box::pin(closure(channel)))
}

/// Opens a channel, does something that the broker refuses, and waits for the error that the connection tells of.
async fn refused(connection: &Connection, act: &Act<'_>, code: u16, text: &str) -> Outcome {
    let mut events = connection.events_listener();
    // The call that causes the error may fail or not; what counts is the reason the broker gives. The channel is kept
    // here, for dropping it would close it, and lapin gives up the connection if two closes cross.
    let channel = connection.create_channel().await?;
    let _ = act(channel.clone()).await;
    let text = if text.len() > 255 { format!("{}...", &text[..252]) } else { text.to_owned() };
    loop {
        if let Event::Error(error) = within(&text, events.next()).await?.ok_or("no more events")? {
            return expect(reason(&error), Some((code, text)), "the error");
        }
    }
}

/// Code and text that the broker closed a channel or connection with.
fn reason(error: &lapin::Error) -> Option<(u16, String)> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some((error.get_id(), error.get_message().to_string())),
        _ => None,
    }
}

async fn error_codes(options: &Options) -> Outcome {
    let (queue, exchange, locked) =
        (options.name("queue"), options.name("exchange"), options.name("locked"));
    let (queue, exchange, locked) = (queue.as_str(), exchange.as_str(), locked.as_str());
    let connection = options.connect().await?;
    let channel = confirming(&connection).await?;
    let limit = |n| table([("x-max-length", AMQPValue::LongInt(n))]);
    declare(&channel, queue, limit(1000)).await?;
    declare_exchange(&channel, exchange, ExchangeKind::Direct).await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare(locked.into(), exclusive, FieldTable::default()).await?;
    publish(&channel, "", queue, b"one", BasicProperties::default()).await?;

    let none = FieldTable::default;
    let no_queue = "NOT_FOUND - no queue 'nope' in vhost '/'";
    let no_exchange = "NOT_FOUND - no exchange 'nope' in vhost '/'";
    let inequivalent = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': received '2000' but \
         current is '1000'"
    );
    let other_type = format!(
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange}' in vhost '/': received 'fanout' but \
         current is 'direct'"
    );
    let not_empty = format!("PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty");
    let in_use = format!("ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use");
    let channel_errors: Vec<(Act<'_>, u16, &str)> = vec![
        (act(|ch| async move { ready(&ch, "nope").await.map(drop) }), 404, no_queue),
        (act(|ch| async move { drain(&ch, "nope").await.map(drop) }), 404, no_queue),
        (act(|ch| async move { consume(&ch, "nope", true).await.map(drop) }), 404, no_queue),
        (act(|ch| async move { bind(&ch, queue, "nope", "k", none()).await }), 404, no_exchange),
        (
            act(|ch| async move {
                let (options, properties) =
                    (BasicPublishOptions::default(), BasicProperties::default());
                ch.basic_publish("nope".into(), "k".into(), options, b"", properties).await?;
                Ok(())
            }),
            404,
            no_exchange,
        ),
        (
            act(|ch| async move { Ok(ch.basic_ack(99, BasicAckOptions::default()).await?) }),
            406,
            "PRECONDITION_FAILED - unknown delivery tag 99",
        ),
        (act(|ch| async move { declare(&ch, queue, limit(2000)).await }), 406, &inequivalent),
        (
            act(|ch| async move { declare_exchange(&ch, exchange, ExchangeKind::Fanout).await }),
            406,
            &other_type,
        ),
        (
            act(|ch| async move {
                let options = QueueDeleteOptions { if_empty: true, ..Default::default() };
                ch.queue_delete(queue.into(), options).await?;
                Ok(())
            }),
            406,
            &not_empty,
        ),
        (
            act(|ch| async move { Ok(ch.tx_commit().await?) }),
            406,
            "PRECONDITION_FAILED - channel is not transactional",
        ),
        (
            act(|ch| async move { declare_exchange(&ch, "amq.nope", ExchangeKind::Direct).await }),
            403,
            "ACCESS_REFUSED - exchange name 'amq.nope' contains reserved prefix 'amq.*'",
        ),
        (
            act(|ch| async move {
                let options = BasicConsumeOptions { exclusive: true, ..Default::default() };
                let _consumer = ch.basic_consume(queue.into(), "".into(), options, none()).await?;
                consume(&ch, queue, false).await.map(drop)
            }),
            403,
            &in_use,
        ),
    ];
    for (act, code, text) in &channel_errors {
        refused(&connection, act, *code, text).await?;
    }
    let stranger = options.connect().await?;
    let text = format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{locked}' in vhost '/'. It could be \
         originally declared on another connection or the exclusive property value does not match that of the \
         original declaration."
    );
    let steal = act(|ch| async move {
        Ok(ch.queue_declare(locked.into(), exclusive, none()).await.map(drop)?)
    });
    refused(&stranger, &steal, 405, &text).await?;
    finish(&stranger).await?;
    expect(ready(&channel, queue).await?, 1, "messages, seen by a channel that did nothing wrong")?;

    let connection_errors: Vec<(Act<'_>, u16, &str)> = vec![
        (
            act(
                |ch| async move { Ok(ch.basic_recover(BasicRecoverOptions { requeue: false }).await?) },
            ),
            540,
            "NOT_IMPLEMENTED - requeue=false",
        ),
        (
            act(|ch| async move {
                let (options, properties) = (
                    BasicPublishOptions { immediate: true, ..Default::default() },
                    BasicProperties::default(),
                );
                ch.basic_publish("".into(), queue.into(), options, b"", properties).await?;
                Ok(())
            }),
            540,
            "NOT_IMPLEMENTED - immediate=true",
        ),
        (
            act(|ch| async move {
                let options = BasicConsumeOptions::default();
                let _consumer = ch.basic_consume(queue.into(), "t".into(), options, none()).await?;
                ch.basic_consume(queue.into(), "t".into(), options, none()).await.map(drop)?;
                Ok(())
            }),
            530,
            "NOT_ALLOWED - attempt to reuse consumer tag 't'",
        ),
    ];
    for (act, code, text) in &connection_errors {
        refused(&options.connect().await?, act, *code, text).await?;
    }

    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker \
                logfile.";
    let login = options.connect_as(|uri| uri.authority.userinfo.password = "wrong".into()).await;
    let error = login.err().ok_or("a wrong password was accepted")?;
    expect(reason(&error), Some((403, text.into())), &format!("refused login ({error})"))?;
    let nowhere = options.connect_as(|uri| uri.vhost = "nope".into()).await;
    let error = nowhere.err().ok_or("a missing vhost was opened")?;
    let wanted = Some((530, "NOT_ALLOWED - vhost nope not found".into()));
    expect(reason(&error), wanted, &format!("a missing vhost ({error})"))?;
    delete_queue(&channel, queue).await?;
    delete_exchange(&channel, exchange).await?;
    finish(&connection).await
}
