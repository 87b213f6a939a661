"""A RabbitMQ of one's own, from the system's packages, with its files in a folder: loopback only, with a password.

Its node is found by an epmd of its own, on a port of its own: so it meets no other node of this machine, and leaves no
epmd behind.
"""

import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterable
from glob import glob
from pathlib import Path
from urllib.parse import quote

from order_service.cli.stack.ports import free_ports
from order_service.cli.stack.postgresql import Missing
from order_service.cli.stack.processes import Program
from order_service.cli.stack.supervisor import BOOTING, Stack
from shared.config import environment

INSTALLED = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # Debian's own wrapper, which is on the path, changes the user
USER = "guest"
HELLO = b"AMQP\x00\x00\x09\x01"
ADD = 'rabbit_vhost:add(<<"{name}">>, <<"stack">>)'
ALLOW = (
    'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"stack">>)'
)


def find(given: str | None = None) -> Path:
    """Its server's program: the one that is given, else that of the system's packages; raises Missing."""
    found = given or (INSTALLED if Path(INSTALLED).exists() else shutil.which("rabbitmq-server"))
    if not found or not Path(found).exists():
        raise Missing("there is no RabbitMQ server here: `deploy/prepare servers` installs one")
    return Path(found)


class RabbitMQServer:
    """The server as programs to run, and what can be asked of it while it runs."""

    def __init__(self, folder: Path, *, program: Path | None = None, options: str = "") -> None:
        """Its files are in `folder`, which is made if it does not exist; they are kept. `options` are Erlang's.

        Raises Missing.
        """
        self.folder = folder
        self.port, self._erlang_port, self._names_port = free_ports(3)
        self._program, self._options = program or find(), options
        folder.mkdir(parents=True, exist_ok=True)
        password = folder / "password"
        if not password.exists():
            password.touch(mode=0o600)
            password.write_text(secrets.token_hex(16))
        self._password = password.read_text()
        settings = folder / "rabbitmq.conf"
        settings.touch(mode=0o600)
        settings.write_text(f"default_user = {USER}\ndefault_pass = {self._password}\n")

    @property
    def names(self) -> Program:
        """What tells where the node listens; to be started before it."""
        epmd = shutil.which("epmd") or max(glob("/usr/lib/erlang/erts-*/bin/epmd"), default="epmd")
        command = [epmd, "-address", "127.0.0.1", "-port", str(self._names_port)]
        return Program(name="epmd", command=command, environment=environment(), log=self.folder / "epmd.log")

    @property
    def program(self) -> Program:
        log = self.folder / "rabbitmq.log"
        return Program(name="rabbitmq", command=[str(self._program)], environment=self._environment(), log=log)

    def _environment(self) -> dict[str, str]:
        return environment(
            HOME=str(self.folder),  # where the cookie is kept
            RABBITMQ_NODENAME="fulfillment@localhost",
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self._erlang_port),
            RABBITMQ_MNESIA_BASE=str(self.folder / "mnesia"),
            RABBITMQ_LOG_BASE=str(self.folder / "log"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.folder / "plugins"),
            RABBITMQ_CONFIG_FILE=str(self.folder / "rabbitmq.conf"),
            RABBITMQ_ADVANCED_CONFIG_FILE="/nonexistent",
            RABBITMQ_CONF_ENV_FILE="/nonexistent",  # nothing of this machine's settings is read
            RABBITMQ_ALLOW_INPUT="1",  # the script becomes the server, so that nothing stands between it and signals
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(
                f"-noinput -kernel inet_dist_use_interface {{127,0,0,1}} {self._options}"
            ),
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_EPMD_PORT=str(self._names_port),
        )

    def start(self, stack: Stack) -> None:
        """Run it in a stack; returns when it answers. Raises NotReady."""
        stack.start(self.names)
        stack.wait_until("answered by epmd", lambda: answers(self._names_port, greets=False))
        stack.start(self.program)
        stack.wait_until("answered by RabbitMQ", self.is_ready, BOOTING)

    def url(self, vhost: str = "/") -> str:
        """The address of a virtual host."""
        return f"amqp://{USER}:{self._password}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def is_ready(self) -> bool:
        """Whether it answers a client; it listens last of all when it boots."""
        return answers(self.port)

    def control(self, *words: str) -> str:
        """What `rabbitmqctl` says; raises SubprocessError. Each call takes about a second."""
        command = [str(self._program.with_name("rabbitmqctl")), "--quiet", *words]
        done = subprocess.run(  # noqa: S603 - our own words
            command, env=self._environment(), stdout=subprocess.PIPE, text=True, check=True, timeout=BOOTING
        )
        return done.stdout

    def evaluate(self, code: str) -> str:
        """The value of an expression of Erlang, evaluated in the node."""
        return self.control("eval", f"{code}.").strip()

    def add(self, vhosts: Iterable[str]) -> None:
        """Make virtual hosts, empty and open to the user of `url`; what they held before is gone."""
        remove = 'catch rabbit_vhost:delete(<<"{name}">>, <<"stack">>)'
        self.evaluate(", ".join(each.format(name=name) for name in vhosts for each in (remove, ADD, ALLOW)))

    def version(self) -> str:
        return self.evaluate("rabbit_misc:version()").strip('"')


def answers(port: int, *, host: str = "127.0.0.1", greets: bool = True) -> bool:
    """Whether somebody listens there and, if `greets`, answers an AMQP client's hello."""
    try:
        with socket.create_connection((host, port), timeout=5) as connection:
            if greets:
                connection.sendall(HELLO)
                return bool(connection.recv(1))
    except OSError:
        return False
    return True
