"""Pages that tell how it works are written by the program, or applied to it."""

import re
from pathlib import Path

import pytest

from tests.component import applying, unhappy_order

DOCS = applying.ROOT / "docs"
ARCHITECTURE = [f"tests/architecture/test_{name}.py" for name in ("house", "deployment")]
WALLS = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"


def test_the_unhappy_order_is_a_real_one(tmp_path: Path) -> None:
    """The history and the messages of docs/an-unhappy-order.md are what the services write for such an order."""
    page = (DOCS / "an-unhappy-order.md").read_text()
    shown = re.findall(r"<!-- \w+ -->\n```\n(.*?)\n```", page, re.DOTALL)
    assert tuple(shown) == unhappy_order.run(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["add-a-step", "add-a-compensatable-step", "add-a-participant"])
def test_who_follows_the_page_gets_there(name: str, tmp_path: Path) -> None:
    """Applied to a copy of the tree, the page's changes do what it says, and break no wall between the rooms."""
    page, tree = DOCS / f"{name}.md", applying.copy_tree(tmp_path / "tree")
    applying.apply(page, tree)
    for program, output in zip(applying.programs(page), applying.outputs(page), strict=True):
        assert applying.run(tree, "-c", program) == output
    applying.run(tree, "-c", WALLS)
    applying.run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ARCHITECTURE)
