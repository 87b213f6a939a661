"""Where a server is, by its name: asked for with a limit of our own, as all that is waited for."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import psycopg

from shared.database.errors import SilentServer

Look = Callable[[str], list[Any]]


def resolved(named: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
    """These parameters of a connection, with the addresses of their host if that is a single name."""
    host = str(named.get("host") or "")
    if not host or "," in host or host.startswith("/") or "hostaddr" in named or _is_address(host):
        return named
    found = addresses(host, seconds)
    return {**named, "host": ",".join([host] * len(found)), "hostaddr": ",".join(found)}


def addresses(
    host: str, seconds: float, look: Look = lambda host: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
) -> list[str]:
    """The addresses of this host. Raises psycopg's errors; SilentServer when nobody tells them in so many seconds, as
    where the server of names is gone: psycopg, and a signal to this process, would wait for the system to give up."""
    told: Future[list[Any]] = Future()

    def ask() -> None:
        try:
            told.set_result(look(host))
        except Exception as error:
            told.set_exception(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        found = told.result(seconds)
    except TimeoutError as error:
        raise SilentServer(f"nobody says where {host!r} is, for {seconds:.1f} s") from error
    except OSError as error:
        raise psycopg.OperationalError(f"it is not known where {host!r} is: {error}") from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
