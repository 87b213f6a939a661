"""Currencies by ISO 4217: which there are, and how many digits their minor unit has."""

from functools import cache


@cache
def digits(code: str) -> int:
    """The digits behind the point: 2 for EUR, 0 for JPY, 3 for KWD. Raises ValueError for what is no currency that
    prices can be in (gold is in the standard's list, too)."""
    from iso4217 import Currency  # reads a table of all currencies: a tenth of a second

    try:
        found: int | None = Currency(code).exponent
    except ValueError:
        found = None
    if found is None:
        raise ValueError("must be a currency of ISO 4217 that has a minor unit or none, such as EUR or JPY")
    return found


def figure(amount: int, code: str) -> str:
    """An amount of minor units as people write it: 8,900 is `89.00` in EUR, `8.900` in KWD and `8,900` in XOF."""
    places = digits(code)
    whole, part = divmod(abs(amount), 10**places)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:,}.{part:0{places}}" if places else f"{sign}{whole:,}"


def money(amount: int, code: str) -> str:
    """The same with the currency: `19.99 EUR`."""
    return f"{figure(amount, code)} {code}"
