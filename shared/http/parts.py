"""A participant's parts of many orders at once: in pages, or those of up to 200 orders that are named."""

from collections.abc import Callable
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate
from sqlalchemy import Integer, RowMapping, Table, bindparam, select

from shared.database import Database, Id, batch_rows
from shared.http.app import Routes, reply
from shared.http.auth import requires
from shared.http.fields import Moment, StrictSchema
from shared.http.pages import MOST, listed, page, page_schema
from shared.ids import FIRST, first_id

ORDER_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
EXAMPLE = {"order_ids": ["01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"]}
Show = Callable[[RowMapping], dict[str, Any]]


class LookupSchema(StrictSchema):
    """Whose parts are wanted."""

    order_ids = fields.List(fields.UUID(), required=True, validate=validate.Length(1, MOST))


class SinceSchema(page_schema(ORDER_ID, limit=MOST)):  # type: ignore[misc]  # made by a function
    since = Moment(
        load_default=None, metadata={"description": "orders that were placed then or later, as their ids tell"}
    )


def add_parts(routes: Routes, path: str, brief: type[Schema], database: Database, table: Table, show: Show) -> None:
    """Adds `GET ‹path›` and `POST ‹path›/lookup` over a table with a row for each order, of which `brief` is shown."""
    named = batch_rows("named", order_id=Id)
    wanted = select(table).join(named, table.c.order_id == named.c.order_id)
    following = (
        select(table)
        .where(table.c.order_id > bindparam("after", type_=Id), table.c.order_id >= bindparam("first", type_=Id))
        .order_by(table.c.order_id)
        .limit(bindparam("most", type_=Integer))
    )
    items = {"items": fields.List(fields.Nested(brief), required=True)}
    found_schema = type(f"{brief.__name__.removesuffix('Schema')}FoundSchema", (Schema,), items)

    @routes.route(path)
    @requires("operator", heavy=True)
    @routes.arguments(SinceSchema, location="query")
    @routes.response(200, listed(brief))
    def list_parts(query: dict[str, Any]) -> Response:
        """The part of each order, in the order of placing; without what moved."""
        since, limit = query["since"], query["limit"]
        asked = {"after": query["cursor"] or FIRST, "first": first_id(since) if since else FIRST, "most": limit + 1}
        with database.reading() as connection:
            found = connection.execute(following, asked).mappings().all()
        return reply(page(found, limit, lambda row: str(row["order_id"]), show))

    @routes.route(f"{path}/lookup", methods=["POST"])
    @requires("operator", heavy=True)
    @routes.arguments(LookupSchema, example=EXAMPLE)
    @routes.response(200, found_schema)
    def look_up_parts(body: dict[str, Any]) -> Response:
        """The parts of the orders that are named, without what moved. Orders that are not known here are left out."""
        rows = [{"order_id": str(each)} for each in dict.fromkeys(body["order_ids"])]
        with database.reading() as connection:
            found = connection.execute(wanted, {"named": rows}).mappings().all()
        return reply({"items": [show(row) for row in found]})
