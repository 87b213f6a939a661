"""Who may call an HTTP API: bearer tokens with a role and a name, held in memory only as SHA-256 hashes."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

SHORTEST = 16  # characters of a token that others than this machine's own users may try
SHIPPED = frozenset({"demo-operator", "demo-alice", "demo-bob", "demo-console"})  # the examples of this repository


class Role(StrEnum):
    CUSTOMER = "customer"  # sees and moves its own orders
    OPERATOR = "operator"  # sees and moves everything


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is calling: a role and a name, for a customer and an operator may have the same name."""

    role: Role
    name: str

    @staticmethod
    def named(role: Role, name: str) -> "Principal":
        """Raises ValueError for what cannot be a name."""
        if not _NAME.fullmatch(name):
            raise ValueError("has a name that is not 1 to 50 letters, digits and . _ @ -")
        return Principal(role=role, name=name)

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR

    @property
    def id(self) -> str:
        """Which of all callers this is, such as `operator:olga`."""
        return f"{self.role}:{self.name}"

    @property
    def customer_id(self) -> str:
        """Whose the orders are that it places: a customer's name, which never has a colon, or an operator's id."""
        return self.id if self.is_operator else self.name

    def may_see(self, customer_id: str) -> bool:
        """Whether the orders of this customer are shown to it."""
        return self.is_operator or customer_id == self.customer_id


UNNAMED = Principal(role=Role.OPERATOR, name="operator")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,49}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Key:
    """One token: its hash, whose it is, and the last day, in UTC, on which it is good."""

    digest: bytes = field(repr=False)
    principal: Principal
    until: date | None
    weak: bool  # short, or one of the examples; of a hash only the latter can be told


class Keys:
    """The known tokens; truthy when there is one. `known` is asked for them each time."""

    def __init__(self, known: Callable[[], tuple[Key, ...]] = tuple) -> None:
        self.known = known

    @staticmethod
    def parse(text: str) -> "Keys":
        """Read `token:operator:olga`, `token:customer:alice` or `sha256:HEX:role:name`, by commas or lines.

        An entry may end in `:until=2027-01-31`. One operator may go without a name, and is called "operator". A caller
        may have several tokens. Raises ValueError, which never repeats a token.
        """
        found: dict[bytes, Key] = {}
        unnamed = namesakes = 0
        for position, entry in enumerate(filter(None, map(str.strip, re.split(r"[,\n]", text))), start=1):
            parts = entry.split(":")
            try:
                key = _parse_entry(parts)
                without_name = len(parts) == (3 if parts[0] == "sha256" else 2)
                unnamed += without_name
                namesakes += key.principal == UNNAMED and not without_name
                if unnamed > 1 or (unnamed and namesakes):
                    raise ValueError('is a second operator without a name, or named "operator" beside one without')
                if found.setdefault(key.digest, key) != key:
                    raise ValueError("gives a token a second meaning")
            except ValueError as error:
                raise ValueError(f"entry {position} {error}") from None
        known = tuple(found.values())
        return Keys(lambda: known)

    @property
    def weak(self) -> list[str]:
        """Whose tokens may be guessed: shorter than 16 characters, or those of the examples."""
        return [key.principal.id for key in self.known() if key.weak]

    def find(self, token: str, today: date) -> Principal | None:
        """Whose token it is, in a time that does not tell how much of it was right; None when its time is over."""
        digest = _digest(token)
        return self._match(lambda known: hmac.compare_digest(known, digest), today)

    def seal(self, token: str, secret: str, today: date) -> str | None:
        """A proof that the holder of `secret` once knew `token`; None for an unknown token.

        It tells nothing about the token to whoever does not have the secret.
        """
        return _sealed(_digest(token), secret) if self.find(token, today) else None

    def unseal(self, seal: str, secret: str, today: date) -> Principal | None:
        """Whose token was sealed with this secret; None when it is no longer known."""
        return self._match(lambda known: hmac.compare_digest(_sealed(known, secret), seal), today)

    def _match(self, right: Callable[[bytes], bool], today: date) -> Principal | None:
        found = None
        for key in self.known():
            if right(key.digest):
                found = key
        return found.principal if found and (found.until is None or today <= found.until) else None

    def __len__(self) -> int:
        return len(self.known())

    def __iter__(self) -> Iterator[Principal]:
        return (key.principal for key in self.known())


def new_token() -> str:
    """A token that cannot be guessed: 192 random bits."""
    return secrets.token_urlsafe(24)


def hashed_entry(token: str, principal: Principal, until: date | None = None) -> str:
    """An entry of API_KEYS that tells the token's hash only."""
    last_day = f":until={until.isoformat()}" if until else ""
    return f"sha256:{_digest(token).hex()}:{principal.id}{last_day}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _sealed(digest: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), digest, hashlib.sha256).hexdigest()


_SHIPPED = frozenset(map(_digest, SHIPPED))


def _parse_entry(parts: list[str]) -> Key:
    until = None
    if parts[-1].startswith("until="):
        until = _day(parts.pop().removeprefix("until="))
    match parts:
        case ["sha256", text, role, *name] if _HASH.fullmatch(text.lower()):
            digest, short = bytes.fromhex(text), False
        case ["sha256", *_]:
            raise ValueError("is not sha256:HEX:role[:name] with 64 hexadecimal digits")
        case [token, role, *name] if token and token.isascii() and token.isprintable() and " " not in token:
            digest, short = _digest(token), len(token) < SHORTEST
        case _:
            raise ValueError("is not token:operator:NAME, token:customer:NAME or sha256:HEX:role:name")
    principal = _parse_principal(role, name)
    return Key(digest=digest, principal=principal, until=until, weak=short or digest in _SHIPPED)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("has a last day that is not until=YYYY-MM-DD") from None


def _parse_principal(role: str, name: list[str]) -> Principal:
    match role, name:
        case (Role.OPERATOR, []):
            return UNNAMED
        case (Role.CUSTOMER, []):
            raise ValueError("is a customer without a name")
        case ((Role.OPERATOR | Role.CUSTOMER), _):
            return Principal.named(Role(role), ":".join(name))
    raise ValueError("has a role other than operator or customer")
