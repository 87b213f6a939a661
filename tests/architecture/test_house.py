"""What lies where: the top level is the reader's, and nothing in it remembers the machine it was written on."""

import re
import tomllib

from shared.service import services
from tests.architecture.source import PACKAGES, ROOT, files, relative

TOP_LEVEL = {
    *("pyproject.toml", "README.md", "compose.yaml", "tests", *PACKAGES),
    *("Makefile", "Dockerfile", ".ci", "LICENSE", "CHANGELOG.md", "DECISIONS.md", "docs", "deploy"),
    *(".gitignore", ".dockerignore"),
}
TEXT = {"", ".py", ".md", ".toml", ".yaml", ".yml", ".json", ".sh", ".sql", ".conf", ".txt", ".html", ".mako"}
MACHINE = re.compile(
    r"(?<![\w.])/(?:home|Users|root|work|mnt)[/\w]*"  # paths of somebody's machine
    r"|\b(?:\w+\.)*(?:pypi|pythonhosted|npmjs|docker|ghcr|quay)\.(?:org|io)\b"  # hosts of registries
)


def test_every_entry_of_the_top_level_has_its_place() -> None:
    """A new file or folder at the top is a decision, taken here."""
    assert {relative(path).split("/")[0] for path in files()} - TOP_LEVEL == set()


def test_every_service_is_behind_the_walls() -> None:
    """The import contracts, which cannot be computed, name exactly the services that are installed."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = {service.package for service in services().values()}
    assert set(linter["root_packages"]) == {*packages, "shared"} == set(PACKAGES)
    assert set(linter["contracts"][0]["layers"][0].split(" | ")) == packages
    (circles,) = (each for each in linter["contracts"] if each["type"] == "acyclic_siblings")
    assert set(circles["ancestors"]) == set(PACKAGES)


def test_participants_have_the_same_rooms() -> None:
    """Know one, know all: beside these there are only goods that come in, and the outside where one is asked."""
    rooms = {
        package: {path.stem for path in (ROOT / package).glob("*.py")}
        for package in PACKAGES
        if package not in ("order_service", "shared")
    }
    alike = {"__init__", "__main__", "domain", "handlers", "service", "store", "web"}
    assert all(alike <= found <= alike | {"gateway", "receipts"} for found in rooms.values()), rooms


def test_no_file_names_a_machine_or_a_registry() -> None:
    """Paths and hosts of the machine that a file was written on do not travel with it."""
    found = {
        f"{relative(path)}: {match.group()}"
        for path in files()
        if path.suffix in TEXT and "static" not in path.parts and path.parent != ROOT / "tests" / "architecture"
        for match in MACHINE.finditer(path.read_text())
    }
    assert found == set()


def test_every_file_of_a_package_is_installed() -> None:
    """Migrations, pages and scripts travel with `pip install`: what is no Python is named in pyproject.toml."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    missing = {
        relative(path)
        for path in files()
        if re.match(r"shared/|\w+_service/", relative(path)) and path.suffix != ".py"
        if not any(path.match(pattern) for patterns_of_package in patterns.values() for pattern in patterns_of_package)
    }
    assert missing == set()


def name_of(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def locked(file: str) -> set[str]:
    return {name_of(line) for line in (ROOT / file).read_text().splitlines() if re.match(r"[\w.-]+(\[.*\])?==", line)}


def test_the_locked_packages_cover_what_is_declared() -> None:
    """`make lock` was run after the last change of the dependencies in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = {name_of(requirement) for requirement in project["dependencies"]}
    development = {name_of(requirement) for requirement in project["optional-dependencies"]["dev"]}
    assert runtime - locked("deploy/requirements.txt") == set()
    assert (runtime | development) - locked("deploy/requirements-dev.txt") == set()
