"""An order's status rebuilt from what payment, inventory and shipping say of it, and where that differs from ours."""

import http.client
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from order_service.fulfillment.saga import OrderStatus
from shared.config import Settings

TIMEOUT = 3.0  # seconds for each answer
LARGEST = 64 * 1024  # bytes of an answer

Order = Mapping[str, Any]  # as `order_view` has it
NOTHING = "unknown"  # the status of what a participant does not know

URLS = {  # unless the environment says otherwise
    "payment": "http://127.0.0.1:8001",
    "inventory": "http://127.0.0.1:8002",
    "shipping": "http://127.0.0.1:8003",
}
PATHS = {"payment": "payments", "inventory": "reservations", "shipping": "shipments"}

# What a participant may say when our step is settled so; a step that is still asked may be either side of its answer.
EXPECTED: Mapping[str, Mapping[str, frozenset[str]]] = {
    "payment": {
        "waiting": frozenset({NOTHING}),
        "done": frozenset({"authorized", "capturing", "captured"}),
        "failed": frozenset({"declined"}),
        "compensated": frozenset({"voided", "refunded", "declined"}),
    },
    "inventory": {
        "waiting": frozenset({NOTHING}),
        "done": frozenset({"reserved", "issued"}),
        "failed": frozenset({"unavailable"}),
        "compensated": frozenset({"released", "unavailable"}),
    },
    "shipping": {
        "waiting": frozenset({NOTHING}),
        "done": frozenset({"booked", "dispatching", "dispatched"}),
        "failed": frozenset({"refused"}),
        "compensated": frozenset({"cancelled", "refused"}),
    },
    "capture": {"done": frozenset({"captured"})},
    "issue": {"done": frozenset({"issued"})},
    "dispatch": {"done": frozenset({"dispatched"})},
}
STEPS = {"payment": ("payment", "capture"), "inventory": ("inventory", "issue"), "shipping": ("shipping", "dispatch")}
TURNED_BACK = frozenset({"declined", "voided", "refunded", "unavailable", "released", "refused", "cancelled"})
NOTHING_OWED = TURNED_BACK | {NOTHING}


@dataclass(frozen=True, kw_only=True)
class Saying:
    """What one participant says of the order. Not reached: `error` says why, and the rest is unknown."""

    service: str
    status: str | None
    document: Mapping[str, Any] | None = None
    error: str | None = None
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Asks the participants' APIs, all at once, as an operator."""

    urls: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> "Asker":
        return cls(urls=settings.urls)

    def ask(self, order_id: str, token: str) -> list[Saying]:
        """One saying for each participant, whatever happens; takes a few seconds at most."""
        with ThreadPoolExecutor(len(PATHS)) as pool:
            return list(pool.map(lambda name: self._ask(name, order_id, token), PATHS))

    def _ask(self, service: str, order_id: str, token: str) -> Saying:
        try:
            status, document = call(self.urls[service], "GET", f"/{PATHS[service]}/{order_id}", token)
        except NoAnswer as error:
            return Saying(service=service, status=None, error=str(error))
        if status == http.client.NOT_FOUND:
            return Saying(service=service, status=NOTHING)
        if status != http.client.OK or not isinstance(document.get("status"), str):
            return Saying(service=service, status=None, error=str(document.get("detail") or f"it answers {status}"))
        return Saying(service=service, status=document["status"], document=document)


class NoAnswer(Exception):
    """A service could not be asked, or what it answered could not be read."""


def call(
    url: str,
    method: str,
    path: str,
    token: str,
    body: Any = None,
    *,
    largest: int = LARGEST,
    patience: float = TIMEOUT,
) -> tuple[int, dict[str, Any]]:
    """One call of another service's API; returns its status and document, which has `largest` bytes at most.

    Raises NoAnswer, also after `patience` seconds of silence.
    """
    address = urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=patience)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, f"{address.path.rstrip('/')}{path}", content, headers)
        answer = connection.getresponse()
        document = json.loads(answer.read(largest) or b"{}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(f"it does not answer: {error}") from error
    finally:
        connection.close()
    return answer.status, document if isinstance(document, dict) else {}


def rebuild(sayings: list[Saying], needs_approval: bool) -> OrderStatus | None:
    """The order's status as it follows from what the participants say; None when one of them says nothing.

    Nobody but the order service knows whether a person has agreed: an order that needs it and has not reached shipping
    counts as awaiting it.
    """
    said = {each.service: each.status for each in sayings}
    if None in said.values():
        return None
    statuses = set(said.values())
    if statuses & TURNED_BACK:
        return OrderStatus.CANCELLED if statuses <= NOTHING_OWED else OrderStatus.CANCELLING
    if said["payment"] == "captured":
        whole = said["inventory"] == "issued" and said["shipping"] == "dispatched"
        return OrderStatus.FULFILLED if whole else OrderStatus.PAID
    if said["payment"] in ("authorized", "capturing") and said["inventory"] in ("reserved", "issued"):
        agreed = not needs_approval or said["shipping"] != NOTHING
        return OrderStatus.CONFIRMED if agreed else OrderStatus.AWAITING_APPROVAL
    return OrderStatus.PENDING


def compare(order: Order, sayings: list[Saying]) -> list[Saying]:
    """The same sayings with what differs from the order as we know it."""
    steps = {step["name"]: step["status"] for step in order["steps"]}
    return [
        Saying(
            service=each.service,
            status=each.status,
            document=each.document,
            error=each.error,
            differences=list(_differences(order, steps, each)),
        )
        for each in sayings
    ]


def _differences(order: Order, steps: Mapping[str, str], saying: Saying) -> Iterator[str]:
    if saying.status is None:
        return
    mine = {steps[name] for name in STEPS[saying.service] if name in steps}
    if mine & {"requested", "compensating"}:
        return  # an answer is on its way
    for name in STEPS[saying.service]:
        expected = EXPECTED[name].get(steps.get(name, ""))
        if expected is not None and saying.status not in expected:
            yield f"{name} is {steps[name]}, but {saying.service} says {saying.status}"
    told: Mapping[str, Any] = {}
    if saying.service == "payment" and saying.status != NOTHING:
        told = order["payment"]
    if saying.service == "shipping" and steps.get("shipping") == "done":
        told = {name: order[name] for name in ("carrier", "tracking_number")}
    document = saying.document or {}
    for name, value in told.items():
        if document.get(name) != value:
            yield f"{name}: {value}, but {saying.service} says {document.get(name)}"
