"""The pages of the Order service: what people see and do, by the same functions as the API. Start with order.py."""

from flask import Blueprint, Flask
from jinja2 import StrictUndefined

from order_service.web.console.board import add_board
from order_service.web.console.breaking import add_breaking
from order_service.web.console.bulk import add_bulk
from order_service.web.console.desk import add_desk
from order_service.web.console.order import add_order
from order_service.web.console.pages import Room, dress
from order_service.web.console.signing import add_signing
from order_service.web.console.words import teach


def add_console(app: Flask, room: Room) -> None:
    """Serve the pages at /console, and lead there from /."""
    pages = Blueprint("console", __name__, template_folder="templates")

    dress(pages, room)
    add_signing(pages, room)
    add_board(pages, room)
    add_bulk(pages, room)
    add_order(pages, room)
    add_desk(pages, room)
    add_breaking(pages, room)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    teach(app)
    app.register_blueprint(pages)
    app.extensions["console"] = room
