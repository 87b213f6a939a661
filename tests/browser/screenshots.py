"""`make screenshots`: the pictures of the README and docs, from a real run that is a little in trouble."""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from order_service.cli.client.api import Api
from order_service.cli.system.breakable import BrokerFaults
from order_service.cli.system.embedded import CUSTOMER, OPERATOR, System, running_system
from order_service.cli.system.playground import Playground, play_in
from order_service.cli.system.scenarios import LATENCY_MS, TIMINGS
from tests.browser.visitor import Visitor
from tests.component.apps import ORDER

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE = {"width": 1180, "height": 820}
CALM, TROUBLE = 25.0, 8.0  # seconds


def main() -> None:
    """Write all pictures anew."""
    if CHROMIUM is None:
        sys.exit("no Chromium on this machine: deploy/prepare browser")
    PICTURES.mkdir(parents=True, exist_ok=True)
    faults = BrokerFaults()
    settings = {**TIMINGS, "web_threads": "90", "network_latency_ms": str(LATENCY_MS)}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_system(Path(folder), settings, faults=faults) as system,
        sync_playwright() as playwright,
    ):
        ground = play_in(system, faults, rate=90, minutes=10, seed=7)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        take(browser, system, ground)
        browser.close()
        ground.close()


def take(browser: Browser, system: System, ground: Playground) -> None:
    for _ in range(2):
        ground.place("yours")
    time.sleep(CALM)
    ground.set("card network", "losing answers")
    ground.set("broker", "cut all connections")
    time.sleep(TROUBLE)
    with Api(system.urls["order"], CUSTOMER) as api:
        order = api.place({**ORDER, "payment_token": "tok_timeout"})
    with Visitor(browser, system.urls["order"], OPERATOR, viewport=SIZE) as visitor:
        for name in ("board", "desk", "break"):
            visitor.go("/console" if name == "board" else f"/console/{name}")
            picture(visitor.page, name)
        visitor.go(f"/console/orders/{order['id']}")
        ground.mend()
        expect(visitor.page.locator("#status")).to_have_text("fulfilled", timeout=60_000)
        picture(visitor.page, "order")
    with Visitor(browser, system.urls["order"], OPERATOR, viewport=SIZE, color_scheme="dark") as visitor:
        visitor.go("/console")
        picture(visitor.page, "board-dark")


def picture(page: Page, name: str) -> None:
    expect(page.locator("#live-sign")).to_have_text("live", timeout=30_000)
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
