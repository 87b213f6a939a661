"""Run by Alembic."""

from shared.migrate import run_env
from shipping_service.service import SERVICE

run_env(SERVICE.metadata)
