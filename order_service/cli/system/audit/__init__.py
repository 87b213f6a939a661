"""The auditor: reads what every service keeps, and what the outside world keeps, and says where they do not add up."""

from order_service.cli.system.audit.auditing import Findings, audit, audit_at_rest, open_databases
from order_service.cli.system.audit.looking import auditor
from order_service.cli.system.audit.report import report

__all__ = ["Findings", "audit", "audit_at_rest", "auditor", "open_databases", "report"]
