"""Addresses of servers: with a password that stands in a file or variable of its own, and without any."""

import re
from typing import Any
from urllib.parse import quote

SHIPPED = re.compile(r".*-demo")  # the passwords of this repository's deploy/secrets


def add_passwords(values: dict[str, Any]) -> list[str]:
    """Complete the URLs of database and broker among settings by name; returns what is wrong, by variable."""
    complaints = []
    for server in ("database", "broker"):
        try:
            url = with_password(values[f"{server}_url"], values[f"{server}_password"], values["demo"])
            values[f"{server}_url"] = url
        except ValueError as error:
            complaints.append(f"{server.upper()}_PASSWORD is set, and {server.upper()}_URL {error}")
    return complaints


def with_password(url: str, password: str, demo: bool) -> str:
    """The URL with the password of its user. One of a file or of a broker in this process needs none, and stays.

    Raises ValueError, which never repeats a password, when there is no user without one, and for a password that this
    repository shows to everybody, unless it is a `demo`.
    """
    if not password or url.startswith(("sqlite:", "embedded:")):
        return url
    scheme, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, at, server = place.rpartition("@")
    if not at or ":" in user:
        raise ValueError("has a password of its own" if at else "names no user whose password this could be")
    if SHIPPED.fullmatch(password) and not demo:
        raise ValueError("asks for it, but it is one of the examples: use your own, or set DEMO=on")
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{server}{slash}{path}"


def address(place: str) -> str:
    """A URL as logs may show it: without user, password and options."""
    return re.sub(r"(?<=//)[^/]*@", "", place).partition("?")[0]
