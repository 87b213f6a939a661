"""The calls that change how the simulated outside behaves."""

import pytest

from shared.database import Database
from shared.http.serve import end
from shared.outside.simulator import Inquiry
from shared.service import services
from tests.component.apps import application, bearer, prepare
from tests.component.test_authorization import UNKNOWN


@pytest.mark.parametrize("service", ["payment", "shipping"])
def test_what_is_left_out_is_as_configured(service: str, database_url: str) -> None:
    """An empty document restores what the service was configured with, whatever was set before."""
    prepare(service, database_url)
    app = application(service, database_url, NETWORK_TIMEOUT="7", NETWORK_LATENCY_MS="30")
    client = app.test_client()
    configured = client.get("/simulation", headers=bearer("operator")).json
    assert {each["timeout_ms"] for each in configured.values()} == {7_000}
    changed = client.put("/simulation", json={"outage": True, "timeout_ms": 50}, headers=bearer("operator")).json
    assert {(each["outage"], each["timeout_ms"], each["latency_ms"]) for each in changed.values()} == {(True, 50, 30)}
    assert client.put("/simulation", json={}, headers=bearer("operator")).json == configured
    end(app)


@pytest.mark.parametrize("service", ["payment", "shipping"])
def test_nobody_is_waited_for_until_a_worker_seems_to_hang(service: str, database_url: str) -> None:
    """A timeout of more than a quarter of WATCHDOG is refused, and the answer names both; what an earlier configuration
    allowed is cut."""
    prepare(service, database_url)
    app = application(service, database_url)
    client = app.test_client()
    refused = client.put("/simulation", json={"timeout_ms": 15_001}, headers=bearer("operator"))
    assert refused.status_code == 422
    assert "/timeout_ms" in str(refused.json)
    assert "from 1 to 15000: at most a quarter of WATCHDOG" in str(refused.json)
    late = {"timeout_ms": 15_000, "latency_ms": 600_000}
    assert client.put("/simulation", json=late, headers=bearer("operator")).status_code == 200
    (party, *_) = client.get("/simulation", headers=bearer("operator")).json
    end(app)

    slept: list[float] = []
    settings = services()[service].settings(environ={"WATCHDOG": "8", "NETWORK_TIMEOUT": "2"})
    with Database(database_url) as database:
        simulator = services()[service].handling(settings, database).ask.__self__.simulator  # type: ignore[union-attr]
        simulator.sleep = slept.append
        inquiry = Inquiry(key="a call", party=party, order_id=UNKNOWN, kind="any", subject="DE")
        assert simulator.ask([inquiry]) == {}
    assert slept == [2.0]
