"""Run by Alembic."""

from order_service.tables import METADATA
from shared.migrate import run_env

run_env(METADATA)
