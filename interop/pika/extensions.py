"""What RabbitMQ added to AMQP, through pika; the last ones are what Lepus has and RabbitMQ 4.3 has not."""

import collections
import datetime
import time

import pika
from pika.exceptions import NackError, UnroutableError

from blocking import confirming, connect, consume, drain, get, ready, refused, take, temporary, until
from scenario import DEADLINE, ensure, expect

REPLY_TO = "amq.rabbitmq.reply-to"


def properties(headers=None, **fields):
    return pika.BasicProperties(headers=headers, **fields)


def letters_to(queue, **arguments):
    """Arguments of a queue whose dead letters go to another queue."""
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue,
            **{f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}}


def deaths(properties):
    """The x-death header of a letter without the times, which must be times."""
    entries = [dict(entry) for entry in properties.headers["x-death"]]
    for entry in entries:
        ensure(isinstance(entry.pop("time"), datetime.datetime), "the time of a death")
    return entries


def bad_arguments(connection, queue, cases):
    """Declares a queue with an argument at a time, each of which the broker must refuse for its reason."""
    for argument, value, reason in cases:
        refused(connection, 406, f"invalid arg '{argument}' for queue '{queue}' in vhost '/'{reason}",
                lambda ch: ch.queue_declare(queue, durable=True, arguments={argument: value}))


def publish_badly(channel, queue, bad):
    """Publishes with properties that the broker refuses, and waits for what it says."""
    channel.basic_publish("", queue, b"", bad)
    channel.queue_declare(queue, passive=True)


# Time to live and dead letters


def ttl(options):
    connection = connect(options)
    channel = confirming(connection)
    letters = temporary(channel)
    # The time to live of the queue, that of the message, and what its letter says that it was.
    lives = [(50, None, None), (60_000, "50", "50"), (50, "60000", "60000"), (None, "50", "50")]
    for of_queue, of_message, original in lives:
        arguments = letters_to(letters)
        if of_queue:
            arguments["x-message-ttl"] = of_queue
        queue = temporary(channel, arguments)
        channel.basic_publish("", queue, b"late", properties({"own": 1}, delivery_mode=2, expiration=of_message))
        method, letter, body = take(channel, letters, 1)[0]
        expect((method.exchange, method.routing_key, body), ("", letters, b"late"), "the letter")
        expect((letter.expiration, letter.delivery_mode), (None, 2), "its expiration and delivery mode")
        death = {"count": 1, "reason": "expired", "queue": queue, "exchange": "", "routing-keys": [queue]}
        if original:
            death["original-expiration"] = original
        expect(deaths(letter), [death], "its x-death")
        letter.headers.pop("x-death")
        expect(letter.headers, {
            "own": 1, "x-first-death-reason": "expired", "x-first-death-queue": queue, "x-first-death-exchange": "",
            "x-last-death-reason": "expired", "x-last-death-queue": queue, "x-last-death-exchange": "",
        }, "its other headers")
    bad_arguments(connection, options.name("bad"), [
        ("x-message-ttl", -1, ": {value_negative,-1}"),
        ("x-message-ttl", "60000", ': "expected integer, got longstr"'),
        ("x-dead-letter-routing-key", "k", ": routing_key_but_no_dlx_defined"),
    ])
    refused(connection, 406, "invalid expiration 'soon': no_integer",
            lambda ch: publish_badly(ch, letters, properties(expiration="soon")))
    connection.close()


def dead_letters(options):
    """The retry loop of many programs: what fails is rejected, waits in a queue with a time to live, and comes back."""
    connection, retry = connect(options), options.name("retry")
    channel = confirming(connection)
    channel.exchange_declare(retry, "direct")
    work = temporary(channel, {"x-dead-letter-exchange": retry})
    wait = temporary(channel, {"x-message-ttl": 50, "x-dead-letter-exchange": ""})
    channel.queue_bind(wait, retry, work)
    channel.basic_publish("", work, b"fails twice", properties(delivery_mode=2))
    for failures in range(3):
        method, letter, body = take(channel, work, 1, auto_ack=False)[0]
        expect((method.exchange, method.routing_key, body), ("", work, b"fails twice"), "the message")
        if not failures:
            expect(letter.headers, None, "headers of a message that has not failed yet")
        else:
            expect(deaths(letter), [
                {"count": failures, "reason": "expired", "queue": wait, "exchange": retry, "routing-keys": [work]},
                {"count": failures, "reason": "rejected", "queue": work, "exchange": "", "routing-keys": [work]},
            ], f"x-death after {failures} failures")
            expect([letter.headers[f"x-first-death-{what}"] for what in ("reason", "queue", "exchange")],
                   ["rejected", work, ""], "its first death")
        if failures < 2:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)
    expect((ready(channel, work), ready(channel, wait)), (0, 0), "messages left")
    channel.exchange_delete(retry)
    connection.close()


# Limits


def max_length(options):
    connection = connect(options)
    channel = confirming(connection)
    by_count, by_bytes = {"max_length": 3}, {"max_length_bytes": 8}
    # The limit, the overflow, what is refused of m1 to m5, what stays, and what becomes a letter.
    for limit, overflow, nacked, kept, lost in (
        (by_count, None, "", "m3 m4 m5", "m1 m2"),
        (by_count, "drop-head", "", "m3 m4 m5", "m1 m2"),
        (by_count, "reject-publish", "m4 m5", "m1 m2 m3", ""),
        (by_count, "reject-publish-dlx", "m4 m5", "m1 m2 m3", "m4 m5"),
        (by_bytes, "drop-head", "", "m2 m3 m4 m5", "m1"),
        ({"max_length": 0}, "drop-head", "", "", "m1 m2 m3 m4 m5"),
    ):
        letters = temporary(channel)
        queue = temporary(channel, letters_to(letters, **limit, **({"overflow": overflow} if overflow else {})))
        refusals = []
        for body in "m1 m2 m3 m4 m5".split():
            try:
                channel.basic_publish("", queue, body)
            except NackError:
                refusals.append(body)
        seen = [message for message in take(channel, letters, len(lost.split()))]
        what = f"{limit} {overflow}"
        expect(" ".join(refusals), nacked, f"{what}: publishes that were refused")
        expect(" ".join(body.decode() for body in drain(channel, queue)), kept, f"{what}: messages that stay")
        expect(" ".join(body.decode() for _, _, body in seen), lost, f"{what}: dead letters")
        expect({deaths(letter)[0]["reason"] for _, letter, _ in seen}, {"maxlen"} if lost else set(), f"{what}: reason")
    bad_arguments(connection, options.name("bad"), [
        ("x-max-length", -1, ": {value_negative,-1}"),
        ("x-max-length-bytes", "many", ': "expected integer, got longstr"'),
        ("x-overflow", "drop-tail", ": invalid_overflow"),
    ])
    connection.close()


def queue_expires(options):
    connection, idle, used = connect(options), options.name("idle"), options.name("used")
    channel = confirming(connection)

    def gone(queue):
        try:
            channel.basic_publish("", queue, b"", mandatory=True)  # this is no use of the queue
        except UnroutableError:
            return True
        except NackError:
            pass  # RabbitMQ says so of a queue that is about to go
        return False

    for queue in (idle, used):
        channel.queue_declare(queue, durable=True, arguments={"x-expires": 1000})
    consume(channel, used, consumer_tag="c")
    until(connection, lambda: gone(idle), "the end of a queue that nobody uses")
    ensure(not gone(used), "a queue with a consumer must stay")
    channel.basic_cancel("c")
    until(connection, lambda: gone(used), "the end of a queue that its consumer left")
    bad_arguments(connection, options.name("bad"), [
        ("x-expires", 0, ": {value_zero,0}"),
        ("x-expires", -5, ": {value_negative,-5}"),
    ])
    connection.close()


# Who gets what, and when


def priorities(options):
    connection, quorum = connect(options), options.name("quorum")
    channel = confirming(connection)
    channel.queue_declare(quorum, durable=True, arguments={"x-queue-type": "quorum"})
    # What has no priority counts as 0, and what is above the maximum as that; in a quorum queue it counts as 4.
    for queue, order in ((temporary(channel, {"x-max-priority": 5}), [9, 5, 3, 1, None, 0]),
                         (temporary(channel), [None, 1, 9, 5, 0, 3]),
                         (quorum, [9, 5, None, 3, 1, 0])):
        for priority in (None, 1, 9, 5, 0, 3):
            channel.basic_publish("", queue, b"", properties(delivery_mode=2, priority=priority))
        expect([got.priority for _, got, _ in take(channel, queue, 6)], order, "priorities as they come")
    channel.queue_delete(quorum)
    bad_arguments(connection, options.name("bad"), [
        ("x-max-priority", 256, ": {max_value_exceeded,256}"),
        ("x-max-priority", -1, ": {value_negative,-1}"),
    ])
    connection.close()


def single_active_consumer(options):
    connection = connect(options)
    publisher, queue = confirming(connection), options.name("queue")
    publisher.queue_declare(queue, durable=True, arguments={"x-single-active-consumer": True})
    channels = [connection.channel() for _ in range(3)]
    inboxes = [consume(channel, queue, consumer_tag="c") for channel in channels]

    def seen(after):
        until(connection, lambda: sum(map(len, inboxes)) == after, f"{after} deliveries")
        return [" ".join(body.decode() + "*" * method.redelivered for method, _, body in inbox) for inbox in inboxes]

    for body in (b"m1", b"m2"):
        publisher.basic_publish("", queue, body)
    expect(seen(2), ["m1 m2", "", ""], "deliveries to the first consumer")
    channels[0].basic_cancel("c")
    publisher.basic_publish("", queue, b"m3")
    expect(seen(3), ["m1 m2", "m3", ""], "deliveries after the first one cancelled")
    channels[0].basic_ack(2, multiple=True)  # its messages stayed its own
    channels[1].close()
    expect(seen(4), ["m1 m2", "m3", "m3*"], "deliveries after the second one went with a message in hand")
    expect(publisher.queue_declare(queue, passive=True).method.consumer_count, 1, "consumers left")
    refused(connection, 403, f"queue '{queue}' in vhost '/' in exclusive use",
            lambda channel: channel.basic_consume(queue, print, exclusive=True))
    publisher.queue_delete(queue)
    bad_arguments(connection, queue, [("x-single-active-consumer", "yes", ": {unacceptable_type,longstr}")])
    connection.close()


def consumer_priority(options):
    connection = connect(options)
    publisher, channel = confirming(connection), connection.channel()
    queue = temporary(publisher)
    channel.basic_qos(prefetch_count=2)
    low = consume(channel, queue)
    high = consume(channel, queue, arguments={"x-priority": 10})

    def seen(after):
        until(connection, lambda: len(low) + len(high) == after, f"{after} deliveries")
        return [" ".join(body.decode() for _, _, body in inbox) for inbox in (high, low)]

    for n in range(1, 6):
        publisher.basic_publish("", queue, b"m%d" % n)
    expect(seen(4), ["m1 m2", "m3 m4"], "the low one gets what the high one has no room for")
    channel.basic_ack(high[0][0].delivery_tag)
    expect(seen(5), ["m1 m2 m5", "m3 m4"], "the high one has room again")
    refused(connection, 406, f"invalid arg 'x-priority' for queue '{queue}' in vhost '/': "
            '"expected integer, got longstr"', lambda ch: consume(ch, queue, arguments={"x-priority": "high"}))
    connection.close()


# Quorum queues


def delivery_limit(options):
    connection, queue = connect(options), options.name("queue")
    channel = confirming(connection)
    letters = temporary(channel)
    channel.queue_declare(queue, durable=True, arguments=letters_to(letters, queue_type="quorum", delivery_limit=2))

    def counts(taken):
        method, got, _ = taken
        table = got.headers or {}
        return method.redelivered, table.get("x-delivery-count"), table.get("x-acquired-count")

    channel.basic_publish("", queue, b"poison", properties(delivery_mode=2))
    for wanted in ((False, None, None), (True, 1, 1), (True, 2, 2)):
        taken = take(channel, queue, 1, auto_ack=False)[0]
        expect(counts(taken), wanted, "redelivered, x-delivery-count and x-acquired-count of a rejected message")
        channel.basic_reject(taken[0].delivery_tag, requeue=True)
    _, letter, body = take(channel, letters, 1)[0]
    expect(body, b"poison", "the letter")
    expect(deaths(letter), [{"count": 1, "reason": "delivery_limit", "queue": queue, "exchange": "",
                             "routing-keys": [queue]}], "its x-death")

    # A nack is no failure, the loss of the channel is one.
    channel.basic_publish("", queue, b"unlucky", properties(delivery_mode=2))
    for n in range(4):
        taken = take(channel, queue, 1, auto_ack=False)[0]
        expect(counts(taken), (n > 0, None, n or None), "counts of a message that was nacked")
        channel.basic_nack(taken[0].delivery_tag, requeue=True)
    lost = connection.channel()
    take(lost, queue, 1, auto_ack=False)
    lost.close()
    taken = take(channel, queue, 1, auto_ack=False)[0]
    expect(counts(taken), (True, 1, 5), "counts of a message whose channel went")
    channel.basic_ack(taken[0].delivery_tag)
    channel.queue_delete(queue)
    connection.close()


def consumer_timeout(options):
    """A consumer of a quorum queue that holds a message too long is cancelled, and the message is ready again."""
    connection, other, queue = connect(options), connect(options), options.name("queue")
    channel = confirming(connection)
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.basic_publish("", queue, b"held")
    slow, cancelled = other.channel(), []
    slow.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    inbox = consume(slow, queue, consumer_tag="slow", arguments={"x-consumer-timeout": 1000})
    until(other, lambda: cancelled, "the end of a consumer that holds a message too long")
    expect((len(inbox), cancelled), (1, ["slow"]), "deliveries, and who was cancelled")
    until(connection, lambda: ready(channel, queue), "the message")
    method, _, body = get(channel, queue)
    expect((body, method.redelivered), (b"held", True), "the message that it held")
    other.close()
    channel.queue_delete(queue)
    connection.close()


def quorum_refusals(options):
    connection, queue = connect(options), options.name("queue")
    channel = connection.channel()
    quorum = {"x-queue-type": "quorum"}
    for flags, text in (({}, "non-durable"), ({"durable": True, "exclusive": True}, "exclusive-owner"),
                        ({"durable": True, "auto_delete": True}, "auto-delete")):
        refused(connection, 406, f"invalid property '{text}' for queue '{queue}' in vhost '/'",
                lambda ch: ch.queue_declare(queue, arguments=quorum, **flags))
    refused(connection, 406, "Cannot declare a server-named queue for type rabbit_quorum_queue",
            lambda ch: ch.queue_declare("", durable=True, arguments=quorum))
    for argument, value in (("x-max-priority", 5), ("x-queue-mode", "lazy"), ("x-max-age", "1D")):
        refused(connection, 406, f"invalid arg '{argument}' for queue '{queue}' in vhost '/' of queue type "
                "rabbit_quorum_queue",
                lambda ch: ch.queue_declare(queue, durable=True, arguments={**quorum, argument: value}))
    bad_arguments(connection, queue, [
        ("x-queue-type", "foo", ": \"unsupported queue type 'foo'\""),
        ("x-max-age", "1D", " of queue type rabbit_classic_queue"),
    ])
    single = {"x-single-active-consumer": True}
    channel.queue_declare(queue, durable=True, arguments={**quorum, **single})
    refused(connection, 406, f"inequivalent arg 'x-queue-type' for queue '{queue}' in vhost '/': "
            "received 'classic' but current is 'quorum'",
            lambda ch: ch.queue_declare(queue, durable=True, arguments=single))
    channel.queue_delete(queue)
    connection.close()


# Publishing


def direct_reply_to(options):
    connection = connect(options)
    requester, responder = connection.channel(), confirming(connection)
    queue = temporary(responder)
    replies = consume(requester, REPLY_TO, auto_ack=True, consumer_tag="r")
    for n in range(2):
        requester.basic_publish("", queue, b"%d" % n, properties(reply_to=REPLY_TO, correlation_id="c"))
    names = [request.reply_to for _, request, _ in take(responder, queue, 2)]
    ensure(names[0].startswith(REPLY_TO + ".") and names[0] == names[1], f"a name for the replies that stays: {names}")
    expect(responder.queue_declare(names[0], passive=True).method.consumer_count, 1, "a passive declare: it waits")
    responder.basic_publish("", names[0], b"answer", mandatory=True)
    until(connection, lambda: replies, "the reply")
    ((method, _, body),) = replies
    expect((method.exchange, method.routing_key, body), ("", names[0], b"answer"), "the reply")
    requester.basic_cancel("r")
    refused(connection, 404, f"no queue '{names[0]}' in vhost '/'",
            lambda ch: ch.queue_declare(names[0], passive=True))
    responder.basic_publish("", names[0], b"too late", mandatory=True)  # lost, and not returned

    def ask_without_a_consumer(channel):
        publish_badly(channel, queue, properties(reply_to=REPLY_TO))

    def consume_twice(channel):
        for tag in "ab":
            consume(channel, REPLY_TO, auto_ack=True, consumer_tag=tag)

    for text, act in (("fast reply consumer does not exist", ask_without_a_consumer),
                      ("reply consumer already set", consume_twice),
                      ("reply consumer cannot acknowledge", lambda ch: consume(ch, REPLY_TO))):
        refused(connection, 406, f"{text}", act)
    connection.close()


def cc_bcc(options):
    connection = connect(options)
    channel = confirming(connection)
    to, cc, bcc = (temporary(channel) for _ in range(3))
    table = {"CC": [cc, to, "nowhere"], "BCC": [bcc, cc], "own": 1}
    channel.basic_publish("", to, b"news", properties(table))
    for queue in (to, cc, bcc):
        method, got, _ = get(channel, queue)
        expect((method.exchange, method.routing_key, method.message_count), ("", to, 0), "one copy with the first key")
        expect(got.headers, {"CC": [cc, to, "nowhere"], "own": 1}, "its headers")
    channel.basic_publish("", "nowhere", b"", properties({"CC": [cc]}), mandatory=True)  # has a route
    for name in ("CC", "BCC"):
        refused(connection, 406, f'invalid message: {{unacceptable_type_in_header,"{name}",longstr}}',
                lambda ch: publish_badly(ch, to, properties({name: cc})))
    connection.close()


def user_id(options):
    connection = connect(options)
    channel = confirming(connection)
    queue, user = temporary(channel), pika.URLParameters(options.uri).credentials.username
    channel.basic_publish("", queue, b"", properties(user_id=user))
    expect(get(channel, queue)[1].user_id, user, "the user that published")
    refused(connection, 406, f"user_id property set to 'bob' but authenticated user was '{user}'",
            lambda ch: publish_badly(ch, queue, properties(user_id="bob")))
    connection.close()


def alternate_exchange(options):
    connection, main, spare = connect(options), options.name("main"), options.name("spare")
    channel = confirming(connection)
    known, unknown = temporary(channel), temporary(channel)
    channel.exchange_declare(main, "direct", arguments={"alternate-exchange": spare})
    channel.queue_bind(known, main, "known")

    def publish(key):
        try:
            return channel.basic_publish(main, key, key, mandatory=True)
        except UnroutableError:
            return "returned"

    expect([publish("known"), publish("unknown")], [None, "returned"], "while the alternate exchange is missing")
    channel.exchange_declare(spare, "fanout")
    channel.queue_bind(unknown, spare)
    expect([publish("known"), publish("unknown")], [None, None], "once it is there")
    expect(drain(channel, known), [b"known"] * 2, "what has a route")
    method, _, body = get(channel, unknown)
    expect((method.exchange, method.routing_key, body), (main, "unknown", b"unknown"), "what has none")
    expect(drain(channel, unknown), [], "nothing else")
    refused(connection, 406, f"inequivalent arg 'alternate-exchange' for exchange '{main}' in vhost '/': "
            f"received 'other' but current is '{spare}'",
            lambda ch: ch.exchange_declare(main, "direct", arguments={"alternate-exchange": "other"}))
    for exchange in (main, spare):
        channel.exchange_delete(exchange)
    connection.close()


# Exchange types


def spread(channel, exchange, queues, keys, **fields):
    """Publishes by these keys; returns which of the queues got each, once each went to one queue."""
    for key in keys:
        channel.basic_publish(exchange, key, key, properties(**fields))
    places = {}
    for place, queue in enumerate(queues):
        for body in drain(channel, queue):
            ensure(body not in places, f"{body} went to two queues")
            places[body] = place
    expect(len(places), len(keys), "messages that went to a queue")
    return [places[key.encode()] for key in keys]


def consistent_hash(options):
    connection, exchange, by_header = connect(options), options.name("by-key"), options.name("by-header")
    channel = confirming(connection)
    queues, keys = [temporary(channel) for _ in range(3)], [f"key {n}" for n in range(300)]
    channel.exchange_declare(exchange, "x-consistent-hash")
    for queue, weight in zip(queues, ("1", "1", "4")):
        channel.queue_bind(queue, exchange, weight)
    places = spread(channel, exchange, queues, keys)
    expect(spread(channel, exchange, queues, keys), places, "where the same keys go again")
    shares = collections.Counter(places)
    ensure(min(shares[0], shares[1]) > 20 and shares[2] > shares[0] + shares[1], f"shares by weight: {shares}")
    channel.queue_unbind(queues[0], exchange, "1")
    ensure(0 not in spread(channel, exchange, queues, keys), "a queue that was unbound gets nothing")
    channel.exchange_declare(by_header, "x-consistent-hash", arguments={"hash-header": "h"})
    for queue in queues:
        channel.queue_bind(queue, by_header, "1")
    places = spread(channel, by_header, queues, keys[:50], headers={"h": "same"})
    expect(len(set(places)), 1, "queues for one value of the header")
    for weight, text in (("abc", 'must be an integer: <<"abc">>'), ("0", "must be greater than 0")):
        refused(connection, 406, f"The binding key {text}",
                lambda ch: ch.queue_bind(queues[0], exchange, weight))
    for name in (exchange, by_header):
        channel.exchange_delete(name)
    connection.close()


def modulus_hash(options):
    connection, exchange = connect(options), options.name("exchange")
    channel = confirming(connection)
    queues, keys = [temporary(channel) for _ in range(3)], [f"key {n}" for n in range(60)]
    channel.exchange_declare(exchange, "x-modulus-hash")
    for queue in queues:
        channel.queue_bind(queue, exchange, "ignored")
    places = spread(channel, exchange, queues, keys)
    expect(set(places), {0, 1, 2}, "queues that get something")
    expect(spread(channel, exchange, queues, keys), places, "where the same keys go again")
    channel.exchange_delete(exchange)
    connection.close()


def random(options):
    connection = connect(options)
    channel = confirming(connection)
    for kind in ("x-random", "x-local-random"):
        exchange, queues = options.name(kind), [temporary(channel) for _ in range(3)]
        channel.exchange_declare(exchange, kind)
        for queue in queues:
            channel.queue_bind(queue, exchange, "")
        places = spread(channel, exchange, queues, [f"{n}" for n in range(90)])
        expect(set(places), {0, 1, 2}, "queues that get something")
        channel.exchange_delete(exchange)
    connection.close()


def recent_history(options):
    connection, exchange, key = connect(options), options.name("history"), "x-recent-history-length"
    channel = confirming(connection)
    channel.exchange_declare(exchange, "x-recent-history", arguments={key: 3})
    for n in range(5):
        channel.basic_publish(exchange, "k", b"m%d" % n)
    channel.basic_publish(exchange, "k", b"secret", properties({"x-recent-history-no-store": True}))
    late = temporary(channel)
    channel.queue_bind(late, exchange)
    until(connection, lambda: ready(channel, late) == 3, "three messages")
    channel.basic_publish(exchange, "k", b"live")
    expect(drain(channel, late), [b"m2", b"m3", b"m4", b"live"], "what a queue that comes late gets")
    refused(connection, 406, f"Invalid argument 0, '{key}' must be a positive integer",
            lambda ch: ch.exchange_declare(f"{exchange}.bad", "x-recent-history", arguments={key: 0}))
    channel.exchange_delete(exchange)
    connection.close()


# What RabbitMQ 4.3 has not


def delayed_message(options):
    connection, exchange = connect(options), options.name("delayed")
    channel = confirming(connection)
    channel.exchange_declare(exchange, "x-delayed-message", durable=True, arguments={"x-delayed-type": "topic"})
    queue = temporary(channel)
    channel.queue_bind(queue, exchange, "a.*")
    started = time.monotonic()
    for delay in (600, 300, 0):
        channel.basic_publish(exchange, "a.b", str(delay), properties({"x-delay": delay}, delivery_mode=2))
    channel.basic_publish(exchange, "other", b"no route", properties({"x-delay": 100}))
    expect(drain(channel, queue), [b"0"], "what does not wait")
    for delay in (300, 600):
        method, got, body = take(channel, queue, 1)[0]
        ensure(time.monotonic() - started >= delay / 1000, f"{body} came too early")
        expect((method.exchange, method.routing_key, body), (exchange, "a.b", b"%d" % delay), "what waited")
        expect(got.headers, {"x-delay": -delay}, "its headers")
    refused(connection, 406, "Invalid argument, 'x-delayed-type' must be an existing exchange type",
            lambda ch: ch.exchange_declare(exchange + ".bad", "x-delayed-message"))
    channel.exchange_delete(exchange)
    connection.close()


def deduplication(options):
    connection, exchange = connect(options), options.name("once")
    channel = confirming(connection)
    channel.exchange_declare(exchange, "x-message-deduplication", arguments={"x-cache-size": 10})
    behind, alone = temporary(channel), temporary(channel, {"x-message-deduplication": True})
    channel.queue_bind(behind, exchange, "")
    for value, body in (("a", b"1"), ("b", b"2"), ("a", b"3"), (None, b"4"), (None, b"5")):
        table = {"x-deduplication-header": value} if value else {}
        channel.basic_publish(exchange, "", body, properties(table))
        channel.basic_publish("", alone, body, properties(table))
    for queue in (behind, alone):
        expect(drain(channel, queue), [b"1", b"2", b"4", b"5"], "what passed")
    table = properties({"x-deduplication-header": "a"})
    channel.basic_publish(exchange, "", b"again", table)
    channel.basic_publish("", alone, b"again", table)
    expect(drain(channel, behind), [], "what the exchange passes on of a value that it has seen")
    expect(drain(channel, alone), [b"again"], "what the queue takes of a value that it no longer holds")
    channel.exchange_delete(exchange)
    connection.close()


def retry_delay(options):
    connection = connect(options)
    channel = confirming(connection)
    queue = temporary(channel, {"x-retry-delay": 200, "x-retry-delay-max": 300})
    for body in (b"fails", b"next"):
        channel.basic_publish("", queue, body)
    channel.basic_qos(prefetch_count=1)
    inbox, failed = consume(channel, queue), None
    for body, delay in ((b"fails", 0), (b"next", 0), (b"fails", 200), (b"fails", 300)):
        until(connection, lambda: inbox, "a message")
        method, _, got = inbox.pop()
        expect((got, method.redelivered), (body, delay > 0), "the message, and whether it comes again")
        ensure(not delay or time.monotonic() - failed >= delay / 1000, f"it came again before {delay} ms were over")
        if body == b"next":
            channel.basic_ack(method.delivery_tag)
        else:
            failed = time.monotonic()
            channel.basic_nack(method.delivery_tag, requeue=True)
    connection.close()


SCENARIOS = {
    "ttl": ttl,
    "dead-letters": dead_letters,
    "max-length": max_length,
    "queue-expires": queue_expires,
    "priorities": priorities,
    "single-active-consumer": single_active_consumer,
    "consumer-priority": consumer_priority,
    "delivery-limit": delivery_limit,
    "consumer-timeout": consumer_timeout,
    "quorum-refusals": quorum_refusals,
    "direct-reply-to": direct_reply_to,
    "cc-bcc": cc_bcc,
    "user-id": user_id,
    "alternate-exchange": alternate_exchange,
    "consistent-hash": consistent_hash,
    "modulus-hash": modulus_hash,
    "random": random,
    "recent-history": recent_history,
    "delayed-message": delayed_message,
    "deduplication": deduplication,
    "retry-delay": retry_delay,
}
