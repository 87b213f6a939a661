"""What only a proof breaks: the lines between any two parties, and a service's processes, replaced in turn."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from order_service.cli.client.api import Api, Refused, Unreachable
from order_service.cli.stack import Conduct, Line, Network, Program, Stack
from order_service.cli.system.breakable import IN_TURN, WELL
from order_service.cli.system.breakable_stack import kind_of
from order_service.web.console.breaking import Part, Refusal

TO_START = 60.0  # seconds
KIND = "processes of a service"
MORE, NONE = "one worker more", "no workers"


class Lines:
    """A part `WHO to WHOM` for each line."""

    def __init__(self, network: Network, lines: Mapping[tuple[str, str], Line]) -> None:
        self._network = network
        self._lines = {f"{who} to {whom}": line for (who, whom), line in lines.items()}
        self._kinds = {f"{who} to {whom}": f"{kind_of(who)} to {kind_of(whom)}" for who, whom in lines}

    def parts(self) -> list[Part]:
        return [
            Part(name=name, state=line.conduct, choices=tuple(Conduct), kind=self._kinds[name])
            for name, line in self._lines.items()
        ]

    def set(self, part: str, choice: str) -> None:
        self._network.set(self._lines[part], Conduct(choice))

    def failures(self) -> list[str]:
        return []


class Deploys:
    """A part `processes of SERVICE` for each: all are replaced, the next one when the last one is ready; or its workers
    are one more, or none."""

    def __init__(self, stack: Stack, programs: Mapping[str, Sequence[Program]], urls: Mapping[str, str]) -> None:
        """The programs by service, and the addresses of those that have one, by name. All of them run."""
        self._stack, self._programs, self._urls = stack, programs, urls
        self._states = dict.fromkeys(programs, WELL)

    def parts(self) -> list[Part]:
        return [
            Part(name=f"processes of {name}", state=state, choices=(WELL, IN_TURN, MORE, NONE), kind=KIND)
            for name, state in self._states.items()
        ]

    def set(self, part: str, choice: str) -> None:
        service = part.removeprefix("processes of ")
        names = [each.name for each in self._programs[service]]
        workers = [each for each in self._programs[service] if kind_of(each.name) == "worker"]
        if choice == IN_TURN:
            for name in names:
                self._stack.stop(name)
                self._stack.start_again(name)
                self._wait(name)
        elif choice == MORE:
            self._stack.start(replace(workers[0], name=f"{service}-worker-more"))
        elif choice == NONE:
            for each in workers:
                self._stack.stop(each.name)
        else:
            if self._states[service] == MORE:
                self._stack.stop(f"{service}-worker-more")
            for each in workers:
                self._stack.start_again(each.name)
        self._states[service] = WELL if choice == IN_TURN else choice

    def failures(self) -> list[str]:
        return []

    def _wait(self, name: str) -> None:
        """Until it answers; a worker is not asked."""
        until = time.monotonic() + TO_START
        while name in self._urls and not answers(self._urls[name]):
            if time.monotonic() > until:
                raise Refusal(f"{name} has not answered for {TO_START:.0f} s.")
            time.sleep(0.1)


def answers(url: str, path: str = "/healthz") -> bool:
    """Whether a web process does; `/readyz` asks whether it can also use its database."""
    try:
        with Api(url, "") as api:
            api.get(path)
    except (Refused, Unreachable):
        return False
    return True
