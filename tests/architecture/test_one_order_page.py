"""The page that follows one order names what is there."""

import ast
import re

from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "one-order.md").read_text()
STEP = re.compile(r"^\| \[(?P<short>[\w/.]+)\]\(\.\./(?P<path>[\w/]+\.py)\) (?P<names>`[\w.`, ]+`) \|", re.MULTILINE)


def functions(path: str) -> set[str]:
    """The names of functions, nested ones too, and `Class.method`."""
    tree = ast.parse((ROOT / path).read_text())
    classes = [each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)]
    methods = {
        f"{each.name}.{inner.name}" for each in classes for inner in each.body if isinstance(inner, ast.FunctionDef)
    }
    return methods | {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}


def test_every_step_of_the_page_is_a_function() -> None:
    """Each file is there and has the functions that are named."""
    steps = list(STEP.finditer(PAGE))
    assert len(steps) == PAGE.count("\n| [") == 16
    for step in steps:
        assert step["path"].endswith(step["short"])
        missing = {name.strip("` ") for name in step["names"].split(",")} - functions(step["path"])
        assert not missing, (step["path"], missing)
