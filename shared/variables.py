"""How the text of an environment variable is found and read: each function raises ValueError with what it must be."""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from shared.currencies import digits


def given_text(name: str, source: Mapping[str, str]) -> str | None:
    """The variable's text, or that of the file it names, or None when neither is set. Raises ValueError."""
    direct, file = source.get(name), source.get(f"{name}_FILE")
    if direct and file:
        raise ValueError(f"and {name}_FILE are both set")
    if file:
        try:
            content = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot be read: {name}_FILE: {type(error).__name__}") from None
        if not content:
            raise ValueError(f"cannot be read: {name}_FILE: the file is empty")
        return content
    return direct or None


def read_variable(
    name: str,
    default: str,
    parse: Callable[[str], Any],
    source: Mapping[str, str],
    *,
    secret: bool,
    meaning: str | None,
) -> Any:
    """The variable's value. It must be set when it has a `meaning` to name. Raises ValueError, or OSError."""
    text = given_text(name, source)
    if text is None and meaning is not None:
        raise ValueError(f"must be set: {meaning}")
    text = default if text is None else text
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(str(error) if secret else f"{error}, not {text[:100]!r}") from None


def without(environ: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """The environment but for these variables, and for the files named instead of them."""
    return {name: text for name, text in environ.items() if name.removesuffix("_FILE") not in names}


def text(value: str) -> str:
    return value


def url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not value.startswith(schemes) or not value.isprintable() or " " in value:
            raise ValueError(f"must begin with {' or '.join(schemes)}")
        try:
            _ = urlsplit(value).port
        except ValueError:  # which would repeat a password that has an unescaped slash
            raise ValueError("has no readable host and port; in user names and passwords, escape /:@ as %XX") from None
        return value.rstrip("/") if value.startswith("http") else value

    return parse


def ip_address(value: str) -> str:
    """An address of IPv4 or IPv6, or `localhost`, which is 127.0.0.1."""
    try:
        return str(ipaddress.ip_address("127.0.0.1" if value == "localhost" else value.strip("[]")))
    except ValueError:
        raise ValueError("must be an address such as 127.0.0.1, 0.0.0.0, ::1 or ::, without a port") from None


def proxy(value: str) -> str:
    return value if value in ("", "*") else ip_address(value)


def integer(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", value) or not least <= int(value) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(value)

    return parse


def duration(**unit: int) -> Callable[[str], timedelta]:
    """A positive number of the unit, such as `milliseconds=1`; fractions are allowed."""

    def parse(value: str) -> timedelta:
        span = timedelta(**unit) * float(value) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value) else timedelta()
        if not span:
            raise ValueError(f"must be a positive number of {next(iter(unit))}")
        return span

    return parse


def latency(value: str) -> timedelta:
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise ValueError("must be a whole number of milliseconds, 0 for none")
    return timedelta(milliseconds=int(value))


def rate(value: str) -> float:
    if not re.fullmatch(r"0|1|[01]?\.[0-9]{1,9}", value) or float(value) > 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


def choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return parse


def switch(value: str) -> bool:
    return choice("on", "off")(value) == "on"


def currency(value: str) -> str:
    digits(value)
    return value


def per_step(parse: Callable[[str], Any]) -> Callable[[str], Mapping[str, Any]]:
    """`payment=30,shipping=60`, each value read by `parse`."""

    def parse_pairs(value: str) -> Mapping[str, Any]:
        pairs = [part.strip().split("=") for part in value.split(",") if part.strip()]
        if not all(len(pair) == 2 and re.fullmatch(r"[a-z]{1,40}", pair[0]) for pair in pairs):
            raise ValueError("must look like payment=3,shipping=4")
        if len({step for step, _ in pairs}) < len(pairs):
            raise ValueError("names a step twice")
        return MappingProxyType({step: parse(number) for step, number in pairs})

    return parse_pairs


def users(value: str) -> Mapping[str, str]:
    """`order=…,payment=…`, each the name of a user at the broker."""
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    named = {service: user for service, _, user in pairs}
    if not all(re.fullmatch(r"[a-z]{1,40}", service) and user for service, user in named.items()):
        raise ValueError("must look like order=prod-order,payment=prod-payment")
    if len(named) < len(pairs) or len(set(named.values())) < len(pairs):
        raise ValueError("names a service or a user twice")
    return MappingProxyType(named)


def roles(value: str) -> Mapping[str, str]:
    """`application=…,web=…,auditor=…`, each a role of the database."""
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    if not all(kind in ("application", "web", "auditor") and re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name)
               for kind, _, name in pairs):  # fmt: skip
        raise ValueError("must look like application=order_service,web=order_web,auditor=order_auditor")
    return MappingProxyType({kind: name for kind, _, name in pairs})
