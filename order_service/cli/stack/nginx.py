"""An nginx before the APIs, from the system's packages, with the configuration that compose mounts (`nginx.conf`).

Only what a machine differs in is changed: where it listens, where the services are, and where files may be written.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from order_service.cli.stack.postgresql import Missing
from order_service.cli.stack.processes import Program
from shared.config import environment

TEMPLATE = Path(__file__).with_name("nginx.conf")
USER = "nobody"  # who it is when it was started by root: strangers talk to it


def find(given: str | None = None) -> Path:
    """Its program: the one that is given, else that of the system's packages; raises Missing."""
    found = given or shutil.which("nginx", path=os.pathsep.join((environment().get("PATH", ""), "/usr/sbin")))
    if not found or not Path(found).exists():
        raise Missing("there is no nginx here: `deploy/prepare servers` installs one")
    return Path(found)


class Nginx:
    """The proxy as a program to run. It keeps nothing: its folder may go when it has ended."""

    def __init__(
        self, folder: Path, ports: Mapping[int, str], *, host: str = "127.0.0.1", program: str | None = None
    ) -> None:
        """Listens at `host` and each of `ports`; behind each is the service at that `address:port`. Raises Missing."""
        self._program, self.configuration = find(program), folder / "nginx.conf"
        self._user = USER if os.geteuid() == 0 else ""
        self.configuration.write_text(configuration(folder, ports, host))
        if self._user:
            shutil.chown(folder, self._user)

    @property
    def program(self) -> Program:
        """One process that does all: of several, some would outlive a parent that was killed."""
        how = "daemon off; master_process off;"
        command = [str(self._program), "-e", "stderr", "-c", str(self.configuration), "-g", how]
        return Program(name="proxy", command=command, environment=environment(), user=self._user)


def configuration(folder: Path, ports: Mapping[int, str], host: str = "127.0.0.1") -> str:
    """What `nginx.conf` says, for this machine."""
    named = f"[{host}]" if ":" in host else host
    more = " ipv6only=off" if host == "::" else ""
    behind = "".join(f"        {port} {address};\n" for port, address in ports.items())
    doors = "".join(f"        listen {named}:{port}{more};\n" for port in ports)
    text = TEMPLATE.read_text()
    changes = {
        r"^ +resolver .*\n": "",  # addresses are known as numbers
        r"(?:^ +\d+ \w+-web:\d+;\n)+": behind,
        r"(?:^ +listen \d+;\n)+": doors,
        r"(?<= )/tmp(?=/)": str(folder),
    }
    for pattern, here in changes.items():
        parts = re.split(pattern, text, flags=re.MULTILINE)
        if len(parts) == 1:
            raise ValueError(f"{TEMPLATE} has nothing like {pattern}")
        text = here.join(parts)
    return text
