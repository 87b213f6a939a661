"""The gate: strangers at the door, and another customer's orders meanwhile."""

import http.client
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

KINDS = (
    "silent",
    "half_a_header",
    "half_a_body",
    "not_reading",
    "not_closing",
    "long_polls",
    "large_lists",
    "wrong_tokens",
)


class Placed(NamedTuple):
    status: int  # 0 when nobody answered in time
    seconds: float


@contextmanager
def strangers(kind: str, url: str, token: str, order_id: str) -> Iterator[None]:
    """They are there, in a process of their own, as long as the block lasts."""
    command = [sys.executable, "-m", "tests.strangers", kind, url, token, order_id]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdin
    try:
        assert process.stdout.readline() == "there\n"
        yield
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def place(url: str, token: str, order: Any, *, source: str = "127.0.0.1", patience: float = 10.0) -> Placed:
    """One order, over a connection of its own, from an address of the loopback interface."""
    address, began = urlsplit(url), time.monotonic()
    connection = http.client.HTTPConnection(
        address.hostname or "", address.port, timeout=patience, source_address=(source, 0)
    )
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Idempotency-Key": secrets.token_hex(8),
    }
    status = 0
    try:
        connection.request("POST", "/orders", json.dumps(order), headers)
        response = connection.getresponse()
        response.read()
        status = response.status
    except OSError:
        pass
    finally:
        connection.close()
    return Placed(status, time.monotonic() - began)
