"""The stack, on small programs: what it starts is kept running, obeys, and ends with it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from order_service.cli.stack import (
    Missing,
    Nginx,
    NotReady,
    Program,
    Stack,
    State,
    free_port,
    holder,
    is_free,
    listener,
    tree,
)
from order_service.cli.stack.nginx import TEMPLATE, configuration
from order_service.cli.stack.supervisor import FIRST_PAUSE
from shared.config import environment
from tests.crowd import wait_for

LIVES = "import time\nprint('lives', flush=True)\nwhile True: time.sleep(60)"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('lives', flush=True)\ntime.sleep(600)"
FAMILY = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {LIVES!r}])"
PARENT = """
import signal, sys, threading
from order_service.cli.stack import Program, Stack
from shared.config import environment
said = lambda name, line: print(name, line, flush=True)
stack = Stack(said)
stack.start(Program(name="child", command=[sys.executable, "-c", sys.argv[1]], environment=environment()))
stack.wait_until("living", lambda: "child" in stack.process_ids())
if sys.argv[2:] == ["frozen"]:
    stack.freeze("child")
print("pid", stack.process_ids()["child"], flush=True)
threading.Event().wait()
"""


def program(code: str, name: str = "it", log: Path | None = None) -> Program:
    return Program(name=name, command=[sys.executable, "-c", code], environment=environment(), log=log)


class Lines(list[tuple[str, str]]):
    """All that programs said."""

    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    def of(self, name: str) -> list[str]:
        return [line for said_by, line in self if said_by == name]


def is_there(pid: int) -> bool:
    """Whether the process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def said() -> Lines:
    return Lines()


@pytest.fixture
def stack(said: Lines) -> Iterator[Stack]:
    with Stack(said) as stack:
        yield stack


def test_what_dies_starts_again(stack: Stack, said: Lines) -> None:
    """A killed program starts again after a pause, and the stack says how it ended."""
    stack.start(program(LIVES))
    wait_for(lambda: said.of("it"))
    first = stack.process_ids()["it"]
    stack.kill("it")
    wait_for(lambda: said.of("it").count("lives") == 2)
    assert "was killed by SIGKILL; it starts again in 0.5 s" in said.of("it")
    assert stack.process_ids()["it"] != first


def test_what_keeps_dying_starts_again_less_and_less_often(stack: Stack, said: Lines) -> None:
    """The pause doubles with each early death."""
    stack.start(program("raise SystemExit(3)"))
    wait_for(lambda: len(said) >= 3)
    assert said.of("it")[:3] == [f"ended with exit code 3; it starts again in {pause} s" for pause in ("0.5", "1", "2")]


def test_what_is_frozen_stands_still_until_it_is_resumed(stack: Stack, said: Lines) -> None:
    """With all its descendants; it ends in good order when it is told to, frozen or not."""
    stack.start(program(FAMILY))
    wait_for(lambda: said.of("it"))
    family = tree(stack.process_ids()["it"])
    assert len(family) == 2
    stack.freeze("it")
    assert stack.states() == {"it": State.FROZEN}
    assert [state_of(pid) for pid in family] == ["T", "T"]
    stack.resume("it")
    assert stack.states() == {"it": State.RUNNING}
    wait_for(lambda: all(state_of(pid) != "T" for pid in family))
    stack.freeze("it")
    assert stack.stop("it")
    assert stack.states() == {"it": State.STOPPED}
    assert not any(is_there(pid) for pid in family)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_what_is_killed_while_frozen_starts_again_unfrozen(stack: Stack, said: Lines) -> None:
    """Killing reaches what stands still."""
    stack.start(program(LIVES))
    wait_for(lambda: said.of("it"))
    stack.freeze("it")
    stack.kill("it")
    wait_for(lambda: said.of("it").count("lives") == 2)
    assert stack.states() == {"it": State.RUNNING}


def test_what_is_stopped_stays_so_until_it_is_started_again(stack: Stack, said: Lines) -> None:
    """A stopped program does not start by itself; started again, it is kept running as before."""
    stack.start(program(LIVES))
    wait_for(lambda: said.of("it"))
    stack.stop("it")
    assert stack.process_ids() == {}
    stack.start_again("it")
    stack.start_again("it")
    wait_for(lambda: said.of("it").count("lives") == 2)
    assert stack.states() == {"it": State.RUNNING}


def test_who_does_not_obey_is_killed(said: Lines) -> None:
    """After its patience, and `end` says so."""
    with Stack(said) as stack:
        stack.start(program(DEAF))
        wait_for(lambda: said.of("it"))
        pid = stack.process_ids()["it"]
        assert not stack.end(0.3)
        assert not is_there(pid)
    assert "did not end within 0 s and is killed" in said.of("it")


def test_what_started_last_ends_first(said: Lines) -> None:
    """A server outlives those that use it."""
    ends = "import signal, sys\nprint('lives', flush=True)\nsignal.sigwait([signal.SIGTERM])\nprint('ends', flush=True)"
    blocked = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n" + ends
    with Stack(said) as stack:
        stack.start(program(blocked, "server"))
        stack.start(program(blocked, "first"), program(blocked, "second"))
        wait_for(lambda: len(said) == 3)
    last = [name for name, line in said if line == "ends"]
    assert sorted(last) == ["first", "second", "server"]
    assert last[-1] == "server"


def test_what_ends_before_its_turn_stays_down(said: Lines) -> None:
    """Where a whole machine is shut down, all are told to end at once: a server does not start again meanwhile."""
    with Stack(said) as stack:
        stack.start(program(LIVES, "server"))
        wait_for(lambda: len(said) == 1)
        server = stack.process_ids()["server"]
        ends = f"signal.sigwait([signal.SIGTERM]); os.kill({server}, signal.SIGKILL); time.sleep({2 * FIRST_PAUSE})"
        blocks = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])"
        stack.start(program(f"import os, signal, time; {blocks}; print('blocks', flush=True); {ends}", "slow"))
        wait_for(lambda: "blocks" in said.of("slow"))
    assert said.of("server") == ["lives"]


def test_waiting_ends_at_once_when_the_awaited_is_dead(tmp_path: Path) -> None:
    """Its last words are told, those in its log as well."""
    with Stack(restarts=False) as stack:
        stack.start(program("print('I am'); raise SystemExit('leaving')", log=tmp_path / "log"))
        with pytest.raises(NotReady, match=r"(?s)not ready.*it \| I am.*it \| leaving.*ended with exit code 1"):
            stack.wait_until("ready", lambda: False)


def test_a_program_that_does_not_exist_says_so(said: Lines) -> None:
    """In one line, as any other death."""
    with Stack(said, restarts=False) as stack:
        stack.start(Program(name="it", command=["/no/such/program"], environment=environment()))
        wait_for(lambda: len(said) == 2)
    assert said.of("it") == ["/no/such/program: No such file or directory", "ended with exit code 1"]


def test_a_process_outlives_the_thread_that_started_it(stack: Stack, said: Lines) -> None:
    """It is the process that it dies with, not the thread."""
    thread = threading.Thread(target=lambda: stack.start(program(LIVES)))
    thread.start()
    thread.join()
    wait_for(lambda: said.of("it"))
    assert said.of("it") == ["lives"]
    assert stack.states() == {"it": State.RUNNING}


@pytest.mark.parametrize("how", [[], ["frozen"]])
def test_nothing_is_left_of_a_killed_stack(how: list[str]) -> None:
    """After `kill -9` of the process that holds the stack, what it started ends, frozen or not."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, LIVES, *how], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent, parent.stdout:
        pid = next(int(line.split()[1]) for line in parent.stdout if line.startswith("pid"))
        assert is_there(pid)
        os.kill(parent.pid, signal.SIGKILL)
        wait_for(lambda: not is_there(pid))


def test_a_port_knows_who_holds_it(stack: Stack, said: Lines) -> None:
    """Free before, taken and named by process and command after."""
    port = free_port()
    assert is_free(port)
    listens = (
        f"import socket, time\ns = socket.create_server(('127.0.0.1', {port}))\nprint(1, flush=True)\ntime.sleep(600)"
    )
    stack.start(program(listens))
    wait_for(lambda: said.of("it"))
    assert not is_free(port)
    assert listener(port) == stack.process_ids()["it"]
    assert holder(port).startswith(f"process {listener(port)} ({sys.executable} -c import socket")


def test_nginx_is_told_where_all_is(tmp_path: Path) -> None:
    """Where it listens, who is behind each port, and where it may write; the rest is as under compose."""
    text = configuration(tmp_path, {8000: "127.0.0.1:7000", 8001: "127.0.0.1:7001"}, "::")
    assert re.findall("^ +listen (.*);", text, re.MULTILINE) == ["[::]:8000 ipv6only=off", "[::]:8001 ipv6only=off"]
    assert re.findall(r"^ +(\d+ 127\.0\.0\.1:\d+);$", text, re.MULTILINE) == [
        "8000 127.0.0.1:7000",
        "8001 127.0.0.1:7001",
    ]
    assert "-web" not in text
    assert "/tmp/" not in text.replace(str(tmp_path), "")
    theirs, ours = set(TEMPLATE.read_text().splitlines()), set(text.splitlines())
    assert len(theirs - ours) == 4 + 4 + 1 + 6  # services, ports, the resolver, files
    assert len(ours - theirs) == 2 + 2 + 6


def test_a_proxy_that_is_not_installed_says_so(tmp_path: Path) -> None:
    """In one line, with what installs it."""
    with pytest.raises(Missing, match="there is no nginx here: `deploy/prepare servers` installs one"):
        Nginx(tmp_path, {}, program="/no/such/nginx")
