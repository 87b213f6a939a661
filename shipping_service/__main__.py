"""`python -m shipping_service web | worker | migrate | dead-letters …`"""

from shared.commands import main
from shipping_service.service import SERVICE

if __name__ == "__main__":
    main(SERVICE)
