"""The four services' HTTP applications over fresh databases, and the people who call them."""

from flask import Flask

from shared.config import load
from shared.database import Database
from shared.migrate import migrate
from shared.service import services
from shared.wakeup import WakeUp

TOKENS = {"operator": "opensesame", "alice": "wonderland", "bob": "builder"}
KEYS = "opensesame:operator,wonderland:customer:alice,builder:customer:bob"

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


def prepare(service: str, database_url: str) -> None:
    """Tables and demo data."""
    database = Database(database_url)
    migrate(services()[service], database, seed=True)
    database.dispose()


def application(service: str, database_url: str, **environ: str) -> Flask:
    """A service's API over a database that is or will be prepared; `close` it in the end."""
    settings = load(service=service, environ={"DATABASE_URL": database_url, "API_KEYS": KEYS, **environ})
    database = Database(settings.database_url)
    app = services()[service].web(settings, database, WakeUp(database))
    app.extensions["database"] = database
    return app


def close(app: Flask) -> None:
    """Close the application's connections."""
    database: Database = app.extensions["database"]
    database.dispose()
