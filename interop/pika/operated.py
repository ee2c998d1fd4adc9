"""Users, vhosts, limits and policies: what an operator sets through the management API, as pika sees it."""

import contextlib

import pika
from pika.exceptions import AMQPConnectionError, UnroutableError

from blocking import confirming, connect, drain, ready, refused, take, temporary, until
from management import Operator
from scenario import LOGIN_REFUSED, ensure, expect


def connect_as(options, user, vhost="/", password=None):
    """A connection of a user whose password is its name, if nothing else is said."""
    return connect(options, credentials=pika.PlainCredentials(user, password or user), virtual_host=vhost)


def no_connection(code, text, act):
    """Does something that must end in a connection closed with this reply."""
    try:
        act()
    except AMQPConnectionError as error:
        said = " ".join(map(str, error.args))  # code and text, or a sentence around them
        ensure(str(code) in said and text in said, f"{said}; expected {code} {text}")
    else:
        ensure(False, f"a connection where {code} {text!r} is due")


def permissions(options):
    operator, user = Operator(options.management), options.name("user")
    mine, other, others = options.name("mine"), options.name("other"), options.name("others")
    connection = connect(options)
    channel = confirming(connection)
    channel.queue_declare(other, durable=True)
    channel.exchange_declare(others, "topic", durable=True)
    operator.add_user(user, None)
    no_connection(530, f"NOT_ALLOWED - access to vhost '/' refused for user '{user}'",
                  lambda: connect_as(options, user))

    operator.add_user(user, "/", *[f"^{mine.replace('.', '[.]')}"] * 3)
    limited = connect_as(options, user)
    channel = confirming(limited)
    channel.queue_declare(mine, durable=True)
    channel.exchange_declare(mine, "topic", durable=True)
    channel.queue_bind(mine, mine, "#")
    channel.basic_publish(mine, "bills.new", b"mine")
    expect(drain(channel, mine), [b"mine"], "what the user may do")

    def publish(ch, exchange, key="k"):
        ch.basic_publish(exchange, key, b"")
        ch.queue_declare(mine, passive=True)

    for permission, kind, name, act in (
        ("configure", "queue", "new", lambda ch: ch.queue_declare("new", durable=True)),
        ("configure", "queue", other, lambda ch: ch.queue_delete(other)),
        ("configure", "exchange", "new", lambda ch: ch.exchange_declare("new", "fanout")),
        ("write", "queue", other, lambda ch: ch.queue_bind(other, mine, "k")),
        ("read", "exchange", others, lambda ch: ch.queue_bind(mine, others, "k")),
        ("write", "exchange", others, lambda ch: publish(ch, others)),
        ("write", "exchange", "amq.default", lambda ch: publish(ch, "", mine)),
        ("read", "queue", other, lambda ch: ch.basic_get(other)),
        ("read", "queue", other, lambda ch: ch.basic_consume(other, print)),
        ("read", "queue", other, lambda ch: ch.queue_purge(other)),
        ("read", "queue", "missing", lambda ch: ch.basic_get("missing")),
    ):
        refused(limited, 403, f"{permission} access to {kind} '{name}' in vhost '/' refused for user '{user}'", act)

    topics = {"exchange": mine, "write": "^orders[.]", "read": "^orders[.]"}
    operator("PUT", "topic-permissions", "/", user, body=topics)
    limited.close()
    limited = connect_as(options, user)
    channel = confirming(limited)
    channel.basic_publish(mine, "orders.new", b"orders")
    expect(drain(channel, mine), [b"orders"], "what the user may publish")
    for permission, act in (("write", lambda ch: publish(ch, mine, "bills.new")),
                            ("read", lambda ch: ch.queue_bind(mine, mine, "bills.new"))):
        refused(limited, 403, f"{permission} access to topic 'bills.new' in exchange '{mine}' in vhost '/' refused for "
                f"user '{user}'", act)
    limited.close()

    operator("PUT", "users", user, body={"password": "changed", "tags": ""})
    no_connection(403, LOGIN_REFUSED, lambda: connect_as(options, user))
    connect_as(options, user, password="changed").close()
    channel = connection.channel()
    for queue in (mine, other):
        channel.queue_delete(queue)
    for exchange in (mine, others):
        channel.exchange_delete(exchange)
    operator("DELETE", "users", user)
    connection.close()


@contextlib.contextmanager
def vhost_and_user(options):
    """A vhost and a user of the scenario's own, both gone in the end."""
    operator, vhost, user = Operator(options.management), options.name("vhost"), options.name("user")
    operator("PUT", "vhosts", vhost, body={})
    operator.add_user(user, vhost)
    yield operator, vhost, user
    operator("DELETE", "users", user)
    operator("DELETE", "vhosts", vhost)


def vhosts(options):
    """A vhost has queues of its own; with it go its connections."""
    queue, connection = options.name("queue"), connect(options)
    channel = confirming(connection)
    channel.queue_declare(queue, durable=True)
    with vhost_and_user(options) as (operator, vhost, user):
        inside = connect_as(options, user, vhost)
        other = confirming(inside)
        other.queue_declare(queue, durable=True, arguments={"x-max-length": 5})  # another queue of this name
        other.basic_publish("", queue, b"inside")
        expect((ready(channel, queue), ready(other, queue)), (0, 1), "messages outside and inside")
        refused(inside, 404, f"no queue 'missing' in vhost '{vhost}'", lambda ch: ch.basic_get("missing"))
        operator("DELETE", "vhosts", vhost)
        # RabbitMQ says that it is deleted or, sometimes, that it is down.
        no_connection(320, f"CONNECTION_FORCED - vhost '{vhost}' is d",
                      lambda: until(inside, lambda: False, "the end of the connection"))
        no_connection(530, f"NOT_ALLOWED - vhost {vhost} not found", lambda: connect_as(options, user, vhost))
        operator("PUT", "vhosts", vhost, body={})
    channel.queue_delete(queue)
    connection.close()


def limits(options):
    with vhost_and_user(options) as (operator, vhost, user):
        operator("PUT", "vhost-limits", vhost, "max-queues", body={"value": 1})
        operator("PUT", "vhost-limits", vhost, "max-connections", body={"value": 1})
        operator("PUT", "user-limits", user, "max-channels", body={"value": 2})
        connection = connect_as(options, user, vhost)
        channel = connection.channel()
        for _ in range(2):
            channel.queue_declare("one", durable=True)
        refused(connection, 406, f"cannot declare queue 'two': queue limit in vhost '{vhost}' (1) is reached",
                lambda ch: ch.queue_declare("two", durable=True))
        no_connection(530, f"NOT_ALLOWED - access to vhost '{vhost}' refused for user '{user}': connection limit (1) "
                      "is reached", lambda: connect_as(options, user, vhost))
        operator("DELETE", "vhost-limits", vhost, "max-connections")
        operator("PUT", "user-limits", user, "max-connections", body={"value": 1})
        no_connection(530, f"NOT_ALLOWED - connection refused for user '{user}': user connection limit (1) is reached",
                      lambda: connect_as(options, user, vhost))
        connection.channel()
        no_connection(530, f"NOT_ALLOWED - number of channels opened for user '{user}' has reached the maximum allowed "
                      "user limit of 2", connection.channel)


def policies(options):
    """Policies change what is there at once, and their end undoes them."""
    operator, connection, queue = Operator(options.management), connect(options), options.name("queue")
    main, spare = options.name("main"), options.name("spare")
    channel = confirming(connection)
    letters, unknown = temporary(channel), temporary(channel)
    channel.queue_declare(queue, durable=True)

    def publish(*bodies):
        for body in bodies:
            channel.basic_publish("", queue, body)

    def set_policy(kind, name, apply_to, **definition):
        body = {"pattern": f"^{name.replace('.', '[.]')}$", "apply-to": apply_to,
                "definition": {key.replace("_", "-"): value for key, value in definition.items()}}
        operator("PUT", kind, "/", name, body=body)

    publish(b"m1", b"m2", b"m3", b"m4")
    set_policy("policies", queue, "queues", max_length=3, dead_letter_exchange="", dead_letter_routing_key=letters)
    until(connection, lambda: ready(channel, queue) == 3, "the messages beyond the policy's limit to go")
    set_policy("operator-policies", queue, "queues", max_length=1)
    until(connection, lambda: ready(channel, queue) == 1, "those beyond the operator's to go")
    publish(b"m5")
    expect(drain(channel, queue), [b"m5"], "what stays")
    lost = take(channel, letters, 4)
    expect([(body, letter.headers["x-death"][0]["reason"]) for _, letter, body in lost],
           [(b"m%d" % n, "maxlen") for n in range(1, 5)], "what became letters")
    operator("DELETE", "operator-policies", "/", queue)
    operator("DELETE", "policies", "/", queue)
    publish(b"m6", b"m7", b"m8", b"m9")
    expect(ready(channel, queue), 4, "messages without a limit")

    channel.exchange_declare(main, "direct", durable=True)
    channel.exchange_declare(spare, "fanout", durable=True)
    channel.queue_bind(unknown, spare)
    set_policy("policies", main, "exchanges", alternate_exchange=spare)

    def is_routed():
        try:
            channel.basic_publish(main, "unknown", b"", mandatory=True)
        except UnroutableError:
            return False
        return True

    until(connection, is_routed, "the alternate exchange")
    operator("DELETE", "policies", "/", main)
    until(connection, lambda: not is_routed(), "its end")
    channel.queue_delete(queue)
    for exchange in (main, spare):
        channel.exchange_delete(exchange)
    connection.close()


def firehose(options):
    """A vhost that is traced tells of what is published and delivered in it."""
    with vhost_and_user(options) as (operator, vhost, user):
        operator("PUT", "vhosts", vhost, body={"tracing": True})
        expect(operator("GET", "vhosts", vhost)["tracing"], True, "whether the vhost is traced")
        inside = connect_as(options, user, vhost)
        channel = confirming(inside)
        queue, told = temporary(channel), temporary(channel)
        channel.queue_bind(told, "amq.rabbitmq.trace", "#")
        sent = pika.BasicProperties(content_type="text/plain", headers={"n": 1}, delivery_mode=2)
        channel.basic_publish("", queue, b"traced", sent)
        take(channel, queue, 1)
        tales = take(channel, told, 2)
        expect([(method.exchange, method.routing_key, body) for method, _, body in tales],
               [("amq.rabbitmq.trace", key, b"traced") for key in ("publish.", f"deliver.{queue}")], "what is told")
        for _, properties, _ in tales:
            about = properties.headers
            expect((about["exchange_name"], about["routing_keys"], about["vhost"], about["user"], about["channel"]),
                   ("", [queue], vhost, user, channel.channel_number), "what is known of it")
            expect(about["properties"], {"content_type": "text/plain", "headers": {"n": 1}, "delivery_mode": 2},
                   "its properties")
        published, delivered = (properties.headers for _, properties, _ in tales)
        expect((published["routed_queues"], delivered["redelivered"]), ([queue], 0), "where it went, and how often")
        operator("PUT", "vhosts", vhost, body={"tracing": False})
        channel.basic_publish("", queue, b"quiet", sent)
        expect((drain(channel, queue), ready(channel, told)), ([b"quiet"], 0), "what is told when all is over")
        inside.close()


SCENARIOS = {
    "permissions": permissions, "vhosts": vhosts, "limits": limits, "policies": policies, "firehose": firehose,
}
