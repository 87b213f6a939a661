"""The Order API as an application for granian: `granian --interface wsgi tests.benchmarks.granian_app:app`."""

from order_service.service import SERVICE
from shared.config import load
from shared.database import Database
from shared.wakeup import WakeUp

settings = load(service="order", required=["API_KEYS"])
database = Database(settings.database_url)
app = SERVICE.web(settings, database, WakeUp(database))
