"""The processes of the services, as programs to run: a web process and workers of each."""

import sys
from collections.abc import Iterator, Mapping

from order_service.cli.stack.processes import Program
from shared.config import environment
from shared.service import services


def process_of(service: str, verb: str, *, name: str = "", **settings: str) -> Program:
    """`web` or `worker` of a service; `settings` by variable, besides those of this process."""
    command = [sys.executable, "-m", services()[service].package, *verb.split()]
    # glibc would keep the most that each thread ever needed apart from what the others did
    given = {"LOG_FORMAT": "text", "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "1", **environment(**settings)}
    return Program(name=name or f"{service}-{verb}", command=command, environment=given)


def processes_of_all(
    databases: Mapping[str, str],
    broker: str,
    workers: Mapping[str, int],
    urls: Mapping[str, str],
    keys: str = "",
    asking: str = "",
    **settings: str,
) -> Iterator[Program]:
    """So many workers of each service, and a web process of each that `urls` says where to listen for.

    Web processes know the API keys `keys`, if any are given; workers meet nobody who has one. With `asking`, a token of
    an operator, there is the reconciliation, which asks with it.
    """
    known = {f"{name.upper()}_URL": url for name, url in urls.items() if name != "order"}
    for name in services():
        given = {"DATABASE_URL": databases[name], **settings}
        for number in range(1, workers[name] + 1):
            yield process_of(name, "worker", name=f"{name}-worker-{number}", **given, BROKER_URL=broker)
        if name in urls:
            port = urls[name].rpartition(":")[2]
            yield process_of(name, "web", **given | known | ({"API_KEYS": keys} if keys else {}), PORT=port)
    if asking:
        given = {"DATABASE_URL": databases["order"], "PARTICIPANTS_KEY": asking, **settings}
        yield process_of("order", "reconcile", **given, **known)
