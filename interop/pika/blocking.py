"""What pika's scenarios share: a blocking connection, and ways to take messages from a queue."""

import time

import pika
from pika.exceptions import ChannelClosedByBroker

from scenario import DEADLINE, ensure, expect

REPLY_NAMES = {403: "ACCESS_REFUSED", 404: "NOT_FOUND", 405: "RESOURCE_LOCKED", 406: "PRECONDITION_FAILED"}
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def connect(options, **settings):
    """A connection, with pika's parameters changed as the keywords say."""
    parameters = pika.URLParameters(options.uri)
    for key, value in settings.items():
        setattr(parameters, key, value)
    return pika.BlockingConnection(parameters)


def take(channel, queue, count, auto_ack=True):
    """The next `count` deliveries of a queue, as (method, properties, body)."""
    taken = []
    while len(taken) < count:
        for delivery in channel.consume(queue, auto_ack=auto_ack, inactivity_timeout=DEADLINE):
            ensure(delivery[0] is not None, f"nothing came for {DEADLINE} s; {len(taken)} of {count} messages taken")
            taken.append(delivery)
            if len(taken) == count:
                break
    channel.cancel()
    return taken


def drain(channel, queue):
    """The bodies of all ready messages of a queue, got one by one."""
    bodies = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return bodies
        bodies.append(body)


def ready(channel, queue):
    """How many messages are ready in a queue."""
    return channel.queue_declare(queue, passive=True).method.message_count


def until(connection, done, what):
    """Serves the connection until `done()` holds."""
    end = time.monotonic() + DEADLINE
    while not done():
        ensure(time.monotonic() < end, f"waited {DEADLINE} s for {what}")
        connection.process_data_events(time_limit=0.1)


def confirming(connection):
    """A channel on which every publish waits for its confirm."""
    channel = connection.channel()
    channel.confirm_delivery()
    return channel


def temporary(channel, arguments=None):
    """An exclusive queue that the server names."""
    return channel.queue_declare("", exclusive=True, arguments=arguments).method.queue


def consume(channel, queue, **settings):
    """Starts a consumer with manual acks; what comes is appended to the list that this returns."""
    deliveries = []
    channel.basic_consume(queue, lambda _channel, *delivery: deliveries.append(delivery), **settings)
    return deliveries


def get(channel, queue):
    """The message at the head of a queue, to be settled."""
    delivery = channel.basic_get(queue)
    ensure(delivery[0] is not None, "the queue is empty too early")
    return delivery


def refused(connection, code, text, act):
    """Does something with a channel that must be closed for it, with this reply."""
    text = f"{REPLY_NAMES[code]} - {text}"
    try:
        act(connection.channel())
    except ChannelClosedByBroker as error:
        expect((error.reply_code, error.reply_text), (code, text), "channel error")
    else:
        ensure(False, f"no channel error where {code} {text!r} is due")
