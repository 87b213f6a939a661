"""What compose.yaml says of every container, read as data."""

from typing import Any

import pytest
import yaml

from shared.service import services
from tests.architecture.source import ROOT

CONTAINERS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
EIGHT = [f"{service}-{process}" for service in services() for process in ("web", "worker")]
ONCE = ["definitions", "provision", *(f"{service}-migrate" for service in services())]


def test_every_process_has_a_container() -> None:
    """Two servers, a proxy, eight processes, and what runs once before them."""
    assert set(CONTAINERS) == {"rabbitmq", "postgres", "proxy", *EIGHT, *ONCE}


def test_the_proxy_is_the_only_door_to_the_apis() -> None:
    """It alone publishes their ports, shares no network with databases and broker, and knows each service by name."""
    published = {name for name in CONTAINERS if CONTAINERS[name].get("ports")}
    assert published == {"proxy", "rabbitmq"}  # the latter its management pages
    assert CONTAINERS["proxy"]["networks"] == ["front"]
    configuration = (ROOT / "deploy/nginx.conf").read_text()
    for name, service in services().items():
        assert f"{service.port} {name}-web:{service.port};" in configuration
        assert f"listen {service.port};" in configuration
        assert CONTAINERS[f"{name}-web"]["environment"]["TRUSTED_PROXY"] == "*"


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


@pytest.mark.parametrize("name", ["rabbitmq", "postgres", "proxy", *EIGHT])
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
    assert f"{name}=" in CONTAINERS["definitions"]["environment"]["BROKER_PASSWORDS"]
    passwords = {f"{name.upper()}{role}PASSWORD" for role in ("_", "_OWNER_", "_WEB_")}
    assert passwords <= set(CONTAINERS["postgres"]["environment"])


def role_of(service: str, process: str) -> str:
    """The database role that a process connects as; the Order API places orders, the others' only show."""
    return {"migrate": "owner", "worker": "service", "web": "service" if service == "order" else "web"}[process]


@pytest.mark.parametrize("service", services())
def test_a_process_knows_only_its_own_secrets(service: str) -> None:
    """A service's containers carry its own user names at the database and the broker, and nobody else's."""
    others = [name for name in services() if name != service]
    for process in ("migrate", "web", "worker"):
        urls = [
            CONTAINERS[f"{service}-{process}"]["environment"].get(name, "") for name in ("DATABASE_URL", "BROKER_URL")
        ]
        assert f"//{service}_{role_of(service, process)}:" in urls[0]
        assert not [name for name in others if any(name.upper() in url or f"//{name}" in url for url in urls)]


@pytest.mark.parametrize("name", EIGHT)
def test_nothing_starts_before_what_it_needs(name: str) -> None:
    """Tables are migrated before a process starts, and queues provisioned before a worker does."""
    needs = {f"{name.split('-')[0]}-migrate", *(["provision"] if name.endswith("-worker") else [])}
    waits = {other: how["condition"] for other, how in CONTAINERS[name]["depends_on"].items()}
    assert waits == dict.fromkeys(needs, "service_completed_successfully")
