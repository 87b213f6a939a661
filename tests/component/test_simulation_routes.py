"""The calls that change how the simulated outside behaves."""

import pytest

from shared.http.serve import end
from tests.component.apps import application, bearer, prepare


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
