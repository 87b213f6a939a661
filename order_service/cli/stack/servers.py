"""Both servers, with all that they keep in one folder, which one stack at a time may use."""

import fcntl
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from order_service.cli.stack import postgresql as postgresqls
from order_service.cli.stack import rabbitmq as rabbitmqs
from order_service.cli.stack.postgresql import Missing, PostgreSQL
from order_service.cli.stack.rabbitmq import RabbitMQServer
from order_service.cli.stack.supervisor import Stack


class Servers:
    """A RabbitMQ and a PostgreSQL, from `start` until their stack ends them. The folder is theirs until `with` ends."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        options: str = "",
        trusts: bool = False,
        rabbitmq: str | None = None,
        programs: str | None = None,
    ) -> None:
        """`settings` are PostgreSQL's, as is `trusts`; `options` are those of RabbitMQ's Erlang.

        `rabbitmq` is the path of another rabbitmq-server, `programs` the folder of another PostgreSQL's. Raises
        Missing, also when somebody else uses the folder.
        """
        self.folder = folder
        with ExitStack() as held:
            folder.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((folder / "lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Missing(f"the servers of {folder} are running already") from None
            found = rabbitmqs.find(rabbitmq), postgresqls.find(programs)
            self.rabbitmq = RabbitMQServer(folder / "rabbitmq", program=found[0], options=options)
            self.postgresql = PostgreSQL(folder / "postgresql", programs=found[1], settings=settings, trusts=trusts)
            self._held = held.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def start(self, stack: Stack) -> None:
        """Start both; returns when they answer. Raises NotReady."""
        self.postgresql.start(stack)
        self.rabbitmq.start(stack)
