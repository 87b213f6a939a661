"""Money is shown with the digits that its currency has."""

import pytest

from shared.currencies import digits, figure, money


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (8_900, "EUR", "89.00"),
        (8_900, "KWD", "8.900"),
        (8_900, "XOF", "8,900"),
        (8_900, "JPY", "8,900"),
        (123_456_789, "USD", "1,234,567.89"),
        (-5, "EUR", "-0.05"),
        (2**53, "EUR", "90,071,992,547,409.92"),  # exact, which a float would not be
    ],
)
def test_an_amount_has_the_digits_of_its_currency(amount: int, currency: str, shown: str) -> None:
    """Two digits, three or none, exactly, with a sign and groups of three."""
    assert figure(amount, currency) == shown
    assert money(amount, currency) == f"{shown} {currency}"


@pytest.mark.parametrize("code", ["EUX", "eur", "XAU", ""])
def test_what_is_no_currency_is_refused(code: str) -> None:
    """Unknown codes, and those without a unit that prices could be in."""
    with pytest.raises(ValueError, match="ISO 4217"):
        digits(code)
