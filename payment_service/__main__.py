"""`python -m payment_service web | worker | migrate | dead-letters …`"""

from payment_service.service import SERVICE
from shared.commands import main

if __name__ == "__main__":
    main(SERVICE)
