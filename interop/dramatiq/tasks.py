"""The actor of the workers that run by Dramatiq's own command; its settings come from the environment."""

import os
import pathlib
import uuid

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

directory = pathlib.Path(os.environ["INTEROP_DIRECTORY"])
dramatiq.set_broker(RabbitmqBroker(url=os.environ["INTEROP_URI"]))


@dramatiq.actor(queue_name=os.environ["INTEROP_QUEUE"])
def record(number):
    """Leaves a note, where the driver finds it, of its argument and the process that it ran in."""
    (directory / f"note-{uuid.uuid4()}-{os.getpid()}-{number}").touch()
