"""The console in a real browser: orders move without reloading, people act on them, and nobody sees another's."""

import re
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Browser, Page, expect

from order_service.cli.client.api import Api
from order_service.cli.system.embedded import CUSTOMER, OPERATOR, System
from order_service.tables import TABLES
from shared.contracts import PaymentDeclined
from shared.ids import uuid7
from shared.messaging.broker import Delivery
from shared.messaging.envelope import enclose
from tests.browser.visitor import Visitor
from tests.component.apps import ORDER
from tests.crowd import wait_for

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


def test_a_parked_step_is_asked_again_or_settled(operator: Visitor, system: System, api: Api) -> None:
    """A capture that gets no answer is asked again from the desk, a dispatch that gets none is settled by hand."""
    order_id, ground = placed(api, DEAR), system.apps["order"].extensions["console"].attached.playground
    operator.go(f"/console/orders/{order_id}")
    status(operator.page, "awaiting approval")
    ground.set("card network", "away")
    operator.page.get_by_role("button", name="Approve").click()
    expect(operator.page.locator(".chip.is-attention")).to_be_visible()
    for carrier in ("northwind-parcels", "globex-freight"):
        ground.set(carrier, "away")
    operator.go("/console/desk")
    operator.page.get_by_role("button", name=f"ask capture of order {order_id} now").click()
    expect(operator.page.get_by_role("status").filter(has_text="asked again")).to_be_visible()
    ground.set("card network", "well")
    operator.go(f"/console/orders/{order_id}")
    status(operator.page, "paid")
    expect(operator.page.locator(".chip.is-attention")).to_be_visible()
    row = operator.page.get_by_role("row").filter(has=operator.page.locator("strong", has_text="dispatch"))
    row.get_by_text("possible").click()
    form = row.locator("form").filter(has=operator.page.get_by_role("button", name="Settle by hand"))
    form.get_by_role("textbox").fill("fetched by the customer")
    form.get_by_role("button").click()
    status(operator.page, "fulfilled")
    ground.mend()


def test_a_deadline_is_moved_from_the_desk(operator: Visitor, api: Api) -> None:
    """The approval may wait for a day from now; the desk says so, and the order waits on."""
    order_id = placed(api, DEAR)
    operator.go("/console/desk")
    operator.page.get_by_role("button", name=f"in 1 day: the deadline of approval, order {order_id}").click()
    expect(operator.page.get_by_role("status").filter(has_text="deadline was moved")).to_be_visible()
    expect(operator.page.locator(f"#deadline-{order_id}-approval")).to_contain_text("in 24 h")
    api.post(f"/orders/{order_id}/cancel")


def test_a_bulk_act_goes_on_by_itself_until_all_are_told(operator: Visitor, api: Api) -> None:
    """It says how many first; then the page counts them by itself."""
    orders = [placed(api, {**DEAR, "lines": [{"sku": "OAK-TABLE", "quantity": 2}]}) for _ in range(3)]
    for each in orders:
        wait_for(lambda each=each: api.get(f"/orders/{each}")["status"] == "awaiting_approval")
    operator.go("/console?sku=OAK-TABLE")
    operator.page.get_by_text("Do something to all orders").click()
    operator.page.get_by_role("button", name="Refuse …").click()
    expect(operator.page.get_by_role("heading")).to_have_text("Refuse: 3 orders")
    operator.page.get_by_role("button", name="Refuse 3 orders").click()
    expect(operator.page.get_by_role("heading")).to_have_text("Refuse: done")
    expect(operator.page.get_by_role("status")).to_contain_text("3 orders were told")


def test_everything_that_is_broken_heals(operator: Visitor, system: System, api: Api) -> None:
    """An order is placed while each thing is broken; all of them end, and the page shows what was done."""
    done, orders = [], []
    operator.go("/console/break")
    ground = system.apps["order"].extensions["console"].attached.playground
    for number, part in enumerate(ground.state().parts):
        well, *harms = part.choices
        harm = harms[number % len(harms)]
        operator.page.get_by_role("button", name=f"{part.name}: {harm}", exact=True).click()
        operator.page.get_by_role("button", name="A plain order").click()
        orders.append(str(operator.page.get_by_role("status").get_by_role("link").text_content()))
        row = operator.page.get_by_role("row").filter(has=operator.page.get_by_text(part.name, exact=True))
        expect(row).to_contain_text(harm)
        operator.page.get_by_role("button", name=f"{part.name}: {well}", exact=True).click()
        done.append(f"{part.name}: {harm}")
    assert len(done) == 3 + 1 + 4
    expect(operator.page.locator("section").filter(has_text="What was done").last).to_contain_text(done[-1])
    ends = {"fulfilled", "cancelled"}
    wait_for(lambda: all(api_status(system, each) in ends for each in orders))
    operator.page.get_by_role("button", name="Look now").click()
    expect(operator.page.locator("#audit")).to_contain_text("The books add up")
    for number in (0, -1):
        operator.go(f"/console/orders/{orders[number]}")
        expect(operator.page.locator("#status")).to_have_text(re.compile("fulfilled|cancelled"))


def api_status(system: System, order_id: str) -> str:
    with Api(system.urls["order"], OPERATOR) as api:
        found: str = api.get(f"/orders/{order_id}")["status"]
        return found


def test_a_dead_letter_is_looked_at_and_worked_again(operator: Visitor, system: System, api: Api) -> None:
    """It is there with its reason and body; worked again, it is in its order's history, and the desk is empty."""
    order_id = placed(api, DEAR)
    letter = enclose(PaymentDeclined(order_id=order_id, detail="too late for this"), at=datetime.now(UTC), new_id=uuid7)
    database, letters = system.databases["order"], TABLES.dead_letters
    with database.transaction() as connection:
        delivery = Delivery(envelope=letter, tag=0)
        letters.add(connection, [(delivery, "data_error: a column was too short")], letter.occurred_at)
    operator.go("/console/desk")
    group = operator.page.get_by_role("group").filter(has_text="order: data error (1 × payment.declined)")
    group.get_by_text(letter.id).first.click()
    expect(group).to_contain_text("too late for this")
    operator.page.get_by_role("button", name=f"work {letter.id} again").click()
    expect(operator.page.get_by_role("status").filter(has_text="1 dead letters will be worked again")).to_be_visible()
    expect(operator.page.locator("#letters")).to_contain_text("There are none")
    operator.go(f"/console/orders/{order_id}")
    expect(operator.page.locator("section").filter(has_text="The history").last).to_contain_text("too late for this")


def test_signing_out_ends_the_session(browser: Browser, system: System) -> None:
    """The next page asks for a key."""
    with Visitor(browser, system.urls["order"], CUSTOMER) as visitor:
        visitor.page.get_by_role("button", name="Sign out").click()
        visitor.go("/console")
        expect(visitor.page.get_by_label("API key")).to_be_visible()
