"""What the console's button does: it audits everything now, and remembers when that last found nothing."""

from collections.abc import Callable
from datetime import datetime

from order_service.cli.system.audit.auditing import audit
from order_service.cli.system.audit.reading import Databases
from order_service.web.console.pages import Audited


def auditor(databases: Databases, now: Callable[[], datetime]) -> Callable[[], Audited]:
    """A function that audits everything each time it is called; `now` is the Order database's clock."""
    last_clean: list[datetime] = []

    def look() -> Audited:
        found, at = audit(databases), now()
        if not found.total:
            last_clean[:] = [at]
        return Audited(
            at=at,
            violations=[str(each) for each in found.violations],
            under_way=list(found.under_way),
            by_hand=list(found.by_hand),
            orders=found.checked["orders"],
            last_clean=last_clean[0] if last_clean else None,
        )

    return look
