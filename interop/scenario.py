"""What the Python clients of the interop suite share: the command line, the clock, and the words to fail with.

A client is a module of functions, one for each scenario; `main` runs the one that the command line names.
"""

import argparse
import os
import signal
import sys
import traceback

DEADLINE = 30
"""Seconds that a scenario waits for one thing to happen."""

LIMIT = int(os.environ.get("INTEROP_LIMIT", "110"))
"""Seconds that a scenario may take in all; then it fails wherever it stands."""

LARGE = 10 * 1024 * 1024
"""Octets of the large body."""

FRAME_EDGES = (0, 1, 131063, 131064, 131065, 262128)
"""Body sizes around the largest payload of one frame (frame-max 131072 less 8)."""

LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
)

# Binding keys of the topics scenario, and the routing keys that each one must match.
TOPIC_KEYS = ("", "a", "a.b", "a.b.c", ".", "a.", ".a", "a..b", "quick.orange.rabbit", "lazy.pink.rabbit", "A", "*")
TOPICS = {
    "#": TOPIC_KEYS,
    "*": ("a", "A", "*"),
    "a.*": ("a.b", "a."),
    "a.#": ("a", "a.b", "a.b.c", "a.", "a..b"),
    "#.b": ("a.b", "a..b"),
    "*.*": ("a.b", ".", "a.", ".a"),
    "a.*.b": ("a..b",),
    "*.orange.*": ("quick.orange.rabbit",),
    "*.*.rabbit": ("quick.orange.rabbit", "lazy.pink.rabbit"),
    "lazy.#": ("lazy.pink.rabbit",),
    "a#": (),
}

# Binding arguments of the headers scenario, and the names of the messages that each one must match.
HEADER_MESSAGES = {
    "pdf-report": {"format": "pdf", "type": "report", "pages": 5},
    "pdf-log": {"format": "pdf", "type": "log", "pages": 6},
    "zip-report": {"format": "zip", "type": "report"},
    "text-pages": {"format": "txt", "pages": "5"},
    "none": {},
}
HEADER_BINDINGS = {
    "all": ({"x-match": "all", "format": "pdf", "type": "report"}, ["pdf-report"]),
    "any": ({"x-match": "any", "format": "pdf", "type": "report"}, ["pdf-report", "pdf-log", "zip-report"]),
    "default": ({"format": "zip"}, ["zip-report"]),
    "integer": ({"x-match": "all", "pages": 5}, ["pdf-report"]),
    "present": ({"x-match": "all", "pages": None}, ["pdf-report", "pdf-log", "text-pages"]),
    "empty": ({"x-match": "all"}, list(HEADER_MESSAGES)),
}


class Failure(Exception):
    """The broker did not do what RabbitMQ does."""


def expect(seen, wanted, what):
    """Fails unless what was seen is what RabbitMQ shows."""
    if seen != wanted:
        raise Failure(f"{what}: expected {brief(wanted)}, got {brief(seen)}")


def ensure(condition, what):
    """Fails unless the condition holds."""
    if not condition:
        raise Failure(what)


def brief(value):
    """A value as text that is short enough for one line."""
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)"


def pattern(size):
    """A body in which no two pages are alike, so that a lost or swapped frame shows."""
    return b"".join(b"%07d\n" % n for n in range(size // 8 + 1))[:size]


def locked_text(queue):
    """The text for an exclusive queue of another connection, cut to the 255 octets of a reply text."""
    text = (f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be "
            "originally declared on another connection or the exclusive property value does not match that of the "
            "original declaration.")
    return text if len(text) <= 255 else text[:252] + "..."


def names(client, scenario, run):
    """A function that gives each thing of this run a name of its own."""
    return lambda what: f"interop.{client}.{scenario}.{run}.{what}"


def main(client, scenarios):
    """Runs the scenario that the command line names; `scenarios` maps names to functions of the options."""
    parser = argparse.ArgumentParser(prog=client)
    parser.add_argument("--uri", default=os.environ.get("AMQP_URI", "amqp://guest:guest@127.0.0.1:5672"))
    parser.add_argument("--id", default=str(os.getpid()), help="part of every name; both persistence phases share it")
    parser.add_argument("--management", metavar="URL", help="the management API, with an administrator's login")
    parser.add_argument("--broker-pid", type=int, help="for the scenarios that watch the broker's CPU time")
    parser.add_argument("--clean", action="store_true", help="persistence-after: the broker was stopped, not killed")
    parser.add_argument("scenario", choices=scenarios)
    options = parser.parse_args()
    options.name = names(client, options.scenario.replace("-before", "").replace("-after", ""), options.id)

    def out_of_time(_signal, _frame):
        raise Failure(f"still running after {LIMIT} s")

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(LIMIT)
    try:
        scenarios[options.scenario](options)
    except Failure as failure:
        where = traceback.extract_tb(failure.__traceback__)
        lines = ", ".join(f"{frame.name}:{frame.lineno}" for frame in where[1:-1])
        print(f"{client} {options.scenario}: {failure} (at {lines})", file=sys.stderr)
        sys.exit(1)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
