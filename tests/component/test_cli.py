"""`fulfillment place | list | show | watch | cancel | approve` against a running system."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from order_service.cli import fulfillment
from order_service.cli.system.embedded import CUSTOMER, OPERATOR, System, running_system


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("system"), {}) as running:
        yield running


def call(system: System, *words: str, token: str | None = CUSTOMER) -> Result:
    known = ("--token", token) if token else ()
    return CliRunner().invoke(fulfillment, [words[0], "--url", system.urls["order"], *known, *words[1:]])


def placed(system: System, *words: str) -> str:
    result = call(system, "place", "--json", *words)
    assert result.exit_code == 0, result.output
    order_id: str = json.loads(result.output)["id"]
    return order_id


def test_place_alone_orders_a_lamp_and_watch_follows_it_to_its_end(system: System) -> None:
    """Without any option an order is placed; watched, it prints a line for each change, the last one its end."""
    result = call(system, "place", "--watch")
    assert result.exit_code == 0, result.output
    first, *moves = result.output.splitlines()
    assert "19.99 EUR, pending" in first
    assert "fulfilled" in moves[-1]


def test_the_same_key_is_the_same_order(system: System) -> None:
    """Placed twice under one key, it is one order; with other lines under that key, it is refused and says why."""
    words = ("--key", "twice", "--sku", "TEA-TOWEL", "--quantity", "2", "--sku", "COFFEE-MUG")
    assert placed(system, *words) == placed(system, *words)
    refused = call(system, "place", "--key", "twice")
    assert refused.exit_code == 6
    assert "Idempotency-Key" in refused.output


def test_a_dear_order_waits_until_an_operator_approves(system: System) -> None:
    """It is listed as waiting, approved, and fulfilled; its history tells who said so."""
    order_id = placed(system, "--sku", "LINEN-SOFA")
    waiting = ""
    while order_id not in waiting:
        waiting = call(system, "list", "--status", "awaiting_approval", token=OPERATOR).output
    assert call(system, "approve", order_id).exit_code == 3  # a customer may not
    assert call(system, "approve", order_id, "--note", "a regular", token=OPERATOR).exit_code == 0
    assert "fulfilled" in call(system, "watch", order_id).output.splitlines()[-1]
    shown = call(system, "show", order_id, "--history").output
    assert "operator:operator, approval granted approval: a regular" in shown
    assert "approval_granted approval “a regular”" in shown
    assert "799.00 EUR" in shown


def test_an_order_is_refused_by_an_operator(system: System) -> None:
    """`approve --refuse` turns it back."""
    order_id = placed(system, "--sku", "LINEN-SOFA")
    while "awaiting approval" not in (shown := call(system, "show", order_id).output):
        assert "pending" in shown
    assert call(system, "approve", order_id, "--refuse", token=OPERATOR).exit_code == 0
    assert "cancelled: approval refused" in call(system, "watch", order_id).output


def test_cancel_wins_while_it_is_early_and_says_when_it_is_late(system: System) -> None:
    """A waiting order is cancelled; one that is fulfilled is not, and the answer says so."""
    early, late = placed(system, "--sku", "LINEN-SOFA"), placed(system)
    assert call(system, "cancel", early).exit_code == 0
    assert "cancelled: customer request" in call(system, "watch", early).output
    call(system, "watch", late)
    refused = call(system, "cancel", late)
    assert refused.exit_code == 5
    error, next_step = refused.output.splitlines()
    assert error == "Error: The order is fulfilled: too late, capture is done. (409)"
    assert "fulfillment explain" in next_step


def test_an_order_is_explained(system: System) -> None:
    """To an operator with the command that decides, to a customer without; then with its end. JSON is the API's."""
    order_id = placed(system, "--sku", "LINEN-SOFA")
    while f"fulfillment approve {order_id}" not in (told := call(system, "explain", order_id, token=OPERATOR).output):
        assert "The order is being prepared" in told or "The order waits until a person approves it" in told
    assert "what comes next by itself" in told
    assert "Unless an operator has answered by then, the order turns back." in told
    assert "who could not be asked" not in told
    assert "fulfillment approve" not in (customers := call(system, "explain", order_id).output)
    assert f"fulfillment cancel {order_id}" in customers
    assert call(system, "approve", order_id, token=OPERATOR).exit_code == 0
    call(system, "watch", order_id)
    document = json.loads(call(system, "explain", order_id, "--json").output)
    assert document["summary"].startswith(
        "The order is fulfilled. Money: 799.00 EUR authorized and 799.00 EUR captured"
    )
    assert (document["waits_for"], document["next"], document["possible"]) == ([], [], [])
    assert call(system, "explain", "01a00000-0000-7000-8000-000000000000").exit_code == 4


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("show", "01a00000-0000-7000-8000-000000000000"), 4, "There is no order"),
        (("show", "nope"), 2, "'nope' is no order id, such as 0192"),
        (("show", "01a00000-0000"), 2, "'01a00000-0000' has 13 characters, and an order id has 36"),
        (("place", "--sku", "NO-SUCH-THING"), 6, "/lines/0/sku: not in the catalog"),
        (("place", "--quantity", "0"), 6, "/lines/0/quantity"),
        (("place", "--country", "Germany"), 6, "/ship_to/country: Is no ISO 3166 alpha-2 code, and not XK."),
        (("place", "--quantity", "1", "--quantity", "2"), 2, "there are more quantities than skus"),
        (("list", "--status", "lost"), 6, "status"),
        (("place", "--key", "ä"), 2, "--key may have printable ASCII characters only"),
        (("lst",), 2, "Did you mean 'list'?"),
        (("list", "--limit", "1000"), 2, "--limit"),
    ],
)
def test_what_is_wrong_is_named(words: tuple[str, ...], code: int, reason: str, system: System) -> None:
    """What a command was told wrongly is named, in a line, and the exit code tells the kind; with --json, in JSON."""
    result = call(system, *words)
    assert result.exit_code == code
    assert reason in result.output
    told = call(system, *words, "--json")
    assert (told.exit_code, told.stdout) == (code, "")
    assert reason in json.loads(told.stderr)["detail"]


def test_a_strangers_name_is_not_obeyed_by_the_terminal(system: System) -> None:
    """Markup in what a customer wrote is shown, not followed; escape sequences are refused, and not repeated."""
    assert "Ada [/bold] :bomb:" in call(system, "show", placed(system, "--name", "Ada [/bold] :bomb:")).output
    refused = call(system, "place", "--name", "\x1b[31mAda\r\x07")
    assert "/ship_to/name: Has a control character. (422)" in refused.output
    assert not {"\x1b", "\r", "\x07"} & set(refused.output)


def test_who_has_no_token_is_told_so(system: System) -> None:
    """No token, a wrong token, nobody at the address: three clear lines."""
    assert "set FULFILLMENT_TOKEN" in call(system, "list", token=None).output
    assert "This bearer token is not known. (401)" in call(system, "list", token="wrong").output
    nobody = CliRunner().invoke(fulfillment, ["list", "--token", "x", "--url", "http://127.0.0.1:1"])
    assert "http://127.0.0.1:1 does not answer" in nobody.output
    assert nobody.exit_code == 7
    unknown = call(system, "list", "--json", token="wrong")
    assert unknown.exit_code == 3
    assert json.loads(unknown.stderr)["type"] == "urn:problem-type:fulfillment:unknown-token"
    assert "a token has printable ASCII characters only" in call(system, "list", token="tökén").output


def test_json_is_json_throughout(system: System) -> None:
    """Followed, an order is a document on a line for each change; shown with its history, it is one document."""
    *_, last = followed = call(system, "place", "--watch", "--json").stdout.splitlines()
    assert next(json.loads(each)["status"] for each in followed) == "pending"
    assert json.loads(last)["status"] == "fulfilled"
    shown = json.loads(call(system, "show", json.loads(last)["id"], "--history", "--json").stdout)
    assert [entry["seq"] for entry in shown["history"]] == list(range(1, shown["version"] + 1))


def test_an_order_that_needs_a_person_says_why_and_what_to_do(system: System) -> None:
    """While the network is silent at the capture, `show` says so and names the commands; each of them is taken."""
    network = ("--payment-url", system.urls["payment"], "--service", "payment")
    order_id = placed(system, "--sku", "LINEN-SOFA")
    while order_id not in call(system, "list", "--status", "awaiting_approval").output:
        pass
    assert others("simulation", "set", *network, "--outage").exit_code == 0
    assert call(system, "approve", order_id, token=OPERATOR).exit_code == 0
    while "look at" not in (shown := call(system, "show", order_id, token=OPERATOR).output):
        assert call(system, "deadline", order_id, "capture", "--in", "0s", token=OPERATOR).exit_code in (0, 5)
    assert "capture: no answer to" in shown
    assert f"fulfillment retry {order_id} capture" in shown
    assert f"fulfillment reverse {order_id}" in shown
    assert "fulfillment settle" not in shown  # nobody but payment says what was paid
    assert order_id in call(system, "list", "--needs-attention", token=OPERATOR).output
    assert call(system, "settle", order_id, "capture", "--note", "no", token=OPERATOR).exit_code == 5
    assert call(system, "retry", order_id, "capture", "--note", "again", token=OPERATOR).exit_code == 0
    assert call(system, "deadline", order_id, "capture", "--in", "1h", "--never", token=OPERATOR).exit_code == 2
    later = ("deadline", order_id, "capture", "--at", "2126-01-31T12:00", "--note", "they are told")
    assert call(system, *later, token=OPERATOR).exit_code == 0
    shown = call(system, "show", order_id, token=OPERATOR).output
    assert "2126-01-31 " in shown
    assert "operator:operator, deadline moved capture: they are told" in shown
    assert others("simulation", "restore", *network).exit_code == 0
    assert call(system, "reverse", order_id, "--note", "no", token=OPERATOR).exit_code in (
        0,
        5,
    )  # or it was captured meanwhile
    assert call(system, "watch", order_id).output.splitlines()


def others(*words: str, token: str = OPERATOR) -> Result:
    return CliRunner().invoke(fulfillment, [*words[:2], "--token", token, *words[2:]])
