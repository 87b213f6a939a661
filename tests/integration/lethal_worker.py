"""A real payment worker whose handler is killed by one token and hangs on another.

python -m tests.integration.lethal_worker      (DATABASE_URL, BROKER_URL and WATCHDOG as for any worker)
"""

import os
import signal
import sys
import threading
from dataclasses import replace
from typing import Any

from payment_service.handlers import HANDLERS
from payment_service.service import SERVICE
from shared import logs
from shared.bootstrap import open_database, run_worker
from shared.config import load
from shared.messaging.brokers.rabbitmq import RabbitMQ


def lethal(request: Any, payments: Any) -> Any:
    token = getattr(request, "payment_token", "")
    if token == "tok_lethal":
        os.kill(os.getpid(), signal.SIGKILL)
    if token == "tok_hang":
        threading.Event().wait()
    return HANDLERS[type(request)](request, payments)


if __name__ == "__main__":
    settings = load(service="payment")
    logs.configure(settings)
    handlers = dict.fromkeys(HANDLERS, lethal)
    service = replace(
        SERVICE,
        handlers=handlers,
        handling=lambda settings, database: replace(SERVICE.handling(settings, database), handlers=handlers),
    )
    sys.exit(run_worker(service, settings, open_database(settings), RabbitMQ(settings.broker_url)))
