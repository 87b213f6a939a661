"""Run by Alembic."""

from payment_service.store import METADATA
from shared.migrate import run_env

run_env(METADATA)
