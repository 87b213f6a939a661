"""How long texts and how large numbers may be: the published language, the columns and the outside's ports ask here.

What identifies something is kept whole or not at all. What is said to people is cut where it comes in, by `words`.
"""

from typing import Annotated

from msgspec import Meta

# In characters
SKU = 64
CURRENCY = 3
TOKEN = 200  # of a card network, for a means of payment
NAME = 200  # of a person, a street, a city, a product
POSTAL_CODE = 20
COUNTRY = 2
CARRIER = 64
REFERENCE = 500  # what somebody outside calls something: an authorization, a parcel
DETAIL = 500  # what is said to people: why something was refused, an operator's note

OrderId = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")]
Amount = Annotated[int, Meta(ge=1, le=2**53)]
AmountOrNone = Annotated[int, Meta(ge=0, le=2**53)]
Quantity = Annotated[int, Meta(ge=1, le=1_000)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
Sku = Annotated[str, Meta(min_length=1, max_length=SKU)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME)]
Token = Annotated[str, Meta(min_length=1, max_length=TOKEN)]
Carrier = Annotated[str, Meta(min_length=1, max_length=CARRIER)]
Reference = Annotated[str, Meta(min_length=1, max_length=REFERENCE)]
Detail = Annotated[str, Meta(min_length=1, max_length=DETAIL)]
PostalCode = Annotated[str, Meta(max_length=POSTAL_CODE)]  # empty where the country has none


def words(text: str, most: int = DETAIL) -> str:
    """What somebody outside says to people, as it may be kept: of at most `most` characters, and not nothing.

    What cannot be shown, and what a database would not take, is shown as U+FFFD.
    """
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[: most + 1]).strip()
    if not shown:
        return "no reason was given"
    return shown if len(text) <= most else f"{shown[: most - 1].rstrip()}…"


def is_reference(text: str) -> bool:
    """Whether this can be kept as a reference: not empty, not too long, and nothing in it that cannot be shown."""
    return 1 <= len(text) <= REFERENCE and text.isprintable()
