"""Exchanges, queues, bindings and who may use them, all computed from which service handles which messages."""

import base64
import hashlib
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.messaging.envelope import Message

DEAD_LETTER_EXCHANGE = "dlx"
DELIVERY_LIMIT = 1_000  # never proof of poison: a few deaths of a worker drop its whole batch each time
DEAD_LETTER_DELIVERY_LIMIT = 1_000_000  # never -1: RabbitMQ 3 takes it for "none", and drops
INBOX_BYTES = 256 << 20  # beyond, publishers are refused, and keep what they have to say in their outboxes
NOTHING = "^$"
LISTENERS = "listener."  # how the queues of those begin who only listen
LISTENERS_KEEP = {
    "max-length-bytes": 64 << 20,
    "expires": 24 * 60 * 60 * 1000,
}  # bytes, oldest dropped first; ms unused


class Binding(NamedTuple):
    exchange: str
    key: str
    queue: str


def exchange_of(service: str) -> str:
    """Where a service says what it has to say."""
    return f"{service}.events"


def inbox_of(service: str) -> str:
    """The queue of what a service is to work."""
    return f"{service}.inbox"


def dead_letters_of(service: str) -> str:
    """The queue of what the broker took out of a service's inbox."""
    return f"{service}.dlq"


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What has to exist at the broker: exchanges by name with their kind, queues by name with their arguments."""

    exchanges: Mapping[str, str]
    queues: Mapping[str, Mapping[str, str | int]]
    bindings: Collection[Binding]
    publishes: Mapping[str, Collection[str]]  # service -> the types it says and somebody handles

    def definitions(self, passwords: Mapping[str, str], vhost: str = "/") -> dict[str, Any]:
        """The whole as RabbitMQ's definitions file: with users too, each confined to what its service does.

        `passwords` names every service, and may name `provision`, who may declare, `monitor`, who may only look, and
        `listener`, who may bind queues of its own to every service's exchange. Raises ValueError otherwise.
        """
        if unknown := (passwords.keys() ^ self.publishes.keys()) - {"provision", "monitor", "listener"}:
            raise ValueError(f"a password is missing, or for nobody: {', '.join(sorted(unknown))}")
        return {
            "vhosts": [{"name": vhost}],
            "users": [_user(name, password) for name, password in passwords.items()],
            "permissions": [{"user": name, "vhost": vhost, **self._permission(name)} for name in passwords],
            "topic_permissions": [
                {
                    "user": service,
                    "vhost": vhost,
                    "exchange": exchange_of(service),
                    "write": _one_of(types),
                    "read": NOTHING,
                }
                for service, types in self.publishes.items()
            ],
            "policies": [
                {
                    "name": "listeners",
                    "vhost": vhost,
                    "pattern": f"^{re.escape(LISTENERS)}",
                    "apply-to": "queues",
                    "priority": 1,
                    "definition": LISTENERS_KEEP,
                }
            ],
            "exchanges": [
                {"name": name, "vhost": vhost, "type": kind, **_DURABLE, "internal": False}
                for name, kind in self.exchanges.items()
            ],
            "queues": [
                {"name": name, "vhost": vhost, **_DURABLE, "arguments": dict(arguments)}
                for name, arguments in self.queues.items()
            ],
            "bindings": [
                {"source": exchange, "destination": queue, "routing_key": key, "vhost": vhost, **_TO_A_QUEUE}
                for exchange, key, queue in self.bindings
            ],
        }

    def _permission(self, user: str) -> dict[str, str]:
        if user == "provision":
            return {"configure": ".*", "write": ".*", "read": ".*"}
        if user == "monitor":
            return {"configure": NOTHING, "write": NOTHING, "read": NOTHING}
        if user == "listener":
            own = f"^{re.escape(LISTENERS)}.+$"
            exchanges = _one_of([exchange_of(service) for service in self.publishes])
            return {"configure": own, "write": own, "read": f"{exchanges}|{own}"}
        read = _one_of([inbox_of(user), dead_letters_of(user)])
        return {"configure": NOTHING, "write": _one_of([exchange_of(user)]), "read": read}


def topology(handled: Mapping[str, Collection[type[Message]]]) -> Topology:
    """What the services need, given which messages each of them handles. Raises ValueError when nobody says them."""
    unsaid = {each.producer for messages in handled.values() for each in messages} - handled.keys()
    if unsaid:
        raise ValueError(f"messages are handled that no service says; unknown producers: {', '.join(sorted(unsaid))}")
    exchanges, queues = {DEAD_LETTER_EXCHANGE: "direct"}, {}
    bindings: list[Binding] = []
    for service, messages in sorted(handled.items()):
        inbox, dead_letters = inbox_of(service), dead_letters_of(service)
        exchanges[exchange_of(service)] = "topic"
        queues[inbox] = _inbox_arguments(dead_letters)
        queues[dead_letters] = {"x-queue-type": "quorum", "x-delivery-limit": DEAD_LETTER_DELIVERY_LIMIT}
        bindings += sorted({Binding(exchange_of(each.producer), each.type, inbox) for each in messages})
        bindings.append(Binding(DEAD_LETTER_EXCHANGE, dead_letters, dead_letters))
    said = {each.type: each.producer for messages in handled.values() for each in messages}
    publishes = {service: sorted(key for key, by in said.items() if by == service) for service in sorted(handled)}
    return Topology(exchanges=exchanges, queues=queues, bindings=tuple(bindings), publishes=publishes)


def _inbox_arguments(dead_letters: str) -> dict[str, str | int]:
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key": dead_letters,
        "x-dead-letter-strategy": "at-least-once",
        "x-max-length-bytes": INBOX_BYTES,
        "x-overflow": "reject-publish",  # without it, at-least-once quietly becomes at-most-once
    }


_TO_A_QUEUE = {"destination_type": "queue", "arguments": {}}
_DURABLE = {"durable": True, "auto_delete": False, "arguments": {}}


def _one_of(names: Collection[str]) -> str:
    return f"^({'|'.join(re.escape(name) for name in names)})$" if names else NOTHING


def _user(name: str, password: str) -> dict[str, Any]:
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "monitoring" if name == "monitor" else "",
    }
