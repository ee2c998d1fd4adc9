#!/usr/bin/env python3
"""rabbitmqadmin through the interop scenarios: `client.py PROGRAM --uri URI --management URL SCENARIO`.

There are two programs of this name: one in Python that came with RabbitMQ up to 4.2, and one in Rust that took its place.
PROGRAM is either; what it answers to --version tells which.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import pika  # noqa: E402

from management import Operator  # noqa: E402
from scenario import DEADLINE, Failure, ensure, expect, main  # noqa: E402

PROGRAM = sys.argv.pop(1)


def run(*arguments):
    """What the program prints; its exit code must be 0."""
    done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE, check=False)
    if done.returncode:
        raise Failure(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class InPython:
    """The first. Its arguments are pairs: `declare queue name=q`."""

    def __init__(self, api):
        self.login = ["-H", api.hostname, "-P", str(api.port), "-u", api.username, "-p", api.password]

    def __call__(self, *words, vhost=None, **pairs):
        pairs = [f"{name.replace('apply_to', 'apply-to')}={value}" for name, value in pairs.items()]
        return run(*self.login, *(["-V", vhost] if vhost else []), *words, *pairs)

    def has(self, what, name, vhost=None):
        """Whether a list has something of this name."""
        found = json.loads(self("-f", "raw_json", "list", what, "name", vhost=vhost))
        return name in [row["name"] for row in found]

    def permit(self, vhost, user):
        pairs = [f"{name}=.*" for name in ("configure", "write", "read")]
        self("declare", "permission", f"vhost={vhost}", f"user={user}", *pairs)

    def limit(self, vhost, name, value):
        self("declare", "vhost_limit", f"vhost={vhost}", name=name, value=value)

    def publish(self, vhost, key, payload):
        """Whether the message had a route."""
        output = self("publish", vhost=vhost, exchange="x", routing_key=key, payload=payload)
        ensure("Message published" in output, output)
        return "NOT routed" not in output

    def get(self, vhost):
        """What is taken from the queue, as text in which the payload must be."""
        return self("-f", "raw_json", "get", vhost=vhost, queue="q", ackmode="ack_requeue_false")

    def export(self, path, vhost=None):
        self("export", path, vhost=vhost)

    def load(self, path, vhost=None):
        self("import", path, vhost=vhost)

    def version(self):
        """What is said of the broker, its version."""
        shown = json.loads(self("-f", "raw_json", "show", "overview"))
        return shown[0]["rabbitmq_version"]


class InRust:
    """The second. Its arguments are flags: `declare queue --name q`."""

    def __init__(self, api):
        self.login = ["--host", api.hostname, "--port", str(api.port), "--username", api.username,
                      "--password", api.password, "--non-interactive"]

    def __call__(self, *words, vhost=None, **flags):
        pairs = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        return run(*self.login, *(["--vhost", vhost] if vhost else []), *words, *pairs)

    def has(self, what, name, vhost=None):
        """Whether a list has something of this name."""
        return f" {name} " in "\n".join(f" {line} " for line in self("list", what, vhost=vhost).splitlines())

    def permit(self, vhost, user):
        self("declare", "permissions", vhost=vhost, username=user, configure=".*", write=".*", read=".*")

    def limit(self, vhost, name, value):
        self("declare", "vhost_limit", vhost=vhost, name=name, value=value)

    def publish(self, vhost, key, payload):
        """Whether the message had a route."""
        output = self("publish", "message", vhost=vhost, exchange="x", routing_key=key, payload=payload)
        ensure("Message published" in output, output)
        return "NOT routed" not in output

    def get(self, vhost):
        """What is taken from the queue, as text in which the payload must be."""
        return self("get", "messages", vhost=vhost, queue="q", count=1, ack_mode="ack_requeue_false")

    def export(self, path, vhost=None):
        self("definitions", "export_from_vhost" if vhost else "export", vhost=vhost, file=path)

    def load(self, path, vhost=None):
        self("definitions", "import_into_vhost" if vhost else "import", vhost=vhost, file=path)

    def version(self):
        """What is said of the broker, its version among it."""
        return self("show", "overview")


def admin(options):
    """The program, with the login of the management API's URL."""
    api = urllib.parse.urlsplit(options.management)
    return (InPython if is_first() else InRust)(api)


def is_first():
    """Whether it is the program in Python, which has RabbitMQ's version or none."""
    return run("--version").split()[1].startswith(("3.", "4.", "%%"))


def furnish(tool, vhost):
    """Makes a vhost with a queue that is bound to an exchange."""
    tool("declare", "vhost", name=vhost)
    tool.permit(vhost, "guest")
    tool("declare", "exchange", vhost=vhost, name="x", type="topic", durable="true")
    tool("declare", "queue", vhost=vhost, name="q", durable="true", arguments='{"x-max-priority": 3}')
    tool("declare", "binding", vhost=vhost, source="x", destination_type="queue", destination="q", routing_key="a.#")


def objects(options):
    tool, vhost, user = admin(options), options.name("vhost"), options.name("user")
    furnish(tool, vhost)
    for what, name in (("vhosts", vhost), ("exchanges", "x"), ("queues", "q")):
        ensure(tool.has(what, name, None if what == "vhosts" else vhost), f"{name} is listed among {what}")
    tool("declare", "user", name=user, password="secret", tags="monitoring")
    tool.permit(vhost, user)
    tool.limit(vhost, "max-queues", 1)
    tool("declare", "policy", vhost=vhost, name="short", pattern="^q$", definition='{"max-length": 1}', priority=7,
         apply_to="queues")
    ensure(tool.has("users", user) and tool.has("policies", "short", vhost), "the user and the policy are listed")
    for what in ("bindings", "permissions", "vhost_limits", "nodes", "channels", "consumers"):
        tool("list", what)
    try:
        tool("declare", "queue", vhost=vhost, name="q", durable="true", arguments='{"x-max-priority": 4}')
    except Failure as failure:
        ensure("inequivalent arg 'x-max-priority' for queue 'q' in vhost" in str(failure), str(failure))
    else:
        raise Failure("a queue was declared with other arguments than it has")
    tool("delete", "policy", vhost=vhost, name="short")
    tool("delete", "user", name=user)
    tool("delete", "queue", vhost=vhost, name="q")
    ensure(not tool.has("queues", "q", vhost) and not tool.has("users", user), "what was deleted is not listed")
    tool("delete", "vhost", name=vhost)
    try:
        tool("delete", "queue", vhost=vhost, name="q")
    except Failure as failure:
        ensure("not found" in str(failure).lower().replace("_", " "), str(failure))
    else:
        raise Failure("a queue was deleted that is not there")


def messages(options):
    tool, vhost = admin(options), options.name("vhost")
    furnish(tool, vhost)
    ensure(tool.publish(vhost, "a.b", "hello"), "a message with a route is routed")
    ensure(not tool.publish(vhost, "b", "hello"), "a message without a route is not")
    ensure("hello" in tool.get(vhost), "the message comes back")
    ensure("hello" not in tool.get(vhost), "the queue is empty")
    tool.publish(vhost, "a.b", "again")
    tool("purge", "queue", vhost=vhost, name="q")
    ensure("again" not in tool.get(vhost), "the queue was purged")
    tool("delete", "vhost", name=vhost)


def clients(options):
    tool = admin(options)
    parameters = pika.URLParameters(options.uri)
    parameters.client_properties = {"connection_name": options.name("line")}
    line = pika.BlockingConnection(parameters)
    line.channel().queue_declare("", exclusive=True)
    operator = Operator(options.management)

    def own():
        return [found["name"] for found in operator("GET", "connections")
                if found.get("user_provided_name") == options.name("line")]

    while not own():  # RabbitMQ's list is late
        line.sleep(0.1)
    (name,) = own()
    ensure(tool.has("connections", name), "the connection is listed")
    tool("close", "connection", name=name)
    try:
        line.sleep(DEADLINE)
    except pika.exceptions.ConnectionClosedByBroker as closed:
        ensure(closed.reply_code == 320, f"closed with {closed.reply_code} {closed.reply_text}")
    else:
        raise Failure("the connection was not closed")
    said = operator("GET", "overview")["rabbitmq_version"]
    ensure(said in tool.version(), "the overview has the broker's version")


def only(path, vhost):
    """Leaves what is in a vhost in a file of definitions; what else there was may have changed since."""
    found = json.loads(pathlib.Path(path).read_text())
    kept = {kind: [item for item in found[kind] if item.get("vhost") == vhost]
            for kind in ("permissions", "exchanges", "queues", "bindings")}
    kept["vhosts"] = [item for item in found["vhosts"] if item["name"] == vhost]
    pathlib.Path(path).write_text(json.dumps({"rabbitmq_version": found["rabbitmq_version"], **kept}))


def definitions(options):
    tool, vhost, copy = admin(options), options.name("vhost"), options.name("copy")
    furnish(tool, vhost)
    with tempfile.TemporaryDirectory(prefix="interop-rabbitmqadmin-") as directory:
        one, everything = f"{directory}/one.json", f"{directory}/all.json"
        tool.export(one, vhost)
        tool.export(everything)
        tool("declare", "vhost", name=copy)
        tool.permit(copy, "guest")
        tool.load(one, copy)
        ensure(tool.publish(copy, "a.b", "hello"), "the copy routes like the original")
        tool("delete", "vhost", name=vhost)
        ensure(not tool.has("vhosts", vhost), "the original is gone")
        only(everything, vhost)
        tool.load(everything)
        ensure(tool.publish(vhost, "a.b", "hello"), "the original is back")
    for name in (vhost, copy):
        tool("delete", "vhost", name=name)


if __name__ == "__main__":
    main("rabbitmqadmin" if is_first() else "rabbitmqadmin-2", {
        "api-objects": objects,
        "api-messages": messages,
        "api-clients": clients,
        "api-definitions": definitions,
    })
