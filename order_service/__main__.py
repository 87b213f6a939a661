"""`python -m order_service web | worker | migrate | reconcile | dead-letters … | describe`"""

from order_service.fulfillment.describe import describe
from order_service.reconciliation.process import reconcile_command
from order_service.service import SERVICE
from shared.commands import main

if __name__ == "__main__":
    main(SERVICE, describe, reconcile_command(SERVICE.settings))
