"""What the documents say is what the program does: commands, tables, paths, settings."""

import http.client
import pkgutil
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from click.testing import CliRunner

from order_service.cli import fulfillment
from order_service.cli.client.connecting import EXAMPLE
from order_service.cli.system.embedded import CUSTOMER, OPERATOR, running_system
from order_service.fulfillment.describe import describe
from order_service.fulfillment.differences import RULES, Belief
from order_service.fulfillment.parts import Stage
from order_service.fulfillment.workflow import newest
from order_service.reconciliation.process import reconcile_command
from shared.commands import commands
from shared.config import variables
from shared.service import services
from tests.architecture.source import PACKAGES, files, relative

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ROOMS = [page for page in files() if page.name == "README.md" and relative(page).split("/")[0] in PACKAGES]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOMS]
SHELL = re.findall(r"^\$ (.+)$", README, re.MULTILINE)
PAGE = re.findall(r"^\$ (.+)$", (ROOT / "docs/command-line.md").read_text(), re.MULTILINE)
RECONCILIATION = re.findall(r"^\$ (.+)$", (ROOT / "docs/reconciliation.md").read_text(), re.MULTILINE)
SPOKEN = (
    SHELL
    + PAGE
    + RECONCILIATION
    + re.findall(r"`((?:fulfillment|make|docker compose|python -m \w+_service) [^`]+)`", README)
)


OWN = [describe, reconcile_command(services()["order"].settings)]


def said(first: str) -> list[list[str]]:
    """The arguments of every command of the README, and of the page about the command line, that begins so."""
    found = [re.sub(r"^docker compose run --rm \S+ ", "", command) for command in SPOKEN]
    found = [command.replace("ORDER_ID", EXAMPLE) for command in dict.fromkeys(found)]
    return [shlex.split(each)[len(first.split()) :] for each in found if each.startswith(f"{first} ")]


def check_call(command: click.Command, arguments: list[str]) -> None:
    """Raises what click raises for an option or an argument that the command does not have."""
    while isinstance(command, click.Group):
        name, arguments = arguments[0], arguments[1:]
        found = command.get_command(click.Context(command), name)
        assert found, f"there is no command {name}"
        command = found
    command.make_context(command.name, arguments, resilient_parsing=False)


def test_the_workflow_table_is_the_workflow() -> None:
    """The README's table and diagram are what `python -m order_service describe` prints."""
    order = commands(services()["order"], describe)
    for arguments in ([], ["--format", "mermaid"]):
        printed = CliRunner().invoke(order, ["describe", *arguments]).output
        assert printed.count("\n") >= len(newest().steps)
        assert f"\n{printed}" in README


def test_the_page_of_states_is_the_program() -> None:
    """docs/states.md shows what `python -m order_service describe --states` prints."""
    printed = CliRunner().invoke(commands(services()["order"], describe), ["describe", "--states"]).output
    assert f"```\n{printed}```" in (ROOT / "docs/states.md").read_text()


@pytest.mark.parametrize("arguments", said("fulfillment"), ids=" ".join)
def test_every_fulfillment_command_exists(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `fulfillment …` of the README and of docs/command-line.md is understood, with its options."""
    monkeypatch.setenv("FULFILLMENT_TOKEN", OPERATOR)
    check_call(fulfillment, arguments)


def test_every_command_of_a_service_exists() -> None:
    """Each `python -m …_service …` of the README is understood; only the order service has verbs of its own."""
    for service in services().values():
        for arguments in said(f"python -m {service.package}"):
            check_call(commands(service, *(OWN if service.name == "order" else [])), arguments)


def test_every_make_target_exists() -> None:
    """Each `make …` of the README is a target."""
    rules = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    named = {arguments[0] for arguments in said("make")}
    assert {"demo", "test"} <= named <= targets


def test_every_container_that_is_named_exists() -> None:
    """Each service that a `docker compose …` of the README names is in compose.yaml."""
    known = set(re.findall(r"^  ([a-z-]+):", (ROOT / "compose.yaml").read_text(), re.MULTILINE))
    words = {word.partition("=")[0] for arguments in said("docker compose") for word in arguments}
    named = {word for word in words if re.fullmatch(r"rabbitmq|postgres|\w+-(worker|web|migrate)", word)}
    assert named
    assert named <= known


@pytest.mark.slow
def test_every_curl_is_answered(tmp_path: Path) -> None:
    """Each HTTP call of the README succeeds, as the caller that it names."""
    calls = [shlex.split(command)[1:] for command in SHELL if command.startswith("curl ")]
    assert len(calls) >= 4
    service_at = {str(service.port): name for name, service in services().items()}
    assert {"demo-alice", "demo-operator"} == {CUSTOMER, OPERATOR}
    with running_system(tmp_path, {}) as system:
        for words in calls:
            address = urlsplit(next(word for word in words if word.startswith("http")))
            options = {flag: words[number + 1] for number, flag in enumerate(words) if flag in ("-X", "-d")}
            headers = dict(words[n + 1].split(": ", 1) for n, flag in enumerate(words) if flag == "-H")
            place = urlsplit(system.urls[service_at[str(address.port)]])
            connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
            path = f"{address.path}?{address.query}" if address.query else address.path
            method = options.get("-X", "POST" if "-d" in options else "GET")
            connection.request(method, path, options.get("-d"), headers)
            response = connection.getresponse()
            assert response.status < 300, f"{words}: {response.read().decode()}"
            connection.close()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_exists(document: Path) -> None:
    """Each link to a file, and each file named in a room's own page, is there."""
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    rooms = re.findall(r"`([\w/]+(?:\.py|/))`", text) if document in ROOMS else []
    missing = [each for each in links + rooms if not (document.parent / each).exists()]
    assert missing == []


@pytest.mark.parametrize("page", ROOMS, ids=relative)
def test_every_name_in_a_room_is_there(page: Path) -> None:
    """What a room's page calls `Class.method` is a class of that room with a method or field of this name."""
    sources = [path.read_text() for path in page.parent.rglob("*.py")]
    for owner, name in re.findall(r"`([A-Z]\w+)\.(\w+)`", page.read_text()):
        owning = [
            text.partition(f"class {owner}")[2] for text in sources if re.search(rf"^class {owner}\b", text, re.M)
        ]
        assert any(re.search(rf"^    (?:def )?{name}\b", text, re.M) for text in owning), f"{owner}.{name}"


def test_there_is_an_order_of_reading() -> None:
    """It begins with the workflow, and names at least ten files."""
    section = README.partition("## Read in this order")[2].partition("\n## ")[0]
    files = re.findall(r"\]\(([\w/]+\.py)\)", section)
    assert files[0] == "order_service/fulfillment/workflow.py"
    assert len(files) >= 10


def test_every_room_has_a_page_that_says_where_to_start() -> None:
    """Each service and each room that is large enough has a page of a screen."""
    assert {relative(page.parent) for page in ROOMS} >= {*PACKAGES, "order_service/fulfillment", "order_service/cli"}
    for page in ROOMS:
        text = page.read_text()
        assert "Start here:" in text, page
        assert len(text.splitlines()) <= 30, page


def test_every_word_of_the_glossary_is_in_the_code() -> None:
    """Each term names a package, a module, a class or a function that is there."""
    rows = [line for line in (ROOT / "docs/glossary.md").read_text().splitlines() if re.match(r"\| [a-z]", line)][1:]
    assert 20 <= len(rows) <= 30
    for row in rows:
        names = re.findall(r"`([\w.]+)`", row.split(" | ")[-1])
        assert names, row
        for name in names:
            assert pkgutil.resolve_name(name) is not None, row


def test_every_setting_is_documented() -> None:
    """The table of settings is the settings."""
    rows = re.findall(
        r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\| (.+) \|$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE
    )
    urls = {other: url for service in services().values() for other, url in service.urls.items()}
    assert rows == [tuple(each) for each in variables(urls)]


def test_every_default_port_is_documented() -> None:
    """The page of settings, and what the order service takes for the others' addresses, name each service's port."""
    page = " ".join((ROOT / "docs/settings.md").read_text().split())
    for name, service in services().items():
        assert f"{service.port} for {name}" in page
    defaults = services()["order"].urls
    assert defaults == {name: f"http://127.0.0.1:{services()[name].port}" for name in defaults}


def test_decisions_are_short() -> None:
    """Each decision has its context, its choice and its price, in at most ten lines; one is a story."""
    for decision in (ROOT / "DECISIONS.md").read_text().split("\n## ")[1:]:
        assert re.search(r"^Context: .*^Choice: .*^Price: ", decision, re.MULTILINE | re.DOTALL), decision
        longest = 30 if "as one story" in decision.splitlines()[0] else 12
        assert len(decision.strip().splitlines()) <= longest, decision


def test_how_long_silence_takes_is_told_truly() -> None:
    """What the README says of turning back and of parking is what the shipped timeouts come to."""

    def minutes(name: str) -> str:
        step = newest().named[name]
        silence = sum(
            min(step.timeout * 2**asking, newest().slowest).total_seconds() for asking in range(step.attempts)
        )
        whole, half = divmod(silence, 60)
        assert half in (0, 30)
        return f"{whole:.0f}{'½' if half else ''}"

    assert f"turned back after {minutes('payment')} minutes, or parked after {minutes('capture')} if its" in README


def test_the_table_of_differences_is_the_program() -> None:
    """docs/reconciliation.md has a row for each difference that is known, and for no other."""
    page = (ROOT / "docs/reconciliation.md").read_text()
    rows = [
        "| " + " | ".join(word.replace("_", " ") for word in (belief, stage, meaning, healing)) + " |"
        for belief in Belief
        for stage, (meaning, healing) in sorted(RULES[belief].items(), key=lambda each: [*Stage].index(each[0]))
    ]
    table = page.partition("| the order believes |")[2].partition("\n\n")[0].splitlines()[2:]
    assert sorted(table) == sorted(rows)
