#!/usr/bin/env python3
"""Celery with real workers through the interop scenarios: `client.py --uri URI SCENARIO`."""

import collections
import datetime
import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import amqp  # noqa: E402
import kombu  # noqa: E402

from line import Line  # noqa: E402
from scenario import DEADLINE, LARGE, LOGIN_REFUSED, TOPICS, ensure, expect, locked_text, main  # noqa: E402


def wait_for(done, what):
    """Looks again and again until `done()` gives something true, and returns that."""
    end = time.monotonic() + DEADLINE
    while not (result := done()):
        ensure(time.monotonic() < end, f"waited {DEADLINE} s for {what}")
        time.sleep(0.02)
    return result


class Rig:
    """An application, its workers, and the directory where the tasks leave notes."""

    def __init__(self, options, queues=None, backend="rpc://", uri=None, **conf):
        self.options, self.prefix = options, options.name("celery")
        self.scratch = tempfile.TemporaryDirectory(prefix="interop-celery-")
        self.directory = pathlib.Path(self.scratch.name)
        self.queues = queues or [{"name": options.name("tasks")}]
        os.environ["INTEROP_CELERY"] = json.dumps({
            "uri": uri or options.uri, "backend": backend.replace("DIRECTORY", self.scratch.name), "prefix": self.prefix,
            "directory": self.scratch.name, "queues": self.queues, "conf": conf})
        sys.path.insert(0, str(HERE))
        import tasks
        self.tasks, self.app, self.workers = tasks, tasks.app, []

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        for worker in self.workers:
            worker.process.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                code = worker.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                code = worker.process.wait()
            if failure:
                print(f"--- {worker.name}\n{worker.text()}", file=sys.stderr)
            else:
                expect(code, 0, f"exit code of {worker.name} after SIGTERM")
        if self.options.scenario != "persistence-before":
            self.clean_up()
        self.scratch.cleanup()

    def clean_up(self):
        """Deletes what Celery declared and would leave."""
        with kombu.Connection(self.options.uri) as connection:
            channel = connection.default_channel
            for spec in self.queues:
                channel.queue_delete(spec["name"])
                channel.exchange_delete(spec.get("exchange", spec["name"]))
            for exchange in (f"{self.prefix}.pidbox", f"reply.{self.prefix}.pidbox", f"{self.prefix}.events"):
                channel.exchange_delete(exchange)

    def work(self, name, queues=(), pool="solo", concurrency=1, flags=()):
        """Starts a worker, and waits until it is ready."""
        log = self.directory / f"{name}.log"
        command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-n", f"{name}@interop", "-P", pool,
                   "-c", str(concurrency), "-l", "INFO", *flags]
        if queues:
            command += ["-Q", ",".join(queues)]
        environment = os.environ | {"PYTHONPATH": str(HERE), "C_FORCE_ROOT": "1"}
        with open(log, "wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.directory,
                                       env=environment)
        worker = collections.namedtuple("Worker", "name process text")(name, process, log.read_text)
        self.workers.append(worker)
        wait_for(lambda: f"{name}@interop ready." in worker.text() or process.poll() is not None, f"worker {name}")
        ensure(process.poll() is None, f"worker {name} ended")
        return worker

    def notes(self, count):
        """The notes of the tasks, once there are so many, in the order they were written."""
        wait_for(lambda: len(list(self.directory.glob("note-*"))) >= count, f"{count} tasks")
        notes = [json.loads(path.read_text()) for path in self.directory.glob("note-*")]
        return sorted(notes, key=lambda note: note["time"])


def get(result):
    """The result of a task."""
    return result.get(timeout=DEADLINE)


def work_queue(options):
    """Each of two workers holds one task while the other holds one, and they share twenty more."""
    with Rig(options) as rig:
        rig.work("one")
        rig.work("two")
        both = [rig.tasks.meet.delay(2) for _ in range(2)]
        expect(sorted(get(result) for result in both), ["one@interop", "two@interop"], "workers that met")
        results = [rig.tasks.add.delay(n, n) for n in range(20)]
        expect([get(result) for result in results], [2 * n for n in range(20)], "results")


def pubsub(options):
    """A broadcast reaches all workers, and so does remote control."""
    with Rig(options, [{"name": options.name("tasks")}, {"name": options.name("all"), "type": "broadcast"}]) as rig:
        rig.work("one")
        rig.work("two")
        # Without a routing key Celery would use the default queue.
        rig.tasks.record.apply_async(["hello"], exchange=options.name("all"), routing_key="any", ignore_result=True)
        expect(sorted(note["host"] for note in rig.notes(2)), ["one@interop", "two@interop"], "workers that heard")
        answers = rig.app.control.ping(timeout=DEADLINE, limit=2)
        expect(sorted(name for answer in answers for name in answer), ["one@interop", "two@interop"], "answers to a ping")


def routing(options):
    feeds, images = options.name("feeds"), options.name("images")
    exchange = options.name("direct")
    queues = [{"name": feeds, "exchange": exchange, "key": "feed"}, {"name": images, "exchange": exchange, "key": "image"}]
    with Rig(options, queues) as rig:
        rig.work("feeds", [feeds])
        rig.work("images", [images])
        keys = ["feed", "image", "image", "feed"]
        results = [rig.tasks.where.apply_async(exchange=exchange, routing_key=key) for key in keys]
        expect([get(result) for result in results], [f"{key}s@interop" for key in keys], "workers by key")


def topics(options):
    exchange = options.name("topic")
    keys = ["quick.orange.rabbit", "lazy.pink.rabbit", "lazy.orange.fox", "quick.brown.fox"]
    patterns = ("*.orange.*", "*.*.rabbit", "lazy.#")
    queues = [{"name": options.name(f"q{n}"), "exchange": exchange, "type": "topic", "key": key}
              for n, key in enumerate(patterns)]
    wanted = [key for key in keys[:2] for pattern in patterns if key in TOPICS[pattern]] + ["lazy.orange.fox"] * 2
    with Rig(options, queues) as rig:
        rig.work("one")
        for key in keys:
            rig.tasks.record.apply_async([key], exchange=exchange, routing_key=key, ignore_result=True)
        expect(sorted(note["key"] for note in rig.notes(len(wanted))), sorted(wanted), "keys that the queues matched")


def headers(options):
    exchange = options.name("headers")
    queues = [{"name": options.name("pdf"), "exchange": exchange, "type": "headers",
               "arguments": {"x-match": "all", "format": "pdf", "kind": "report"}},
              {"name": options.name("any"), "exchange": exchange, "type": "headers",
               "arguments": {"x-match": "any", "format": "pdf", "kind": "log"}}]
    messages = {"both": {"format": "pdf", "kind": "report"}, "one": {"format": "zip", "kind": "log"},
                "none": {"format": "zip", "kind": "report"}}
    with Rig(options, queues) as rig:
        rig.work("one")
        for name, table in messages.items():
            rig.tasks.record.apply_async([name], exchange=exchange, headers=table, ignore_result=True)
        expect(sorted(note["tag"] for note in rig.notes(3)), ["both", "both", "one"], "messages that the queues matched")


def rpc(options):
    """Results by rpc://, also those of tasks that fail."""
    with Rig(options) as rig:
        rig.work("one", pool="prefork", concurrency=2)
        results = [rig.tasks.add.delay(n, 1) for n in range(30)]
        expect([get(result) for result in results], list(range(1, 31)), "results")
        try:
            get(rig.tasks.fail.delay("no luck"))
            ensure(False, "a failed task gave a result")
        except ValueError as error:
            expect(str(error), "no luck", "error of the task")


def confirms(options):
    with Rig(options, broker_transport_options={"confirm_publish": True}) as rig:
        for n in range(200):
            rig.tasks.add.apply_async([n, n], ignore_result=True)
        queue = rig.queues[0]["name"]
        with rig.app.connection_for_write() as connection:
            channel = connection.default_channel
            expect(channel.queue_declare(queue, passive=True).message_count, 200, "messages, as all are confirmed")
            returned = []
            producer = kombu.Producer(channel, on_return=lambda error, *about: returned.append((error, *about[:2])))
            producer.publish({}, routing_key=queue + ".missing", mandatory=True)
            # The publish came back from its confirm, so the return was there before.
            ((error, exchange, key),) = returned
            expect((error.reply_code, error.reply_text), (312, "NO_ROUTE"), "reply of the return")
            expect((exchange, key), ("", queue + ".missing"), "origin of the return")


def nack_requeue(options):
    with Rig(options) as rig:
        rig.work("one")
        rig.tasks.second_time.apply_async(ignore_result=True)
        expect([note["redelivered"] for note in rig.notes(2)], [False, True], "redelivered flags")


def persistence_before(options):
    with Rig(options, broker_transport_options={"confirm_publish": True}) as rig:
        for n in range(100):
            rig.tasks.record.apply_async([n], ignore_result=True)


def persistence_after(options):
    with Rig(options, worker_prefetch_multiplier=20) as rig:
        rig.work("one")
        expect([note["tag"] for note in rig.notes(100)], list(range(100)), "tasks after the restart")


def large_bodies(options):
    text = "".join(f"{n:07}\n" for n in range(LARGE // 8))
    with Rig(options) as rig:
        rig.work("one")
        ensure(get(rig.tasks.echo.delay(text)) == text, "10 MB came back changed")


def many_channels(options):
    with Rig(options) as rig, rig.app.connection_for_write() as connection:
        channels = [connection.channel() for _ in range(200)]
        queue = channels[0].queue_declare(exclusive=True).queue
        for n, channel in enumerate(channels):
            channel.basic_publish(amqp.Message(str(n)), "", queue)
            message = wait_for(lambda ch=channel: ch.basic_get(queue, no_ack=True), "a message")
            expect((message.delivery_tag, message.body), (1, str(n)), f"what channel {n} got")
        for channel in channels:
            channel.close()
        for _ in range(500):
            connection.channel().close()


def heartbeat_idle(options):
    with Rig(options, broker_heartbeat=2) as rig:
        # A worker looks for others until nothing came for 1 s, and sends no heartbeats meanwhile; the broker's
        # heartbeats, one a second, can keep it there until it is cut off, with RabbitMQ too.
        worker = rig.work("one", flags=["--without-mingle"])
        time.sleep(6)
        expect(get(rig.tasks.add.delay(1, 2)), 3, "result after the idle time")
        ensure("onnection to broker lost" not in worker.text(), f"the worker lost its connection\n{worker.text()}")


def error_codes(options):
    """py-amqp, the client under Celery, shows code, text and method."""
    with Rig(options) as rig, rig.app.connection_for_write() as connection:
        channel = connection.default_channel
        queue, exchange, locked = options.name("queue"), options.name("exchange"), options.name("locked")
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments={"x-max-length": 1000})
        channel.exchange_declare(exchange, "direct", durable=True, auto_delete=False)
        channel.queue_declare(locked, exclusive=True)

        def publish_into_nothing(ch):
            ch.basic_publish(amqp.Message(""), "nope", "k")
            ch.queue_declare(queue, passive=True)

        def ack_unknown(ch):
            ch.basic_ack(99)
            ch.queue_declare(queue, passive=True)

        def consume_twice(ch):
            ch.basic_consume(queue, exclusive=True)
            ch.basic_consume(queue)

        channel_errors = [
            (lambda ch: ch.queue_declare("nope", passive=True), 404, (50, 10), "NOT_FOUND - no queue 'nope' in vhost '/'"),
            (lambda ch: ch.exchange_declare("nope", "direct", passive=True), 404, (40, 10),
             "NOT_FOUND - no exchange 'nope' in vhost '/'"),
            (lambda ch: ch.queue_purge("nope"), 404, (50, 30), "NOT_FOUND - no queue 'nope' in vhost '/'"),
            (publish_into_nothing, 404, (60, 40), "NOT_FOUND - no exchange 'nope' in vhost '/'"),
            (ack_unknown, 406, (60, 80), "PRECONDITION_FAILED - unknown delivery tag 99"),
            (lambda ch: ch.queue_declare(queue, durable=True, auto_delete=False, arguments={"x-max-length": 2000}),
             406, (50, 10), f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': "
             "received '2000' but current is '1000'"),
            (lambda ch: ch.exchange_declare(exchange, "fanout", durable=True, auto_delete=False), 406, (40, 10),
             f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange}' in vhost '/': "
             "received 'fanout' but current is 'direct'"),
            (consume_twice, 403, (60, 20), f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"),
        ]
        stranger = rig.app.connection_for_write()
        steal = (lambda ch: ch.queue_declare(locked, exclusive=True), 405, (50, 10), locked_text(locked))
        for own, (act, code, method, text) in [(connection, case) for case in channel_errors] + [(stranger, steal)]:
            try:
                act(own.channel())
                ensure(False, f"no channel error where {code} {text!r} is due")
            except amqp.exceptions.ChannelError as error:
                expect((error.reply_code, error.method_sig, error.reply_text), (code, method, text), "channel error")
        stranger.release()

        def recover_without_requeue(ch):
            ch.basic_recover(requeue=False)
            ch.queue_declare(queue, passive=True)

        connection_errors = [
            (lambda ch: ch.basic_qos(5, 1, False), 540, (60, 10), "NOT_IMPLEMENTED - prefetch_size!=0 (5)"),
            (recover_without_requeue, 540, (60, 110), "NOT_IMPLEMENTED - requeue=false"),
            (lambda ch: ch.flow(False), 540, (20, 20), "NOT_IMPLEMENTED - active=false"),
        ]
        for act, code, method, text in connection_errors:
            other = kombu.Connection(options.uri)
            try:
                act(other.channel())
                ensure(False, f"no connection error where {code} {text!r} is due")
            except amqp.exceptions.AMQPError as error:
                expect((error.reply_code, error.method_sig, error.reply_text), (code, method, text), "connection error")
        logins = [({"password": "wrong"}, 403, (0, 0), LOGIN_REFUSED),
                  ({"virtual_host": "nope"}, 530, (10, 40), "NOT_ALLOWED - vhost nope not found")]
        for change, code, method, text in logins:
            try:
                other = kombu.Connection(options.uri)
                for key, value in change.items():
                    setattr(other, key, value)
                other.connect()
                ensure(False, f"logged in where {code} {text!r} is due")
            except amqp.exceptions.AMQPError as error:
                expect((error.reply_code, error.method_sig, error.reply_text), (code, method, text), "login error")
        channel.queue_delete(queue)
        channel.exchange_delete(exchange)


def canvas(options):
    """Groups, chains, retries and countdowns with results by rpc://."""
    from celery import chain, chord, group

    with Rig(options) as rig:
        rig.work("one", pool="prefork", concurrency=2)
        tasks = rig.tasks
        expect(get(group(tasks.add.s(n, n) for n in range(10)).delay()), [2 * n for n in range(10)], "group")
        expect(get(chain(tasks.add.s(1, 2), tasks.add.s(3), tasks.add.s(4)).delay()), 10, "chain")
        expect(get(tasks.stubborn.delay()), 3, "retries")
        expect(get(tasks.add.apply_async((1, 1), countdown=1)), 2, "countdown")
    # A chord counts its results in a store, which rpc:// is not; files will do.
    sys.modules.pop("tasks")
    with Rig(options, backend="file://DIRECTORY") as rig:
        rig.work("one", pool="prefork", concurrency=2)
        tasks = rig.tasks
        expect(get(chord((tasks.add.s(n, n) for n in range(10)), tasks.total.s()).delay()), 90, "chord")


# What Celery builds on what RabbitMQ added


def retries(options):
    with Rig(options) as rig:
        rig.work("one")
        hopeful, hopeless = rig.tasks.flaky.delay(2), rig.tasks.flaky.delay(9)
        expect(get(hopeful), 2, "retries of a task that works in the end")
        try:
            get(hopeless)
            ensure(False, "a task that always fails gave a result")
        except ConnectionError as error:
            expect(str(error), "no answer", "error of the task")
        expect(sorted(note["retries"] for note in rig.notes(7)), [0, 0, 1, 1, 2, 2, 3], "attempts")


def given_up(options):
    letters = options.name("letters")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters}
    with Rig(options, [{"name": options.name("tasks"), "options": {"queue_arguments": dead}}]) as rig:
        with kombu.Connection(options.uri) as connection:
            queue = kombu.Queue(letters)(connection.default_channel)
            queue.declare()
            rig.work("one")
            rig.tasks.refuse.apply_async(ignore_result=True)
            rig.notes(1)
            letter = wait_for(lambda: queue.get(no_ack=True), "the dead letter")
            expect(letter.headers["task"], "tasks.refuse", "the task of the letter")
            (death,) = letter.headers["x-death"]
            expect((death["reason"], death["queue"]), ("rejected", options.name("tasks")), "its death")
            queue.delete()


def delays(options):
    """By a countdown, and by a time on the clock; the worker holds what is not due, as far as its prefetch goes."""
    with Rig(options, worker_prefetch_multiplier=10) as rig:
        rig.work("one")
        started = time.time()
        eta = datetime.datetime.fromtimestamp(started + 1.5, datetime.timezone.utc)
        rig.tasks.record.apply_async(["eta"], eta=eta, ignore_result=True)
        rig.tasks.record.apply_async(["countdown"], countdown=0.5, ignore_result=True)
        rig.tasks.record.apply_async(["now"], ignore_result=True)
        for note, (tag, delay) in zip(rig.notes(3), (("now", 0), ("countdown", 0.5), ("eta", 1.5))):
            expect(note["tag"], tag, "the task that is due")
            ensure(note["time"] - started >= delay, f"{tag} came too early")


def task_priorities(options):
    with Rig(options, [{"name": options.name("tasks"), "options": {"max_priority": 9}}]) as rig:
        for priority in (0, 9, 1, 5):
            rig.tasks.record.apply_async([priority], priority=priority, ignore_result=True)
        rig.work("one")
        expect([note["tag"] for note in rig.notes(4)], [9, 5, 1, 0], "tasks by priority")


def remote_control(options):
    with Rig(options) as rig:
        worker = rig.work("one")
        control, inspect = rig.app.control, rig.app.control.inspect(["one@interop"], timeout=DEADLINE, limit=1)
        expect(control.ping(timeout=DEADLINE, limit=1), [{"one@interop": {"ok": "pong"}}], "answer to a ping")
        ensure("tasks.add" in inspect.registered()["one@interop"], "the worker knows its tasks")
        expect(inspect.stats()["one@interop"]["pool"]["max-concurrency"], 1, "concurrency")
        expect([queue["name"] for queue in inspect.active_queues()["one@interop"]], [rig.queues[0]["name"]], "queues")

        extra = options.name("extra")
        rig.queues.append({"name": extra})
        control.add_consumer(extra, reply=True, timeout=DEADLINE, limit=1)
        expect(get(rig.tasks.where.apply_async(queue=extra)), "one@interop", "worker of the queue that was added")
        control.cancel_consumer(extra, reply=True, timeout=DEADLINE, limit=1)
        with rig.app.connection_for_write() as connection:
            channel = connection.default_channel
            # The worker answers before it has told the broker.
            wait_for(lambda: channel.queue_declare(extra, passive=True).consumer_count == 0,
                     "its consumers to be cancelled")

        revoked = rig.tasks.record.apply_async(["revoked"], countdown=3600, ignore_result=True)
        wait_for(lambda: inspect.scheduled()["one@interop"], "the task that is scheduled")
        control.revoke(revoked.id, reply=True, timeout=DEADLINE, limit=1)
        expect(inspect.revoked()["one@interop"], [revoked.id], "revoked tasks")
        control.shutdown()
        expect(worker.process.wait(DEADLINE), 0, "exit code of a worker that was shut down from afar")


def events(options):
    """A worker tells what it does to whoever listens."""
    with Rig(options) as rig:
        heard, done = [], threading.Event()
        connection = rig.app.connection_for_read()

        def hear(event):
            heard.append((event["type"], event.get("uuid")))
            if event["type"] == "task-succeeded":
                done.set()
                receiver.should_stop = True

        receiver = rig.app.events.Receiver(connection, handlers={"*": hear})
        capture = functools.partial(receiver.capture, limit=None, timeout=DEADLINE, wakeup=False)
        thread = threading.Thread(target=capture, daemon=True)
        thread.start()
        rig.work("one", flags=["-E"])
        wait_for(lambda: ("worker-online", None) in heard, "the worker's first event")
        result = rig.tasks.add.delay(1, 2)
        expect(get(result), 3, "result")
        ensure(done.wait(DEADLINE), f"no task-succeeded among {heard}")
        thread.join(DEADLINE)
        connection.release()
        expect([kind for kind, uuid in heard if uuid == result.id], ["task-received", "task-started", "task-succeeded"],
               "events of the task")


def flower(options):
    """Flower, the page for Celery, shows workers and tasks, and asks the management API about queues."""
    with Rig(options) as rig:
        rig.work("one", flags=["-E"])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        log = open(rig.directory / "flower.log", "w+")
        command = [sys.executable, "-m", "celery", "-A", "tasks", "flower", "--address=127.0.0.1", f"--port={port}",
                   f"--broker_api={options.management}/api/"]
        environment = os.environ | {"PYTHONPATH": str(HERE), "FLOWER_UNAUTHENTICATED_API": "true"}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=rig.directory,
                                   env=environment)

        def page(path):
            ensure(process.poll() is None, "Flower ended: " + (rig.directory / "flower.log").read_text())
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=DEADLINE) as answer:
                    return answer.read().decode()
            except OSError:
                return ""

        queue = rig.queues[0]["name"]

        def messages():
            found = json.loads(page("/api/queues/length"))["active_queues"]
            return [shown["messages"] for shown in found if shown["name"] == queue]

        try:
            wait_for(lambda: page("/healthcheck") == "OK", "Flower")
            result = rig.tasks.meet.delay(2)
            # The task is at work, and its message unacknowledged.
            wait_for(lambda: messages() == [1], "a message in the queue")
            (rig.directory / "met-other").touch()
            expect(get(result), "one@interop", "result")
            wait_for(lambda: messages() == [0], "no message in the queue")
            wait_for(lambda: json.loads(page("/api/tasks")).get(result.id, {}).get("state") == "SUCCESS", "the task")
            ensure("one@interop" in json.loads(page("/api/workers?refresh=1")), "the worker is shown")
            ensure(queue in page("/broker"), "the queue is on the page about the broker")
        finally:
            process.terminate()
            process.wait(DEADLINE)
            log.close()


def reconnect(options):
    line = Line(options.uri)
    with Rig(options, uri=line.uri, broker_connection_retry_on_startup=True) as rig:
        worker = rig.work("one")
        rig.tasks.record.apply_async(["before"], ignore_result=True)
        rig.notes(1)
        ensure(line.cut() >= 2, "Celery holds a connection to send, and one to work")
        rig.tasks.record.apply_async(["after"], ignore_result=True, retry=True)
        # The first may come again, for its ack can be lost with the line.
        wait_for(lambda: any(note["tag"] == "after" for note in rig.notes(2)), "the task after the cut")
        ensure("onnection to broker lost" in worker.text(), "the worker has noticed the cut")


def quorum_tasks(options):
    """Quorum queues, for which Celery builds its delays from 28 queues with times to live and topics of 28 words."""
    spec = {"name": options.name("tasks"), "type": "topic", "options": {"queue_arguments": {"x-queue-type": "quorum"}}}
    with Rig(options, [spec]) as rig:
        rig.work("one")
        started = time.time()
        rig.tasks.record.apply_async(["late"], countdown=3, ignore_result=True)
        rig.tasks.record.apply_async(["now"], ignore_result=True)
        first, last = rig.notes(2)
        expect((first["tag"], last["tag"]), ("now", "late"), "tasks")
        ensure(last["time"] - started >= 2.9, "the late one came early")  # its delay is cut to whole seconds
        with kombu.Connection(options.uri) as connection:
            channel = connection.default_channel
            for level in range(28):
                channel.queue_delete(f"celery_delayed_{level}")
                channel.exchange_delete(f"celery_delayed_{level}")
            channel.exchange_delete("celery_delayed_delivery")


if __name__ == "__main__":
    main("celery", {
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
        "canvas": canvas,
        "retries": retries,
        "given-up": given_up,
        "delays": delays,
        "task-priorities": task_priorities,
        "remote-control": remote_control,
        "events": events,
        "flower": flower,
        "reconnect": reconnect,
        "quorum-tasks": quorum_tasks,
    })
