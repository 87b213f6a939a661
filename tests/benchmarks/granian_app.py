"""The Order API as an application for granian: `granian --interface wsgi tests.benchmarks.granian_app:app`."""

import signal
import socket
import threading

from order_service.service import SERVICE
from shared.database import Database
from shared.messaging.notifier import Notifier


def told_to_stop() -> threading.Event:
    """Is set by SIGTERM: granian has no hook for it in a worker, and its own handler replaces ours."""
    stopping, (heard, written) = threading.Event(), socket.socketpair()
    written.setblocking(False)
    signal.set_wakeup_fd(written.fileno())
    kept.append(written)

    def listen() -> None:
        while heard.recv(1)[0] != signal.SIGTERM:
            pass
        stopping.set()

    threading.Thread(target=listen, daemon=True).start()
    return stopping


kept: list[socket.socket] = []
settings = SERVICE.settings(required=["API_KEYS"])
database = Database(settings.database_url)
app = SERVICE.web(settings, database, Notifier(database))
app.extensions["stopping"] = told_to_stop().is_set
