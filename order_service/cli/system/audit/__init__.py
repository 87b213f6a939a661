"""The auditor: reads what every service keeps, and what the outside world keeps, and says where they do not add up."""

from order_service.cli.system.books.audit import Books, audit, open_databases
from order_service.cli.system.books.report import report

__all__ = ["Books", "audit", "open_databases", "report"]
