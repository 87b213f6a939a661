"""Logging: one line per record, as JSON or text, with nothing that is secret."""

import json
import logging
import sys
import time
from typing import Any, TextIO

from shared.config import Settings
from shared.terminal import harmless

ORDER = "order_id"


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Send the log of this process to `stream` (stderr), replacing whatever was configured before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(settings.service) if settings.log_format == "json" else TextFormatter())
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


def about(order_id: str | None) -> dict[str, str]:
    """The `extra` of a log call about one order: its id is a field of the line."""
    return {ORDER: order_id} if order_id else {}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, service, message; order_id and exception where there is one."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": _at(record),
            "level": record.levelname,
            "logger": record.name,
            "service": self._service,
            "message": record.getMessage(),
        }
        if order_id := getattr(record, ORDER, None):
            line[ORDER] = order_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """A line to read; control characters of what strangers wrote are escaped, and a traceback's lines are indented."""

    def format(self, record: logging.LogRecord) -> str:
        order_id = getattr(record, ORDER, None)
        named = f" {ORDER}={order_id}" if order_id else ""
        text = f"{_at(record)} {record.levelname:7} {record.name} {record.getMessage()}{named}"
        lines = [text, *self.formatException(record.exc_info).split("\n")] if record.exc_info else [text]
        return "\n    ".join(map(harmless, lines))


def _at(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"
