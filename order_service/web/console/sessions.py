"""Who is signed in: a random cookie, and a row that knows its hash and a seal of the API key, never the key."""

import hashlib
import hmac
import secrets
from datetime import timedelta

from flask import Response, request
from sqlalchemy import delete, insert, select

from order_service.tables import console_sessions
from shared.api_keys import Keys, Principal
from shared.clock import Clock, today
from shared.database import Database

COOKIE, VISITOR = "fulfillment_session", "fulfillment_visitor"
LASTS = timedelta(hours=12)

_rows = console_sessions.c


class Sessions:
    """Sessions end after 12 hours, by signing out, and when their API key is no longer configured."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._invitations: dict[str, str] = {}

    def begin(self, key: str, keys: Keys) -> str | None:
        """Sign in with an API key; returns the cookie, or None for a key that is not known."""
        cookie = secrets.token_urlsafe(32)
        seal = keys.seal(key, cookie, today())
        if seal is None:
            return None
        with self._database.transaction() as connection:
            now = self._clock.now(connection)
            connection.execute(delete(console_sessions).where(_rows.expires_at <= now))
            row = {"token_hash": _hash(cookie), "seal": seal, "expires_at": now + LASTS}
            connection.execute(insert(console_sessions), row)
        return cookie

    def find(self, cookie: str, keys: Keys) -> Principal | None:
        """Who holds this cookie; None when it is forged or its time is over."""
        with self._database.reading() as connection:
            now = self._clock.now(connection)
            wanted = select(_rows.seal).where(_rows.token_hash == _hash(cookie), _rows.expires_at > now)
            seal = connection.execute(wanted).scalar()
        return keys.unseal(seal, cookie, today()) if seal else None

    def end(self, cookie: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(delete(console_sessions).where(_rows.token_hash == _hash(cookie)))

    def invite(self, key: str) -> str:
        """A word that signs in once with this API key, in this process."""
        word = secrets.token_urlsafe(16)
        self._invitations[word] = key
        return word

    def accept(self, word: str, keys: Keys) -> str | None:
        """Sign in with an invitation, which is used up by that; returns the cookie."""
        key = self._invitations.pop(word, None)
        return self.begin(key, keys) if key else None


def form_token(secret: str) -> str:
    """What every form of this visitor carries, and nobody else can know."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def is_own_form(secret: str, token: str) -> bool:
    return bool(secret) and hmac.compare_digest(form_token(secret), token.encode("ascii", "replace").decode())


def set_cookie(response: Response, name: str, value: str, lasts: timedelta | None = LASTS) -> None:
    """A cookie that no script reads, no other site sends, and nothing carries in the clear where there is TLS."""
    response.set_cookie(
        name,
        value,
        max_age=lasts,
        path="/",
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
    )


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
