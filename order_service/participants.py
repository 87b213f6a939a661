"""What payment, inventory and shipping say of orders: asked over their APIs, one order or many at a time."""

import http.client
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from order_service.fulfillment.differences import Difference, Healing, difference
from order_service.fulfillment.parts import NOTHING, PARTS, Stage
from order_service.fulfillment.saga import OrderStatus, Saga, Workflow
from shared.config import Settings

TIMEOUT = 3.0  # seconds for each answer
LARGEST = 64 * 1024  # bytes of an answer about one order
LARGEST_PAGE = 4 * 1024 * 1024  # and about many
AT_A_TIME = 200  # orders

URLS = {  # unless the environment says otherwise
    "payment": "http://127.0.0.1:8001",
    "inventory": "http://127.0.0.1:8002",
    "shipping": "http://127.0.0.1:8003",
}
PATHS = {"payment": "payments", "inventory": "reservations", "shipping": "shipments"}


@dataclass(frozen=True, kw_only=True)
class Saying:
    """What one participant says of the order. Not reached: `error` says why, and the rest is unknown."""

    service: str
    status: str | None
    document: Mapping[str, Any] | None = None
    error: str | None = None
    differences: Sequence[Difference] = field(default_factory=list)


class NoAnswer(Exception):
    """A service could not be asked, or what it answered could not be read."""


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

    def ask_of(self, order_ids: Collection[str], token: str) -> dict[str, list[Saying]]:
        """The sayings about at most AT_A_TIME orders, by order id; without what moved. A participant that does not
        answer says so of each."""
        with ThreadPoolExecutor(len(PATHS)) as pool:
            answers = list(pool.map(lambda name: self._look_up(name, order_ids, token), PATHS))
        return {each: [answer[each] for answer in answers] for each in order_ids}

    def known_to(self, service: str, token: str, since: datetime) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Page by page, what a participant knows of orders placed at `since` or later. Raises NoAnswer."""
        cursor: str | None = None
        while True:
            query = {"since": since.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **({"cursor": cursor} if cursor else {})}
            document = self._call(service, "GET", f"?{urlencode(query)}", token)
            yield document["items"]
            if not (cursor := document.get("next")):
                return

    def _ask(self, service: str, order_id: str, token: str) -> Saying:
        try:
            status, document = call(self.urls[service], "GET", f"/{PATHS[service]}/{order_id}", token)
        except NoAnswer as error:
            return Saying(service=service, status=None, error=str(error))
        if status == http.client.NOT_FOUND:
            return Saying(service=service, status=NOTHING)
        if status != http.client.OK or not isinstance(document.get("status"), str):
            return Saying(service=service, status=None, error=refusal(status, document))
        return Saying(service=service, status=document["status"], document=document)

    def _look_up(self, service: str, order_ids: Collection[str], token: str) -> dict[str, Saying]:
        try:
            items = self._call(service, "POST", "/lookup", token, {"order_ids": list(order_ids)})["items"]
        except NoAnswer as error:
            return {each: Saying(service=service, status=None, error=str(error)) for each in order_ids}
        known = {each["order_id"]: Saying(service=service, status=each["status"], document=each) for each in items}
        return {each: known.get(each) or Saying(service=service, status=NOTHING) for each in order_ids}

    def _call(self, service: str, method: str, path: str, token: str, body: Any = None) -> dict[str, Any]:
        """A document that has `items`. Raises NoAnswer for any other."""
        where = f"/{PATHS[service]}{path}"
        status, document = call(self.urls[service], method, where, token, body, largest=LARGEST_PAGE)
        items = document.get("items")
        whole = isinstance(items, list) and all(
            isinstance(each, dict) and isinstance(each.get("order_id"), str) and isinstance(each.get("status"), str)
            for each in items
        )
        if status != http.client.OK or not whole:
            raise NoAnswer(refusal(status, document))
        return document


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


def refusal(status: int, document: Mapping[str, Any]) -> str:
    """Why an answer is not what was asked for, in the other service's words if it has any."""
    return str(document.get("detail") or f"it answers {status}")


def stages(sayings: Sequence[Saying]) -> dict[str, Stage] | None:
    """How far each participant is, by its name; None when one of them says nothing, or what nobody knows."""
    said = {each.service: each.status for each in sayings}
    found = {part.service: part.stages.get(said.get(part.service) or "") for part in PARTS}
    known = {service: stage for service, stage in found.items() if stage is not None}
    return known if len(known) == len(PARTS) else None


BACK = {Stage.REFUSED, Stage.UNDONE}


def rebuild(sayings: Sequence[Saying], needs_approval: bool) -> OrderStatus | None:
    """The order's status as it follows from what the participants say; None when one of them says nothing.

    Nobody but the order service knows whether a person has agreed: an order that needs it and has not reached shipping
    counts as awaiting it.
    """
    found = stages(sayings)
    if found is None:
        return None
    standing = set(found.values())
    if standing & BACK:
        return OrderStatus.CANCELLED if standing <= BACK | {Stage.NOTHING} else OrderStatus.CANCELLING
    if found["payment"] is Stage.FINISHED:
        return OrderStatus.FULFILLED if standing == {Stage.FINISHED} else OrderStatus.PAID
    held = {Stage.HELD, Stage.FINISHING, Stage.FINISHED}
    if found["payment"] in held and found["inventory"] in held:
        agreed = not needs_approval or found["shipping"] is not Stage.NOTHING
        return OrderStatus.CONFIRMED if agreed else OrderStatus.AWAITING_APPROVAL
    return OrderStatus.PENDING


def compare(flow: Workflow, saga: Saga, sayings: Sequence[Saying], *, fresh: bool = False) -> list[Saying]:
    """The same sayings with what differs from the order. The order must have been read before they were asked.

    While it is `fresh` an answer may be on its way: what asking again would heal is no difference then.
    """
    parts = {part.service: part for part in PARTS}
    compared = []
    for each in sayings:
        found = each.status and difference(flow, saga, parts[each.service], each.status, each.document or {})
        on_its_way = found and fresh and found.healing is Healing.ASK
        compared.append(replace(each, differences=[found] if found and not on_its_way else []))
    return compared
