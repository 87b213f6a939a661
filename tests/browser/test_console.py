"""The console in a real browser: orders move without reloading, people act on them, and nobody sees another's."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from order_service.cli.client.api import Api
from order_service.cli.system.embedded import CUSTOMER, OPERATOR, System
from tests.browser.visitor import Visitor
from tests.component.apps import ORDER

DEAR = {**ORDER, "lines": [{"sku": "LINEN-SOFA", "quantity": 1}]}


def placed(api: Api, order: Any = ORDER) -> str:
    order_id: str = api.place(order)["id"]
    return order_id


def status(page: Page, text: str) -> None:
    expect(page.locator("#status")).to_have_text(text)


def stay(page: Page) -> None:
    """Mark this document, so that a reload would be noticed."""
    page.evaluate("window.stayed = true")


def stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def test_an_order_is_fulfilled_on_the_page_without_reloading(customer: Visitor, api: Api) -> None:
    """Its status, story and history grow while the page stays the same document."""
    customer.go(f"/console/orders/{placed(api)}")
    stay(customer.page)
    status(customer.page, "fulfilled")
    expect(customer.page.locator("#live-sign")).to_have_text("live")
    expect(customer.page.locator("ol.story")).to_contain_text("The parcel is on its way")
    assert stayed(customer.page)


def test_a_new_order_shows_on_the_board_without_reloading(operator: Visitor, api: Api) -> None:
    """Within moments its row is there, and then it is fulfilled."""
    operator.go("/console")
    expect(operator.page.locator("#live-sign")).to_have_text("live")
    stay(operator.page)
    order_id = placed(api)
    row = operator.page.get_by_role("row").filter(has=operator.page.get_by_label(f"order {order_id}"))
    expect(row).to_contain_text("fulfilled")
    assert stayed(operator.page)


def test_an_operator_approves(operator: Visitor, api: Api) -> None:
    """The desk lists the order; approved there with one click, it is fulfilled."""
    order_id = placed(api, DEAR)
    operator.go("/console/desk")
    operator.page.get_by_role("button", name=f"approve order {order_id}").click()
    expect(operator.page.get_by_role("status").filter(has_text="approved")).to_be_visible()
    status(operator.page, "fulfilled")


def test_an_operator_refuses_with_a_reason(operator: Visitor, api: Api) -> None:
    """The note is in the history, with who wrote it."""
    operator.go(f"/console/orders/{placed(api, DEAR)}")
    status(operator.page, "awaiting approval")
    form = operator.page.locator("form").filter(has=operator.page.get_by_role("button", name="Refuse"))
    form.get_by_role("textbox").fill("a sofa <b>too</b> many")
    form.get_by_role("button").click()
    status(operator.page, "cancelled")
    row = operator.page.get_by_role("row").filter(has_text="approval refused")
    expect(row).to_contain_text("a sofa <b>too</b> many")
    expect(row).to_contain_text("operator")


def test_a_customer_cancels(customer: Visitor, api: Api) -> None:
    """The order turns back and ends; afterwards the button is disabled and says why."""
    customer.go(f"/console/orders/{placed(api, DEAR)}")
    status(customer.page, "awaiting approval")
    customer.page.get_by_role("button", name="Cancel the order").click()
    status(customer.page, "cancelled")
    button = customer.page.get_by_role("button", name="Cancel the order")
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description(re.compile("already turned back"))


def test_what_the_other_services_say_is_shown(operator: Visitor, api: Api) -> None:
    """After the end all three agree."""
    operator.go(f"/console/orders/{placed(api)}")
    status(operator.page, "fulfilled")
    operator.page.get_by_role("button", name="Ask again").click()
    expect(operator.page.locator("#sayings")).to_contain_text("From what the others say follows fulfilled")
    for word in ("captured", "issued", "dispatched"):
        expect(operator.page.locator("#sayings")).to_contain_text(word)


def test_a_wrong_key_is_refused(browser: Browser, system: System) -> None:
    """Nobody is signed in by it, and the page says so."""
    with Visitor(browser, system.urls["order"]) as visitor:
        visitor.expected.add(401)
        visitor.go("/console")
        visitor.page.get_by_label("API key").fill("open sesame")
        visitor.page.get_by_role("button", name="Sign in").click()
        expect(visitor.page.get_by_role("alert")).to_have_text("This key is not known here.")


def test_a_link_signs_in_once(browser: Browser, system: System) -> None:
    """The second time it leads to the form."""
    word = system.apps["order"].extensions["console"].sessions.invite(OPERATOR)
    with Visitor(browser, system.urls["order"]) as first:
        first.go(f"/console/sign-in?word={word}")
        expect(first.page.get_by_role("heading", name="Orders")).to_be_visible()
    with Visitor(browser, system.urls["order"]) as second:
        second.expected.add(403)
        second.go(f"/console/sign-in?word={word}")
        expect(second.page.get_by_role("alert")).to_contain_text("used before")


def test_another_customers_order_is_not_found(customer: Visitor, system: System) -> None:
    """To alice an order of somebody else looks like none."""
    with Api(system.urls["order"], OPERATOR) as api:
        order_id = placed(api)
    customer.expected.add(404)
    customer.go(f"/console/orders/{order_id}")
    expect(customer.page.get_by_role("heading", name="Not Found")).to_be_visible()
    customer.go("/console")
    expect(customer.page.get_by_label(f"order {order_id}")).to_have_count(0)


def test_a_form_with_another_token_is_refused(customer: Visitor, api: Api) -> None:
    """It says so, and nothing happens to the order."""
    order_id = placed(api, DEAR)
    customer.go(f"/console/orders/{order_id}")
    status(customer.page, "awaiting approval")
    customer.expected.add(403)
    customer.page.evaluate("document.querySelectorAll('[name=form_token]').forEach((each) => { each.value = 'x'; })")
    customer.page.get_by_role("button", name="Cancel the order").click()
    expect(customer.page.get_by_text("This form is too old")).to_be_visible()
    assert api.get(f"/orders/{order_id}")["status"] == "awaiting_approval"
    api.post(f"/orders/{order_id}/cancel")


@pytest.mark.parametrize(
    ("part", "harm", "well"),
    [("card network", "away", "well"), ("broker", "away", "well"), ("inventory worker", "stopped", "running")],
)
def test_what_is_broken_heals(operator: Visitor, system: System, part: str, harm: str, well: str) -> None:
    """An order placed meanwhile waits, or turns back; mended, it ends, and the page shows what was done."""
    operator.go("/console/break")
    operator.page.get_by_role("button", name=f"{part}: {harm}", exact=True).click()
    expect(operator.page.get_by_role("row").filter(has_text=part)).to_contain_text(harm)
    operator.page.get_by_role("button", name="A plain order").click()
    link = operator.page.get_by_role("status").get_by_role("link")
    order_id = str(link.text_content())
    operator.page.get_by_role("button", name=f"{part}: {well}", exact=True).click()
    expect(operator.page.locator("section").filter(has_text="What was done").last).to_contain_text(f"{part}: {harm}")
    operator.go(f"/console/orders/{order_id}")
    expect(operator.page.locator("#status")).to_have_text(re.compile("fulfilled|cancelled"), timeout=60_000)


def test_signing_out_ends_the_session(browser: Browser, system: System) -> None:
    """The next page asks for a key."""
    with Visitor(browser, system.urls["order"], CUSTOMER) as visitor:
        visitor.page.get_by_role("button", name="Sign out").click()
        visitor.go("/console")
        expect(visitor.page.get_by_label("API key")).to_be_visible()
