"""Logging: one line per record, as JSON or text, with nothing that is secret."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from shared.config import Settings
from shared.terminal import harmless

ORDER, MESSAGE = "order_id", "message_id"
SUMMARY = 30.0  # seconds


def configure(settings: Settings, stream: TextIO | None = None, *, role: str = "") -> None:
    """Send the log of this process to `stream` (stderr), replacing whatever was configured before.

    `role` is what the process is, such as `worker`. Unless LOG_FORMAT says otherwise, a terminal gets text.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter(settings.service, role))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("shared.database.engines").setLevel(
        logging.WARNING
    )  # its pool tells what SQLAlchemy's own keep back
    logging.captureWarnings(True)


def first_line(said: object) -> str:
    """What an error says, without what follows on further lines; its kind when it says nothing."""
    return str(said).strip().partition("\n")[0] or type(said).__name__


def about(order_id: str | None = None, message_id: str | None = None) -> dict[str, str]:
    """The `extra` of a log call about one order, or one message: its id is a field of the line."""
    return {name: text for name, text in ((ORDER, order_id), (MESSAGE, message_id)) if text}


class Interruption:
    """Something that is needed is away: told in a line when that begins and in one when it is over. However often it
    is tried meanwhile, there is one more line every SUMMARY seconds at most. For any thread."""

    def __init__(self, log: logging.Logger, what: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`what` is a sentence without its end, such as `the order worker waits`."""
        self._log, self._what, self._monotonic = log, what, monotonic
        self._lock = threading.Lock()
        self._began: float | None = None
        self._told = 0.0
        self._times = 0

    def hit(self, error: object, about: Mapping[str, str] | None = None) -> bool:
        """It was away, once more; says whether that has just begun. `about` is the `extra` of its line."""
        with self._lock:
            now, self._times = self._monotonic(), self._times + 1
            begins = self._began is None
            if begins:
                self._began = self._told = now
                self._times = 1
            elif now - self._told < SUMMARY:
                return False
            self._told = now
            lasts, times = now - (now if self._began is None else self._began), self._times
        if begins:
            self._log.warning("%s: %s", self._what, first_line(error), extra=about)
        else:
            said = "%s, for %.0f s and %d times by now: %s"
            self._log.warning(said, self._what, lasts, times, first_line(error), extra=about)
        return begins

    def over(self) -> None:
        """It is there; cheap to say each time."""
        if self._began is None:
            return
        with self._lock:
            if self._began is None:
                return
            lasted, times, self._began = self._monotonic() - self._began, self._times, None
        self._log.info("%s: over after %.1f s and %d attempts", self._what, lasted, times)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, service, process, message; order_id, message_id and exception where
    there is one."""

    def __init__(self, service: str, role: str = "") -> None:
        super().__init__()
        self._service, self._role = service, role

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": _at(record),
            "level": record.levelname,
            "logger": record.name,
            "service": self._service,
            "process": f"{self._role} {record.process}".strip(),
            "message": record.getMessage(),
        }
        line |= {name: text for name in (ORDER, MESSAGE) if (text := getattr(record, name, None))}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """A line to read; control characters of what strangers wrote are escaped, and a traceback's lines are indented."""

    def format(self, record: logging.LogRecord) -> str:
        ids = {name: getattr(record, name, None) for name in (ORDER, MESSAGE)}
        named = "".join(f" {name}={text}" for name, text in ids.items() if text)
        text = f"{_at(record)} {record.levelname:7} {record.name} {record.getMessage()}{named}"
        lines = [text, *self.formatException(record.exc_info).split("\n")] if record.exc_info else [text]
        return "\n    ".join(map(harmless, lines))


def _at(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"
