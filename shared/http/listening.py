"""The listening socket of an API; when its port is taken, who holds it."""

import errno
import ipaddress
import resource
import socket
from pathlib import Path

from shared.config import Misconfigured

BACKLOG = 1024
OTHER_FILES = 200  # databases, logs and the like


def listen(host: str, port: int, service: str) -> socket.socket:
    """A socket that listens at an address and port; `::` is every address, also those of IPv4.

    Raises Misconfigured, with one line that names the variable and, where it can be found, who holds the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=_is_every(host))
    except PermissionError as error:
        raise Misconfigured(f"{service}: PORT {port} may not be used: {error.strerror}") from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise Misconfigured(f"{service}: HOST {host} cannot be listened at: {error.strerror}") from error
        raise Misconfigured(f"{service}: PORT {port} is in use{_by(port)}") from error


def allow_connections(wanted: int) -> int:
    """How many connections this process may have open: its limit of open files is raised for them where it can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + OTHER_FILES:
        soft = wanted + OTHER_FILES if hard == resource.RLIM_INFINITY else min(wanted + OTHER_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, soft - OTHER_FILES)


def _is_every(host: str) -> bool:
    return ":" in host and ipaddress.ip_address(host).is_unspecified and socket.has_dualstack_ipv6()


def _by(port: int) -> str:
    """`, by process 17: python -m …`, or nothing where the system does not tell."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()) in sockets:
                process = descriptor.parts[2]
                command = Path("/proc", process, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return f", by process {process}: {command.strip()[:100]}"
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return ""


def _listening(port: int) -> set[str]:
    """The inodes of the sockets that listen at a port."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found
