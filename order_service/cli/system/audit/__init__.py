"""The auditor: reads what every service keeps, and what the outside world keeps, and says where they do not add up."""

from order_service.cli.system.audit.auditing import Scope, audit, audit_at_rest
from order_service.cli.system.audit.findings import Findings
from order_service.cli.system.audit.looking import auditor
from order_service.cli.system.audit.reading import open_databases
from order_service.cli.system.audit.report import report
from order_service.cli.system.audit.violations import Broken, Violation

__all__ = ["Broken", "Findings", "Scope", "Violation", "audit", "audit_at_rest", "auditor", "open_databases", "report"]
