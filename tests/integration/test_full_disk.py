"""A disk that is really full, under PostgreSQL and SQLite: whoever asks is told, and all goes on when there is room."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from order_service.cli.stack import PostgreSQL, Stack
from shared.http.serve import end
from tests.component.apps import ORDER, application, bearer, prepare
from tests.component.test_routes_in_bad_weather import DUE, Caller, orders, routes, wrong
from tests.conftest import AS_ROOT, POSTGRESQL
from tests.crowd import wait_for

SIZES = {"sqlite": "4m", "postgresql": "128m"}  # with room for fresh databases
MOST = 3_000  # orders, until there is no room for another one


class Disk:
    """A small file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder / "ballast"

    def fill(self) -> None:
        """Leave no byte on it."""
        with self._ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left on device"):
            for _ in iter(lambda: file.write(b"\0" * 4096), 0):
                pass

    def free(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(kind: str, open_folder: Path) -> Iterator[Disk]:
    folder = open_folder / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SIZES[kind]},mode=1777", "tmpfs", str(folder)]
    subprocess.run([*AS_ROOT, "mount", *options], check=True)
    yield Disk(folder)
    subprocess.run([*AS_ROOT, "umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def new_database(kind: str, disk: Disk) -> Iterator[Callable[[str], str]]:
    """Makes a database on that disk."""
    if kind == "sqlite":
        yield lambda name: f"sqlite:///{disk.folder}/{name}.db"
        return
    with Stack(restarts=False) as stack:
        server = PostgreSQL(disk.folder / "postgresql", programs=POSTGRESQL, trusts=True)
        server.start(stack)

        def make(name: str) -> str:
            server.create(name)
            return server.url(name)

        yield make


@pytest.mark.slow
@pytest.mark.postgresql
@pytest.mark.parametrize("kind", SIZES)
def test_a_full_disk_is_503_until_there_is_room(kind: str, disk: Disk, new_database: Callable[[str], str]) -> None:
    """No order that was promised is lost, nobody is told 500, and all goes on by itself."""
    url = new_database("orders")
    prepare("order", url)
    known = orders(url)
    app = application("order", url)
    promised: list[str] = []

    def place(number: int) -> int:
        headers = {**bearer("alice"), "Idempotency-Key": f"order-{number}"}
        answer = app.test_client().post("/orders", json=ORDER, headers=headers)
        if answer.status_code == 202:
            promised.append(answer.json["id"])
        elif answer.status_code == 503:
            assert "Retry-After" in answer.headers
        return answer.status_code

    caller = Caller(app, known)
    disk.fill()
    statuses = [place(1)]
    while statuses[-1] != 503:
        assert len(statuses) < MOST
        statuses.append(place(len(statuses) + 1))
    assert set(statuses) <= {202, 503}
    found = {route: caller.ask(route) for route in routes(app)}
    assert wrong(found) == {}
    assert found["POST /orders"] == DUE
    disk.free()
    wait_for(lambda: place(len(statuses)) == 202)
    for order_id in promised:
        assert app.test_client().get(f"/orders/{order_id}", headers=bearer("alice")).status_code == 200
    end(app)
