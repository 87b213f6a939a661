"""Every page, in both color schemes and on a phone: nothing serious for axe-core, nothing wider than the screen."""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from order_service.cli.client.api import Api
from order_service.cli.system.embedded import OPERATOR, System
from tests.browser.visitor import Visitor
from tests.component.apps import ORDER

PAGES = (
    "/console",
    "/console?status=cancelled",
    "/console/desk",
    "/console/break",
    "order",
    "dear order",
    "/console/nowhere",
    "/docs/events.html",
)
PHONE = {"width": 380, "height": 800}
DEAR = {**ORDER, "lines": [{"sku": "LINEN-SOFA", "quantity": 1}]}


def path_of(page: str, api: Api) -> str:
    if page.startswith("/"):
        return page
    return f"/console/orders/{api.place(DEAR if 'dear' in page else ORDER)['id']}"


def judged(visitor: Visitor, axe: str) -> list[str]:
    """What axe-core finds serious or critical on this page."""
    visitor.page.evaluate(axe)
    found: dict[str, Any] = visitor.page.evaluate("axe.run()")
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_used_by_everybody(
    browser: Browser, system: System, api: Api, axe: str, page: str, scheme: str
) -> None:
    """No serious finding by axe-core; no error in the console; no request that leaves the machine."""
    with Visitor(browser, system.urls["order"], OPERATOR, color_scheme=scheme) as visitor:
        visitor.expected.add(404)
        visitor.go(path_of(page, api))
        expect(visitor.page.get_by_role("heading").first).to_be_visible()
        assert judged(visitor, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_to_sign_in_can_be_used_by_everybody(browser: Browser, system: System, axe: str, scheme: str) -> None:
    """The one page that is open to all."""
    with Visitor(browser, system.urls["order"], color_scheme=scheme) as visitor:
        visitor.go("/console/sign-in")
        assert judged(visitor, axe) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_phone(browser: Browser, system: System, api: Api, page: str) -> None:
    """At 380 pixels the page itself does not scroll sideways; wide drawings do, in frames of their own."""
    with Visitor(browser, system.urls["order"], OPERATOR, viewport=PHONE) as visitor:
        visitor.expected.add(404)
        visitor.go(path_of(page, api))
        expect(visitor.page.get_by_role("heading").first).to_be_visible()
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_keyboard_is_enough(browser: Browser, system: System, api: Api) -> None:
    """Without a mouse: sign in, skip the menu, open an order, and cancel it."""
    order_id = api.place(DEAR)["id"]
    with Visitor(browser, system.urls["order"]) as visitor:
        visitor.go("/console")
        visitor.page.keyboard.type(OPERATOR)
        visitor.page.keyboard.press("Enter")
        expect(visitor.page.get_by_role("heading", name="Orders")).to_be_visible()
        visitor.page.keyboard.press("Tab")
        expect(visitor.page.get_by_role("link", name="To the content")).to_be_focused()
        visitor.page.get_by_label(f"order {order_id}").focus()
        visitor.page.keyboard.press("Enter")
        expect(visitor.page.locator("#status")).to_have_text("awaiting approval")
        visitor.page.get_by_role("button", name="Cancel the order").focus()
        visitor.page.keyboard.press("Enter")
        expect(visitor.page.locator("#status")).to_have_text("cancelled")
