"""What compose.yaml says of every container, read as data."""

import re
from datetime import date
from typing import Any

import pytest
import yaml

from order_service.cli.system.secrets import contents
from shared.addresses import SHIPPED as SHIPPED_PASSWORDS
from shared.api_keys import SHIPPED as SHIPPED_KEYS
from shared.api_keys import UNNAMED, Keys
from shared.service import services
from tests.architecture.source import ROOT

COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())
CONTAINERS, SECRETS = COMPOSE["services"], COMPOSE["secrets"]
EIGHT = [f"{service}-{process}" for service in services() for process in ("web", "worker")]
WEBS = [*(f"{service}-web" for service in services()), "order-web-2"]
PROCESSES = [*WEBS, *(f"{service}-worker" for service in services()), "order-reconcile"]
ONCE = ["definitions", "provision", *(f"{service}-migrate" for service in services())]


def test_every_process_has_a_container() -> None:
    """Two servers, a proxy, eight processes, a second Order API and the reconciliation, and what runs once before."""
    assert set(CONTAINERS) == {"rabbitmq", "postgres", "proxy", *PROCESSES, *ONCE}


def test_the_proxy_is_the_only_door_to_the_apis() -> None:
    """It alone publishes their ports, shares no network with databases and broker, and knows each service by name."""
    published = {name for name in CONTAINERS if CONTAINERS[name].get("ports")}
    assert published == {"proxy", "rabbitmq"}  # the latter its management pages
    assert CONTAINERS["proxy"]["networks"] == ["front"]
    configuration = (ROOT / "order_service/cli/stack/nginx.conf").read_text()
    for name, service in services().items():
        assert f"{service.port} {name}-web:{service.port};" in configuration
        assert f"listen {service.port};" in configuration
    for name in WEBS:
        assert CONTAINERS[name]["environment"]["TRUSTED_PROXY"] == "*"


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_confined(name: str) -> None:
    """A read-only root, no capabilities, no new privileges, bounded memory, a proper first process."""
    container = CONTAINERS[name]
    assert container["read_only"]
    assert container["init"]
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["mem_limit"]
    assert "privileged" not in container


@pytest.mark.parametrize("name", CONTAINERS)
def test_ports_open_on_this_machine_only(name: str) -> None:
    """Every published port is bound to 127.0.0.1, and a worker, of which there may be many, publishes none."""
    ports = CONTAINERS[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not (ports and name.endswith("-worker"))


@pytest.mark.parametrize("name", ["rabbitmq", "postgres", "proxy", *PROCESSES])
def test_what_stays_up_is_watched_and_comes_back(name: str) -> None:
    """Servers and processes have a health check, restart by themselves, and are given time to finish."""
    container = CONTAINERS[name]
    assert container["healthcheck"]["test"]
    assert container["restart"] == "unless-stopped"
    assert container["stop_grace_period"]


@pytest.mark.parametrize("service", services())
def test_an_api_meets_no_broker(service: str) -> None:
    """Web processes have no broker user and share no network with the broker; workers share none with the world."""
    web, worker, broker = CONTAINERS[f"{service}-web"], CONTAINERS[f"{service}-worker"], CONTAINERS["rabbitmq"]
    assert "BROKER_URL" not in web["environment"]
    assert not set(web["networks"]) & set(broker["networks"])
    assert "front" not in worker["networks"]


@pytest.mark.parametrize("name", services())
def test_every_service_is_where_it_says(name: str) -> None:
    """Ports and addresses are those of the services, and both servers are told a password for each."""
    port, web = services()[name].port, CONTAINERS[f"{name}-web"]
    assert web["environment"]["PORT"] == str(port)
    assert str(port) in [each.rpartition(":")[2] for each in CONTAINERS["proxy"]["ports"]]
    if name in services()["order"].urls:
        assert web["environment"][f"{name.upper()}_URL"] == f"http://{name}-web:{port}"
    assert f"{name}_broker_password" in CONTAINERS["definitions"]["secrets"]
    assert {f"{name}_{role}_password" for role in ("owner", "service", "web")} <= set(CONTAINERS["postgres"]["secrets"])


def role_of(service: str, process: str) -> str:
    """The database role that a process connects as; the Order API places orders, the others' only show."""
    if process in ("worker", "reconcile"):
        return "service"
    return {"migrate": "owner", "web": "service" if service == "order" else "web"}[process]


OWN = [(service, process) for service in services() for process in ("migrate", "web", "worker")]


@pytest.mark.parametrize(("service", "process"), [*OWN, ("order", "reconcile")])
def test_a_process_knows_only_its_own_secrets(service: str, process: str) -> None:
    """It is given the password of its database role, of its broker user if it is a worker, its API keys if it has an
    API, and if it asks the others a key of theirs; and its settings say where each of them lies."""
    container, role = CONTAINERS[f"{service}-{process}"], role_of(service, process)
    own = {"DATABASE_PASSWORD_FILE": f"{service}_{role}_password"}
    if process == "worker":
        own["BROKER_PASSWORD_FILE"] = f"{service}_broker_password"
    if process == "web":
        own["API_KEYS_FILE"] = f"{service}_api_keys"
    if (service, process) in (("order", "web"), ("order", "reconcile")):
        own["PARTICIPANTS_KEY_FILE"] = "participants_key"
    assert set(container["secrets"]) == set(own.values())
    told = {name: text for name, text in container["environment"].items() if name.endswith("_FILE")}
    assert told == {name: f"/run/secrets/{secret}" for name, secret in own.items()}
    assert f"//{service}_{role}@" in container["environment"]["DATABASE_URL"]
    assert f"//{service}@" in container["environment"].get("BROKER_URL", f"//{service}@")


def test_no_secret_is_in_an_environment() -> None:
    """No variable, command or health check holds a password or a key; all that are given are files of their own."""
    examples = {(ROOT / "deploy/secrets" / name).read_text().strip() for name in SECRETS}
    for name, container in CONTAINERS.items():
        text = yaml.safe_dump({key: each for key, each in container.items() if key not in ("secrets", "image")})
        assert not [each for each in examples if each in text], name
        environment = container.get("environment", {})
        assert not [each for each in environment if each.endswith(("PASSWORD", "_KEY", "_KEYS", "PASSWORDS"))], name
        assert not re.search(r"//\w*:[^@/]*@", text), name


def test_every_secret_is_a_file_that_somebody_needs() -> None:
    """The examples are all there, so that a fresh clone starts; another folder, which `fulfillment secrets` writes,
    holds what is really secret. None of them is there for nothing, and each is refused without DEMO=on."""
    given = {secret for container in CONTAINERS.values() for secret in container.get("secrets", [])}
    assert set(SECRETS) == given
    assert {path.name for path in (ROOT / "deploy/secrets").iterdir()} == given
    assert set(contents(UNNAMED, "token")) == given
    for name, secret in SECRETS.items():
        assert secret["file"] == f"${{SECRETS:-./deploy/secrets}}/{name}"
        text = (ROOT / "deploy/secrets" / name).read_text()
        if name.endswith("_password"):
            assert SHIPPED_PASSWORDS.fullmatch(text.strip()), name
        else:
            assert {line.partition(":")[0] for line in text.split()} <= SHIPPED_KEYS, name


@pytest.mark.parametrize("service", services())
def test_each_api_has_keys_of_its_own(service: str) -> None:
    """Customers are known to the Order API only, and what the console asks the others with is no key of its own."""
    keys = Keys.parse((ROOT / f"deploy/secrets/{service}_api_keys").read_text())
    console = (ROOT / "deploy/secrets/participants_key").read_text().strip()
    asking = keys.find(console, date(2026, 1, 1))
    assert any(not each.is_operator for each in keys) == (service == "order")
    assert (asking is None) == (service == "order")
    assert asking is None or asking.is_operator


def test_one_order_api_is_replaced_after_the_other() -> None:
    """The second one is as the first, answers to the same name, and is touched when the first one is ready again."""
    first, second = CONTAINERS["order-web"], CONTAINERS["order-web-2"]
    apart = ("depends_on",)
    assert {k: v for k, v in first.items() if k not in apart} == {k: v for k, v in second.items() if k not in apart}
    assert "order-web" in second["networks"]["front"]["aliases"]
    assert "depends_on" not in CONTAINERS["proxy"]  # or it would be replaced with what it depends on
    assert second["depends_on"]["order-web"] == {"condition": "service_healthy"}


def test_what_the_image_is_made_of_is_the_program() -> None:
    """No page of the documentation is sent to the build, so a word that is changed there replaces no container."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {
        "pyproject.toml", "deploy/requirements.txt", "shared", "*_service",
    }  # fmt: skip
    assert "**/README.md" in lines
    assert "compileall" in (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER fulfillment$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in CONTAINERS if "healthcheck" in CONTAINERS[name]])
def test_a_health_check_starts_no_interpreter(name: str) -> None:
    """Neither Python nor Erlang is started every few seconds, only to say that all is well."""
    test = " ".join(CONTAINERS[name]["healthcheck"]["test"])
    assert not re.search(r"python|rabbitmq-diagnostics|rabbitmqctl|fulfillment", test)


@pytest.mark.parametrize("name", EIGHT)
def test_nothing_starts_before_what_it_needs(name: str) -> None:
    """Tables are migrated before a process starts, and queues provisioned before a worker does."""
    needs = {f"{name.split('-')[0]}-migrate", *(["provision"] if name.endswith("-worker") else [])}
    waits = {other: how["condition"] for other, how in CONTAINERS[name]["depends_on"].items()}
    assert waits == dict.fromkeys(needs, "service_completed_successfully")


def test_the_broker_takes_no_message_larger_than_a_bundle_of_ours() -> None:
    """What a stranger may send is bounded where it comes in, and everything that a service says fits."""
    assert "./deploy/rabbitmq.conf:/etc/rabbitmq/conf.d/20-fulfillment.conf:ro" in CONTAINERS["rabbitmq"]["volumes"]
    limit = re.search(r"^max_message_size = (\d+)$", (ROOT / "deploy/rabbitmq.conf").read_text(), re.MULTILINE)
    assert limit
    assert services()["order"].settings().body_limit <= int(limit[1]) <= 4 << 20
