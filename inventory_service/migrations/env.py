"""Run by Alembic."""

from inventory_service.service import SERVICE
from shared.migrate import run_env

run_env(SERVICE.metadata)
