"""Applies a page of docs to a copy of the tree: its code blocks say which file they belong to, and where in it.

A block is ```python file=PATH [before="LINE"]```: it goes before, after or instead of the first line that begins so, or
to the end of the file, which may be new. ```python run``` is run there, and must print what ```text output``` shows.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.source import ROOT, files, relative

BLOCK = re.compile(r"^```(\w+) ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"""(file|before|after|instead_of)=(?:"([^"]*)"|'([^']*)'|(\S+))""")
SKIPPED = ("docs/performance", "tests/benchmarks", "order_service/web/console/static")


def copy_tree(folder: Path) -> Path:
    """All files of the project, but for figures and benchmarks."""
    for file in files():
        if not relative(file).startswith(SKIPPED):
            target = folder / relative(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return folder


def apply(page: Path, tree: Path) -> None:
    """Write the page's blocks into the files that they name. Raises LookupError for a line that is not there."""
    for _, info, text in BLOCK.findall(page.read_text()):
        options = {name: "".join(words) for name, *words in OPTION.findall(info)}
        if "file" in options:
            file = tree / options["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = file.read_text().splitlines(keepends=True) if file.exists() else []
            place = _place(lines, options)
            lead = "\n\n" if place == len(lines) > 0 else ""
            until = place + 1 if "instead_of" in options else place
            lines[place:until] = [lead, *text.splitlines(keepends=True)]
            file.write_text("".join(lines))
    _describe(tree)


def _place(lines: list[str], options: dict[str, str]) -> int:
    for word, offset in (("before", 0), ("after", 1), ("instead_of", 0)):
        if word in options:
            for number, line in enumerate(lines):
                if line.startswith(options[word]):
                    return number + offset
            raise LookupError(f"{options['file']} has no line that begins with {options[word]!r}")
    return len(lines)


def _describe(tree: Path) -> None:
    """What pip would write down about the copy, so that its entry points are found and not those of the original."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    about = _about(tree) / "order_fulfillment-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: order-fulfillment\nVersion: 0.1.0\n")
    services = project["entry-points"]["fulfillment.services"].items()
    lines = ["[fulfillment.services]", *(f"{name} = {place}" for name, place in services)]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _about(tree: Path) -> Path:
    return tree.with_name(f"{tree.name}-about")


def outputs(page: Path) -> list[str]:
    """What the page says that its programs print."""
    return [text for _, info, text in BLOCK.findall(page.read_text()) if info == "output"]


def programs(page: Path) -> list[str]:
    """The page's programs."""
    return [text for _, info, text in BLOCK.findall(page.read_text()) if info == "run"]


def run(tree: Path, *words: str) -> str:
    """What Python prints there, given these words; a failure is an AssertionError with all that it said."""
    environment = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{_about(tree)}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


__all__ = ["ROOT", "apply", "copy_tree", "outputs", "programs", "run"]
