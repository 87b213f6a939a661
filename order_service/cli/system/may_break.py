"""`fulfillment up --console-may-break`: the console of the Order service may break what this process holds."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import click

from order_service.cli.stack import Program, Servers, Stack, free_port
from order_service.cli.system.audit import auditor, open_databases
from order_service.cli.system.breakable import Breakable, Outside
from order_service.cli.system.breakable_broker import BrokerServer
from order_service.cli.system.breakable_databases import Databases
from order_service.cli.system.breakable_stack import Processes
from order_service.cli.system.control import controlled
from order_service.cli.system.embedded import Tokens
from order_service.cli.system.playground import Playground
from order_service.cli.system.traffic import Traffic
from shared.clock import DatabaseClock
from shared.config import environment
from shared.database import Database

CONSOLE = "order-web"  # the process that serves the pages
NEEDED = (CONSOLE, "postgresql", "proxy")  # by the pages, which know from the database who is signed in
RATE, MINUTES = 40, 30  # orders a minute and for how long; the page can change it
PACE = {  # everybody waits less long than in a shop, so that healing can be watched
    "STEP_TIMEOUTS": "payment=3,inventory=3,shipping=5,capture=3,issue=3,dispatch=5",
    "SLOWEST_PACE": "5",
}
WORDS = (
    "Each worker and each web process is a process of its own, and starts again when it was killed. A frozen one holds "
    "on to what it has, as if its machine were overloaded. What these pages need themselves comes back in ten seconds."
)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What is given to the processes, and what begins when they are ready."""

    playground: Playground
    outside: Outside
    processes: Processes
    tokens: Tokens
    keys: str  # API_KEYS, with those tokens
    address: str  # how the console's process asks for it

    def told(self, programs: Sequence[Program]) -> list[Program]:
        """The same programs, at a quicker pace, and the console's with the means to break them."""
        known = environment()
        pace = {name: text for name, text in PACE.items() if name not in known}
        means = {"PLAYGROUND": self.address, "PARTICIPANTS_KEY": self.tokens.operator}
        return [
            replace(each, environment={**each.environment, **pace, **(means if each.name == CONSOLE else {})})
            for each in programs
        ]

    def begin(self) -> None:
        """The services are ready: all is well outside, and orders come."""
        self.outside.mend_all()
        self.playground.traffic.start()

    def rest(self) -> None:
        """The services are about to end."""
        self.processes.close()
        self.playground.rest()


@contextmanager
def broken_from(
    stack: Stack, servers: Servers | None, urls: Mapping[str, str], template: str, keys: str
) -> Iterator[Ground]:
    """Let the console break the stack, once it runs. `keys` are API_KEYS, unless they are of the environment."""
    known = environment()
    if "API_KEYS_FILE" in known:
        raise click.UsageError("--console-may-break adds keys of its own: give API_KEYS instead of API_KEYS_FILE")
    tokens = Tokens(operator=secrets.token_urlsafe(18), customer=secrets.token_urlsafe(18))
    own = f"{tokens.operator}:operator:playground,{tokens.customer}:customer:alice"
    outside = Outside(urls, tokens.operator)
    processes = Processes(stack, ("epmd",), NEEDED)
    seed, key, port = secrets.randbelow(10_000), secrets.token_urlsafe(18), free_port()
    with open_databases(template) as databases:

        def now() -> datetime:
            with databases["order"].reading() as connection:
                return DatabaseClock().now(connection)

        traffic = Traffic(urls, tokens, rate=RATE, minutes=MINUTES)
        breakables: list[Breakable] = [outside, processes, *(of_servers(stack, servers, databases) if servers else ())]
        playground = Playground(breakables, traffic, now, seed, WORDS)
        with controlled(playground, auditor(databases, now), key, port):
            yield Ground(
                playground=playground,
                outside=outside,
                processes=processes,
                tokens=tokens,
                keys=",".join(each for each in (keys or known.get("API_KEYS", ""), own) if each),
                address=f"http://{key}@127.0.0.1:{port}",
            )


def of_servers(stack: Stack, servers: Servers, databases: Mapping[str, Database]) -> Sequence[Breakable]:
    """What the stack's own servers may suffer; not the database that the console needs."""
    others = {name: name for name in databases if name != "order"}
    return [BrokerServer(stack, servers.rabbitmq, databases), Databases(servers.postgresql, others)]
