#!/usr/bin/env python3
"""Kombu through the interop scenarios: `client.py --uri URI SCENARIO`."""

import contextlib
import pathlib
import queue
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent)]

import kombu  # noqa: E402
from amqp.exceptions import MessageNacked  # noqa: E402
from kombu import pools  # noqa: E402
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin  # noqa: E402

from line import Line  # noqa: E402
from scenario import DEADLINE, ensure, expect, main  # noqa: E402


@contextlib.contextmanager
def session(options, uri=None, **settings):
    """A connection of Kombu; `declared` collects queues and exchanges to delete in the end."""
    declared = []
    with kombu.Connection(uri or options.uri, **settings) as connection:
        yield connection, declared
    with kombu.Connection(options.uri) as connection:
        for thing in declared:
            thing(connection.default_channel).delete()


def task_queue(options, **settings):
    """A queue with a direct exchange of the same name."""
    name = options.name("tasks")
    return kombu.Queue(name, kombu.Exchange(name, "direct"), name, **settings)


def drain(connection, queues, count, **settings):
    """The next messages of some queues, acknowledged."""
    taken = []

    def on_message(message):
        taken.append(message)
        message.ack()

    with connection.Consumer(queues, on_message=on_message, **settings):
        end = time.monotonic() + DEADLINE
        while len(taken) < count:
            ensure(time.monotonic() < end, f"waited {DEADLINE} s for message {len(taken)} of {count}")
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=1)
    return taken


class Worker(ConsumerMixin):
    """The worker of Kombu's manual, in a thread of its own."""

    def __init__(self, uri, queues):
        self.connection, self.queues = kombu.Connection(uri), queues
        self.said, self.is_ready = queue.Queue(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        ensure(self.is_ready.wait(DEADLINE), "the worker did not start")

    def get_consumers(self, Consumer, channel):
        return [Consumer(self.queues, callbacks=[self.on_task], accept=["json"], prefetch_count=1)]

    def on_consume_ready(self, *_about, **_more):
        self.is_ready.set()

    def on_task(self, body, message):
        self.said.put(body)
        message.ack()

    def hear(self, wanted):
        """Waits for a task; those before it may come again, for their acks can be lost with the line."""
        try:
            while self.said.get(timeout=DEADLINE) != wanted:
                pass
        except queue.Empty:
            ensure(False, f"waited {DEADLINE} s for {wanted}")

    def stop(self):
        self.should_stop = True
        self.thread.join(DEADLINE)
        ensure(not self.thread.is_alive(), "the worker did not stop")
        self.connection.release()


def tasks(options):
    """A producer of compressed JSON, and two workers of the manual's kind."""
    tasks = task_queue(options)
    with session(options) as (connection, declared):
        workers = [Worker(options.uri, [tasks]) for _ in range(2)]
        declared += [tasks, tasks.exchange]
        producer = connection.Producer(serializer="json", compression="zlib")
        for number in range(20):
            producer.publish({"number": number}, exchange=tasks.exchange, routing_key=tasks.routing_key,
                             declare=[tasks], retry=True, retry_policy={"max_retries": 3})
        end, seen = time.monotonic() + DEADLINE, [[], []]
        while sum(map(len, seen)) < 20:
            ensure(time.monotonic() < end, f"waited {DEADLINE} s for the tasks")
            for worker, mine in zip(workers, seen):
                with contextlib.suppress(queue.Empty):
                    mine.append(worker.said.get(timeout=0.05)["number"])
        expect(sorted(seen[0] + seen[1]), list(range(20)), "tasks done, each once")
        ensure(all(seen), "one worker did everything")
        for worker in workers:
            worker.stop()


def fanout(options):
    """Exchanges of each type, declared by their entities as they are used."""
    cases = {  # type: bindings as (key, arguments), messages as (key, headers), what each binding gets
        "direct": ([("a", None), ("b", None)], [("a", None), ("b", None), ("c", None)], [[0], [1]]),
        "fanout": ([("", None), ("", None)], [("x", None), ("y", None)], [[0, 1], [0, 1]]),
        "topic": ([("a.*", None), ("#.c", None)], [("a.b", None), ("a.c", None), ("d", None)], [[0, 1], [1]]),
        "headers": ([("", {"x-match": "any", "h": 1, "i": 2}), ("", {"h": 1, "i": 2})],
                    [("", {"h": 1}), ("", {"h": 1, "i": 2}), ("", {})], [[0, 1], [1]]),
    }
    with session(options) as (connection, declared):
        for kind, (bindings, messages, wanted) in cases.items():
            exchange = kombu.Exchange(options.name(kind), kind)
            queues = [kombu.Queue(options.name(f"{kind}.{n}"), exchange, key, binding_arguments=arguments)
                      for n, (key, arguments) in enumerate(bindings)]
            declared += [*queues, exchange]
            producer = connection.Producer(exchange=exchange, auto_declare=True)
            for number, (key, headers) in enumerate(messages):
                producer.publish(number, routing_key=key, headers=headers, declare=queues)
            for one, numbers in zip(queues, wanted):
                seen = [message.payload for message in drain(connection, [one], len(numbers))]
                expect(seen, numbers, f"messages of {one.name}")
                expect(one(connection.default_channel).get(), None, f"more messages of {one.name}")


def simple_queue(options):
    with session(options) as (connection, declared):
        simple = connection.SimpleQueue(options.name("simple"), serializer="json")
        declared += [simple.queue, simple.queue.exchange]
        for number in range(3):
            simple.put({"number": number}, headers={"n": number}, compression="zlib")
        first = simple.get(block=False)
        expect((first.payload, first.headers["n"]), ({"number": 0}, 0), "the first")
        expect(first.properties["delivery_mode"], 2, "its delivery mode")
        expect(simple.qsize(), 2, "messages left")
        first.requeue()
        again = simple.get(timeout=DEADLINE)
        expect((again.payload, again.delivery_info["redelivered"]), ({"number": 0}, True), "the first again")
        again.ack()
        simple.get(timeout=DEADLINE).reject()
        simple.get(timeout=DEADLINE).ack()
        try:
            simple.get(timeout=0.2)
            ensure(False, "there is a fourth message")
        except simple.Empty:
            pass
        simple.close()
        for number in range(3):
            simple.put(number)
        expect(connection.SimpleQueue(simple.queue).clear(), 3, "messages cleared")
        with connection.SimpleBuffer(options.name("buffer")) as buffer:
            declared += [buffer.queue, buffer.queue.exchange]
            buffer.put("transient")
            expect(buffer.get(timeout=DEADLINE).payload, "transient", "what a buffer holds")


def queue_options(options):
    """Options of Kombu's queues, in seconds as it has them, each seen by its effect."""
    with session(options) as (connection, declared):
        letters = kombu.Queue(options.name("letters"), no_declare=None)
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters.name}
        short = kombu.Queue(options.name("short"), message_ttl=0.1, queue_arguments=dead)
        small = kombu.Queue(options.name("small"), max_length=1, queue_arguments=dead)
        ranked = kombu.Queue(options.name("ranked"), max_priority=9)
        passing = kombu.Queue(options.name("passing"), expires=1.0)
        declared += [letters, short, small, ranked, passing]
        producer = connection.Producer()
        for one, priorities in ((short, [0]), (small, [0, 0]), (ranked, [1, 9, 5]), (passing, [0])):
            for priority in priorities:
                producer.publish(priority, routing_key=one.name, priority=priority, declare=[letters, one])
        producer.publish("late", routing_key=ranked.name, expiration=0.1, priority=9)
        reasons = [message.headers["x-death"][0]["reason"] for message in drain(connection, [letters], 2)]
        expect(sorted(reasons), ["expired", "maxlen"], "why messages died")
        time.sleep(0.2)  # the expiration of the message
        expect([message.payload for message in drain(connection, [ranked], 3)], [9, 5, 1], "messages by priority")
        expect(ranked(connection.default_channel).get(), None, "the message that expired")
        end = time.monotonic() + DEADLINE
        # A passive declare of it would be a use of the queue; a mandatory message is none.
        returned = []
        producer = connection.Producer(on_return=lambda *about: returned.append(about))
        while not returned:
            ensure(time.monotonic() < end, "a queue that nobody uses is still there")
            producer.publish(0, routing_key=passing.name, mandatory=True)
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0.1)


def pool(options):
    """Threads share a pool of connections and one of producers."""
    tasks = task_queue(options)
    with session(options) as (connection, declared):
        declared += [tasks, tasks.exchange]
        failures = []

        def publish(number):
            try:
                with pools.producers[connection].acquire(block=True, timeout=DEADLINE) as producer:
                    for n in range(10):
                        producer.publish(number * 10 + n, exchange=tasks.exchange, routing_key=tasks.routing_key,
                                         declare=[tasks])
            except Exception as error:  # told by the main thread
                failures.append(error)

        pools.set_limit(2)
        threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        expect(failures, [], "failures of threads")
        with pools.connections[connection].acquire(block=True) as pooled:
            seen = [message.payload for message in drain(pooled, [tasks], 80)]
        expect(sorted(seen), list(range(80)), "messages of all threads")
        pools.reset()


def request_reply(options):
    """The RPC server and client of Kombu's manual."""
    calls = kombu.Queue(options.name("calls"))

    class Server(ConsumerProducerMixin):
        def __init__(self):
            self.connection, self.is_ready = kombu.Connection(options.uri), threading.Event()

        def get_consumers(self, Consumer, channel):
            return [Consumer([calls], on_message=self.on_request, accept=["json"], prefetch_count=1)]

        def on_consume_ready(self, *_about, **_more):
            self.is_ready.set()

        def on_request(self, message):
            self.producer.publish(message.payload["n"] ** 2, exchange="", routing_key=message.properties["reply_to"],
                                  correlation_id=message.properties["correlation_id"], retry=True)
            message.ack()

    server = Server()
    threading.Thread(target=server.run, daemon=True).start()
    ensure(server.is_ready.wait(DEADLINE), "the server did not start")
    with session(options) as (connection, declared):
        declared += [calls]
        replies = kombu.Queue(options.name("replies"), exclusive=True, auto_delete=True)
        producer = connection.Producer()
        for n in range(5):
            producer.publish({"n": n}, exchange="", routing_key=calls.name, declare=[replies], reply_to=replies.name,
                             correlation_id=str(n))
        answers = {message.properties["correlation_id"]: message.payload for message in drain(connection, [replies], 5)}
        expect(answers, {str(n): n ** 2 for n in range(5)}, "answers")
        server.should_stop = True


def publisher_confirms(options):
    """Confirms, a return and a refusal, as Kombu hands them on."""
    full = kombu.Queue(options.name("full"), max_length=1, queue_arguments={"x-overflow": "reject-publish"})
    with session(options, transport_options={"confirm_publish": True}) as (connection, declared):
        declared += [full]
        returned = []
        producer = connection.Producer(on_return=lambda error, *_about: returned.append(error))
        producer.publish("fits", routing_key=full.name, declare=[full])
        state = full(connection.default_channel).queue_declare(passive=True)
        expect(state.message_count, 1, "messages, as it is confirmed")
        try:
            producer.publish("too many", routing_key=full.name)
            ensure(False, "a refused publish seemed to succeed")
        except MessageNacked:
            pass
        producer.publish("nowhere", routing_key=options.name("missing"), mandatory=True)
        expect([(error.reply_code, error.reply_text) for error in returned], [(312, "NO_ROUTE")], "what came back")


def reconnect(options):
    """A producer, a function and a worker go on by themselves after the line was cut."""
    line, tasks = Line(options.uri), task_queue(options)
    with session(options, uri=line.uri) as (connection, declared):
        worker = Worker(line.uri, [tasks])
        declared += [tasks, tasks.exchange]
        producer = connection.Producer(exchange=tasks.exchange, routing_key=tasks.routing_key)
        policy = {"interval_start": 0, "interval_step": 0.1, "max_retries": 20}

        def count(channel):
            return tasks(channel).queue_declare(passive=True).queue

        producer.publish(["before"], retry=True, retry_policy=policy)
        worker.hear(["before"])
        expect(line.cut(), 2, "connections")
        producer.publish(["after"], retry=True, retry_policy=policy)
        worker.hear(["after"])
        channel = connection.channel()
        line.cut()
        name, channel = connection.autoretry(count, channel, **policy)()
        expect(name, tasks.name, "what the function saw on its new channel")
        publish = connection.ensure(producer, producer.publish, **policy)
        publish(["again"])
        worker.hear(["again"])
        worker.stop()


if __name__ == "__main__":
    main("kombu", {
        "tasks": tasks,
        "fanout": fanout,
        "simple-queue": simple_queue,
        "queue-options": queue_options,
        "pool": pool,
        "request-reply": request_reply,
        "publisher-confirms": publisher_confirms,
        "reconnect": reconnect,
    })
