"""What the shop sells: prices come from here, never from a client."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Connection, String, select, true
from sqlalchemy.dialects.postgresql import insert

from order_service.domain import Product
from order_service.tables import products
from shared.clock import DatabaseClock
from shared.database import Transaction, UtcDateTime, batch_rows, timestamp

DEMO_CATALOG = (
    Product(sku="POPULAR-LAMP", name="Popular lamp", unit_price=1999),
    Product(sku="OAK-CHAIR", name="Oak chair", unit_price=8900),
    Product(sku="OAK-TABLE", name="Oak table", unit_price=34900),
    Product(sku="LINEN-SOFA", name="Linen sofa", unit_price=79900),
    Product(sku="WOOL-RUG", name="Wool rug", unit_price=12900),
    Product(sku="COFFEE-MUG", name="Coffee mug", unit_price=900),
    Product(sku="TEA-TOWEL", name="Tea towel", unit_price=450),
    Product(sku="CANDLE-SET", name="Candle set", unit_price=1500),
    Product(sku="DESK-PLANT", name="Desk plant", unit_price=2400),
    Product(sku="RARE-VASE", name="Rare vase", unit_price=4900),
)

_skus = batch_rows("skus", sku=String)
_find = select(products.c.sku, products.c.name, products.c.unit_price).join(_skus, products.c.sku == _skus.c.sku)
_new = batch_rows("new", sku=String, name=String, unit_price=BigInteger, added_at=UtcDateTime)
_add = (
    insert(products)
    .from_select(list(_new.c.keys()), select(*_new.c).where(true()))
    .on_conflict_do_nothing(index_elements=[products.c.sku])
    .returning(products.c.sku)
)


def find_products(connection: Transaction, skus: Collection[str]) -> Mapping[str, Product]:
    """The products among these, by sku."""
    wanted = [{"sku": each} for each in set(skus)]
    return {row.sku: Product(**row._asdict()) for row in connection.execute(_find, {"skus": wanted})}


def list_products(connection: Connection, after: str | None, limit: int) -> Sequence[Product]:
    """At most `limit` products by sku, from behind `after` on."""
    wanted = select(products.c.sku, products.c.name, products.c.unit_price).order_by(products.c.sku).limit(limit)
    if after is not None:
        wanted = wanted.where(products.c.sku > after)
    return [Product(**row._asdict()) for row in connection.execute(wanted)]


def add_products(connection: Connection, added: Collection[Product], now: datetime) -> set[str]:
    """Sell these from now on; returns the skus that were not sold before, the others stay as they were."""
    rows = [{**vars(each), "added_at": timestamp(now)} for each in added]
    return set(connection.execute(_add, {"new": rows}).scalars())


def seed(connection: Connection) -> None:
    """Leave the demo catalog behind."""
    add_products(connection, DEMO_CATALOG, DatabaseClock().now(connection))
