"""Who sent a message: told by `user_id`, the only property that RabbitMQ compares with the connection's user."""

from collections.abc import Mapping


class Senders:
    """Which broker user speaks for which service.

    `users` names each service's. Without it, a process whose own user is called as its service takes every service's to
    be called so; otherwise all services share that one user, and then it is the exchange that tells them apart:
    whoever has the password may speak for any of them.
    """

    def __init__(self, service: str, user: str, users: Mapping[str, str] | None = None) -> None:
        self._services = {name: each for each, name in (users or {}).items()}
        self._named_alike = not users and user == service
        self._shared = None if users or self._named_alike else user

    def __str__(self) -> str:
        if self._shared is not None:
            return f"all services share the user {self._shared}, so each could speak for any other"
        return "each service speaks as a user of its own"

    def producer(self, user: str, exchange: str) -> str:
        """The service that a message is from, or else words that are no service's name; nothing if its sender has not
        said so. `exchange`, through which it came, is true in an inbox and may be a lie in a dead-letter queue."""
        if not user:
            return ""
        if self._named_alike:
            return user
        if self._shared is None:
            return self._services.get(user, f"user {user}")
        through = exchange.removesuffix(".events")
        return through if user == self._shared and through != exchange else f"user {user}"
