"""Ports of the loopback interface: free ones for servers that are yet to start, and who holds one that is not free.

Free ones are below those that the kernel gives to outgoing connections, of which one may begin meanwhile.
"""

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

LOWEST, COUNT = 16_000, 16_000
LISTENS = "0A"  # in /proc/net/tcp


def free_ports(count: int) -> list[int]:
    """So many ports, all different, that nobody listens at."""
    found: set[int] = set()
    while len(found) < count:
        port = LOWEST + secrets.randbelow(COUNT)
        if is_free(port):
            found.add(port)
    return list(found)


def free_port() -> int:
    return free_ports(1)[0]


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, so that no dead connection counts
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def listener(port: int) -> int | None:
    """The process that listens on a local TCP port, the oldest of several; None: nobody, or not for us to see."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    holders = []
    for folder in Path("/proc").glob("[0-9]*/fd") if sockets else []:
        with suppress(OSError):  # it has ended, or is somebody else's
            if any(os.readlink(each) in sockets for each in folder.iterdir()):
                holders.append(int(folder.parent.name))
    return min(holders, default=None)


def holder(port: int) -> str:
    """Who holds a port, in words."""
    if (process := listener(port)) is None:
        return "another program"
    with suppress(OSError):
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"process {process} ({command[:100]})"
    return f"process {process}"
