"""The one door to the environment: every variable of every process, typed, with its default and its meaning."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, NamedTuple

from shared.addresses import add_passwords
from shared.api_keys import Keys
from shared.key_files import settled
from shared.variables import (
    choice,
    currency,
    duration,
    integer,
    ip_address,
    latency,
    per_step,
    proxy,
    rate,
    read_variable,
    roles,
    switch,
    text,
    url,
    users,
    without,
)


class Misconfigured(Exception):
    """The process must not start; the text is one line that names every bad variable."""


def _variable(parse: Callable[[str], Any], default: str, meaning: str, *, secret: bool = False) -> Any:
    """A field read from the variable of its name in capitals; `default` is written as in the environment."""
    return field(repr=not secret, metadata={"parse": parse, "default": default, "meaning": meaning, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a process may be told. Durations are timedeltas, money is in minor units."""

    service: str
    urls: Mapping[str, str]  # of other services' APIs, by name: PAYMENT_URL, ...

    database_url: str = _variable(
        url("sqlite:///", "postgresql+psycopg://"),
        "sqlite:///data/{service}.db",
        "Where this service keeps its data; each service has a database of its own.",
        secret=True,
    )
    database_password: str = _variable(
        text, "", "The password of DATABASE_URL's user, when it is not in the URL.", secret=True
    )
    database_roles: Mapping[str, str] = _variable(
        roles,
        "",
        "Database roles that `migrate` grants what they need, on PostgreSQL: `application=…,web=…,auditor=…`.",
    )
    broker_url: str = _variable(
        url("embedded://", "amqp://", "amqps://"),
        "embedded://",
        "The message broker: RabbitMQ, or one inside a single process for the demo and the simulation.",
        secret=True,
    )
    broker_password: str = _variable(text, "", "The password of BROKER_URL's user, when not in it.", secret=True)
    broker_users: Mapping[str, str] = _variable(users, "", "Broker user of each service, `order=NAME,…`, if unlike.")
    host: str = _variable(
        ip_address, "127.0.0.1", "The address that the HTTP API listens on; `::` is every address, of IPv4 as well."
    )
    port: int = _variable(integer(0, 65535), "{port}", "The port that the HTTP API listens on.")
    api_keys: Keys = _variable(
        Keys.parse,
        "",
        "Who may call the HTTP API: `token:operator:olga`, `token:customer:alice`, `sha256:HEX:role:name`, by commas "
        "or lines, each with `:until=2027-01-31` if its time is limited. A changed `API_KEYS_FILE` counts at once.",
        secret=True,
    )
    demo: bool = _variable(
        switch,
        "off",
        "Whether the keys of the examples, and short ones, may be used where others can reach the API; and the "
        "passwords of the examples anywhere.",
    )
    participants_key: str = _variable(
        text, "", "The operator token with which the console asks the other services' APIs.", secret=True
    )
    playground: str = _variable(text, "", "`up --console-may-break` says here how it is asked.", secret=True)

    web_threads: int = _variable(integer(2, 500), "24", "How many requests a web process works on at a time.")
    key_rate: int = _variable(
        integer(0, 10**6), "200", "Requests a second for each API key, twice as many at once; 0: no limit. Beyond: 429."
    )
    key_share: int = _variable(
        integer(1, 100), "50", "The part of the threads, in percent, that one caller may hold at a time. Beyond: 429."
    )
    wait_share: int = _variable(integer(1, 90), "33", "The percentage of threads that may wait for an order's news.")
    stream_limit: int = _variable(integer(1, 20_000), "500", "Streams and live pages open at a time. Beyond: 503.")
    key_streams: int = _variable(integer(1, 20_000), "100", "How many of those one caller may have. Beyond: 503.")
    wrong_tokens: int = _variable(
        integer(0, 10**6), "30", "Wrong tokens a minute from one address; 0: no limit. Beyond: 429."
    )
    web_connections: int = _variable(
        integer(16, 50_000), "2000", "How many connections a web process has open at a time."
    )
    trusted_proxy: str = _variable(
        proxy, "", "The address of the reverse proxy whose X-Forwarded-For is believed; `*` when only it can come here."
    )
    web_processes: int = _variable(integer(1, 32), "1", "How many web processes share the port.")
    batch_limit: int = _variable(integer(1, 1000), "200", "The most messages handled in one transaction.")
    publish_window: int = _variable(
        integer(1, 4000), "1000", "The most messages of a worker that RabbitMQ has not yet confirmed, at a time."
    )
    bundle_limit: int = _variable(integer(1, 200), "50", "The most events of one type that travel as one message.")
    body_limit: int = _variable(integer(1024, 2**24), "262144", "The largest message body that is read, in bytes.")
    letter_limit: int = _variable(integer(0, 10**6), "1000", "Dead letters of a producer and reason kept an hour.")
    backlog_limit: int = _variable(
        integer(1, 10**9), "50000", "Unpublished messages beyond which new orders are turned away with 503."
    )
    watchdog: timedelta = _variable(duration(seconds=1), "60", "Seconds after which a worker whose batch hangs ends.")
    outbox_days: timedelta = _variable(duration(days=1), "7", "Days for which published messages are kept.")
    inbox_days: timedelta = _variable(duration(days=1), "30", "Days for which the ids of received messages are kept.")
    dead_letter_days: timedelta = _variable(duration(days=1), "90", "Days for which settled dead letters are kept.")

    personal_days: timedelta = _variable(
        duration(days=1), "180", "Days for which address and payment token are kept after an order's last change."
    )
    idempotency_days: timedelta = _variable(
        duration(days=1), "30", "Days for which an Idempotency-Key of an order is known, and what it was answered."
    )

    currency: str = _variable(currency, "EUR", "The one currency of this deployment.")
    approval_from: int = _variable(
        integer(0, 2**53), "50000", "From which total, in minor units, a person must approve."
    )
    open_orders: int = _variable(
        integer(0, 10**9), "1000", "Orders that one customer may have under way; 0 for no limit. Beyond: 429."
    )
    step_timeouts: Mapping[str, timedelta] = _variable(
        per_step(duration(seconds=1)),
        "",
        "Seconds to wait for an answer, by step: `payment=30,shipping=60`. `approval=172800` is how long an order may "
        "wait for an operator, and hold stock meanwhile.",
    )
    step_attempts: Mapping[str, int] = _variable(
        per_step(integer(1, 1000)), "", "How often to ask before silence counts, by step: `payment=3`."
    )
    slowest_pace: timedelta = _variable(
        duration(seconds=1), "900", "The most seconds between two askings, whatever the attempt."
    )

    network_latency_ms: timedelta = _variable(
        latency, "0", "Simulated networks (cards, carriers): milliseconds a call."
    )
    network_error_rate: float = _variable(rate, "0", "Simulated networks: the share of calls that fail.")
    network_outage: bool = _variable(switch, "off", "Simulated networks: all calls fail while `on`.")
    network_timeout: timedelta = _variable(
        duration(seconds=1), "5", "Seconds to wait for a network's answer; at most a quarter of `WATCHDOG`."
    )

    metrics_port: int = _variable(integer(0, 65_000), "0", "Where metrics are, or at the next free port; 0: nowhere.")
    metrics_host: str = _variable(ip_address, "127.0.0.1", "The address of that port; no token is needed there.")
    seed: str = _variable(
        choice("demo", "none"), "demo", "What `migrate` leaves behind: a small catalog and stock, or nothing."
    )
    reconcile_every: timedelta = _variable(duration(seconds=1), "30", "Seconds between two rounds of `reconcile`.")
    reconcile_grace: timedelta = _variable(duration(seconds=1), "60", "Seconds for which `reconcile` waits for news.")
    reconcile_rate: int = _variable(integer(1, 10**5), "200", "Orders a second that `reconcile` looks at, at most.")
    log_level: str = _variable(choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "The least level that is logged.")
    log_format: str = _variable(choice("auto", "json", "text"), "auto", "How log lines look; auto: text on a terminal.")

    @property
    def longest_call(self) -> timedelta:
        """How long a call to the outside may take, and for how long a batch goes on to make calls. So a batch waits for
        the outside for less than half the time after which it would count as hanging."""
        return self.watchdog / 4


class Variable(NamedTuple):
    """One row of the table of settings, for people."""

    name: str
    default: str
    meaning: str


def variables(urls: Mapping[str, str] | None = None) -> list[Variable]:
    """Every variable, in the order of Settings, then those of a service's `urls`; `NAME_FILE` reads it from a file."""
    own = [
        Variable(item.name.upper(), item.metadata["default"], item.metadata["meaning"])
        for item in fields(Settings)
        if item.metadata
    ]
    others = [Variable(_url_of(name), default, f"The {name} service's API.") for name, default in (urls or {}).items()]
    return own + others


def load(
    *,
    service: str,
    port: int = 8000,
    urls: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    required: Collection[str] = (),
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of one process; an empty variable counts as unset, `overrides` (by field name) win.

    `port` is the service's default, `urls` are the defaults for the other services that it asks. Raises Misconfigured,
    naming all that is malformed, and all of `required` (names of variables) that is unset. The values of secrets are
    not repeated.
    """
    given, fixed = os.environ if environ is None else environ, {k.upper(): v for k, v in (overrides or {}).items()}
    source = without(given, fixed) | fixed
    complaints: list[str] = []

    def read(name: str, default: str, parse: Callable[[str], Any], meaning: str = "", secret: bool = False) -> Any:
        try:
            return read_variable(
                name, default, parse, source, secret=secret, meaning=meaning if name in required else None
            )
        except (ValueError, OSError) as error:
            complaints.append(f"{name} {error}")

    values = {
        item.name: read(
            item.name.upper(),
            item.metadata["default"].format(service=service, port=port),
            item.metadata["parse"],
            item.metadata["meaning"],
            item.metadata["secret"],
        )
        for item in fields(Settings)
        if item.metadata
    }
    others = {name: read(_url_of(name), default, url("http://", "https://")) for name, default in (urls or {}).items()}
    if not complaints:
        complaints += add_passwords(values)
    if complaints:
        raise Misconfigured(f"{service}: {'; '.join(complaints)}")
    try:
        values["api_keys"] = settled(values["api_keys"], source.get("API_KEYS_FILE"), values["host"], values["demo"])
    except (ValueError, OSError) as error:
        raise Misconfigured(f"{service}: API_KEYS {error}") from None
    settings = Settings(service=service, urls=others, **values)
    if settings.network_timeout > settings.longest_call:
        longest = f"a quarter of WATCHDOG, which is {settings.longest_call.total_seconds():g} seconds here"
        raise Misconfigured(f"{service}: NETWORK_TIMEOUT must be at most {longest}: who waits would seem to hang")
    return settings


def environment(**overrides: str) -> dict[str, str]:
    """The environment of a process started from this one; `overrides`, by variable, also replace NAME_FILE."""
    return without(os.environ, overrides) | overrides


def _url_of(service: str) -> str:
    return f"{service.upper()}_URL"
