"""Serving an application: by gunicorn in a process of its own, or by threads of this one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from werkzeug.serving import WSGIRequestHandler, make_server

from shared.config import Settings
from shared.http.request_timeouts import TimeoutWorker

GRACE = 10  # seconds that requests under way have after SIGTERM


def serve(make_app: Callable[[], Flask], settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, letting requests under way finish; ends the process.

    `make_app` is called once, before the web processes are forked, so that what it raises ends the start: it must not
    start threads or open connections, which requests may.
    """
    _Server(make_app, settings).run()


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
def running(app: Flask, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve `app` from threads of this process, on a free port when `port` is 0; yields its URL. Ends it afterwards."""
    stopped = threading.Event()
    app.extensions["stopping"] = stopped.is_set
    server = make_server(host, port, app, threaded=True, request_handler=_SilentHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="http", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()
        end(app)


class _SilentHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug names it so
        """The application logs its requests itself."""


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn is untyped
    def __init__(self, make_app: Callable[[], Flask], settings: Settings) -> None:
        self._make_app = make_app
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"{self._settings.host}:{self._settings.port}",
            "worker_class": TimeoutWorker,
            "workers": self._settings.web_processes,
            "threads": self._settings.web_threads,
            "graceful_timeout": GRACE,
            "keepalive": 20,
            "preload_app": True,
            "control_socket_disable": True,  # it would write into the home directory
            "logger_class": _Log,
            "post_worker_init": _tell_when_stopping,
            "worker_exit": _end,
        }
        for name, setting in options.items():
            self.cfg.set(name, setting)

    def load(self) -> Flask:
        return self._make_app()


class _Log(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """gunicorn's own lines go where all others go."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _tell_when_stopping(worker: Any) -> None:
    worker.wsgi.extensions["stopping"] = lambda: not worker.alive


def _end(_arbiter: Any, worker: Any) -> None:
    if getattr(worker, "wsgi", None):  # else it failed before
        end(worker.wsgi)
