"""Who may call an HTTP API: bearer tokens with a role and a name, held in memory only as SHA-256 hashes."""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    CUSTOMER = "customer"  # sees and moves its own orders
    OPERATOR = "operator"  # sees and moves everything


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is calling: a role and a name, for a customer and an operator may have the same name."""

    role: Role
    name: str

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

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,49}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Keys:
    """The known tokens; truthy when there is one."""

    _known: tuple[tuple[bytes, Principal], ...] = field(default=(), repr=False)

    @staticmethod
    def parse(text: str) -> "Keys":
        """Read `token:operator`, `token:customer:alice` or `sha256:HEX:role[:name]`, separated by commas.

        An operator without a name is called "operator"; a customer must have one. Raises ValueError, which never
        repeats a token.
        """
        known: dict[bytes, Principal] = {}
        for position, entry in enumerate((part.strip() for part in text.split(",") if part.strip()), start=1):
            try:
                digest, principal = _parse_entry(entry.split(":"))
            except ValueError as error:
                raise ValueError(f"entry {position} {error}") from None
            if known.setdefault(digest, principal) != principal:
                raise ValueError(f"entry {position} gives a token a second meaning")
        return Keys(tuple(known.items()))

    def find(self, token: str) -> Principal | None:
        """Whose token it is, in a time that does not tell how much of it was right."""
        digest, found = _digest(token), None
        for known, principal in self._known:
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def seal(self, token: str, secret: str) -> str | None:
        """A proof that the holder of `secret` once knew `token`; None for an unknown token.

        It tells nothing about the token to whoever does not have the secret.
        """
        return _sealed(_digest(token), secret) if self.find(token) else None

    def unseal(self, seal: str, secret: str) -> Principal | None:
        """Whose token was sealed with this secret; None when it is no longer known."""
        found = None
        for known, principal in self._known:
            if hmac.compare_digest(_sealed(known, secret), seal):
                found = principal
        return found

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Principal]:
        return (principal for _, principal in self._known)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _sealed(digest: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), digest, hashlib.sha256).hexdigest()


def _parse_entry(parts: list[str]) -> tuple[bytes, Principal]:
    match parts:
        case ["sha256", digest, role, *name] if _HASH.fullmatch(digest.lower()):
            return bytes.fromhex(digest), _parse_principal(role, name)
        case ["sha256", *_]:
            raise ValueError("is not sha256:HEX:role[:name] with 64 hexadecimal digits")
        case [token, role, *name] if token and token.isascii() and token.isprintable() and " " not in token:
            return _digest(token), _parse_principal(role, name)
    raise ValueError("is not token:operator, token:customer:NAME or sha256:HEX:role[:name]")


def _parse_principal(role: str, name: list[str]) -> Principal:
    match role, name:
        case (Role.OPERATOR, []):
            return Principal(role=Role.OPERATOR, name="operator")
        case ((Role.OPERATOR | Role.CUSTOMER), [known]) if _NAME.fullmatch(known):
            return Principal(role=Role(role), name=known)
        case (Role.CUSTOMER, []):
            raise ValueError("is a customer without a name")
        case ((Role.OPERATOR | Role.CUSTOMER), _):
            raise ValueError("has a name that is not 1 to 50 letters, digits and . _ @ -")
    raise ValueError("has a role other than operator or customer")
