"""The benchmark itself, with a handful of orders: that it runs, not how fast."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from order_service.cli.system.audit import audit_at_rest
from shared.database import Database
from shared.service import services
from tests.benchmarks.driving import drive
from tests.benchmarks.embedded import Shop
from tests.benchmarks.filling import fill, youngest
from tests.benchmarks.floor import contestants
from tests.benchmarks.floor.account import shortfalls
from tests.benchmarks.load import Load
from tests.benchmarks.servers import Servers
from tests.benchmarks.soak.running import soak
from tests.benchmarks.soak.summary import kinds, summary
from tests.benchmarks.soak.verdict import complaints
from tests.benchmarks.system import COUNTING, System, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]


@contextmanager
def small_system() -> Iterator[System]:
    with Servers(**COUNTING) as servers, running(servers) as system:
        yield system


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_an_order_is_measured_and_copied_and_the_books_add_up() -> None:
    """An order is timed to its end and its messages are counted; the books add up with fifty copies of it, too."""
    with small_system() as system:
        load = Load(run="", database_url=system.databases["order"], orders=1, rate=50.0, group=1)
        measured = drive(system, "one", load)
        fill(system, youngest(system), 50)
        with ExitStack() as stack:
            databases = {name: stack.enter_context(Database(url)) for name, url in system.databases.items()}
            found = audit_at_rest(databases, wait=10)
    assert measured.orders == 1
    assert measured.p999 > 0
    assert measured.per_order["events"] == 12
    assert measured.per_order["messages"] == 12  # nothing was said together
    assert measured.per_order["statements"] > 1
    assert {"postgresql", "rabbitmq", "order worker"} <= measured.cpu.keys()
    assert found.checked["orders"] == 51
    assert list(map(str, found.violations)) == []


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_the_floor_leaves_behind_what_ours_does() -> None:
    """The floor's rows are as many, as wide and as often changed as ours; its messages alone come to an end, too."""
    with Servers(**COUNTING) as servers:
        mine = contestants.ours(servers, 50)[1]
        others = [contestants.rows(servers, 50)[1], contestants.pipeline(servers, 50, bundle=10)[1]]
        others.append(contestants.pipeline(servers, 50)[1])
        assert contestants.messages(servers, 50)[0]["per_second"] > 0
    for account in others:
        assert list(shortfalls(mine, account)) == []
        assert list(shortfalls(account, mine)) == []


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(400)  # eight processes start, and the books are held together seven times
def test_a_soak_sees_every_process_and_says_what_it_saw() -> None:
    """All services' processes, RabbitMQ's and PostgreSQL's are sampled, each connection by whose it is."""
    with tempfile.TemporaryDirectory() as folder:
        samples = soak(seconds=7, pause=0.2, rate=5, primed=1, file=Path(folder) / "samples")
    seen = samples[-1]["processes"].keys()
    assert {f"{name} {kind}" for name in services() for kind in ("worker", "web")} <= seen
    assert {"rabbitmq beam.smp", "postgresql checkpointer", "postgresql for order worker 1"} <= seen
    assert all(mib > 0 and fds > 0 for sample in samples for mib, fds in sample["processes"].values())
    asked = [sample["backends"] for sample in samples if "backends" in sample][-1]
    assert max(each["plans"] for name, each in asked.items() if "for order worker" in name) > 5
    assert samples[-1]["ended"] == 3 + 7 * 2  # three have primed it; five a second, half a second a round
    assert [sample["audit"] for sample in samples if "audit" in sample] == [[]] * 7
    assert [each for each in complaints(samples) if not each.startswith("grows: ")] == []  # nothing is warm yet
    assert "order worker" in kinds(summary(samples)["processes"])


def test_everything_in_one_process_ends_too() -> None:
    """In one process on SQLite, orders end, and when each did is known."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        shop = Shop(Path(folder), stack)
        placed = shop.place(5)
        shop.wait()
        assert shop.broker.heard.keys() == set(placed)
