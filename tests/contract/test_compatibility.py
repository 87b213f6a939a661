"""What was released stays true: no event is changed in a way that its older readers or writers cannot bear."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from order_service.cli import fulfillment
from shared.asyncapi import EVENTS, document
from shared.compatibility import breaks
from shared.service import services

RELEASED = Path(__file__).parent / "released" / "asyncapi.json"
NOW = document({name: list(service.handlers) for name, service in services().items()})
Schemas = dict[str, Any]


def test_nothing_breaks_who_knows_the_last_release() -> None:
    """Whoever reads or writes by the contracts of the last release can go on as he is."""
    assert breaks(json.loads(RELEASED.read_text()), NOW) == []


def test_every_event_has_a_schema() -> None:
    """What a service handles is declared in the contracts, and is in the document with schema and example."""
    handled = {each.type for service in services().values() for each in service.handlers}
    assert handled == EVENTS.keys() == NOW["channels"].keys()
    for name, event in EVENTS.items():
        message = f"{name}.v{event.version}"
        assert NOW["components"]["schemas"][message]["properties"]["order_id"]
        assert NOW["components"]["messages"][message]["examples"]


def fields(schemas: Schemas) -> Schemas:
    found: Schemas = schemas["payment.requested.v1"]["properties"]
    return found


def rename(schemas: Schemas) -> None:
    fields(schemas)["sum"] = fields(schemas).pop("amount")
    schemas["payment.requested.v1"]["required"][1] = "sum"


CHANGES: dict[str, tuple[Callable[[Schemas], Any], list[str]]] = {
    "removed": (lambda schemas: fields(schemas).pop("amount"), ["payment.requested.v1.amount: removed"]),
    "renamed": (rename, ["payment.requested.v1.amount: removed", "payment.requested.v1.sum: required, and was not"]),
    "retyped": (
        lambda schemas: fields(schemas).update(currency={"type": "integer"}),
        [
            "payment.requested.v1.currency: pattern is None, and was '^[A-Z]{3}$'",
            "payment.requested.v1.currency: type is 'integer', and was 'string'",
        ],
    ),
    "other bounds": (
        lambda schemas: fields(schemas)["amount"].update(minimum=0),
        ["payment.requested.v1.amount: minimum is 0, and was 1"],
    ),
    "a new field that must be there": (
        lambda schemas: schemas["stock.reserved.v1"]["required"].append("warehouse"),
        ["stock.reserved.v1.warehouse: required, and was not"],
    ),
    "a field that need not be there any more": (
        lambda schemas: schemas["payment.requested.v1"]["required"].remove("payment_token"),
        ["payment.requested.v1.payment_token: not required any more"],
    ),
    "within the lines": (
        lambda schemas: schemas["stock.requested.v1"]["properties"]["lines"]["items"]["properties"].pop("sku"),
        ["stock.requested.v1.lines[].sku: removed"],
    ),
    "within the address": (
        lambda schemas: schemas["shipment.requested.v1"]["properties"]["ship_to"]["required"].append("phone"),
        ["shipment.requested.v1.ship_to.phone: required, and was not"],
    ),
    "no longer read": (lambda schemas: schemas.pop("stock.issued.v1"), ["stock.issued.v1: is not read any more"]),
    "a new field": (lambda schemas: fields(schemas).update(gift={"type": "boolean"}), []),
    "other words": (lambda schemas: fields(schemas)["amount"].update(description="How much."), []),
    "a new version": (lambda schemas: schemas.update({"stock.issued.v2": schemas["stock.issued.v1"]}), []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_breaks_somebody_is_named(change: str) -> None:
    """Each kind of change is found, by event and field, and those that hurt nobody are not."""
    after = deepcopy(NOW)
    alter, named = CHANGES[change]
    alter(after["components"]["schemas"])
    assert breaks(NOW, after) == named


def test_an_exchange_is_part_of_the_contract() -> None:
    """Who has bound a queue would hear nothing any more."""
    after = deepcopy(NOW)
    after["channels"]["stock.issued"]["bindings"]["amqp"]["exchange"]["name"] = "warehouse.events"
    del after["channels"]["stock.reserved"]
    assert breaks(NOW, after) == [
        "stock.issued: said through warehouse.events, and was through inventory.events",
        "stock.reserved: nobody says it any more",
    ]


def test_the_command_compares(tmp_path: Path) -> None:
    """It prints what breaks and ends with 1, ends with 0 if nothing does, and with 2 where it cannot compare."""
    older = deepcopy(NOW)
    fields(older["components"]["schemas"])["tip"] = {"type": "integer"}
    for number, (content, code, said) in enumerate(
        [
            (json.dumps(NOW), 0, "nothing breaks\n"),
            (json.dumps(older), 1, "payment.requested.v1.tip: removed\n"),
            ("{}", 2, None),
        ]
    ):
        file = tmp_path / f"{number}.json"
        file.write_text(content)
        done = CliRunner().invoke(fulfillment, ["asyncapi", "--compare", str(file)])
        assert (done.exit_code, said or done.stdout) == (code, done.stdout)
    printed = CliRunner().invoke(fulfillment, ["asyncapi"])
    assert json.loads(printed.stdout) == NOW
