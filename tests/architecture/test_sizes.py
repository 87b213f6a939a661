"""The mechanism stays small enough to be read in an hour."""

import ast
import tokenize
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, package_modules, relative

LONGEST = 260
SILENT = {
    *(tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}
ROOMS = {  # lines of code when the budget was set, and what they are for
    "the messaging mechanism": (1_565, ["shared/messaging/*.py", "shared/messaging/durability/*.py"]),
    "the brokers": (940, ["shared/messaging/brokers/*.py", "shared/messaging/brokers/rabbitmq/*.py"]),
    "the database": (1_020, ["shared/database/*.py"]),
    "the deciding core": (
        430,
        [f"order_service/fulfillment/{name}.py" for name in ("workflow", "saga", "inputs", "decide")],
    ),
    "what prints it": (180, [f"order_service/fulfillment/{name}.py" for name in ("describe", "states")]),
    **{
        f"the rooms of {name}": (350, [f"{name}_service/{room}.py" for room in ("domain", "handlers", "store")])
        for name in ("payment", "inventory", "shipping")
    },
}
SLACK = 1.15  # a budget bounds growth; it must not make anybody play golf
BUDGETS = {part: (int(lines * SLACK), patterns) for part, (lines, patterns) in ROOMS.items()}


def lines_of_code(path: Path) -> int:
    """How many lines hold code: neither blank lines nor comments nor docstrings count."""
    tree = ast.parse(path.read_text())
    words = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    with path.open("rb") as source:
        tokens = [token for token in tokenize.tokenize(source.readline) if token.type not in SILENT]
    said = {line for node in words for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - said)


def test_no_module_is_long() -> None:
    """No module of the packages is longer than 260 lines."""
    assert {relative(path) for path in package_modules() if len(path.read_text().splitlines()) > LONGEST} == set()


@pytest.mark.parametrize("part", BUDGETS)
def test_the_part_keeps_within_its_budget(part: str) -> None:
    """Each part that could grow into a private workflow engine has a number of lines, and keeps to it."""
    budget, patterns = BUDGETS[part]
    sizes = {relative(path): lines_of_code(path) for pattern in patterns for path in sorted(ROOT.glob(pattern))}
    print(f"{part}: {sum(sizes.values())} of at most {budget} lines")
    assert sizes
    assert sum(sizes.values()) <= budget, sizes
