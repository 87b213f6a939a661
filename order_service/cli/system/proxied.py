"""`fulfillment up --proxy`: nginx listens where the APIs did, and they listen where only this machine reaches them."""

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from order_service.cli.stack import Nginx, Stack, answers, free_ports
from shared.http.listening import allow_connections
from shared.service import services

LOOPBACK = "127.0.0.1"
BEHIND = {"HOST": LOOPBACK, "TRUSTED_PROXY": LOOPBACK}  # settings of an API
CONNECTIONS = 16_000  # of callers and to services


@contextmanager
def behind_proxy(stack: Stack, urls: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Start nginx at the ports of `urls`, and yield the URLs for the services to listen at instead.

    What starts later ends before it does: requests under way are answered through it. Raises Missing and NotReady.
    """
    host = services()["order"].settings().host
    reached = LOOPBACK if ipaddress.ip_address(host).is_unspecified else host
    behind = {name: f"{LOOPBACK}:{port}" for name, port in zip(urls, free_ports(len(urls)), strict=True)}
    ports = {int(url.rpartition(":")[2]): behind[name] for name, url in urls.items()}
    allow_connections(CONNECTIONS)  # what is started inherits it
    with TemporaryDirectory(prefix="fulfillment-proxy-", ignore_cleanup_errors=True) as folder:
        stack.start(Nginx(Path(folder), ports, host=host).program)
        stack.wait_until("answered by nginx", lambda: all(answers(port, host=reached, greets=False) for port in ports))
        yield {name: f"http://{address}" for name, address in behind.items()}
