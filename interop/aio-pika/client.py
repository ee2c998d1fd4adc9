#!/usr/bin/env python3
"""aio-pika, the asyncio client, through the interop scenarios: `client.py --uri URI SCENARIO`."""

import asyncio
import logging
import pathlib
import sys
from datetime import datetime, timezone

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import aio_pika  # noqa: E402
from aio_pika import DeliveryMode, ExchangeType, Message  # noqa: E402
from yarl import URL  # noqa: E402

from line import Line  # noqa: E402
from scenario import (  # noqa: E402
    DEADLINE, FRAME_EDGES, HEADER_BINDINGS, HEADER_MESSAGES, LARGE, LOGIN_REFUSED, TOPIC_KEYS, TOPICS,
    ensure, expect, locked_text, main, pattern,
)


async def connect(options, **settings):
    """A connection that does not come back by itself when it is closed."""
    return await aio_pika.connect(options.uri, timeout=DEADLINE, **settings)


async def within(what, awaitable):
    """Waits for something, but not forever."""
    try:
        return await asyncio.wait_for(awaitable, DEADLINE)
    except asyncio.TimeoutError:
        ensure(False, f"waited {DEADLINE} s for {what}")


def persistent(body, **properties):
    """A persistent message."""
    return Message(body, delivery_mode=DeliveryMode.PERSISTENT, **properties)


async def temporary(channel):
    """An exclusive queue that the server names."""
    return await channel.declare_queue("", exclusive=True)


async def ready(channel, queue):
    """How many messages are ready in a queue."""
    declared = await channel.declare_queue(queue.name, passive=True)
    return declared.declaration_result.message_count


async def consume(queue, no_ack=False):
    """Starts a consumer whose deliveries go into an asyncio queue."""
    deliveries = asyncio.Queue()
    tag = await queue.consume(deliveries.put, no_ack=no_ack)
    return deliveries, tag


async def take(queue, count):
    """The next `count` deliveries of a queue."""
    deliveries, tag = await consume(queue, no_ack=True)
    taken = [await within(f"message {n} of {count}", deliveries.get()) for n in range(count)]
    await queue.cancel(tag)
    return taken


async def drain(queue):
    """The bodies of all ready messages of a queue, got one by one."""
    bodies = []
    while message := await queue.get(no_ack=True, fail=False):
        bodies.append(message.body.decode())
    return bodies


async def delete(*things):
    """Deletes queues and exchanges, used or not."""
    for thing in things:
        await (thing.delete(if_unused=False, if_empty=False) if hasattr(thing, "purge") else thing.delete())


async def work_queue(options):
    connection, tasks = await connect(options), 20
    channel = await connection.channel()
    queue = await channel.declare_queue(options.name("tasks"), durable=True)
    for n in range(tasks):
        await channel.default_exchange.publish(persistent(b"task %02d" % n), queue.name)
    workers = []
    inbox = asyncio.Queue()
    for n in range(2):
        own = await connect(options)
        work = await own.channel()
        await work.set_qos(prefetch_count=1)
        workers.append((own, work, []))

        async def on_task(message, who=n):
            await inbox.put((who, message))

        await (await work.get_queue(queue.name, ensure=False)).consume(on_task)

    held = [await within("the first tasks", inbox.get()) for _ in range(2)]
    expect({who for who, _ in held}, {0, 1}, "workers that got one of the first two tasks")
    expect(await ready(channel, queue), tasks - 2, "ready messages while each worker holds one")
    done = 0
    while held:
        who, message = held.pop()
        expect(message.redelivered, False, "redelivered of a fresh message")
        workers[who][2].append(message.body)
        await message.ack()
        done += 1
        if done + len(held) < tasks:
            held.insert(0, await within("a task", inbox.get()))
    for own, work, seen in workers:
        ensure(len(seen) > 1, "one worker did nearly everything")
        await work.close()
        await own.close()
    expect(sorted(workers[0][2] + workers[1][2]), [b"task %02d" % n for n in range(tasks)], "tasks done")
    expect(await ready(channel, queue), 0, "messages left")
    await delete(queue)
    await connection.close()


async def pubsub(options):
    connection = await connect(options)
    channel = await connection.channel()
    exchange = await channel.declare_exchange(options.name("logs"), ExchangeType.FANOUT)
    stayed, left, late = [await temporary(channel) for _ in range(3)]
    ensure(left.name.startswith("amq.gen-") and len(left.name) == 30, f"server-named queue: {left.name}")
    await stayed.bind(exchange)
    await left.bind(exchange)
    logs = [f"log {n}" for n in range(10)]
    for line in logs:
        await exchange.publish(Message(line.encode()), "ignored")
    await late.bind(exchange)
    await left.unbind(exchange)
    await exchange.publish(Message(b"late"), "")
    expect(await drain(left), logs, "the subscriber that left")
    expect(await drain(late), ["late"], "the subscriber that came late")
    expect([message.body.decode() for message in await take(stayed, 11)], logs + ["late"], "the one that stayed")
    await delete(exchange)
    await connection.close()


async def routing(options):
    connection = await connect(options)
    channel = await connection.channel(on_return_raises=True)
    exchange = await channel.declare_exchange(options.name("direct"), ExchangeType.DIRECT)
    errors, everything = await temporary(channel), await temporary(channel)
    await errors.bind(exchange, "error")
    for key in ("info", "warning", "error"):
        await everything.bind(exchange, key)
    for key in ("info", "error", "warning", "Error"):
        await exchange.publish(Message(key.encode()), key, mandatory=False)
    expect(await drain(errors), ["error"], "messages by the key error")
    expect(await drain(everything), ["info", "error", "warning"], "messages by three keys")
    try:
        await exchange.publish(Message(b"nobody listens"), "debug", mandatory=True)
        ensure(False, "a mandatory message without a route was not returned")
    except aio_pika.exceptions.DeliveryError as error:
        returned = error.message.delivery
        expect((returned.reply_code, returned.reply_text), (312, "NO_ROUTE"), "reply of the return")
        expect((returned.exchange, returned.routing_key), (exchange.name, "debug"), "origin of the return")
        expect(error.message.body, b"nobody listens", "body of the return")
    await delete(exchange)
    await connection.close()


async def topics(options):
    connection = await connect(options)
    channel = await connection.channel()
    exchange = await channel.declare_exchange(options.name("topic"), ExchangeType.TOPIC)
    queues = {}
    for binding in TOPICS:
        queues[binding] = await temporary(channel)
        await queues[binding].bind(exchange, binding)
    for key in TOPIC_KEYS:
        await exchange.publish(Message(key.encode()), key)
    for binding, keys in TOPICS.items():
        expect(await drain(queues[binding]), list(keys), f"keys that match {binding!r}")
    await delete(exchange)
    await connection.close()


async def headers(options):
    connection = await connect(options)
    channel = await connection.channel()
    exchange = await channel.declare_exchange(options.name("headers"), ExchangeType.HEADERS)
    queues = {}
    for name, (arguments, _) in HEADER_BINDINGS.items():
        queues[name] = await temporary(channel)
        await queues[name].bind(exchange, "", arguments=arguments)
    for name, table in HEADER_MESSAGES.items():
        await exchange.publish(Message(name.encode(), headers=table), "")
    for name, (_, matches) in HEADER_BINDINGS.items():
        expect(await drain(queues[name]), matches, f"messages that match {name!r}")

    queue = await temporary(channel)
    table = {"text": "grüße", "int": -5, "big": 1 << 40, "bool": True, "none": None, "list": [1, "two", False],
             "double": 1.5, "table": {"inner": {"deep": 1}}, "time": datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc)}
    sent = Message(
        b"", headers=table, content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=7,
        correlation_id="c-1", reply_to="nobody", expiration=600, message_id="m-1",
        timestamp=datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc), type="t", app_id="interop")
    await channel.default_exchange.publish(sent, queue.name)
    got = await queue.get(no_ack=True)
    expect(got.body, b"", "the empty body")
    for field in ("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to",
                  "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "headers"):
        expect(getattr(got, field), getattr(sent, field), f"property {field}")
    await delete(exchange)
    await connection.close()


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


async def rpc(options):
    serving, calls = await connect(options), 10
    server = await serving.channel()
    await server.set_qos(prefetch_count=1)
    queue = await server.declare_queue(options.name("rpc"), durable=True)

    async def on_request(request):
        answer = Message(b"%d" % fibonacci(int(request.body)), correlation_id=request.correlation_id)
        await server.default_exchange.publish(answer, request.reply_to, mandatory=False)
        await request.ack()

    await queue.consume(on_request)
    connection = await connect(options)
    for direct in (False, True):
        channel = await connection.channel()
        if direct:
            replies = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
        else:
            replies = await temporary(channel)
        inbox, _ = await consume(replies, no_ack=True)
        for n in range(calls):
            call = Message(b"%d" % n, reply_to=replies.name, correlation_id=f"call {n}")
            await channel.default_exchange.publish(call, queue.name)
        answers = {}
        while len(answers) < calls:
            reply = await within("an answer", inbox.get())
            answers[reply.correlation_id] = int(reply.body)
        expect(answers, {f"call {n}": fibonacci(n) for n in range(calls)}, f"answers, direct reply-to: {direct}")
        await channel.close()
    await connection.close()
    await delete(queue)
    await serving.close()


async def confirms(options):
    connection, count = await connect(options), 500
    channel = await connection.channel()
    queue = await channel.declare_queue(options.name("confirms"), durable=True)
    publish = channel.default_exchange.publish
    pending = [publish(persistent(b"%d" % n), queue.name) for n in range(count)]
    results = await within("the confirms", asyncio.gather(*pending))
    expect({type(result).__name__ for result in results}, {"Ack"}, "kinds of confirms")
    # aio-pika gives the returned message where a return comes before the ack.
    lost = await within("the last confirm", publish(Message(b"lost"), queue.name + ".missing", mandatory=True))
    expect(getattr(lost, "body", None), b"lost", "the returned message")
    expect(await ready(channel, queue), count, "messages in the queue once all are confirmed")
    await delete(queue)
    await connection.close()


async def nack_requeue(options):
    connection = await connect(options)
    publisher, channel = await connection.channel(), await connection.channel()
    queue = await publisher.declare_queue(options.name("queue"), durable=True)
    for n in range(1, 5):
        await publisher.default_exchange.publish(Message(b"m%d" % n), queue.name)

    async def got(count):
        source = await channel.get_queue(queue.name, ensure=False)
        messages = [await source.get() for _ in range(count)]
        return [(message.body.decode(), message.redelivered) for message in messages], messages[-1]

    three = [("m1", True), ("m2", True), ("m3", True)]
    seen, last = await got(1)
    expect(seen, [("m1", False)], "first get")
    await last.nack(requeue=True)
    seen, last = await got(3)
    expect(seen, [("m1", True), ("m2", False), ("m3", False)], "after a nack with requeue")
    await last.nack(multiple=True, requeue=True)
    seen, last = await got(4)
    expect(seen, three + [("m4", False)], "after a nack of three with requeue")
    await last.reject(requeue=False)
    await (await channel.get_underlay_channel()).basic_recover(requeue=True)
    seen, last = await got(3)
    expect(seen, three, "after a reject without requeue and a recover")
    await channel.close()
    channel = await connection.channel()
    seen, last = await got(3)
    expect(seen, three, "after the channel was closed with three in hand")
    await last.ack(multiple=True)
    expect(await ready(channel, queue), 0, "messages left")
    await delete(queue)
    await connection.close()


KEPT = {"x-max-length": 100000}


async def persistence_before(options):
    connection = await connect(options)
    channel = await connection.channel()
    exchange = await channel.declare_exchange(options.name("exchange"), ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(options.name("queue"), durable=True, arguments=KEPT)
    await queue.bind(exchange, "kept.#")
    for n in range(100):
        await exchange.publish(persistent(pattern(n * 100), message_id=str(n), headers={"n": n}), f"kept.{n}")
    await exchange.publish(Message(b"transient", delivery_mode=DeliveryMode.NOT_PERSISTENT), "kept.not")
    for _ in range(10):
        await (await queue.get()).ack()
    await channel.close()
    await connection.close()


async def persistence_after(options):
    connection = await connect(options)
    channel = await connection.channel()
    exchange = await channel.get_exchange(options.name("exchange"))
    queue = await channel.declare_queue(options.name("queue"), durable=True, arguments=KEPT)
    await exchange.publish(Message(b"new", message_id="new"), "kept.new")
    seen = await take(queue, await ready(channel, queue))
    ids = [message.message_id for message in seen]
    # What was acked may come back after a kill, never after a clean stop.
    start = 10 if options.clean else min(10, int(ids[0]))
    expect(ids, [str(n) for n in range(start, 100)] + ["new"], "messages after the restart")
    for n, message in enumerate(seen[:-1], start):
        expect(message.body, pattern(n * 100), f"body {n}")
        expect((message.delivery_mode, message.headers), (2, {"n": n}), f"properties {n}")
        expect((message.exchange, message.routing_key), (exchange.name, f"kept.{n}"), f"origin of {n}")
    await delete(queue, exchange)
    await connection.close()


async def large_bodies(options):
    connection = await connect(options)
    channel = await connection.channel()
    queue = await channel.declare_queue(options.name("queue"), durable=True)
    bodies = [pattern(size) for size in (*FRAME_EDGES, LARGE)]
    for body in bodies:
        await channel.default_exchange.publish(persistent(body), queue.name)
    for body, message in zip(bodies, await take(queue, len(bodies))):
        expect(len(message.body), len(body), "length")
        ensure(message.body == body, f"a body of {len(body)} octets changed on its way")
    await delete(queue)
    await connection.close()


async def many_channels(options):
    connection = await connect(options)
    channels = [await connection.channel() for _ in range(200)]
    queue = await temporary(channels[0])
    for n, channel in enumerate(channels):
        await channel.default_exchange.publish(Message(b"%d" % n), queue.name)
        got = (await take(await channel.get_queue(queue.name, ensure=False), 1))[0]
        expect((got.delivery_tag, got.body), (1, b"%d" % n), f"what channel {n} got")
    for channel in channels:
        await channel.close()
    for _ in range(500):
        await (await connection.channel()).close()
    await connection.close()


async def heartbeat_idle(options):
    connection = await connect(options, heartbeat=2)
    channel = await connection.channel()
    queue = await temporary(channel)
    closed = asyncio.get_running_loop().create_future()
    connection.close_callbacks.add(lambda _connection, reason: closed.done() or closed.set_result(reason))
    done, _ = await asyncio.wait([closed], timeout=6)
    ensure(not done, "the connection was closed while idle")
    await channel.default_exchange.publish(Message(b"still here"), queue.name)
    expect((await take(queue, 1))[0].body, b"still here", "message after the idle time")
    connection.close_callbacks.clear()
    await connection.close()


async def reason_of(what, thing, act):
    """Does something, and gives the error that a channel or a connection is closed with."""
    closed = asyncio.get_running_loop().create_future()
    thing.close_callbacks.add(lambda _thing, reason: closed.done() or closed.set_result(reason))

    async def quietly():
        try:
            await act
        except (aio_pika.exceptions.AMQPError, RuntimeError, asyncio.CancelledError):
            pass  # the reason comes to the callback

    acting = asyncio.create_task(quietly())
    reason = await within(what, closed)
    await within("the end of a failed call", acting)
    return reason


async def error_codes(options):
    """aiormq shows the code of a channel error by the class of its exception, and its text as an argument."""
    connection = await connect(options)
    channel = await connection.channel()
    queue = await channel.declare_queue(options.name("queue"), durable=True, arguments={"x-max-length": 1000})
    exchange = await channel.declare_exchange(options.name("exchange"), ExchangeType.DIRECT, durable=True)
    locked = await channel.declare_queue(options.name("locked"), exclusive=True)
    await channel.default_exchange.publish(Message(b"one"), queue.name)

    async def underlay(ch):
        return await ch.get_underlay_channel()

    async def publish_into_nothing(ch):
        nowhere = await ch.get_exchange("nope", ensure=False)
        await nowhere.publish(Message(b""), "key")

    async def ack_unknown(ch):
        await (await underlay(ch)).basic_ack(99)

    async def consume_twice(ch):
        own = await ch.get_queue(queue.name, ensure=False)
        await own.consume(lambda _message: asyncio.sleep(0), exclusive=True)
        await own.consume(lambda _message: asyncio.sleep(0))

    async def get_missing(ch):
        await (await ch.get_queue("nope", ensure=False)).get()

    async def bind_missing(ch):
        await (await underlay(ch)).queue_bind(queue.name, "nope", "k")

    async def delete_not_empty(ch):
        await ch.queue_delete(queue.name, if_empty=True)

    async def commit(ch):
        await (await underlay(ch)).tx_commit()

    channel_errors = [
        (lambda ch: ch.declare_queue("nope", passive=True), "NotFoundEntity",
         "NOT_FOUND - no queue 'nope' in vhost '/'"),
        (lambda ch: ch.declare_exchange("nope", passive=True), "NotFoundEntity",
         "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (get_missing, "NotFoundEntity", "NOT_FOUND - no queue 'nope' in vhost '/'"),
        (bind_missing, "NotFoundEntity", "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (publish_into_nothing, "NotFoundEntity", "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (ack_unknown, "PreconditionFailed", "PRECONDITION_FAILED - unknown delivery tag 99"),
        (lambda ch: ch.declare_queue(queue.name, durable=True, arguments={"x-max-length": 2000}), "PreconditionFailed",
         f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue.name}' in vhost '/': "
         "received '2000' but current is '1000'"),
        (lambda ch: ch.declare_exchange(exchange.name, ExchangeType.FANOUT, durable=True), "PreconditionFailed",
         f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange.name}' in vhost '/': "
         "received 'fanout' but current is 'direct'"),
        (delete_not_empty, "PreconditionFailed",
         f"PRECONDITION_FAILED - queue '{queue.name}' in vhost '/' not empty"),
        (commit, "PreconditionFailed", "PRECONDITION_FAILED - channel is not transactional"),
        (lambda ch: ch.declare_exchange("amq.nope"), "AccessRefused",
         "ACCESS_REFUSED - exchange name 'amq.nope' contains reserved prefix 'amq.*'"),
        (consume_twice, "AccessRefused", f"ACCESS_REFUSED - queue '{queue.name}' in vhost '/' in exclusive use"),
    ]
    stranger = await connect(options)
    steal = (lambda ch: ch.declare_queue(locked.name, exclusive=True), "LockedResource", locked_text(locked.name))
    for own, (act, kind, text) in [(connection, case) for case in channel_errors] + [(stranger, steal)]:
        failing = await own.channel()
        error = await reason_of(text, failing, act(failing))
        expect((type(error).__name__, error.args), (f"Channel{kind}", (text,)), "channel error")
    expect(await ready(channel, queue), 1, "messages, seen by a channel that did nothing wrong")
    await stranger.close()

    async def immediate(ch):
        await ch.default_exchange.publish(Message(b""), queue.name, immediate=True)

    async def recover_without_requeue(ch):
        await (await underlay(ch)).basic_recover(requeue=False)

    connection_errors = [
        (lambda ch: ch.set_qos(prefetch_size=5), "NOT_IMPLEMENTED - prefetch_size!=0 (5)"),
        (recover_without_requeue, "NOT_IMPLEMENTED - requeue=false"),
        (lambda ch: ch.flow(False), "NOT_IMPLEMENTED - active=false"),
        (immediate, "NOT_IMPLEMENTED - immediate=true"),
    ]
    for act, text in connection_errors:
        other = await connect(options)
        error = await reason_of(text, other, act(await other.channel()))
        expect(type(error).__name__, "ConnectionNotImplemented", f"kind of error for {text}: {error!r}")
        ensure(text in str(error.args), f"connection error {error!r}; expected {text}")
    logins = [(URL(options.uri).with_password("wrong"), LOGIN_REFUSED),
              (URL(options.uri).with_path("nope"), "got <Connection.Close")]  # all that aiormq tells of a missing vhost
    for url, text in logins:
        try:
            await aio_pika.connect(url, timeout=DEADLINE)
            ensure(False, f"logged in where {text} is due")
        except aio_pika.exceptions.AMQPError as error:
            ensure(text in str(error.args), f"login error {error!r}; expected {text}")
    await delete(queue, exchange)
    await connection.close()


async def recovery(options):
    """connect_robust: exchange, queues, bindings and consumers come back."""
    line = Line(options.uri)
    connection = await aio_pika.connect_robust(line.uri, timeout=DEADLINE, reconnect_interval=0.1)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=5)
    logs = await channel.declare_exchange(options.name("logs"), ExchangeType.FANOUT)
    passing = await channel.declare_queue(options.name("passing"), exclusive=True)
    await passing.bind(logs)
    tasks = await channel.declare_queue(options.name("tasks"), durable=True)
    lines, _ = await consume(passing, no_ack=True)
    work, _ = await consume(tasks)
    for when in (b"before", b"after"):
        await within("a publish", logs.publish(Message(when), ""))
        await within("a publish", channel.default_exchange.publish(persistent(when), tasks.name))
        expect((await within("a line", lines.get())).body, when, "what the subscriber got")
        task = await within("a task", work.get())
        while task.body != when:  # the ack of the one before may have been lost with the line
            ensure(task.redelivered, "the task before is redelivered")
            await task.ack()
            task = await within("a task", work.get())
        await task.ack()
        if when == b"before":
            back = asyncio.Event()
            connection.reconnect_callbacks.add(lambda *_about: back.set())
            expect(line.cut(), 1, "connections")
            await within("the recovery", back.wait())
    await delete(tasks, logs)
    await connection.close()


def run(scenario):
    """A scenario as the plain function that `main` calls."""
    return lambda options: asyncio.run(scenario(options))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # the errors that a scenario provokes are no news
    main("aio-pika", {
        "work-queue": run(work_queue),
        "pubsub": run(pubsub),
        "routing": run(routing),
        "topics": run(topics),
        "headers": run(headers),
        "rpc": run(rpc),
        "confirms": run(confirms),
        "nack-requeue": run(nack_requeue),
        "persistence-before": run(persistence_before),
        "persistence-after": run(persistence_after),
        "large-bodies": run(large_bodies),
        "many-channels": run(many_channels),
        "heartbeat-idle": run(heartbeat_idle),
        "error-codes": run(error_codes),
        "recovery": run(recovery),
    })
