#!/usr/bin/env python3
"""Dramatiq with real workers through the interop scenarios: `client.py --uri URI SCENARIO`."""

import contextlib
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
os.environ["dramatiq_restart_delay"] = "100"  # ms until a worker whose connection was cut comes back

import dramatiq  # noqa: E402
import pika  # noqa: E402
from dramatiq.brokers.rabbitmq import RabbitmqBroker  # noqa: E402

from line import Line  # noqa: E402
from scenario import DEADLINE, ensure, expect, main  # noqa: E402


class Application:
    """A broker of Dramatiq, a queue of its own, and what its actors said."""

    def __init__(self, options, uri=None, **settings):
        self.uri, self.queue, self.said = options.uri, options.name("tasks"), queue.Queue()
        self.broker = RabbitmqBroker(url=uri or options.uri, **settings)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.stack.callback(self.clean_up)
        return self

    def __exit__(self, *about):
        return self.stack.__exit__(*about)

    def clean_up(self):
        """Deletes the queues that Dramatiq declared."""
        self.broker.close()
        with self.connect() as channel:
            for name in (self.queue, f"{self.queue}.DQ", f"{self.queue}.XQ"):
                channel.queue_delete(name)

    @contextlib.contextmanager
    def connect(self):
        """A channel beside those of Dramatiq."""
        connection = pika.BlockingConnection(pika.URLParameters(self.uri))
        yield connection.channel()
        connection.close()

    def actor(self, function, **settings):
        """Makes an actor of a function."""
        return dramatiq.actor(function, broker=self.broker, queue_name=self.queue, **settings)

    def work(self, threads=1):
        """Starts a worker inside this process."""
        worker = dramatiq.Worker(self.broker, worker_timeout=50, worker_threads=threads)
        worker.start()
        self.stack.callback(worker.stop)

    def hear(self, count):
        """What actors said next."""
        try:
            return [self.said.get(timeout=DEADLINE) for _ in range(count)]
        except queue.Empty:
            ensure(False, f"waited {DEADLINE} s for an actor")


def wait_for(done, what):
    """Looks again and again until `done()` gives something true, and returns that."""
    end = time.monotonic() + DEADLINE
    while not (result := done()):
        ensure(time.monotonic() < end, f"waited {DEADLINE} s for {what}")
        time.sleep(0.02)
    return result


def tasks(options):
    """Two processes of Dramatiq's own command share the tasks, and stop in order."""
    with Application(options) as app, tempfile.TemporaryDirectory(prefix="interop-dramatiq-") as directory:
        environment = os.environ | {"INTEROP_URI": options.uri, "INTEROP_QUEUE": app.queue,
                                    "INTEROP_DIRECTORY": directory, "PYTHONPATH": str(HERE)}
        process = subprocess.Popen([sys.executable, "-m", "dramatiq", "tasks", "--processes", "2", "--threads", "1"],
                                   stdin=subprocess.DEVNULL, env=environment)
        app.stack.callback(process.terminate)
        record = app.actor(lambda number: None, actor_name="record")

        def consumers():
            with app.connect() as channel:
                return channel.queue_declare(app.queue, passive=True).method.consumer_count

        app.broker.declare_queue(app.queue, ensure=True)
        wait_for(lambda: process.poll() is not None or consumers() == 2, "two consumers")
        for number in range(20):
            record.send(number)
        notes = wait_for(lambda: (seen := list(pathlib.Path(directory).glob("note-*")))[19:] and seen, "the tasks")
        _, pids, numbers = zip(*(note.name.rsplit("-", 2) for note in notes))
        expect(sorted(map(int, numbers)), list(range(20)), "tasks done, each once")
        expect(len(set(pids)), 2, "processes that did them")
        process.send_signal(signal.SIGTERM)
        expect(process.wait(DEADLINE), 0, "exit code after SIGTERM")
        expect(app.broker.get_queue_message_counts(app.queue), (0, 0, 0), "messages left, delayed, dead")


def retries(options):
    with Application(options) as app:
        def work():
            retried = dramatiq.middleware.CurrentMessage.get_current_message().options.get("retries", 0)
            app.said.put((retried, time.monotonic()))
            if retried < 3:
                raise RuntimeError("not yet")

        app.broker.add_middleware(dramatiq.middleware.CurrentMessage())
        app.actor(work, max_retries=3, min_backoff=100).send()
        app.work()
        attempts, times = zip(*app.hear(4))
        expect(attempts, (0, 1, 2, 3), "attempts")
        for number, (before, after) in enumerate(zip(times, times[1:])):
            ensure(after - before >= 0.1 * 2 ** number, f"retry {number} came before its back-off was over")
        wait_for(lambda: app.broker.get_queue_message_counts(app.queue) == (0, 0, 0), "an end without letters")


def given_up(options):
    with Application(options) as app:
        def work():
            app.said.put("tried")
            raise RuntimeError("never")

        def mourn(_message, about):
            app.said.put(about)

        app.actor(mourn)
        app.actor(work, max_retries=1, min_backoff=50, on_retry_exhausted="mourn").send()
        app.work()
        expect(app.hear(3), ["tried", "tried", {"retries": 1, "max_retries": 1}], "what the actors said")
        wait_for(lambda: app.broker.get_queue_message_counts(app.queue)[2], "the dead letter")
        with app.connect() as channel:
            _, letter, _ = channel.basic_get(f"{app.queue}.XQ", auto_ack=True)
        (death,) = letter.headers["x-death"]
        expect((death["reason"], death["queue"], death["count"]), ("rejected", app.queue, 1), "its death")


def delays(options):
    with Application(options) as app:
        actor = app.actor(lambda what: app.said.put((what, time.monotonic())), actor_name="say")
        started = time.monotonic()
        for delay in (600, 300):
            actor.send_with_options(args=(delay,), delay=delay)
        actor.send(0)
        app.work()
        for (what, at), wanted in zip(app.hear(3), (0, 300, 600)):
            expect(what, wanted, "the task that is due")
            ensure(at - started >= wanted / 1000, f"a task of {wanted} ms came too early")


def task_priorities(options):
    with Application(options, max_priority=5) as app:
        actor = app.actor(lambda what: app.said.put(what), actor_name="say")
        for priority in (0, 5, 1, 3):
            actor.send_with_options(args=(priority,), broker_priority=priority)
        app.work()
        expect(app.hear(4), [5, 3, 1, 0], "tasks by priority")


def publisher_confirms(options):
    """A queue that is gone shows by a return, and Dramatiq declares it again."""
    with Application(options, confirm_delivery=True) as app:
        actor = app.actor(lambda what: app.said.put(what), actor_name="say")
        actor.send("before")
        expect(app.broker.get_queue_message_counts(app.queue)[0], 1, "messages, as it is confirmed")
        with app.connect() as channel:
            channel.queue_delete(app.queue)
        actor.send("after")
        app.work()
        expect(app.hear(1), ["after"], "what the new queue got")


def reconnect(options):
    line = Line(options.uri)
    with Application(options, uri=line.uri) as app:
        actor = app.actor(lambda what: app.said.put(what), actor_name="say")
        app.work()
        actor.send("before")
        expect(app.hear(1), ["before"], "before the line was cut")
        ensure(line.cut() >= 3, "Dramatiq holds a connection to send, and one for each queue")
        actor.send("after")
        while app.hear(1) != ["after"]:  # the first may come again, for its ack can be lost with the line
            pass


if __name__ == "__main__":
    main("dramatiq", {
        "tasks": tasks,
        "retries": retries,
        "given-up": given_up,
        "delays": delays,
        "task-priorities": task_priorities,
        "publisher-confirms": publisher_confirms,
        "reconnect": reconnect,
    })
