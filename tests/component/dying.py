"""Works one message in a process of its own, which is killed around its call to the outside.

python -m tests.component.dying SERVICE DATABASE_URL before|after ENVELOPE_AS_JSON
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import msgspec

from shared.clock import SystemClock
from shared.config import load
from shared.database import Database
from shared.ids import uuid7
from shared.messaging.broker import Delivery
from shared.messaging.consumer import Consumer
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Call


def main(name: str, url: str, moment: str, envelope: str) -> None:
    service, database = import_module(f"{name}_service.service").SERVICE, Database(url)
    handling = service.handling(load(service=name, environ={}), database)

    def ask(calls: Sequence[Call]) -> Any:
        if moment == "after":
            handling.ask(calls)
        os.kill(os.getpid(), signal.SIGKILL)

    consumer = Consumer(
        replace(handling, ask=ask), service.tables, database, clock=SystemClock(), new_id=uuid7, body_limit=262_144
    )
    consumer.work([Delivery(envelope=msgspec.json.decode(envelope, type=Envelope), tag=1)])


if __name__ == "__main__":
    main(*sys.argv[1:])
