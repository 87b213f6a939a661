"""Pages that tell how it works are made by the program, or applied to it."""

import re
from pathlib import Path

from tests.component.unhappy_order import run

DOCS = Path(__file__).parents[2] / "docs"


def test_the_unhappy_order_is_a_real_one(tmp_path: Path) -> None:
    """The history and the messages of docs/an-unhappy-order.md are what the services write for such an order."""
    page = (DOCS / "an-unhappy-order.md").read_text()
    shown = re.findall(r"<!-- \w+ -->\n```\n(.*?)\n```", page, re.DOTALL)
    assert tuple(shown) == run(tmp_path)
