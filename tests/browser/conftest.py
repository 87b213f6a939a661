"""A browser, and a whole system in this process with its console."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from order_service.cli.client.api import Api
from order_service.cli.system.audit import auditor
from order_service.cli.system.breakable import BrokerFaults
from order_service.cli.system.embedded import CUSTOMER, OPERATOR, System, running_system
from order_service.cli.system.playground import play_in
from order_service.cli.system.scenarios import TIMINGS
from order_service.web.console.pages import Room
from tests.browser.visitor import Visitor

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUICK = {
    **TIMINGS,
    "step_attempts": f"{TIMINGS['step_attempts']},dispatch=1",
    "network_latency_ms": "20",
    "web_threads": "90",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a browser say so when the machine has none."""
    needs = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: deploy/prepare browser")
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(needs)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Everything, as `fulfillment play` has it, with no orders of its own accord; gone before other tests begin."""
    faults = BrokerFaults()
    with running_system(tmp_path_factory.mktemp("browser"), QUICK, faults=faults) as system:
        ground = play_in(system, faults, rate=0, minutes=1, seed=7)
        room: Room = system.apps["order"].extensions["console"]
        room.attached.audit = auditor(system.databases, room.now)
        yield system
        ground.close()


@pytest.fixture
def operator(browser: Browser, system: System) -> Iterator[Visitor]:
    with Visitor(browser, system.urls["order"], OPERATOR) as visitor:
        yield visitor


@pytest.fixture
def customer(browser: Browser, system: System) -> Iterator[Visitor]:
    with Visitor(browser, system.urls["order"], CUSTOMER) as visitor:
        yield visitor


@pytest.fixture
def api(system: System) -> Iterator[Api]:
    """The Order API, as alice uses it."""
    with Api(system.urls["order"], CUSTOMER) as api:
        yield api


@pytest.fixture(scope="session")
def axe() -> str:
    return (Path(__file__).parent / "axe" / "axe.min.js").read_text()
