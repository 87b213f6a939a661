"""Serving an application: in this process and as many more as are wished, or by threads of this one."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from flask import Flask

from shared.config import Settings
from shared.http.listening import allow_connections, listen
from shared.http.server import Server
from shared.metrics import answering
from shared.processes import end_in_time, run_several, stopped_by_signals

SWITCH = 0.001  # seconds for which a thread that makes a long list may keep the interpreter from a short request
GRACE = 10.0  # seconds that requests under way have after SIGTERM


def serve(make_app: Callable[[], Flask], settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, letting requests under way finish; returns then.

    `make_app` is called once, before other processes are forked, so that what it raises ends the start: it must not
    start threads or open connections, which requests may. Raises Misconfigured when the port cannot be had.
    """
    with listen(settings.host, settings.port, settings.service) as listener:
        app = make_app()
        work = partial(_work, app, settings, listener)
        if settings.web_processes == 1:
            work()
        else:
            run_several(work, settings.web_processes, grace=GRACE + 5)


def is_stopping(app: Flask) -> bool:
    """Whether long answers should end now, because the server wants to."""
    stopping: Callable[[], bool] = app.extensions.get("stopping", lambda: False)
    return stopping()


def at_the_end(app: Flask, *steps: Callable[[], None]) -> None:
    """Have these called, after those that were named before, when the application ends."""
    app.extensions.setdefault("at_the_end", []).extend(steps)


def end(app: Flask) -> None:
    """Close what the application holds; call it when no request is under way any more."""
    for step in app.extensions.pop("at_the_end", []):
        step()


@contextmanager
def running(app: Flask, *, host: str = "127.0.0.1", port: int = 0, threads: int = 16) -> Iterator[str]:
    """Serve `app` from threads of this process, on a free port when `port` is 0; yields its URL. Ends it afterwards."""
    stop = threading.Event()
    app.extensions["stopping"] = stop.is_set
    with listen(host, port, app.name) as listener:
        server = Server(app, listener, threads=threads)
        thread = threading.Thread(target=server.run, args=(stop.is_set, GRACE), name="http", daemon=True)
        thread.start()
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{server.effective_port}"
        finally:
            stop.set()
            server.wake()
            thread.join()
            end(app)


def _work(app: Flask, settings: Settings, listener: socket.socket) -> None:
    """Serve in this process until a signal says to stop."""
    server = Server(
        app,
        listener,
        threads=settings.web_threads,
        connections=allow_connections(settings.web_connections),
        proxy=settings.trusted_proxy,
    )
    sys.setswitchinterval(SWITCH)

    def told_to_stop() -> None:
        end_in_time()
        server.wake()

    stop = stopped_by_signals(told_to_stop)
    app.extensions["stopping"] = stop.is_set
    try:
        with answering(settings):
            server.run(stop.is_set, GRACE)
    finally:
        end(app)
