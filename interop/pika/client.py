#!/usr/bin/env python3
"""pika, the Python client that most tutorials use, through the interop scenarios: `client.py --uri URI SCENARIO`."""

import os
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import pika  # noqa: E402
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, UnroutableError  # noqa: E402

from blocking import PERSISTENT, connect, drain, ready, take, until  # noqa: E402
from scenario import (  # noqa: E402
    DEADLINE, FRAME_EDGES, HEADER_BINDINGS, HEADER_MESSAGES, LARGE, LOGIN_REFUSED, TOPIC_KEYS, TOPICS,
    ensure, expect, locked_text, main, pattern,
)
import extensions  # noqa: E402
import operated  # noqa: E402
import over_tls  # noqa: E402

# The scenarios that every client has


def work_queue(options):
    connection, queue, tasks = connect(options), options.name("tasks"), 20
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(queue, durable=True)
    for n in range(tasks):
        channel.basic_publish("", queue, b"task %d" % n, PERSISTENT)

    class Worker:
        def __init__(self):
            self.connection = connect(options)
            self.channel = self.connection.channel()
            self.channel.basic_qos(prefetch_count=1)
            self.seen, self.unacked = [], []
            self.channel.basic_consume(queue, self.on_task)

        def on_task(self, _channel, method, _properties, body):
            expect(method.redelivered, False, "redelivered of a fresh message")
            self.seen.append(body)
            self.unacked.append(method.delivery_tag)

        def ack(self):
            expect(len(self.unacked), 1, "messages in hand with a prefetch of 1")
            self.channel.basic_ack(self.unacked.pop())

    workers = [Worker(), Worker()]
    for worker in workers:
        until(worker.connection, lambda w=worker: w.seen, "the first task of each worker")
    expect(ready(channel, queue), tasks - 2, "ready messages while each worker holds one")
    while sum(len(worker.seen) for worker in workers) < tasks:
        for worker in workers:
            if worker.unacked:
                worker.ack()
            worker.connection.process_data_events(time_limit=0.01)
    for worker in workers:
        if worker.unacked:
            worker.ack()
        worker.connection.close()
    bodies = sorted(body for worker in workers for body in worker.seen)
    expect(bodies, sorted(b"task %d" % n for n in range(tasks)), "tasks done")
    ensure(all(len(worker.seen) > 1 for worker in workers), "one worker did nearly everything")
    expect(ready(channel, queue), 0, "messages left")
    channel.queue_delete(queue)
    connection.close()


def pubsub(options):
    connection, exchange, count = connect(options), options.name("logs"), 10
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare(exchange, "fanout")
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
    ensure(all(queue.startswith("amq.gen-") for queue in queues), f"server-named queues: {queues}")
    expect(len(set(queues)), 3, "different server-named queues")
    for queue in queues[:2]:
        channel.queue_bind(queue, exchange)
    bodies = [b"log %d" % n for n in range(count)]
    for body in bodies:
        channel.basic_publish(exchange, "ignored", body)
    channel.queue_bind(queues[2], exchange)
    channel.queue_unbind(queues[1], exchange)
    channel.basic_publish(exchange, "", b"late")
    expect([body for _, _, body in take(channel, queues[0], count + 1)], bodies + [b"late"], "the first subscriber")
    expect(drain(channel, queues[1]), bodies, "the subscriber that left")
    expect(drain(channel, queues[2]), [b"late"], "the subscriber that came late")
    channel.exchange_delete(exchange)
    connection.close()


def routing(options):
    connection, exchange = connect(options), options.name("direct")
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare(exchange, "direct")
    errors = channel.queue_declare("", exclusive=True).method.queue
    everything = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(errors, exchange, "error")
    for key in ("info", "warning", "error"):
        channel.queue_bind(everything, exchange, key)
    for key in ("info", "error", "warning", "Error"):
        channel.basic_publish(exchange, key, key.encode())
    expect(drain(channel, errors), [b"error"], "messages by the key error")
    expect(drain(channel, everything), [b"info", b"error", b"warning"], "messages by three keys")
    try:
        channel.basic_publish(exchange, "debug", b"nobody listens", mandatory=True)
        ensure(False, "a mandatory message without a route was not returned")
    except UnroutableError as error:
        (message,) = error.messages
        expect(message.method.reply_code, 312, "reply code of the return")
        expect(message.method.reply_text, "NO_ROUTE", "reply text of the return")
        expect(message.method.exchange, exchange, "exchange of the return")
        expect(message.method.routing_key, "debug", "routing key of the return")
        expect(message.body, b"nobody listens", "body of the return")
    channel.exchange_delete(exchange)
    connection.close()


def topics(options):
    connection, exchange = connect(options), options.name("topic")
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare(exchange, "topic")
    queues = {}
    for binding in TOPICS:
        queues[binding] = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queues[binding], exchange, binding)
    for key in TOPIC_KEYS:
        channel.basic_publish(exchange, key, key.encode())
    for binding, keys in TOPICS.items():
        expect(drain(channel, queues[binding]), [key.encode() for key in keys], f"keys that match {binding!r}")
    channel.exchange_delete(exchange)
    connection.close()


def headers(options):
    connection, exchange = connect(options), options.name("headers")
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare(exchange, "headers")
    queues = {}
    for name, (arguments, _) in HEADER_BINDINGS.items():
        queues[name] = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queues[name], exchange, arguments=arguments)
    for name, table in HEADER_MESSAGES.items():
        channel.basic_publish(exchange, "", name.encode(), pika.BasicProperties(headers=table))
    for name, (_, matches) in HEADER_BINDINGS.items():
        expect([body.decode() for body in drain(channel, queues[name])], matches, f"messages that match {name!r}")

    queue = channel.queue_declare("", exclusive=True).method.queue
    sent = pika.BasicProperties(
        content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=7, correlation_id="c-1",
        reply_to="nobody", expiration="600000", message_id="m-1", timestamp=1234567890, type="t", user_id=None,
        app_id="interop", cluster_id="",
        headers={"text": "grüße", "int": -5, "big": 1 << 40, "bool": True, "none": None, "list": [1, "two", False],
                 "table": {"inner": {"deep": 1}}},
    )
    channel.basic_publish("", queue, b"", sent)
    method, got, body = channel.basic_get(queue, auto_ack=True)
    ensure(method is not None, "a message with every property did not arrive")
    expect(body, b"", "the empty body")
    for field in ("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to",
                  "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id", "headers"):
        expect(getattr(got, field), getattr(sent, field), f"property {field}")
    channel.exchange_delete(exchange)
    connection.close()


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def rpc(options):
    queue, calls, ready_to_serve = options.name("rpc"), 10, threading.Event()

    def serve():
        connection = connect(options)
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.basic_qos(prefetch_count=1)
        ready_to_serve.set()
        for method, properties, body in channel.consume(queue, inactivity_timeout=DEADLINE):
            if method is None or body == b"stop":
                break
            answer = str(fibonacci(int(body))).encode()
            channel.basic_publish("", properties.reply_to, answer,
                                  pika.BasicProperties(correlation_id=properties.correlation_id))
            channel.basic_ack(method.delivery_tag)
        connection.close()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    ensure(ready_to_serve.wait(DEADLINE), "the server did not start")
    connection = connect(options)
    for direct in (False, True):
        channel = connection.channel()
        answers = {}

        def on_answer(_channel, _method, properties, body):
            answers[properties.correlation_id] = int(body)

        reply_to = "amq.rabbitmq.reply-to" if direct else channel.queue_declare("", exclusive=True).method.queue
        channel.basic_consume(reply_to, on_answer, auto_ack=True)
        for n in range(calls):
            properties = pika.BasicProperties(reply_to=reply_to, correlation_id=f"call {n}")
            channel.basic_publish("", queue, str(n).encode(), properties)
        until(connection, lambda: len(answers) == calls, "the answers")
        expect(answers, {f"call {n}": fibonacci(n) for n in range(calls)}, f"answers, direct reply-to: {direct}")
        channel.close()
    channel = connection.channel()
    channel.basic_publish("", queue, b"stop")
    server.join(DEADLINE)
    channel.queue_delete(queue)
    connection.close()


def confirms(options):
    """pika's blocking channel waits for each confirm, so the batch goes through its asynchronous connection."""
    connection, queue, count = connect(options), options.name("confirms"), 500
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    open_tags, events = set(), []

    def on_open(selecting):
        selecting.channel(on_open_callback=on_channel)

    def on_channel(confirming):
        confirming.add_on_return_callback(lambda _c, method, _p, body: events.append(("return", body)))
        confirming.confirm_delivery(ack_nack_callback=on_confirm, callback=lambda _ok: publish(confirming))

    def publish(confirming):
        for n in range(1, count + 1):
            confirming.basic_publish("", queue, b"%d" % n, PERSISTENT)
        confirming.basic_publish("", queue + ".missing", b"lost", mandatory=True)
        open_tags.update(range(1, count + 2))

    def on_confirm(frame):
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        settled = {t for t in open_tags if t == tag or multiple and (t <= tag or tag == 0)}
        events.append((frame.method.NAME, settled))
        open_tags.difference_update(settled)
        if not open_tags:
            selecting.close()

    def on_close(_connection, _reason):
        selecting.ioloop.stop()

    selecting = pika.SelectConnection(pika.URLParameters(options.uri), on_open_callback=on_open,
                                      on_close_callback=on_close,
                                      on_open_error_callback=lambda _c, error: selecting.ioloop.stop())
    selecting.ioloop.start()
    expect(open_tags, set(), "publishes that were never confirmed")
    settled = [tag for kind, tags in events if kind == "Basic.Ack" for tag in tags]
    expect(sorted(settled), list(range(1, count + 2)), "each publish acked once, none nacked")
    returned = events.index(("return", b"lost"))
    acked = next(at for at, (kind, tags) in enumerate(events) if kind == "Basic.Ack" and count + 1 in tags)
    ensure(returned < acked, "the return of a mandatory message must come before its ack")
    expect(ready(channel, queue), count, "messages in the queue once all are confirmed")
    channel.queue_delete(queue)
    connection.close()


def nack_requeue(options):
    connection, queue = connect(options), options.name("queue")
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(queue, durable=True)
    for n in range(1, 5):
        channel.basic_publish("", queue, b"m%d" % n)

    def got(count):
        gets = [channel.basic_get(queue) for _ in range(count)]
        ensure(all(method for method, _, _ in gets), "the queue is empty too early")
        return [(body.decode(), method.redelivered) for method, _, body in gets], gets[-1][0].delivery_tag

    seen, tag = got(1)
    expect(seen, [("m1", False)], "first get")
    channel.basic_nack(tag, requeue=True)
    seen, tag = got(3)
    expect(seen, [("m1", True), ("m2", False), ("m3", False)], "after a nack with requeue")
    channel.basic_nack(tag, multiple=True, requeue=True)
    seen, tag = got(4)
    expect(seen, [("m1", True), ("m2", True), ("m3", True), ("m4", False)], "after a nack of three with requeue")
    channel.basic_reject(tag, requeue=False)
    channel.basic_recover(requeue=True)
    seen, tag = got(3)
    expect(seen, [("m1", True), ("m2", True), ("m3", True)], "after a reject without requeue and a recover")
    channel.close()
    channel = connection.channel()
    seen, tag = got(3)
    expect(seen, [("m1", True), ("m2", True), ("m3", True)], "after the channel was closed with three in hand")
    channel.basic_ack(tag, multiple=True)
    expect(ready(channel, queue), 0, "messages left")
    channel.queue_delete(queue)
    connection.close()


def persistence_before(options):
    connection = connect(options)
    channel = connection.channel()
    channel.confirm_delivery()
    exchange, queue = options.name("exchange"), options.name("queue")
    channel.exchange_declare(exchange, "topic", durable=True)
    channel.queue_declare(queue, durable=True, arguments={"x-max-length": 100000})
    channel.queue_bind(queue, exchange, "kept.#")
    for n in range(100):
        properties = pika.BasicProperties(delivery_mode=2, message_id=str(n), headers={"n": n})
        channel.basic_publish(exchange, f"kept.{n}", pattern(n * 100), properties)
    channel.basic_publish(exchange, "kept.not", b"transient", pika.BasicProperties(delivery_mode=1))
    for n in range(10):
        method, _, _ = channel.basic_get(queue)
        channel.basic_ack(method.delivery_tag)
    channel.close()
    connection.close()


def persistence_after(options):
    connection = connect(options)
    channel = connection.channel()
    channel.confirm_delivery()
    exchange, queue = options.name("exchange"), options.name("queue")
    channel.exchange_declare(exchange, "topic", passive=True)
    channel.queue_declare(queue, durable=True, arguments={"x-max-length": 100000})
    channel.basic_publish(exchange, "kept.new", b"new", pika.BasicProperties(message_id="new"))
    seen = take(channel, queue, ready(channel, queue))
    ids = [properties.message_id for _, properties, _ in seen]
    # What was acked may come back after a kill, never after a clean stop.
    start = 10 if options.clean or "10" in ids[:1] else int(ids[0])
    ensure(start <= 10, f"the first message after the restart is {ids[0]}")
    expect(ids, [str(n) for n in range(start, 100)] + ["new"], "messages after the restart")
    for method, properties, body in seen[:-1]:
        n = int(properties.message_id)
        expect(body, pattern(n * 100), f"body {n}")
        expect((properties.delivery_mode, properties.headers), (2, {"n": n}), f"properties {n}")
        expect((method.exchange, method.routing_key), (exchange, f"kept.{n}"), f"origin of {n}")
    channel.queue_delete(queue)
    channel.exchange_delete(exchange)
    connection.close()


def large_bodies(options):
    connection, queue = connect(options), options.name("queue")
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(queue, durable=True)
    bodies = [pattern(size) for size in (*FRAME_EDGES, LARGE)]
    for body in bodies:
        channel.basic_publish("", queue, body, PERSISTENT)
    for body, (_, _, got) in zip(bodies, take(channel, queue, len(bodies))):
        expect(len(got), len(body), "length")
        ensure(got == body, f"a body of {len(body)} octets changed on its way")
    channel.queue_delete(queue)
    connection.close()


def many_channels(options):
    connection = connect(options)
    channels = [connection.channel() for _ in range(200)]
    expect(len({channel.channel_number for channel in channels}), 200, "open channels")
    queue = channels[0].queue_declare("", exclusive=True).method.queue
    for n, channel in enumerate(channels):
        channel.basic_publish("", queue, b"%d" % n)
        method, _, body = take(channel, queue, 1)[0]
        expect((method.delivery_tag, body), (1, b"%d" % n), f"what channel {n} got")
    for channel in channels:
        channel.close()
    for _ in range(500):
        connection.channel().close()
    connection.close()


def heartbeat_idle(options):
    connection = connect(options, heartbeat=2)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    connection.sleep(6)
    channel.basic_publish("", queue, b"still here")
    expect(take(channel, queue, 1)[0][2], b"still here", "message after the idle time")
    connection.close()


def error_codes(options):
    connection = connect(options)
    queue, exchange, locked = options.name("queue"), options.name("exchange"), options.name("locked")
    channel = connection.channel()
    channel.queue_declare(queue, durable=True, arguments={"x-max-length": 1000})
    channel.exchange_declare(exchange, "direct", durable=True)
    channel.queue_declare(locked, exclusive=True)
    generated = channel.queue_declare("", exclusive=True).method.queue
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"one")

    def publish_into_nothing(ch):
        ch.basic_publish("nope", "key", b"")
        ch.queue_declare(queue, passive=True)

    def ack_unknown(ch):
        ch.basic_ack(99)
        ch.queue_declare(queue, passive=True)

    def consume_twice(ch):
        ch.basic_consume(queue, lambda *_: None, exclusive=True)
        ch.basic_consume(queue, lambda *_: None)

    def lock_elsewhere(_ch):
        other = connect(options)
        try:
            other.channel().queue_declare(locked, exclusive=True)
        finally:
            other.close()

    channel_errors = [
        (lambda ch: ch.queue_declare("nope", passive=True), 404, "NOT_FOUND - no queue 'nope' in vhost '/'"),
        (lambda ch: ch.exchange_declare("nope", passive=True), 404, "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (lambda ch: ch.basic_get("nope"), 404, "NOT_FOUND - no queue 'nope' in vhost '/'"),
        (lambda ch: ch.queue_bind(queue, "nope", "k"), 404, "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (publish_into_nothing, 404, "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (ack_unknown, 406, "PRECONDITION_FAILED - unknown delivery tag 99"),
        (lambda ch: ch.queue_declare(queue, durable=True, arguments={"x-max-length": 2000}), 406,
         f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': "
         "received '2000' but current is '1000'"),
        (lambda ch: ch.exchange_declare(exchange, "fanout", durable=True), 406,
         f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange}' in vhost '/': "
         "received 'fanout' but current is 'direct'"),
        (lambda ch: ch.queue_delete(queue, if_empty=True), 406,
         f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"),
        (lambda ch: ch.exchange_declare("amq.nope", "direct"), 403,
         "ACCESS_REFUSED - exchange name 'amq.nope' contains reserved prefix 'amq.*'"),
        (lambda ch: ch.queue_declare(generated, exclusive=True), 403,
         f"ACCESS_REFUSED - queue name '{generated}' contains reserved prefix 'amq.*'"),
        (lambda ch: ch.queue_bind(queue, "", "k"), 403,
         "ACCESS_REFUSED - operation not permitted on the default exchange"),
        (consume_twice, 403, f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"),
        (lock_elsewhere, 405, locked_text(locked)),
    ]
    for act, code, text in channel_errors:
        failing = connection.channel()
        try:
            act(failing)
            ensure(False, f"no channel error where {code} {text!r} is due")
        except ChannelClosedByBroker as error:
            expect((error.reply_code, error.reply_text), (code, text), "channel error")
    expect(ready(channel, queue), 1, "messages, seen by a channel that did nothing wrong")

    def same_tag(other):
        # pika refuses a tag that it knows itself, so it must forget the first one.
        ch = other.channel()
        ch.basic_consume(queue, lambda *_: None, consumer_tag="t")
        ch._impl._consumers.clear()
        ch._consumer_infos.clear()
        ch.basic_consume(queue, lambda *_: None, consumer_tag="t")

    connection_errors = [
        ({"credentials": pika.PlainCredentials("guest", "wrong")}, None, 403, LOGIN_REFUSED),
        ({"virtual_host": "nope"}, None, 530, "NOT_ALLOWED - vhost nope not found"),
        ({}, lambda other: other.channel().basic_qos(prefetch_size=5), 540,
         "NOT_IMPLEMENTED - prefetch_size!=0 (5)"),
        ({}, lambda other: other.channel().basic_recover(requeue=False), 540, "NOT_IMPLEMENTED - requeue=false"),
        ({}, same_tag, 530, "NOT_ALLOWED - attempt to reuse consumer tag 't'"),
    ]
    for settings, act, code, text in connection_errors:
        try:
            other = connect(options, **settings)
            act(other)
            ensure(False, f"no connection error where {code} {text!r} is due")
        except ConnectionClosedByBroker as error:
            expect((error.reply_code, error.reply_text), (code, text), "connection error")
        except pika.exceptions.ProbableAuthenticationError as error:
            ensure(text in str(error) and str(code) in str(error), f"login error: {error}")
        except pika.exceptions.AMQPConnectionError as error:
            ensure(text in repr(error) and str(code) in repr(error), f"connection error: {error!r}")
    channel.queue_delete(queue)
    channel.exchange_delete(exchange)
    connection.close()


# The everyday programs that articles about message queues print


def article_task_queue(options):
    """A producer of persistent messages to a durable queue; workers with a prefetch of 1 and manual acks."""
    queue = options.name("task_queue")
    connection = connect(options)
    channel = connection.channel()
    channel.queue_declare(queue=queue, durable=True)
    for dots in range(1, 6):
        channel.basic_publish(exchange="", routing_key=queue, body="Hello" + "." * dots,
                              properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent))
    connection.close()

    connection = connect(options)
    channel = connection.channel()
    channel.queue_declare(queue=queue, durable=True)
    done = []

    def callback(ch, method, _properties, body):
        done.append(body.count(b"."))
        ch.basic_ack(delivery_tag=method.delivery_tag)
        if len(done) == 5:
            ch.stop_consuming()

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue=queue, on_message_callback=callback)
    channel.start_consuming()
    expect(done, [1, 2, 3, 4, 5], "tasks in order")
    expect(channel.queue_delete(queue).method.message_count, 0, "messages left")
    connection.close()


def cpu_seconds(pid):
    """CPU time that a process has used, from /proc."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def article_always_nack(options):
    """A worker that always fails and nacks with requeue: the task comes round and round, and costs the broker little."""
    queue = options.name("task_queue")
    connection = connect(options)
    channel = connection.channel()
    channel.queue_declare(queue=queue, durable=True)
    channel.basic_publish("", queue, b"impossible", PERSISTENT)
    channel.basic_qos(prefetch_count=1)
    rounds = []

    def callback(ch, method, _properties, body):
        expect(body, b"impossible", "body")
        rounds.append(method.redelivered)
        connection.sleep(0.05)
        ch.basic_nack(delivery_tag=method.delivery_tag, requeue=True)

    channel.basic_consume(queue=queue, on_message_callback=callback)
    started, before = time.monotonic(), options.broker_pid and cpu_seconds(options.broker_pid)
    until(connection, lambda: len(rounds) >= 60, "60 rounds")
    if options.broker_pid:
        used = cpu_seconds(options.broker_pid) - before
        share = used / (time.monotonic() - started)
        ensure(share < 0.5, f"the broker used {share:.0%} of a core to requeue 20 messages a second")
    expect(rounds, [False] + [True] * (len(rounds) - 1), "redelivered flags")
    channel.close()
    channel = connection.channel()
    expect(channel.queue_delete(queue).method.message_count, 1, "the task is still there")
    connection.close()


def article_durable_logs(options):
    """A fanout exchange with queue='' declared durable: a queue with a name from the server that stays."""
    exchange = options.name("logs")
    connection = connect(options)
    channel = connection.channel()
    channel.exchange_declare(exchange=exchange, exchange_type="fanout")
    queue = channel.queue_declare(queue="", durable=True).method.queue
    ensure(queue.startswith("amq.gen-"), f"server-named queue: {queue}")
    channel.queue_bind(exchange=exchange, queue=queue)
    connection.close()

    connection = connect(options)
    channel = connection.channel()
    channel.exchange_declare(exchange=exchange, exchange_type="fanout")
    channel.basic_publish(exchange=exchange, routing_key="", body="info: Hello World!")
    seen = []
    channel.basic_consume(queue=queue, on_message_callback=lambda *args: seen.append(args[3]), auto_ack=True)
    until(connection, lambda: seen, "the log line")
    expect(seen, [b"info: Hello World!"], "log lines")
    channel.queue_delete(queue)
    channel.exchange_delete(exchange)
    connection.close()


def article_hello_auto_ack(options):
    """`Hello World {i}` and a consumer with auto_ack=True that runs at the same time."""
    queue, count, seen = options.name("hello"), 1000, []
    consuming = threading.Event()

    def consume():
        connection = connect(options)
        channel = connection.channel()
        channel.queue_declare(queue=queue, durable=True)

        def callback(ch, _method, _properties, body):
            seen.append(body)
            if len(seen) == count:
                ch.stop_consuming()

        channel.basic_consume(queue=queue, on_message_callback=callback, auto_ack=True)
        consuming.set()
        channel.start_consuming()
        connection.close()

    consumer = threading.Thread(target=consume, daemon=True)
    consumer.start()
    ensure(consuming.wait(DEADLINE), "the consumer did not start")
    connection = connect(options)
    channel = connection.channel()
    channel.queue_declare(queue=queue, durable=True)
    for i in range(count):
        channel.basic_publish(exchange="", routing_key=queue, body=f"Hello World {i}")
    consumer.join(DEADLINE)
    expect(seen, [b"Hello World %d" % i for i in range(count)], "greetings in order")
    expect(channel.queue_delete(queue).method.message_count, 0, "messages left")
    connection.close()


def article_republish(options):
    """A consumer that publishes again what it could not handle, with one more attempt in a header, then acks it."""
    queue = options.name("jobs")
    connection = connect(options)
    channel = connection.channel()
    channel.queue_declare(queue=queue, durable=True)
    for n in range(10):
        channel.basic_publish("", queue, b"job %d" % n, pika.BasicProperties(delivery_mode=2, headers={"attempt": 1}))
    done, failed = [], []

    def callback(ch, method, properties, body):
        attempt = properties.headers["attempt"]
        if body.endswith((b"3", b"7")) and attempt < 3:
            failed.append(body)
            again = pika.BasicProperties(delivery_mode=2, headers={"attempt": attempt + 1})
            ch.basic_publish(method.exchange, method.routing_key, body, again)
        else:
            done.append((body, attempt))
        ch.basic_ack(method.delivery_tag)
        if len(done) == 10:
            ch.stop_consuming()

    channel.basic_consume(queue=queue, on_message_callback=callback)
    channel.start_consuming()
    expect(sorted(failed), [b"job 3", b"job 3", b"job 7", b"job 7"], "failed attempts")
    expect(sorted(done), [(b"job %d" % n, 3 if n in (3, 7) else 1) for n in range(10)], "jobs done, by attempts")
    expect(channel.queue_delete(queue).method.message_count, 0, "messages left")
    connection.close()


if __name__ == "__main__":
    main("pika", {
        "work-queue": work_queue,
        "pubsub": pubsub,
        "routing": routing,
        "topics": topics,
        "headers": headers,
        "rpc": rpc,
        "confirms": confirms,
        "nack-requeue": nack_requeue,
        "persistence-before": persistence_before,
        "persistence-after": persistence_after,
        "large-bodies": large_bodies,
        "many-channels": many_channels,
        "heartbeat-idle": heartbeat_idle,
        "error-codes": error_codes,
        "article-task-queue": article_task_queue,
        "article-always-nack": article_always_nack,
        "article-durable-logs": article_durable_logs,
        "article-hello-auto-ack": article_hello_auto_ack,
        "article-republish": article_republish,
        **extensions.SCENARIOS,
        **operated.SCENARIOS,
        **over_tls.SCENARIOS,
    })
