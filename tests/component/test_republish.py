"""Publishing again what was published: nothing is done twice, and what was lost arrives."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from order_service.cli import fulfillment
from order_service.cli.client.rendering import is_final
from order_service.cli.system.audit import audit_at_rest
from order_service.cli.system.embedded import running_system
from order_service.cli.system.scenarios import TIMINGS, Play, plain
from payment_service.service import SERVICE
from shared.messaging.durability.republishing import AT_A_TIME, republish
from tests.component.bench import Bench
from tests.component.test_consumer import wanted

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def bench(new_database: Callable[[], str]) -> Iterator[Bench]:
    made = Bench(SERVICE, new_database())
    yield made
    made.close()


def unpublished(bench: Bench) -> int:
    return int(bench.rows("SELECT count(*) FROM outbox WHERE published_at IS NULL")[0][0])


def test_all_that_was_confirmed_since_then_is_published_again(bench: Bench) -> None:
    """More rows than one transaction takes, each once; what was confirmed before, or never, stays as it is."""
    said = AT_A_TIME + 3
    bench.deliver(*[wanted(number) for number in range(said)])
    outbox = SERVICE.tables.outbox
    assert republish(outbox, bench.database, bench.clock, LONG_AGO) == 0
    bench.deliver(wanted(said))  # marks those before
    before = bench.now()
    bench.deliver(wanted(said + 1))  # marks one more, later
    assert republish(outbox, bench.database, bench.clock, before) == 1
    assert republish(outbox, bench.database, bench.clock, LONG_AGO) == said
    assert unpublished(bench) == said + 2
    assert republish(outbox, bench.database, bench.clock, LONG_AGO) == 0


def test_repeating_everything_changes_nothing(tmp_path: Path) -> None:
    """An order has ended; all its messages are published again and worked as repeats; the books still add up."""
    with running_system(tmp_path, TIMINGS) as system:
        play = Play(system.urls)
        plain(play)
        play.until("at its end", is_final)
        play.close()
        before = audit_at_rest(system.databases, wait=10)
        databases = f"sqlite:///{tmp_path}/{{service}}.db"
        asked = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
        result = CliRunner().invoke(fulfillment, ["republish", "--since", asked, "--database", databases])
        assert result.exit_code == 0, result.output
        assert "order: 6 messages will be published again" in result.output
        after = audit_at_rest(system.databases, wait=60)
    assert after.under_way == []
    assert after.violations == []
    assert after.checked["messages"] == before.checked["messages"]


def test_an_unknown_service_is_refused() -> None:
    """The error names the service that there is not."""
    result = CliRunner().invoke(fulfillment, ["republish", "--since", "2026-01-01", "--service", "billing"])
    assert result.exit_code == 2
    assert "there is no service billing" in result.output
