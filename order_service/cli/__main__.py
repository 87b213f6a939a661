"""`python -m order_service.cli`: the same as `fulfillment`."""

from order_service.cli import main

if __name__ == "__main__":
    main()
