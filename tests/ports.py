"""Free ports for servers that are yet to start: below those that the kernel gives to outgoing connections, of which one
may begin meanwhile."""

import secrets
import socket

LOWEST, COUNT = 16_000, 16_000


def free_port() -> int:
    """A port of the loopback interface that nobody listens at."""
    while True:
        port = LOWEST + secrets.randbelow(COUNT)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def free_ports(count: int) -> list[int]:
    """So many ports, all different."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
