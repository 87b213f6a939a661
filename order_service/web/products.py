"""The catalog: what is sold, at which price."""

from typing import Any

from flask import Response

from order_service.catalog import add_products, find_products, list_products
from order_service.domain import Product
from order_service.web.schemas import NewProductSchema, ProductSchema
from shared.clock import Clock
from shared.database import Database
from shared.http.app import Routes, problems, reply
from shared.http.auth import requires
from shared.http.fields import SKU
from shared.http.pages import listed, page, page_schema
from shared.http.problems import problem


def product_routes(database: Database, clock: Clock, currency: str) -> Routes:
    routes = Routes("products", "Prices are the catalog's, never a client's.")

    def show(product: Product) -> dict[str, Any]:
        return {**vars(product), "currency": currency}

    @routes.route("/products")
    @requires(heavy=True)
    @routes.arguments(page_schema(SKU), location="query")
    @routes.response(200, listed(ProductSchema))
    def get_products(query: dict[str, Any]) -> Response:
        """What is sold? In the order of the sku."""
        with database.reading() as connection:
            found = list_products(connection, query["cursor"], query["limit"] + 1)
        return reply(page(found, query["limit"], lambda product: product.sku, show))

    @routes.route("/products", methods=["POST"])
    @problems(409)
    @requires("operator")
    @routes.arguments(NewProductSchema, example={"sku": "NEW-STOOL", "name": "New stool", "unit_price": 4500})
    @routes.response(201, ProductSchema)
    @routes.alt_response(200, schema=ProductSchema, description="It was sold at this price already.", success=True)
    def add_product(body: dict[str, Any]) -> Response:
        """Sell something from now on."""
        product = Product(**body)
        with database.transaction() as connection:
            added = add_products(connection, [product], clock.now(connection))
            known = find_products(connection, [product.sku])[product.sku]
        if known != product:
            detail = f"{product.sku} is sold already, as {known.name!r} for {known.unit_price}."
            problem(409, detail, kind="sold-otherwise")
        return reply(show(product), 201 if added else 200)

    return routes
