"""The Celery application that the driver and its workers share; its settings come from the environment."""

import json
import os
import pathlib
import time
import uuid

from celery import Celery
from celery.exceptions import Reject
from kombu import Exchange, Queue
from kombu.common import Broadcast


def queue_of(spec):
    """A queue from its description: name, exchange, type, key, arguments of its binding and options of its own."""
    if spec.get("type") == "broadcast":
        return Broadcast(spec["name"])
    exchange = Exchange(spec.get("exchange", spec["name"]), spec.get("type", "direct"))
    return Queue(spec["name"], exchange, spec.get("key", spec["name"]), binding_arguments=spec.get("arguments"),
                 **spec.get("options", {}))


settings = json.loads(os.environ["INTEROP_CELERY"])
directory = pathlib.Path(settings["directory"])
app = Celery("interop", broker=settings["uri"], backend=settings["backend"])
app.conf.update({
    "task_queues": [queue_of(spec) for spec in settings["queues"]],
    "task_default_queue": settings["queues"][0]["name"],
    "task_acks_late": True,
    "worker_prefetch_multiplier": 1,
    "worker_hijack_root_logger": False,
    "control_exchange": settings["prefix"],
    "event_exchange": settings["prefix"] + ".events",
    **settings["conf"],
})


def note(**fields):
    """Writes down that a task ran, where the driver finds it."""
    draft = directory / f"draft-{uuid.uuid4()}"
    draft.write_text(json.dumps({"time": time.time(), **fields}))
    draft.rename(directory / f"note-{uuid.uuid4()}")


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail(text):
    raise ValueError(text)


@app.task(bind=True)
def where(self):
    """The worker that ran the task."""
    return self.request.hostname


@app.task(bind=True)
def meet(self, count):
    """Comes back once so many workers are in this task at a time."""
    (directory / f"met-{self.request.hostname}").touch()
    end = time.monotonic() + 30
    while len(list(directory.glob("met-*"))) < count:
        if time.monotonic() > end:
            raise TimeoutError("the other worker did not come")
        time.sleep(0.02)
    return self.request.hostname


@app.task(bind=True)
def record(self, tag):
    """Notes what it was called with, and how it came."""
    info = self.request.delivery_info
    note(tag=tag, host=self.request.hostname, key=info["routing_key"], redelivered=info["redelivered"])


@app.task(bind=True)
def second_time(self):
    """Gives its message back to the queue until it comes redelivered."""
    info = self.request.delivery_info
    note(redelivered=info["redelivered"])
    if not info["redelivered"]:
        raise Reject("not yet", requeue=True)


@app.task(bind=True)
def refuse(self):
    """Notes that it ran, and gives its message up."""
    note(refused=True)
    raise Reject("never", requeue=False)


@app.task(bind=True, autoretry_for=(ConnectionError,), max_retries=3, retry_backoff=0.2, retry_jitter=False)
def flaky(self, failures):
    """Fails so many times with an error that it is retried for, later each time."""
    note(retries=self.request.retries)
    if self.request.retries < failures:
        raise ConnectionError("no answer")
    return self.request.retries


@app.task(bind=True, max_retries=3)
def stubborn(self):
    """Fails three times and is retried."""
    if self.request.retries < 3:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task
def echo(text):
    return text
