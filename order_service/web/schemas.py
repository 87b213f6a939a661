"""What the Order API takes and gives. What it takes is checked by these; what it gives is tested against them."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from order_service.domain import LARGEST_UNIT_PRICE
from order_service.explanation import ExplanationView
from order_service.fulfillment.saga import OrderStatus
from order_service.view import EntryView, OrderView
from order_service.web.countries import COUNTRIES, WITHOUT_POSTAL_CODES
from shared.http.fields import LINES, SKU, Moment, StrictSchema, Text, Whole, WholeText
from shared.http.pages import page_schema
from shared.http.schemas import schema_of

ORDER_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TOKEN = r"^[A-Za-z][A-Za-z0-9_-]{0,199}$"  # noqa: S105 - begins with a letter, so that no card number is one
LONGEST_WAIT = 30  # seconds

EXAMPLE = {
    "lines": [{"sku": "POPULAR-LAMP", "quantity": 2}],
    "payment_token": "tok_visa",
    "ship_to": {
        "name": "Ada Lovelace",
        "line1": "12 St James's Square",
        "city": "London",
        "postal_code": "SW1Y 4JH",
        "country": "GB",
    },
}
MINOR_UNITS = {"description": "in minor units of the currency"}


class Flag(fields.Boolean):
    """`true` or `false` in a query string, and nothing else."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(truthy={"true"}, falsy={"false"}, **kwargs)


# What comes in


class WishSchema(StrictSchema):
    """A line of a new order; its price comes from the catalog."""

    sku = Text(64, pattern=SKU, required=True)
    quantity = Whole(1, 1000, required=True)


class AddressSchema(StrictSchema):
    """Where the parcel goes."""

    name = Text(200, required=True)
    line1 = Text(200, required=True)
    city = Text(200, required=True)
    postal_code = Text(
        20, least=0, load_default="", metadata={"description": "may be left out where the country has none"}
    )
    country = fields.String(
        required=True, validate=validate.OneOf(COUNTRIES, error="Is no ISO 3166 alpha-2 code, and not XK.")
    )

    @validates_schema
    def postal_code_where_there_are_any(self, address: Mapping[str, Any], **_: Any) -> None:
        if not address["postal_code"] and address["country"] not in WITHOUT_POSTAL_CODES:
            raise ValidationError("Is needed in this country.", "postal_code")


class NewOrderSchema(StrictSchema):
    """What a customer wants, and where."""

    lines = fields.List(fields.Nested(WishSchema), required=True, validate=validate.Length(1, 100))
    payment_token = Text(
        200, pattern=TOKEN, required=True, metadata={"description": "from the card network, such as tok_visa"}
    )
    ship_to = fields.Nested(AddressSchema, required=True)

    @validates_schema
    def no_sku_twice(self, order: Mapping[str, Any], **_: Any) -> None:
        first: dict[str, int] = {}
        twice = {
            index: {"sku": [f"Is on line {first[line['sku']]} already."]}
            for index, line in enumerate(order["lines"])
            if first.setdefault(line["sku"], index) != index
        }
        if twice:
            raise ValidationError({"lines": twice})


class VerdictSchema(StrictSchema):
    """What an operator thinks of an order that is worth thinking about."""

    decision = fields.String(required=True, validate=validate.OneOf(["approve", "refuse"]))
    note = Text(500, pattern=LINES, load_default=None, allow_none=True)


class NoteSchema(StrictSchema):
    """Why, in an operator's own words."""

    note = Text(500, pattern=LINES, required=True)


class WhySchema(StrictSchema):
    """Why, in the caller's own words, for the history; without a body, no reason is given."""

    body_is_optional = True

    note = Text(500, pattern=LINES, load_default=None, allow_none=True)


class DeadlineSchema(StrictSchema):
    """Until when to wait for an answer; null, for ever."""

    deadline = Moment(required=True, allow_none=True)
    note = Text(500, pattern=LINES, load_default=None, allow_none=True)


class NewProductSchema(StrictSchema):
    """Something to sell."""

    sku = Text(64, pattern=SKU, required=True)
    name = Text(200, required=True)
    unit_price = Whole(1, LARGEST_UNIT_PRICE, required=True, metadata=MINOR_UNITS)


class WaitSchema(StrictSchema):
    """How long to wait for news."""

    wait = WholeText(
        0, 3600, load_default=0, metadata={"description": f"seconds to wait for news, {LONGEST_WAIT} at most"}
    )
    version = WholeText(
        0, 2**31, load_default=None, metadata={"description": "what is known already; without it, what is current"}
    )


class OrdersPageSchema(page_schema(ORDER_ID)):  # type: ignore[misc]  # a class made by a function
    """Which orders."""

    status = fields.Enum(OrderStatus, by_value=True, load_default=None)
    needs_attention = Flag(load_default=None)


# What goes out

OrderSchema, EntrySchema, ExplanationSchema = schema_of(OrderView), schema_of(EntryView), schema_of(ExplanationView)


class ActionSchema(Schema):
    """What a person can do about an order, or about one of its steps."""

    name = fields.String(required=True)
    step = fields.String(required=True, allow_none=True)
    label = fields.String(required=True)
    meaning = fields.String(required=True)
    allowed = fields.Boolean(required=True)
    why = fields.String(required=True, allow_none=True, metadata={"description": "why it is not allowed now"})
    command = fields.String(required=True, metadata={"description": "what does the same on a command line"})


class ProductSchema(Schema):
    sku = fields.String(required=True)
    name = fields.String(required=True)
    unit_price = fields.Integer(required=True, metadata=MINOR_UNITS)
    currency = fields.String(required=True)
