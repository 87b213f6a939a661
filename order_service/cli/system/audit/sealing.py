"""Seals: a signed checkpoint of all histories, to be kept elsewhere, by which even a chain written anew is found.

It covers every line that was committed before a position of the feed, so that what comes later changes nothing of it.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Self

import msgspec
from sqlalchemy import Connection, select

from order_service.chain import BEGINNING, link
from order_service.cli.system.audit.reading import Span, rows, snapshot
from order_service.tables import orders, saga_history
from shared.database import Database, timestamp
from shared.database.commit_order import newest

PAGE = 500  # orders


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Some orders, those up to `last` and behind the piece before, and the root over the last hashes of each."""

    last: str | None
    orders: int
    lines: int
    root: str


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed: how many orders and lines there were up to `position`, and the root over all last hashes."""

    kind: str = "order histories, version 1"
    sealed_at: datetime
    position: int
    orders: int
    lines: int
    root: str
    pieces: Sequence[Piece]
    signature: str = ""

    def signed(self, key: str) -> Self:
        """The same with the signature of this key: HMAC-SHA256 over the rest as JSON."""
        return msgspec.structs.replace(self, signature=self._sign(key))

    def is_signed(self, key: str) -> bool:
        return hmac.compare_digest(self.signature, self._sign(key))

    def _sign(self, key: str) -> str:
        unsigned = msgspec.structs.replace(self, signature="")
        return hmac.new(key.encode(), msgspec.json.encode(unsigned), hashlib.sha256).hexdigest()


class Broken(Exception):
    """A history that is to be sealed was rewritten; the text tells which and where."""


def take(database: Database, now: datetime, page: int = PAGE) -> Seal:
    """A seal of all that is committed, not signed yet. Raises Broken."""
    with snapshot(database) as connection:
        position = newest(connection, saga_history.c.position)
    pieces = list(_pieces(database, position, page))
    return Seal(
        sealed_at=now,
        position=position,
        orders=sum(each.orders for each in pieces),
        lines=sum(each.lines for each in pieces),
        root=_root(pieces),
        pieces=pieces,
    )


def verify(database: Database, seal: Seal) -> list[str]:
    """What is not as it was sealed, in words; nothing when all histories, as far as they were sealed, are the same."""
    wrong = [] if _root(seal.pieces) == seal.root else ["the roots of its pieces do not make its root"]
    behind: str | None = None
    for piece in seal.pieces:
        try:
            found = _piece(database, Span(behind, piece.last), seal.position)
        except Broken as error:
            wrong.append(str(error))
        else:
            if found != piece:
                where = f"the orders behind {behind or 'the beginning'}, up to {piece.last or 'the end'}"
                wrong.append(f"{where}: {_difference(piece, found)}")
        behind = piece.last
    return wrong


def _difference(sealed: Piece, found: Piece) -> str:
    if (sealed.orders, sealed.lines) != (found.orders, found.lines):
        return f"{found.lines} lines of {found.orders} orders, and {sealed.lines} of {sealed.orders} were sealed"
    return "a history was written anew"


def _pieces(database: Database, position: int, page: int) -> Iterator[Piece]:
    behind: str | None = None
    while True:
        with snapshot(database) as connection:
            wanted = select(orders.c.id).where(Span(behind).holds(orders.c.id)).order_by(orders.c.id).limit(page)
            ids = list(connection.execute(wanted).scalars())
        last = ids[-1] if len(ids) == page else None
        yield _piece(database, Span(behind, last), position)
        if last is None:
            return
        behind = last


def _piece(database: Database, span: Span, position: int) -> Piece:
    with snapshot(database) as connection:
        heads = [_head(order_id, lines) for order_id, lines in _histories(connection, span, position)]
    root = hashlib.sha256()
    for order_id, seq, head in heads:
        root.update(f"{order_id} {seq} {head}\n".encode())
    return Piece(last=span.last, orders=len(heads), lines=sum(seq for _, seq, _ in heads), root=root.hexdigest())


def _histories(connection: Connection, span: Span, position: int) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    lines = saga_history.c
    wanted = select(saga_history).where(span.holds(lines.order_id), lines.position <= position)
    yield from groupby(rows(connection, wanted.order_by(lines.order_id, lines.seq)), key=itemgetter("order_id"))


def _head(order_id: str, lines: Iterator[Mapping[str, Any]]) -> tuple[str, int, str]:
    """The order, how many lines it has, and a hash that covers them all, also those from before there were chains."""
    count, chain, whole = 0, BEGINNING, BEGINNING
    for line in lines:
        count, entry = count + 1, {**line, "at": timestamp(line["at"])}
        if line["hash"]:
            if line["hash"] != link(chain, entry):
                raise Broken(f"order {order_id}: line {line['seq']} of its history does not follow from those before")
            chain = line["hash"]
        whole = link(whole, entry)
    return order_id, count, whole


def _root(pieces: Sequence[Piece]) -> str:
    return hashlib.sha256(msgspec.json.encode(list(pieces))).hexdigest()
