"""The project's own files, as the tests of its architecture read them."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (*sorted(path.name for path in ROOT.glob("*_service")), "shared")
IGNORED = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())]


@cache
def files(folder: Path = ROOT) -> tuple[Path, ...]:
    """Every file that belongs to the project: all but what .gitignore names."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in IGNORED):
            continue
        found += files(path) if path.is_dir() else [path]
    return tuple(found)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_modules() -> tuple[Path, ...]:
    """The Python files that are installed."""
    return tuple(path for path in files() if path.suffix == ".py" and relative(path).split("/")[0] in PACKAGES)


@cache
def names_used(path: Path) -> frozenset[str]:
    """Dotted names that a module imports or uses, as they are called where they come from: `datetime.datetime.now`."""
    return frozenset(_names_used(path))


def _names_used(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                origins[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, *rest = ast.unparse(node).split(".")
            if re.fullmatch(r"\w+", first) and first in origins:
                yield ".".join([origins[first], *rest])
