"""Settings: what may be written in the environment, and what is said about what may not."""

import dataclasses
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.addresses import address
from shared.clock import today
from shared.config import Misconfigured, Settings, load, variables


def settings(**environ: str) -> Settings:
    return load(service="order", port=8001, urls={"payment": "http://127.0.0.1:8002"}, environ=environ)


def complaint(**environ: str) -> str:
    with pytest.raises(Misconfigured) as refusal:
        settings(**environ)
    return str(refusal.value)


def test_nothing_need_be_set() -> None:
    """An empty environment gives a service a database of its own, its port, and the others' addresses."""
    assert settings().database_url == "sqlite:///data/order.db"
    assert settings().port == 8001
    assert settings().urls == {"payment": "http://127.0.0.1:8002"}


def test_another_service_may_be_elsewhere() -> None:
    """The address of another service's API is a variable that is named for it."""
    assert settings(PAYMENT_URL="http://payment:8001/").urls == {"payment": "http://payment:8001"}


def test_an_empty_variable_counts_as_unset() -> None:
    """What a compose file passes on from nowhere changes nothing."""
    assert settings(PORT="", API_KEYS="", API_KEYS_FILE="").port == 8001


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DATABASE_URL", "postgresql+psycopg://u:p@db/payment", "postgresql+psycopg://u:p@db/payment"),
        ("BROKER_URL", "amqps://u:p@broker/%2F", "amqps://u:p@broker/%2F"),
        ("PORT", "0", 0),
        ("BATCH_LIMIT", "500", 500),
        ("WATCHDOG", "20.5", timedelta(seconds=20.5)),
        ("OUTBOX_DAYS", "7", timedelta(days=7)),
        (
            "STEP_TIMEOUTS",
            "payment=30, shipping=0.5",
            {"payment": timedelta(seconds=30), "shipping": timedelta(seconds=0.5)},
        ),
        ("STEP_ATTEMPTS", "payment=3,", {"payment": 3}),
        ("NETWORK_LATENCY_MS", "300", timedelta(milliseconds=300)),
        ("NETWORK_ERROR_RATE", "0.25", 0.25),
        ("NETWORK_OUTAGE", "on", True),
        ("APPROVAL_FROM", "0", 0),
    ],
)
def test_a_variable_is_read_as_its_type(name: str, text: str, value: Any) -> None:
    """Numbers, durations, switches and pairs arrive as what they are."""
    assert getattr(settings(**{name: text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DATABASE_URL", "mysql://x"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "postgresql+psycopg://u:p@db:port/x"),
        ("BROKER_URL", "localhost:5672"),
        ("BROKER_URL", "amqp://u:p@broker:99999/"),
        ("BROKER_URL", "amqp://u:pass/word@broker/"),
        ("PAYMENT_URL", "http://[::1"),
        ("PORT", "65536"),
        ("PORT", "٨٠٠٠"),
        ("PORT", "-1"),
        ("BATCH_LIMIT", "0"),
        ("BATCH_LIMIT", "1e2"),
        ("WATCHDOG", "0"),
        ("WATCHDOG", "soon"),
        ("CURRENCY", "euro"),
        ("CURRENCY", "EUX"),  # three letters that are no currency
        ("CURRENCY", "XAU"),  # gold has no minor unit
        ("STEP_TIMEOUTS", "payment"),
        ("STEP_TIMEOUTS", "payment=0"),
        ("STEP_TIMEOUTS", "payment=1,payment=2"),
        ("STEP_ATTEMPTS", "payment=0"),
        ("NETWORK_ERROR_RATE", "1.5"),
        ("NETWORK_OUTAGE", "maybe"),
        ("SEED", "all"),
        ("LOG_LEVEL", "loud"),
        ("API_KEYS", "lonely-token"),
    ],
)
def test_a_malformed_value_is_named(name: str, text: str) -> None:
    """The complaint is one line that begins with the service and names the variable."""
    said = complaint(**{name: text})
    assert said.startswith(f"order: {name} ")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("watchdog", "timeout", "allowed"), [("60", "15", True), ("60", "15.1", False), ("19", "5", False)]
)
def test_a_network_is_not_waited_for_until_a_worker_seems_to_hang(watchdog: str, timeout: str, allowed: bool) -> None:
    """What a batch waits for outside is less than half of WATCHDOG; the complaint names both settings."""
    if allowed:
        assert settings(WATCHDOG=watchdog, NETWORK_TIMEOUT=timeout).longest_call == timedelta(seconds=15)
    else:
        said = complaint(WATCHDOG=watchdog, NETWORK_TIMEOUT=timeout)
        assert said.startswith("order: NETWORK_TIMEOUT must be at most a quarter of WATCHDOG")


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Nobody has to start a process three times to learn of three mistakes."""
    said = complaint(PORT="http", SEED="all", CURRENCY="euro")
    assert all(name in said for name in ("PORT", "SEED", "CURRENCY"))


def test_what_a_process_cannot_do_without_is_named() -> None:
    """A web process asks for API_KEYS; without them it does not start."""
    with pytest.raises(Misconfigured, match=r"order: API_KEYS must be set"):
        load(service="order", environ={}, required=["API_KEYS"])


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    """`NAME_FILE` works for every variable, and the file's last newline does not count."""
    file = tmp_path / "broker"
    file.write_text("amqp://guest:guest@broker/\n")
    assert settings(BROKER_URL_FILE=str(file)).broker_url == "amqp://guest:guest@broker/"


def test_a_file_that_is_missing_or_not_alone_is_refused(tmp_path: Path) -> None:
    """A secret that could not be read is an error, not an empty secret."""
    assert "API_KEYS cannot be read: API_KEYS_FILE" in complaint(API_KEYS_FILE=str(tmp_path / "none"))
    (tmp_path / "port").write_text("8009")
    assert "PORT and PORT_FILE are both set" in complaint(PORT="8008", PORT_FILE=str(tmp_path / "port"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """A secret that was never written is not the default, which may be a database of one's own."""
    for text in ("", "\n", " \n\t"):
        (tmp_path / "url").write_text(text)
        said = complaint(DATABASE_URL_FILE=str(tmp_path / "url"))
        assert said == "order: DATABASE_URL cannot be read: DATABASE_URL_FILE: the file is empty"
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    assert "DATABASE_PASSWORD cannot be read" in complaint(DATABASE_PASSWORD_FILE=str(tmp_path / "latin"))


@pytest.mark.parametrize("server", ["DATABASE", "BROKER"])
def test_a_password_may_stand_beside_its_address(server: str, tmp_path: Path) -> None:
    """In a file of its own, with any characters: the address then has it as addresses have it."""
    scheme = {"DATABASE": "postgresql+psycopg", "BROKER": "amqp"}[server]
    (tmp_path / "password").write_text("s/e:c@r %é\n")
    url, file = f"{scheme}://shop@server:1234/place", {f"{server}_PASSWORD_FILE": str(tmp_path / "password")}
    found = getattr(settings(**{f"{server}_URL": url}, **file), f"{server.lower()}_url")
    assert found == f"{scheme}://shop:s%2Fe%3Ac%40r%20%25%C3%A9@server:1234/place"
    assert urlsplit(found).hostname == "server"
    for other, fault in (
        (f"{scheme}://shop:own@server/place", "a password of its own"),
        (f"{scheme}://server/x", "no user"),
    ):
        said = complaint(**{f"{server}_URL": other}, **file)
        assert said.startswith(f"order: {server}_PASSWORD is set, and {server}_URL ")
        assert fault in said
        assert "own@" not in said
        assert "s/e" not in said


def test_a_password_is_for_a_server() -> None:
    """A file and a broker within the process have none: what is in the environment for others changes nothing."""
    told = settings(DATABASE_PASSWORD="secret", BROKER_PASSWORD="secret")
    assert (told.database_url, told.broker_url) == ("sqlite:///data/order.db", "embedded://")


def test_the_passwords_of_the_examples_are_for_demonstrations() -> None:
    """Everybody knows them, so whoever does not say DEMO=on is told to use others."""
    place = {"BROKER_URL": "amqp://order@broker/", "BROKER_PASSWORD": "order-broker-demo"}
    assert "examples" in complaint(**place)
    assert settings(**place, DEMO="on").broker_url == "amqp://order:order-broker-demo@broker/"


def test_secrets_stay_secret() -> None:
    """Neither the settings' text nor a complaint repeats a password or a token."""
    said = repr(settings(DATABASE_URL="postgresql+psycopg://u:hunter2@db/x", API_KEYS="opensesame:operator"))
    said += complaint(BROKER_URL="http://u:hunter2@broker", API_KEYS="opensesame:boss")
    said += complaint(BROKER_URL="amqp://u:hunter2/hunter2@broker/", DATABASE_URL="postgresql+psycopg://u:hunter2:x@[/")
    assert "hunter2" not in said
    assert "opensesame" not in said


def test_overrides_win() -> None:
    """Programs that start others may fix single values, by the names of the fields."""
    assert load(service="order", environ={"PORT": "9000"}, overrides={"port": "9001"}).port == 9001
    assert load(service="order", environ={"PORT_FILE": "/nowhere"}, overrides={"port": "9001"}).port == 9001


def test_every_setting_is_documented() -> None:
    """Each field but the service's name and the others' addresses is a variable with a meaning."""
    assert [each.name.lower() for each in variables()] == [f.name for f in dataclasses.fields(Settings)][2:]
    assert all(each.meaning.endswith(".") for each in variables())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://u:hunter2@broker:5672/%2F?heartbeat=5", "amqp://broker:5672/%2F"),
        ("postgresql+psycopg://u:p@x@db/shop?password=hunter2", "postgresql+psycopg://db/shop"),
        ("sqlite:////var/lib/a@b.db", "sqlite:////var/lib/a@b.db"),
    ],
)
def test_an_address_tells_no_secret(url: str, shown: str) -> None:
    """Logs say where a process looks, not with which password."""
    assert address(url) == shown


WEAK, STRONG = "demo-operator:operator", "sixteen-letters!:operator"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7"])
def test_weak_keys_are_refused_where_others_can_try_them(host: str) -> None:
    """Short ones and those of the examples; on loopback, and where DEMO says so, they are taken."""
    said = complaint(HOST=host, API_KEYS=WEAK)
    assert "API_KEYS of operator:operator" in said
    assert "fulfillment key new" in said
    assert settings(HOST=host, API_KEYS=STRONG).api_keys
    assert settings(HOST=host, API_KEYS=WEAK, DEMO="on").api_keys
    assert settings(HOST="127.0.0.1", API_KEYS=WEAK).api_keys
    assert settings(HOST="::1", API_KEYS=WEAK).api_keys


@pytest.mark.parametrize("text", ["shop.example", "127.0.0.1:9", "1.2.3", "[::1]:80", "*"])
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    """A port belongs into PORT."""
    assert f"HOST must be an address such as 127.0.0.1, 0.0.0.0, ::1 or ::, without a port, not {text!r}" in complaint(
        HOST=text
    )


def test_keys_follow_their_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A key that is added counts without a restart; one that is taken away, or is nonsense, does not."""
    file = tmp_path / "keys"
    file.write_text(STRONG)
    keys = settings(HOST="0.0.0.0", API_KEYS_FILE=str(file)).api_keys
    assert keys.find("sixteen-letters!", today())
    file.write_text("another-one-as-long:customer:alice\n")
    eventually(lambda: keys.find("another-one-as-long", today()) is not None)
    assert keys.find("sixteen-letters!", today()) is None
    for unusable in ("nonsense", "short:operator", ""):
        file.write_text(unusable)
        eventually(lambda: bool(keys.find("another-one-as-long", today())) and "stay as they were" in caplog.text)
        caplog.clear()
        assert keys.find("another-one-as-long", today())
    file.unlink()
    assert keys.find("another-one-as-long", today())


def eventually(happens: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.05)
