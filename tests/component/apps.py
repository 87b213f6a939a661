"""The four services' HTTP applications over fresh databases, and the people who call them."""

from flask import Flask
from flask.testing import FlaskClient

from order_service.web.console.sessions import COOKIE
from shared.database import Database
from shared.http.serve import at_the_end
from shared.messaging.notifier import Notifier
from shared.migrate import migrate
from shared.service import services

TOKENS = {"operator": "opensesame", "alice": "wonderland", "bob": "builder"}
KEYS = "opensesame:operator,wonderland:customer:alice,builder:customer:bob"

# A test asks more than a person does.
UNLIMITED = {"KEY_RATE": "0", "KEY_SHARE": "100", "WRONG_TOKENS": "0", "OPEN_ORDERS": "0"}

ORDER = {
    "lines": [{"sku": "POPULAR-LAMP", "quantity": 2}],
    "payment_token": "tok_visa",
    "ship_to": {
        "name": "Alice Liddell",
        "line1": "1 Dean's Yard",
        "city": "Oxford",
        "postal_code": "OX1 1AA",
        "country": "GB",
    },
}


def bearer(name: str) -> dict[str, str]:
    """The headers that say who is calling."""
    return {"Authorization": f"Bearer {TOKENS[name]}"}


def sign_in(app: Flask, client: FlaskClient, name: str) -> str:
    """Let a browser be signed in to the console; returns its cookie, from which form tokens are made."""
    room = app.extensions["console"]
    cookie: str = room.sessions.begin(TOKENS[name], room.settings.api_keys)
    client.set_cookie(COOKIE, cookie)
    return cookie


def prepare(service: str, database_url: str) -> None:
    """Tables and demo data."""
    with Database(database_url) as database:
        migrate(services()[service], database, seed=True)


def application(service: str, database_url: str, **environ: str) -> Flask:
    """A service's API over a database that is or will be prepared; `end` it afterwards."""
    environ = {"DATABASE_URL": database_url, "API_KEYS": KEYS, **UNLIMITED, **environ}
    settings = services()[service].settings(environ=environ)
    database = Database(settings.database_url)
    notifier = Notifier(database)
    app = services()[service].web(settings, database, notifier)
    at_the_end(app, notifier.close, database.dispose)
    return app
